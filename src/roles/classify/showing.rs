//! What `--show` prints of an answer: the picture that the model saw, and beside it how sure it is of each digit.

use serde_json::Value;

use crate::job::Picture;
use crate::roles::drawing::draw;
use crate::terminal::Colours;

/// Characters of a bar that stands for certainty.
const BAR: usize = 24;
/// A character filled from the left, by eighths.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The lines for an answer: of its picture, if it is there, and of its probabilities.
pub fn panel(picture: Option<&Picture>, answer: &Value, colours: Colours) -> String {
    let probabilities = answer["probabilities"].as_array().into_iter().flatten();
    let probabilities: Vec<f64> = probabilities.filter_map(Value::as_f64).collect();
    let bars = bars(&probabilities, colours);
    let drawn = picture.map(|picture| draw(picture, colours)).unwrap_or_default();
    // In the middle beside the picture.
    let above = drawn.len().saturating_sub(bars.len()) / 2;
    let blank = " ".repeat(picture.map_or(0, |picture| picture.width().into()));
    let mut panel = String::new();
    for row in 0..drawn.len().max(bars.len()) {
        let left = drawn.get(row).unwrap_or(&blank);
        let right = row.checked_sub(above).and_then(|row| bars.get(row));
        let line = format!("{left}  {}", right.map_or("", String::as_str));
        panel.push_str(line.trim_end_matches(' '));
        panel.push('\n');
    }
    panel
}

/// A line for each class; the surest stands out.
fn bars(probabilities: &[f64], colours: Colours) -> Vec<String> {
    let most = probabilities.iter().copied().fold(0.0, f64::max);
    let lines = probabilities.iter().enumerate().map(|(class, &probability)| {
        let bar = bar(probability, colours);
        let line = format!("{class} {bar} {:6.2} %", probability * 100.0);
        if colours != Colours::None && probability == most {
            format!("\x1b[1m{line}\x1b[0m")
        } else {
            line
        }
    });
    lines.collect()
}

fn bar(probability: f64, colours: Colours) -> String {
    let eighths = (probability.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let bar: String = if colours == Colours::None {
        "#".repeat((eighths + 4) / 8)
    } else {
        let part = match eighths % 8 {
            0 => None,
            part => Some(EIGHTHS[part]),
        };
        "█".repeat(eighths / 8).chars().chain(part).collect()
    };
    format!("{bar:BAR$}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bars_are_as_long_as_they_are_likely() {
        assert_eq!(bar(1.0, Colours::None), "#".repeat(24));
        assert_eq!(
            bar(0.5, Colours::None),
            format!("{}{}", "#".repeat(12), " ".repeat(12))
        );
        assert_eq!(bar(1.5 / 24.0, Colours::All), format!("█▌{}", " ".repeat(22)));
        assert_eq!(bar(0.0, Colours::All), " ".repeat(24));
    }

    #[test]
    fn bars_stand_beside_the_middle_of_the_picture() {
        let picture = Picture::new(1, 8, vec![255; 8]).unwrap();
        let panel = panel(
            Some(&picture),
            &json!({"probabilities": [1.0, 0.0]}),
            Colours::None,
        );
        let full = "#".repeat(24);
        let none = " ".repeat(24);
        let expected = format!("@\n@  0 {full} 100.00 %\n@  1 {none}   0.00 %\n@\n");
        assert_eq!(panel, expected);
    }

    #[test]
    fn without_a_picture_the_bars_stand_alone() {
        let panel = panel(None, &json!({"probabilities": [0.0]}), Colours::None);
        assert_eq!(panel, format!("  0 {}   0.00 %\n", " ".repeat(24)));
    }
}
