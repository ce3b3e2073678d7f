//! `mnistq bench server`: results a second, and latencies from upload to result, of any server that speaks
//! `POST /classify` and `GET /result/{id}`.
//!
//! With `--rate` uploads are due at fixed times, whatever the server does, and a latency counts from the time
//! at which its upload was due: a server that stalls can't hide it (no coordinated omission).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use reqwest::Url;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::SEVEN;
use super::connection::{Connection, Fate};
use crate::cli;

const BOUNDARY: &str = "mnistq-bench-4f2d";
/// Pause after an error, so that a server that is away is not hammered.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// What all connections share.
struct Plan {
    url: Url,
    key: Option<String>,
    content_type: String,
    form: Bytes,
    start: Instant,
    end: Instant,
    /// Time between two uploads; none: as fast as they are answered.
    interval: Option<Duration>,
    next: AtomicU64,
}

/// What one connection, or all, saw.
struct Tally {
    latencies: Histogram<u64>,
    answered: u64,
    refused: u64,
    failed: u64,
    errors: BTreeMap<String, u64>,
}

/// Sends uploads for the time given, waits for their results, prints what it saw.
pub async fn run(flags: &cli::BenchServer) -> anyhow::Result<()> {
    ensure!(flags.concurrency > 0, "--concurrency: at least 1");
    ensure!(flags.rate.is_none_or(|rate| rate > 0.0), "--rate: more than 0");
    let picture = match &flags.image {
        Some(path) => std::fs::read(path).with_context(|| format!("--image {}", path.display()))?,
        None => SEVEN.to_vec(),
    };
    let start = Instant::now();
    let plan = Arc::new(Plan {
        url: Url::parse(&flags.url).with_context(|| format!("{}: not an address", flags.url))?,
        key: flags.api_key.clone(),
        content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
        form: form(&picture),
        start,
        end: start + Duration::from_secs_f64(flags.seconds),
        interval: flags.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        next: AtomicU64::new(0),
    });
    let mut connections = JoinSet::new();
    for _ in 0..flags.concurrency {
        connections.spawn(drive(Arc::clone(&plan)));
    }
    let mut total = Tally::new()?;
    while let Some(tally) = connections.join_next().await {
        total.add(tally??)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    if total.answered == 0 {
        let errors: Vec<&str> = total.errors.keys().map(String::as_str).collect();
        bail!("no result at all from {}: {}", flags.url, errors.join("; "));
    }
    total.print(flags, seconds);
    Ok(())
}

async fn drive(plan: Arc<Plan>) -> anyhow::Result<Tally> {
    let mut connection = Connection::new(&plan.url, plan.key.as_deref())?;
    let mut tally = Tally::new()?;
    loop {
        let now = Instant::now();
        let due = match plan.interval {
            Some(interval) => {
                let number = plan.next.fetch_add(1, Ordering::Relaxed);
                plan.start + interval.mul_f64(number as f64)
            }
            None => now,
        };
        if due >= plan.end {
            return Ok(tally);
        }
        // A sleep takes a millisecond at least, even one that is over.
        if due > now {
            sleep_until(due).await;
        }
        match connection.classify(&plan.content_type, plan.form.clone()).await {
            Ok(fate) => tally.count(fate, due.elapsed())?,
            Err(error) => {
                *tally.errors.entry(format!("{error:#}")).or_default() += 1;
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

fn form(picture: &[u8]) -> Bytes {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"digit.png\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    [head.as_bytes(), picture, tail.as_bytes()].concat().into()
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        // Microseconds, to three digits.
        let latencies = Histogram::new(3)?;
        Ok(Self {
            latencies,
            answered: 0,
            refused: 0,
            failed: 0,
            errors: BTreeMap::new(),
        })
    }

    fn count(&mut self, fate: Fate, latency: Duration) -> anyhow::Result<()> {
        match fate {
            Fate::Answered => {
                self.answered += 1;
                self.latencies.record(u64::try_from(latency.as_micros())?)?;
            }
            Fate::Refused => self.refused += 1,
            Fate::Failed => self.failed += 1,
        }
        Ok(())
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.add(other.latencies)?;
        self.answered += other.answered;
        self.refused += other.refused;
        self.failed += other.failed;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        Ok(())
    }

    fn milliseconds(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e3
    }

    fn print(&self, flags: &cli::BenchServer, seconds: f64) {
        let rate = self.answered as f64 / seconds;
        let quantiles = [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p999", 0.999),
            ("max", 1.0),
        ];
        let latencies = quantiles.map(|(name, quantile)| (name, self.milliseconds(quantile)));
        if flags.json {
            println!(
                "{}",
                json!({
                    "seconds": seconds,
                    "concurrency": flags.concurrency,
                    "rate": flags.rate,
                    "results": self.answered,
                    "results_per_second": rate,
                    "latency_ms": latencies.iter().copied().collect::<BTreeMap<_, _>>(),
                    "refused": self.refused,
                    "failed": self.failed,
                    "errors": self.errors,
                })
            );
            return;
        }
        println!("{} results in {seconds:.1} s: {rate:.0}/s", self.answered);
        let latencies = latencies.map(|(name, value)| format!("{name} {value:.2}"));
        println!("upload to result, ms: {}", latencies.join(", "));
        println!(
            "refused {}, failed {}, errors {}",
            self.refused,
            self.failed,
            self.errors.values().sum::<u64>()
        );
        for (error, count) in &self.errors {
            println!("  {count} × {error}");
        }
    }
}
