//! How fast the queue drains, so that clients are told to come back when it makes sense.
//!
//! In come looks at the backlog and what this front end has queued, out go seconds. What other front ends queue is not
//! known here: then the queue seems to drain more slowly than it does, and clients come back later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::state::State;

/// How often the backlog is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How far back looks count.
const WINDOW: Duration = Duration::from_secs(15);
/// A queue that was not seen to drain for so long has no worker.
const STANDSTILL: Duration = Duration::from_secs(5);
/// When to come back, in seconds, as long as nothing is known; at most; and to a queue without a worker.
const SOON: u64 = 1;
const LATEST: u64 = 60;
const NO_WORKER: u64 = 10;
/// How much of a full queue must drain before an upload has a fair chance: one of so many parts.
const ROOM: f64 = 10.0;

/// What is known of the queue's pace.
#[derive(Default)]
pub struct Pace {
    queued: AtomicU64,
    looks: Mutex<Looks>,
}

impl Pace {
    /// Notes that this front end has queued a job.
    pub fn note_queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// How many jobs waited at the last look; none if that is long ago.
    pub fn backlog(&self) -> Option<u64> {
        let looks = self.looks();
        let last = looks.0.back().filter(|last| last.at.elapsed() < STANDSTILL)?;
        Some(last.backlog)
    }

    /// How many jobs a second the queue drained between the last two looks.
    pub fn drained_per_second(&self) -> f64 {
        let looks = self.looks();
        let mut last_two = looks.0.iter().rev();
        match (last_two.next(), last_two.next()) {
            (Some(last), Some(before)) => drained(before, last) as f64 / (last.at - before.at).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// Seconds until a job that is queued now may be answered.
    pub fn until_answered(&self) -> u64 {
        self.looks().until_drained(1.0)
    }

    /// Seconds until a full queue may have room.
    pub fn until_room(&self) -> u64 {
        self.looks().until_drained(ROOM)
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the backlog until the front end stops. A broker that is away is not looked at.
pub async fn watch(state: &State) {
    let mut tick = interval(LOOK);
    let mut ages = Ages::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = state.shutdown.cancelled() => return,
        }
        let Ok(backlog) = state.broker.backlog().await else {
            state.serving.forget_backlog();
            continue;
        };
        let look = Look {
            at: Instant::now(),
            backlog,
            queued: state.pace.queued.load(Ordering::Relaxed),
        };
        let at_most = ages.add(look);
        let oldest = match state.broker.oldest().await {
            Ok(Some(age)) => age,
            _ => at_most,
        };
        let mut looks = state.pace.looks();
        looks.add(look);
        let drains_in = looks.drains_in();
        drop(looks);
        state
            .serving
            .note_backlog(backlog, drains_in, oldest.as_secs_f64());
    }
}

/// The backlog at one moment, and how much this front end had queued by then.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    backlog: u64,
    queued: u64,
}

/// How long the oldest job may have waited at most, from what was queued here: the last to be queued are those that
/// still wait. What others queue as well makes a job seem older than it is, until the queue is empty once.
#[derive(Default)]
struct Ages(VecDeque<Look>);

impl Ages {
    fn add(&mut self, look: Look) -> Duration {
        if look.backlog == 0 {
            self.0.clear();
        }
        self.0.push_back(look);
        // What was queued by a look that is older than another such look has gone.
        let gone = look.queued.saturating_sub(look.backlog);
        while self.0.get(1).is_some_and(|second| second.queued <= gone) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |first| look.at - first.at)
    }
}

#[derive(Default)]
struct Looks(VecDeque<Look>);

impl Looks {
    fn add(&mut self, look: Look) {
        self.0.push_back(look);
        while self.0.front().is_some_and(|first| look.at - first.at > WINDOW) {
            self.0.pop_front();
        }
    }

