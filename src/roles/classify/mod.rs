//! `mnistq classify`: pictures in, digits (or ids) out, by a server or in this process.
//!
//! Results go to standard output in the order of the inputs, everything else to standard error.

mod inputs;
mod local;
mod remote;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli;
use crate::config::Config;
use local::Local;
use remote::Server;

/// Pictures asked about at the same time.
const CONCURRENT: usize = 16;

/// Classifies all inputs. Succeeds only if each was classified, or queued where nobody waits.
pub async fn run(flags: &cli::Classify, mut config: Config) -> anyhow::Result<ExitCode> {
    config.apply_classify(flags);
    let inputs = inputs::expand(&flags.inputs)?;
    let style = if flags.json {
        Style::Json
    } else if inputs.len() == 1 {
        Style::Single
    } else {
        Style::Named
    };
    let progress = progress(inputs.len());
    let failed = if flags.local {
        let local = Local::open(&config)?;
        let answers = stream::iter(inputs).map(|input| (input.name(), local.classify(&input)));
        print_all(answers, style, &progress).await?
    } else {
        let timeout = Duration::from_secs(config.classify.timeout_s);
        let server = Server::new(&config.classify.server, timeout)?;
        let server = &server;
        let answers = stream::iter(inputs)
            .map(|input| async move {
                let answer = match input.read().await {
                    Ok(picture) if flags.wait => server.classify(picture).await,
                    Ok(picture) => server.submit(picture).await,
                    Err(error) => Err(error),
                };
                (input.name(), answer)
            })
            .buffered(CONCURRENT);
        print_all(answers, style, &progress).await?
    };
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How an answer is printed.
#[derive(Clone, Copy)]
enum Style {
    /// The digit or the id.
    Single,
    /// The input's name before it.
    Named,
    /// One JSON object a line.
    Json,
}

impl Style {
    fn line(self, name: &str, answer: &Value) -> String {
        let digit_or_id = answer
            .get("predicted_class")
            .or_else(|| answer.get("inference_id"));
        let short = match digit_or_id {
            Some(Value::String(id)) => id.clone(),
            Some(digit) => digit.to_string(),
            None => String::new(),
        };
        match self {
            Self::Single => short,
            Self::Named => format!("{name}: {short}"),
            Self::Json => {
                let mut object = serde_json::Map::new();
                object.insert("file".to_owned(), name.into());
                object.extend(answer.as_object().cloned().unwrap_or_default());
                Value::Object(object).to_string()
            }
        }
    }
}

/// Prints answers as they come; tells how many inputs failed.
async fn print_all(
    answers: impl Stream<Item = (String, anyhow::Result<Value>)>,
    style: Style,
    progress: &ProgressBar,
) -> anyhow::Result<usize> {
    let mut failed = 0;
    let mut answers = std::pin::pin!(answers);
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok(answer) => {
                let line = style.line(&name, &answer);
                progress.suspend(|| writeln!(std::io::stdout(), "{line}"))?;
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

fn progress(inputs: usize) -> ProgressBar {
    if inputs < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(inputs as u64);
    let template = "{wide_bar} {pos}/{len} pictures, {per_sec}, {eta} left";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
