//! Chaos: a whole system under load while its parts are killed, stopped, starved and cut off, and the proof that
//! nothing was lost.
//!
//! In comes a plan, out goes a verdict. The load is written down, each attempt as it ends, and checked once all is
//! healed: every id that was given out has its one right outcome, and no call hung. That the check can fail is shown
//! by systems that break a promise on purpose (`sabotage`).

mod checker;
mod faults;
mod gauges;
mod ledger;
mod load;
mod pictures;
mod sabotage;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use checker::Verdict;
pub use faults::Fault;
pub use world::Pairing;

use crate::harness::moments::Moments;
use checker::{Checker, recovery};
use faults::Happened;
use gauges::{Gauges, Reading};
use ledger::Ledger;
use load::Load;
use world::World;

/// What to do to which system.
pub struct Plan {
    /// Which queue and store.
    pub pairing: Pairing,
    /// Attempts a second.
    pub rate: f64,
    /// Where all that looks random comes from.
    pub seed: u64,
    /// What happens, one after the other.
    pub faults: Vec<Fault>,
    /// No fault begins later than this after the start.
    pub at_most: Duration,
    /// How long the system is left alone before the first fault and after each: for as many uploads as come in that time.
    pub calm: Duration,
    /// How long after the last fault the system may take to answer as before, and how long after the end an id may
    /// still be without its outcome.
    pub patience: Duration,
    /// Which promise the processes break on purpose.
    pub sabotage: Option<&'static str>,
}

/// Runs a plan to its end.
pub async fn run(plan: Plan) -> Verdict {
    let mut moments = Moments::new(plan.seed);
    let mut world = World::start(plan.pairing, plan.sabotage).await;
    let ledger = Arc::new(Ledger::open(&world.path().join("ledger.jsonl")));
    let gauges = Gauges::read(world.processes());
    let load = Load::start(world.url(), plan.rate, (Arc::clone(&ledger), moments.clone()));

    let a_second = plan.rate.ceil() as usize;
    let calm = (plan.rate * plan.calm.as_secs_f64()).ceil() as usize;

    let mut happened = Vec::new();
    load.goes_on(calm).await;
    let baseline = gauges.latest();
    for fault in plan.faults {
        let began = ledger.now();
        if began > plan.at_most {
            break;
        }
        let held = fault.happen(&mut world, &mut moments).await;
        let healed = ledger.now();
        eprintln!(
            "{:>7.1} s  {fault}, {:.1} s",
            began.as_secs_f64(),
            (healed - began).as_secs_f64()
        );
        happened.push(Happened {
            fault,
            began,
            healed,
            standstill: held.map(|held| {
                (
                    held.0.duration_since(ledger.start()),
                    held.1.duration_since(ledger.start()),
                )
            }),
        });
        load.goes_on(calm).await;
    }
    if let Some(last) = happened.last() {
        let deadline = Instant::now() + plan.patience;
        let is_steady = || recovery(&load.attempts().lock().unwrap(), last.healed, Duration::MAX).is_some();
        while !is_steady() && Instant::now() < deadline {
            load.goes_on(a_second).await;
        }
    }
    let attempts = load.stop().await;
    let gauges = gauges.stop(&baseline).await;
    let checker = Checker::new(world.url(), plan.patience);
    let mut verdict = checker.check(attempts, happened).await;
    verdict
        .complaints
        .extend(gauges.iter().filter_map(Reading::complaint));
    verdict.gauges = gauges;
    verdict.complaints.extend(world.stop().await);
    verdict
}