    /// Seconds until the backlog has drained at this pace, if it ever does.
    fn drains_in(&self) -> f64 {
        match (self.0.front(), self.0.back()) {
            (Some(first), Some(last)) if last.backlog > 0 => {
                let seen_for = last.at - first.at;
                last.backlog as f64 * seen_for.as_secs_f64() / drained(first, last) as f64
            }
            _ => 0.0,
        }
    }

    /// Seconds until one of so many `parts` of the backlog has drained.
    fn until_drained(&self, parts: f64) -> u64 {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return SOON;
        };
        let seen_for = last.at - first.at;
        let drained = drained(first, last);
        if last.backlog == 0 {
            return SOON;
        }
        if drained == 0 {
            return if seen_for < STANDSTILL { SOON } else { NO_WORKER };
        }
        let a_second = drained as f64 / seen_for.as_secs_f64();
        let seconds = last.backlog as f64 / parts / a_second;
        // A float becomes the nearest number that there is.
        (seconds.ceil() as u64).clamp(SOON, LATEST)
    }
}

/// What went off the queue between two looks.
fn drained(first: &Look, last: &Look) -> u64 {
    let queued = last.queued - first.queued;
    (first.backlog + queued).saturating_sub(last.backlog)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of one a second, each a backlog and what was queued by then.
    fn looks(seen: &[(u64, u64)]) -> Looks {
        let (start, mut looks) = (Instant::now(), Looks::default());
        for (&(backlog, queued), second) in seen.iter().zip(0..) {
            let at = start + Duration::from_secs(second);
            looks.add(Look { at, backlog, queued });
        }
        looks
    }

    #[test]
    fn a_queue_that_is_empty_or_not_known_yet_is_worth_another_look_soon() {
        assert_eq!(looks(&[]).until_drained(1.0), SOON);
        assert_eq!(looks(&[(1_000, 0)]).until_drained(1.0), SOON);
        assert_eq!(looks(&[(100, 0), (0, 50)]).until_drained(1.0), SOON);
    }

    #[test]
    fn the_backlog_is_divided_by_the_rate_at_which_it_drains() {
        let draining = looks(&[(3_000, 0), (2_900, 0), (2_800, 0)]);
        assert_eq!(draining.until_drained(1.0), 28);
        assert_eq!(draining.until_drained(10.0), 3);
        let growing = looks(&[(1_000, 0), (1_100, 300), (1_200, 600)]);
        assert_eq!(growing.until_drained(1.0), 6);
    }

    #[test]
    fn nobody_is_sent_away_for_long() {
        let slow = looks(&[(100_000, 0), (99_999, 0)]);
        assert_eq!(slow.until_drained(1.0), LATEST);
    }

    #[test]
    fn a_queue_without_a_worker_is_left_alone_for_a_while() {
        let standing = looks(&[(5, 0), (6, 1), (6, 1), (6, 1), (7, 2), (7, 2)]);
        assert_eq!(standing.until_drained(1.0), NO_WORKER);
        assert_eq!(standing.until_drained(10.0), NO_WORKER);
    }

    #[test]
    fn the_oldest_job_is_as_old_as_what_was_queued_before_it_left() {
        let (start, mut ages) = (Instant::now(), Ages::default());
        let seen = [(0, 0), (5, 5), (5, 5), (9, 10), (4, 10), (1, 11), (0, 11)];
        let told: Vec<u64> = seen
            .iter()
            .zip(0..)
            .map(|(&(backlog, queued), second)| {
                let at = start + Duration::from_secs(second);
                ages.add(Look { at, backlog, queued }).as_secs()
            })
            .collect();
        assert_eq!(told, [0, 1, 2, 3, 2, 1, 0]);
    }

    #[test]
    fn what_is_long_past_does_not_count() {
        let mut seen = vec![(10_000, 0), (0, 0)];
        seen.extend((0..20).map(|second| (100 + second, 100 + second)));
        assert_eq!(looks(&seen).until_drained(1.0), NO_WORKER);
    }
}
