//! The wrong answers that the network was most certain of, as pictures.
//!
//! In come answers and the pictures they were given to, out goes a part of a page.

use super::picture;
use super::words::{grouped, percent};
use crate::train::dataset::Dataset;
use crate::train::evaluation::{Evaluation, Mistake};

/// How many are shown.
const SHOWN: usize = 24;

/// The surest mistakes, the surest first.
pub(super) fn section(evaluation: &Evaluation, pictures: &Dataset) -> String {
    let surest = evaluation.surest_mistakes(SHOWN);
    let all = grouped((evaluation.total() - evaluation.correct()).into());
    let said = match (surest.len(), evaluation.mistakes.len()) {
        (_, 0) => "None: every answer was right.".to_owned(),
        (shown, wrong) if shown == wrong => format!("All {all} wrong answers, the surest first."),
        (shown, _) => format!("The {shown} surest of {all} wrong answers."),
    };
    let figures: String = surest.iter().map(|mistake| figure(mistake, pictures)).collect();
    format!(
        r#"<section class="wide" aria-labelledby="mistakes">
<h2 id="mistakes">Wrong, and sure of it</h2>
<p class="hint">{said}</p>
<ul class="digits">
{figures}</ul>
</section>
"#
    )
}

fn figure(mistake: &Mistake, pictures: &Dataset) -> String {
    let Mistake {
        index,
        label,
        answer,
        confidence,
    } = mistake;
    let address = picture::address(pictures.image(*index));
    let confidence = percent(f64::from(*confidence));
    format!(
        r#"<li><figure><img src="{address}" width="28" height="28" alt="Picture {index}"><figcaption><b>{label}</b> taken for <b class="bad">{answer}</b><br><span class="aside">{confidence} sure<br>no. {index}</span></figcaption></figure></li>
"#
    )
}
