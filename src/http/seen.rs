//! What this front end has seen of workers, in the outcomes that it handed out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::job::Outcome;

/// Outcomes that are remembered.
const REMEMBERED: usize = 4096;
/// For how long.
const RECENT: Duration = Duration::from_secs(30);

/// The outcomes of the last time.
#[derive(Default)]
pub struct Seen {
    outcomes: Mutex<VecDeque<Sight>>,
}

struct Sight {
    at: Instant,
    worker: String,
    device: String,
    batch_size: usize,
}

/// A worker, by what it has done of late.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct WorkerSeen {
    name: String,
    device: String,
    results: usize,
    largest_batch: usize,
}

impl Seen {
    /// Notes an outcome that is handed out.
    pub fn note(&self, outcome: &Outcome) {
        let Outcome::Succeeded(prediction) = outcome else {
            return;
        };
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.len() == REMEMBERED {
            outcomes.pop_front();
        }
        outcomes.push_back(Sight {
            at: Instant::now(),
            worker: prediction.worker.clone(),
            device: prediction.device.clone(),
            batch_size: prediction.batch_size,
        });
    }

    /// The workers of the last time, by name.
    pub fn workers(&self) -> Vec<WorkerSeen> {
        let mut workers: BTreeMap<String, WorkerSeen> = BTreeMap::new();
        for sight in self.recent().iter() {
            let worker = workers.entry(sight.worker.clone()).or_insert_with(|| WorkerSeen {
                name: sight.worker.clone(),
                device: sight.device.clone(),
                results: 0,
                largest_batch: 0,
            });
            worker.results += 1;
            worker.largest_batch = worker.largest_batch.max(sight.batch_size);
        }
        workers.into_values().collect()
    }

    /// The largest batch of the last second; none if nothing was seen in it.
    pub fn largest_batch(&self) -> Option<usize> {
        let second = Duration::from_secs(1);
        let recent = self.recent();
        let last = recent
            .iter()
            .rev()
            .take_while(|sight| sight.at.elapsed() <= second);
        last.map(|sight| sight.batch_size).max()
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, VecDeque<Sight>> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        while outcomes.front().is_some_and(|first| first.at.elapsed() > RECENT) {
            outcomes.pop_front();
        }
        outcomes
    }
}
