//! The check: once all is healed, every id that was given out has its one right outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, interval};

use super::faults::Happened;
use super::gauges::Reading;
use super::ledger::{Attempt, Fate, Kind};
use super::load::{call, client};

/// No call may take longer.
const HANG: Duration = Duration::from_secs(10);
/// Ids that are asked for at the same time.
const AT_ONCE: usize = 64;
/// Over this time the system must answer as it should, to count as recovered, and of what it is asked so much.
const STEADY: (Duration, f64) = (Duration::from_secs(5), 0.95);
/// How exactly the time of a recovery is known.
const STEP: Duration = Duration::from_millis(100);

/// What was found. All but ghosts must be none.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Uploads tried.
    pub attempts: usize,
    /// Of these, given an id.
    pub accepted: usize,
    /// Ids without an outcome, long after all was healed.
    pub lost: Vec<String>,
    /// Ids of which two reads told different outcomes.
    pub flip: Vec<String>,
    /// Ids with another class than the model gives.
    pub wrong: Vec<String>,
    /// Ids that were given out while nobody could have confirmed them.
    pub early: Vec<String>,
    /// Calls that took too long.
    pub hang: usize,
    /// Uploads that were refused and are answered all the same: a refusal that says so is no lie.
    pub ghost: usize,
    /// Valid uploads that ended as a failure, or as expired or cancelled though nobody had asked for that.
    pub expl: Vec<String>,
    /// The last fault, if the system never again answered as before.
    pub stuck: Vec<String>,
    /// Other faults after which it did not answer as before until the next.
    pub late: Vec<String>,
    /// Recovery times, by fault.
    pub recoveries: BTreeMap<String, Vec<Duration>>,
    /// Statuses of uploads that were not accepted; 0 is no answer.
    pub refusals: BTreeMap<u16, usize>,
    /// The slowest answer to an upload, by status.
    pub slowest: BTreeMap<u16, Duration>,
    /// What else was not as it should be.
    pub complaints: Vec<String>,
    /// Memory, open files and threads of the processes.
    pub gauges: Vec<Reading>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_green(&self) -> bool {
        let broken = [
            &self.lost,
            &self.flip,
            &self.wrong,
            &self.early,
            &self.expl,
            &self.stuck,
            &self.complaints,
        ];
        self.hang == 0 && broken.iter().all(|found| found.is_empty())
    }
}

/// Asks for what became of everything.
pub struct Checker {
    http: reqwest::Client,
    url: String,
    patience: Duration,
}

impl Checker {
    /// Of the front end at `url`.
    pub fn new(url: String, patience: Duration) -> Self {
        Self {
            http: client(),
            url,
            patience,
        }
    }

    /// Waits for every outcome, reads each again, and compares with what clients were told.
    pub async fn check(&self, attempts: Vec<Attempt>, happened: Vec<Happened>) -> Verdict {
        let mut verdict = Verdict {
            attempts: attempts.len(),
            ..Verdict::default()
        };
        let deadline = Instant::now() + self.patience;
        for round in 0..2 {
            let reads = attempts.iter().map(|attempt| self.read(attempt, deadline));
            let mut reads = iter(reads).buffered(AT_ONCE);
            let mut place = 0;
            while let Some(read) = reads.next().await {
                judge(&mut verdict, &attempts[place], read, round == 0);
                place += 1;
            }
        }
        for attempt in &attempts {
            verdict.hang += usize::from(attempt.longest > HANG);
            let standing = happened.iter().filter_map(|happened| happened.standstill);
            match &attempt.fate {
                Fate::Accepted(id) => {
                    verdict.accepted += 1;
                    let mut standing = standing;
                    if standing.any(|(from, to)| from <= attempt.began && attempt.answered <= to) {
                        verdict.early.push(id.clone());
                    }
                }
                Fate::Refused(status, _) => {
                    *verdict.refusals.entry(*status).or_default() += 1;
                    let slowest = verdict.slowest.entry(*status).or_default();
                    *slowest = (*slowest).max(attempt.answered - attempt.began);
                }
                Fate::Broken(_) => *verdict.refusals.entry(0).or_default() += 1,
            }
        }
        let ends: Vec<Duration> = happened.iter().skip(1).map(|next| next.began).collect();
        for (place, fault) in happened.iter().enumerate() {
            let end = ends.get(place).copied().unwrap_or(Duration::MAX);
            match recovery(&attempts, fault.healed, end) {
                Some(took) => verdict
                    .recoveries
                    .entry(fault.fault.to_string())
                    .or_default()
                    .push(took),
                None => {
                    let named = format!("{} at {:.0} s", fault.fault, fault.began.as_secs_f64());
                    let is_last = place + 1 == happened.len();
                    if is_last {
                        &mut verdict.stuck
                    } else {
                        &mut verdict.late
                    }
                    .push(named);
                }
            }
        }
        verdict
    }

