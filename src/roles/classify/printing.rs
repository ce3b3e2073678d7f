//! How answers are printed: results to standard output, complaints to standard error, in the order of the inputs.

use std::io::{Write, stdout};

use futures_util::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::showing::panel;
use crate::job::Picture;
use crate::terminal::{self, Colours};

/// What is known of one input.
pub struct Answer {
    /// The server's answer, or one with its keys.
    pub body: Value,
    /// The picture that the model saw, where it is wanted.
    pub picture: Option<Picture>,
}

/// How an answer is printed.
#[derive(Clone, Copy)]
pub enum Style {
    /// The digit or the id.
    Single,
    /// The input's name before it.
    Named,
    /// As [`Style::Named`], with the picture that the model saw and all probabilities.
    Shown(Colours),
    /// One JSON object a line.
    Json,
}

impl Style {
    fn text(self, name: &str, answer: &Answer) -> String {
        let body = &answer.body;
        let digit_or_id = body.get("predicted_class").or_else(|| body.get("inference_id"));
        let short = match digit_or_id {
            Some(Value::String(id)) => id.clone(),
            Some(digit) => digit.to_string(),
            None => String::new(),
        };
        match self {
            Self::Single => format!("{short}\n"),
            Self::Named => format!("{name}: {short}\n"),
            Self::Shown(colours) => {
                let panel = panel(answer.picture.as_ref(), body, colours);
                format!("{name}: {short}\n{panel}")
            }
            Self::Json => {
                let mut object = serde_json::Map::new();
                object.insert("file".to_owned(), name.into());
                object.extend(body.as_object().cloned().unwrap_or_default());
                format!("{}\n", Value::Object(object))
            }
        }
    }
}

/// Prints answers as they come; tells how many inputs failed.
pub async fn print_all(
    answers: impl Stream<Item = (String, anyhow::Result<Answer>)>,
    style: Style,
    progress: &ProgressBar,
) -> anyhow::Result<usize> {
    let mut failed = 0;
    let mut answers = std::pin::pin!(answers);
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok(answer) => {
                let text = style.text(&name, &answer);
                progress.suspend(|| stdout().write_all(text.as_bytes()))?;
            }
            Err(error) => {
                failed += 1;
                progress.suspend(|| eprintln!("mnistq: {name}: {error:#}"));
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(failed)
}

/// A bar for several inputs, if a person looks.
pub fn progress(inputs: usize) -> ProgressBar {
    if inputs < 2 || !terminal::is_interactive(&std::io::stderr()) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(inputs as u64);
    let template = "{wide_bar} {pos}/{len} pictures, {per_sec}, {eta} left";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
