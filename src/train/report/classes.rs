//! What was answered to which digit: the confusion matrix, and the figures of each class.
//!
//! In come answers counted, out goes a part of a page.

use super::words::{grouped, percent};
use crate::train::evaluation::{CLASSES, Evaluation};

/// Both tables.
pub(super) fn sections(evaluation: &Evaluation) -> String {
    let (matrix, classes) = (matrix(evaluation), classes(evaluation));
    format!(
        r#"<section aria-labelledby="confusion">
<h2 id="confusion">What was taken for what</h2>
<div class="scroll"><table class="matrix"><caption class="hint">A row for each digit, a column for each answer; right answers on the diagonal.</caption>
{matrix}</table></div>
</section>
<section aria-labelledby="classes">
<h2 id="classes">Each digit</h2>
<div class="scroll"><table class="figures"><caption class="hint">Precision: how often the answer is right. Recall: how many of the digit's pictures are found.</caption>
{classes}</table></div>
</section>
"#
    )
}

fn matrix(evaluation: &Evaluation) -> String {
    let headers: String = (0..CLASSES)
        .map(|class| format!(r#"<th scope="col">{class}</th>"#))
        .collect();
    let mut matrix = format!(
        r#"<thead><tr><th scope="col"><span class="aside">digit ╲ answer</span></th>{headers}</tr></thead><tbody>
"#
    );
    let worst = worst(evaluation);
    for (label, row) in evaluation.confusion.iter().enumerate() {
        matrix.push_str(&format!(r#"<tr><th scope="row">{label}</th>"#));
        for (answer, count) in row.iter().enumerate() {
            let (class, depth) = if answer == label {
                ("right", evaluation.recall(label))
            } else {
                ("wrong", f64::from(*count) / f64::from(worst))
            };
            let (class, depth) = if *count == 0 {
                ("none", 0.0)
            } else {
                (class, depth)
            };
            matrix.push_str(&format!(
                r#"<td class="{class}" style="--depth:{depth:.2}">{count}</td>"#
            ));
        }
        matrix.push_str("</tr>\n");
    }
    matrix.push_str("</tbody>");
    matrix
}

/// The most frequent mistake, at least 1.
fn worst(evaluation: &Evaluation) -> u32 {
    let rows = evaluation.confusion.iter().enumerate();
    let mistakes = rows.flat_map(|(label, row)| {
        let others = row.iter().enumerate().filter(move |(answer, _)| *answer != label);
        others.map(|(_, count)| *count)
    });
    mistakes.max().unwrap_or(0).max(1)
}

fn classes(evaluation: &Evaluation) -> String {
    let mut rows = String::new();
    for class in 0..CLASSES {
        let count: u32 = evaluation.confusion[class].iter().sum();
        let right = evaluation.confusion[class][class];
        rows.push_str(&format!(
            r#"<tr><th scope="row">{class}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>
"#,
            percent(evaluation.precision(class)),
            percent(evaluation.recall(class)),
            grouped(count.into()),
            grouped((count - right).into()),
        ));
    }
    format!(
        r#"<thead><tr><th scope="col">Digit</th><th scope="col">Precision</th><th scope="col">Recall</th><th scope="col">Pictures</th><th scope="col">Missed</th></tr></thead><tbody>
{rows}</tbody>"#
    )
}