    /// What is known of an attempt's id; waits for an outcome until the deadline.
    async fn read(&self, attempt: &Attempt, deadline: Instant) -> Option<(StatusCode, Value)> {
        let (Fate::Accepted(id) | Fate::Refused(_, Some(id))) = &attempt.fate else {
            return None;
        };
        let mut looks = interval(STEP);
        loop {
            looks.tick().await;
            let (answer, _) = call(self.http.get(format!("{}/result/{id}", self.url))).await;
            match answer {
                Ok((status, body))
                    if status != StatusCode::SERVICE_UNAVAILABLE && body["status"] != "queued" =>
                {
                    return Some((status, body));
                }
                _ if Instant::now() >= deadline => return None,
                _ => {}
            }
        }
    }
}

fn judge(verdict: &mut Verdict, attempt: &Attempt, read: Option<(StatusCode, Value)>, is_first: bool) {
    let id = match &attempt.fate {
        Fate::Accepted(id) => id.clone(),
        Fate::Refused(_, Some(_)) => {
            verdict.ghost +=
                usize::from(is_first && read.is_some_and(|(_, body)| body["status"] == "succeeded"));
            return;
        }
        _ => return,
    };
    let Some((status, body)) = read else {
        if is_first {
            verdict.lost.push(id);
        }
        return;
    };
    let told = attempt.outcome.as_ref();
    if status != StatusCode::OK {
        // It may have been answered, and then erased, before it was cancelled.
        if attempt.kind != Kind::Cancelled && is_first {
            verdict.lost.push(format!("{id}: {status}"));
        }
        return;
    }
    if told.is_some_and(|told| *told != body) {
        verdict.flip.push(format!(
            "{id}: {} and {}",
            told.map_or("", status_in),
            status_in(&body)
        ));
    }
    if !is_first {
        return;
    }
    match (status_in(&body), attempt.kind) {
        ("succeeded", _) if body["predicted_class"] == attempt.class => {}
        ("succeeded", _) => verdict.wrong.push(id),
        ("expired", Kind::Brief) | ("cancelled", Kind::Cancelled) => {}
        (other, _) => verdict.expl.push(format!("{id}: {other}")),
    }
}

fn status_in(body: &Value) -> &str {
    body["status"].as_str().unwrap_or_default()
}

/// How long after `healed` uploads are taken and answered as they should, for a while.
pub fn recovery(attempts: &[Attempt], healed: Duration, end: Duration) -> Option<Duration> {
    let (while_steady, share) = STEADY;
    let mut plain: Vec<&Attempt> = attempts
        .iter()
        .filter(|attempt| attempt.kind == Kind::Plain && attempt.began >= healed && attempt.began < end)
        .collect();
    plain.sort_by_key(|attempt| attempt.began);
    let last = plain.last()?.began;
    let mut from = healed;
    while from + while_steady <= last {
        let within = plain
            .iter()
            .filter(|attempt| attempt.began >= from && attempt.began < from + while_steady);
        let (mut all, mut good) = (0, 0_u32);
        for attempt in within {
            all += 1;
            good += u32::from(attempt.outcome.is_some());
        }
        if all > 0 && f64::from(good) >= share * f64::from(all) {
            return Some(from - healed);
        }
        from += STEP;
    }
    None
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "attempts {}, accepted {}; not accepted, by status: {:?}",
            self.attempts, self.accepted, self.refusals
        )?;
        writeln!(f, "slowest refusal, by status: {:?}", self.slowest)?;
        let count = |name, found: &[String]| (name, found.len(), found.first().cloned().unwrap_or_default());
        for (name, number, first) in [
            count("LOST", &self.lost),
            count("FLIP", &self.flip),
            count("WRONG", &self.wrong),
            count("EARLY", &self.early),
            ("HANG", self.hang, String::new()),
            ("GHOST", self.ghost, String::new()),
            count("EXPL", &self.expl),
            count("STUCK", &self.stuck),
            count("other", &self.complaints),
            count("late", &self.late),
        ] {
            writeln!(f, "{name:<6} {number} {first}")?;
        }
        writeln!(
            f,
            "\n| fault | times | recovered after, median | at most |\n| --- | ---: | ---: | ---: |"
        )?;
        for (fault, took) in &self.recoveries {
            let mut took = took.clone();
            took.sort();
            let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
            let (median, most) = (median.as_secs_f64(), most.as_secs_f64());
            writeln!(f, "| {fault} | {} | {median:.1} s | {most:.1} s |", took.len())?;
        }
        writeln!(
            f,
            "\n| process | memory at first | peak | files at first | at the end | threads at first | at the end |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for reading in &self.gauges {
            writeln!(f, "{reading}")?;
        }
        Ok(())
    }
}
