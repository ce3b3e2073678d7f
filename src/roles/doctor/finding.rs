//! What a look has found, and how it is told: a line for each thing as soon as it is known, or one JSON object.

use std::io::{Write, stdout};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::terminal::{self, Colours};

/// What was found of one thing.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Of which.
    check: &'static str,
    /// Whether it is as it should be.
    ok: bool,
    /// What it is like.
    detail: String,
    /// What to do about it.
    hint: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub fn well(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            ok: true,
            detail: detail.into(),
            hint: None,
        }
    }

    /// It is not.
    pub fn wrong(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            ok: false,
            ..Self::well(check, detail)
        }
    }

    /// The same, with what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// All that was found so far.
pub struct Report {
    findings: Vec<Finding>,
    style: Style,
}

enum Style {
    Json,
    Lines(Colours),
}

impl Report {
    /// Nothing yet.
    pub fn new(flags: &crate::cli::Doctor) -> Self {
        let style = if flags.json {
            Style::Json
        } else {
            Style::Lines(terminal::colours(&stdout()))
        };
        Self {
            findings: Vec::new(),
            style,
        }
    }

    /// Tells a finding.
    pub fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        if let Style::Lines(colours) = self.style {
            writeln!(stdout(), "{}", lines(&finding, colours))?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Tells what comes of it all.
    pub fn end(self) -> anyhow::Result<ExitCode> {
        let wrong = self.findings.iter().filter(|finding| !finding.ok).count();
        match self.style {
            Style::Json => {
                let report = json!({ "ok": wrong == 0, "checks": self.findings });
                writeln!(stdout(), "{report}")?;
            }
            Style::Lines(_) if wrong == 0 => eprintln!("all is well"),
            Style::Lines(_) => eprintln!("{wrong} of {} are not as they should be", self.findings.len()),
        }
        Ok(if wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn lines(finding: &Finding, colours: Colours) -> String {
    let Finding {
        check, ok, detail, ..
    } = finding;
    let (word, colour) = if *ok { ("ok", 32) } else { ("wrong", 31) };
    let mark = match colours {
        Colours::None => format!("{word:5}"),
        Colours::Palette | Colours::All => format!("\x1b[{colour}m{word:5}\x1b[0m"),
    };
    let mut lines = format!("{mark}  {check:13}  {detail}");
    if let Some(hint) = &finding.hint {
        lines.push_str(&format!("\n{:22}→ {hint}", ""));
    }
    lines
}
