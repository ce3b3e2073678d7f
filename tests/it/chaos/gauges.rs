//! Memory, open files and threads of the system's processes, as Linux tells them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::holds_within;

/// How often they are read.
const EVERY: Duration = Duration::from_secs(1);
/// How long a part may take to close what it had open for clients that are gone.
const SETTLE: Duration = Duration::from_secs(20);
/// Open files that a part may have more at the end than at first, under load.
const MORE_FILES: usize = 16;

/// Which process plays which part at the moment.
pub type Processes = Arc<Mutex<BTreeMap<String, u32>>>;

/// Of one process at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    memory_kb: u64,
    files: usize,
    threads: u64,
}

/// Of one part of the system over the whole time.
#[derive(Debug)]
pub struct Reading {
    part: String,
    first: Moment,
    peak_kb: u64,
    last: Moment,
}

/// Reads until it is stopped.
pub struct Gauges {
    seen: Arc<Mutex<BTreeMap<String, (Moment, u64)>>>,
    _reading: AbortOnDropHandle<()>,
}

/// The gauges at a moment at which all was well.
pub struct Baseline(BTreeMap<String, (Moment, u64)>);

impl Gauges {
    /// Starts to read.
    pub fn read(processes: Processes) -> Self {
        let seen: Arc<Mutex<BTreeMap<String, (Moment, u64)>>> = Arc::default();
        let written = Arc::clone(&seen);
        let reading = tokio::spawn(async move {
            let mut tick = interval(EVERY);
            loop {
                tick.tick().await;
                let processes = processes.lock().unwrap().clone();
                for (part, process) in processes {
                    if let Some(moment) = look(process) {
                        let mut seen = written.lock().unwrap();
                        let (last, peak) = seen.entry(part).or_default();
                        *last = moment;
                        *peak = (*peak).max(moment.memory_kb);
                    }
                }
            }
        });
        Self {
            seen,
            _reading: AbortOnDropHandle::new(reading),
        }
    }

    /// What they show now.
    pub fn latest(&self) -> Baseline {
        Baseline(self.seen.lock().unwrap().clone())
    }

    /// Ends once the load is gone, and compares with what they showed at first.
    pub async fn stop(self, baseline: &Baseline) -> Vec<Reading> {
        let settled = async || {
            self.compare(baseline)
                .iter()
                .all(|reading| reading.complaint().is_none())
        };
        holds_within(SETTLE, settled).await;
        self.compare(baseline)
    }

    fn compare(&self, baseline: &Baseline) -> Vec<Reading> {
        let seen = self.seen.lock().unwrap().clone();
        let readings = seen.into_iter().map(|(part, (last, peak_kb))| Reading {
            first: baseline
                .0
                .get(&part)
                .map_or_else(Moment::default, |first| first.0),
            part,
            peak_kb,
            last,
        });
        readings.collect()
    }
}

impl Reading {
    /// That it has not closed what it had opened, if so.
    pub fn complaint(&self) -> Option<String> {
        let most = self.first.files + MORE_FILES;
        (self.last.files > most).then(|| {
            format!(
                "{} has {} files open, and had {}",
                self.part, self.last.files, self.first.files
            )
        })
    }
}

/// None if the process is gone, or on a system that does not tell.
fn look(process: u32) -> Option<Moment> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let number = |key: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(Moment {
        memory_kb: number("VmRSS:")?,
        files: fs::read_dir(format!("/proc/{process}/fd")).ok()?.count(),
        threads: number("Threads:")?,
    })
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |kb: u64| kb / 1024;
        write!(
            f,
            "| {} | {} MB | {} MB | {} | {} | {} | {} |",
            self.part,
            mb(self.first.memory_kb),
            mb(self.peak_kb),
            self.first.files,
            self.last.files,
            self.first.threads,
            self.last.threads
        )
    }
}
