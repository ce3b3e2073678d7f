//! The page: everything about a network in one file that loads nothing from elsewhere.
//!
//! In come figures, out goes HTML. Measures nothing.

use std::path::Path;
use std::time::Duration;

use super::metrics::Record;
use super::words::{duration, escaped, grouped, loss, moment, percent};
use super::{ReportError, classes, curves, mistakes, now, unwritable};
use crate::model::weights::replace;
use crate::train::dataset::Dataset;
use crate::train::evaluation::Evaluation;

/// The page up to its title: it may show what it has itself, and load nothing.
const HEAD: &str = include_str!("head.html");
const STYLE: &str = include_str!("page.css");

/// What a page tells.
#[derive(Debug)]
pub struct Page<'a> {
    /// Its heading.
    pub title: String,
    /// What it is about, in one line.
    pub summary: String,
    /// The answers that it counts.
    pub evaluation: &'a Evaluation,
    /// The pictures that they were given to.
    pub pictures: &'a Dataset,
    /// The figures of a run, for its curves; empty: it has none.
    pub history: &'a [Record],
    /// The epoch whose weights the page is about, if it is not the last of the history.
    pub kept: Option<u32>,
    /// How long it took.
    pub speed: Speed,
    /// How it was made: names and values.
    pub settings: Vec<(&'static str, String)>,
}

/// How long something took, and how much it did in that time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// All in all.
    pub seconds: f64,
    /// Pictures, without the time for anything else.
    pub images_per_second: f64,
    /// What was done to them.
    pub verb: &'static str,
    /// Seconds since 1970.
    pub ended: f64,
}

impl Speed {
    /// Of so many pictures in so much time, until now.
    #[must_use]
    pub fn of(verb: &'static str, pictures: usize, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        Self {
            seconds,
            images_per_second: pictures as f64 / seconds.max(1e-9),
            verb,
            ended: now(),
        }
    }
}

impl Page<'_> {
    /// Writes it.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        replace(path, self.html().as_bytes()).map_err(unwritable(path))
    }

    fn html(&self) -> String {
        let title = escaped(&self.title);
        let summary = escaped(&self.summary);
        let ended = moment(self.speed.ended);
        let figures = self.figures();
        let curves = curves::section(self.history, self.kept);
        let classes = classes::sections(self.evaluation);
        let mistakes = mistakes::section(self.evaluation, self.pictures);
        let settings = self.settings();
        format!(
            r#"{HEAD}<title>{title} – mnistq</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{summary} · <span class="measured">{ended}</span></p>
</header>
<main>
{figures}{curves}{classes}{mistakes}{settings}</main>
</body>
</html>
"#
        )
    }

    fn figures(&self) -> String {
        let Self {
            evaluation, speed, ..
        } = self;
        let (correct, total) = (evaluation.correct(), evaluation.total());
        format!(
            r#"<dl class="wide tiles">
<div class="first"><dt>Accuracy</dt><dd>{}</dd><dd class="aside">{} of {} right</dd></div>
<div><dt>Wrong</dt><dd>{}</dd><dd class="aside">of {}</dd></div>
<div><dt>Test loss</dt><dd>{}</dd><dd class="aside">mean of −ln p</dd></div>
<div><dt>Time</dt><dd class="measured">{}</dd><dd class="aside">all in all</dd></div>
<div><dt>Images/s</dt><dd class="measured">{}</dd><dd class="aside">{}</dd></div>
</dl>
"#,
            percent(evaluation.accuracy()),
            grouped(correct.into()),
            grouped(total.into()),
            grouped((total - correct).into()),
            grouped(total.into()),
            loss(Some(evaluation.loss)),
            duration(speed.seconds),
            grouped(speed.images_per_second.round() as u64),
            speed.verb,
        )
    }

    fn settings(&self) -> String {
        let rows = self.settings.iter();
        let rows: String = rows
            .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escaped(value)))
            .collect();
        format!(
            r#"<section class="wide" aria-labelledby="settings">
<h2 id="settings">How it was made</h2>
<dl class="settings">
{rows}</dl>
</section>
"#
        )
    }
}
