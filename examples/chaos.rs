//! Half an hour of random faults, under load, and the proof that nothing was lost.
//!
//! ```text
//! make chaos
//! cargo run --release --example chaos -- --pairing embedded --minutes 30 --seed 1
//! ```
//!
//! Starts private servers, one front end and its workers, and uploads to it; kills, stops, starves and cuts off
//! whatever it can; then asks what became of every upload. Prints the verdict, and fails if a promise was broken.
//! The executable is the `mnistq` beside this one. What it does is in `tests/it/chaos`.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../tests/it/chaos/mod.rs"]
mod chaos;
#[allow(dead_code, unused_imports)]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::process::ExitCode;
use std::time::Duration;

use chaos::{Fault, Pairing, Plan};
use clap::Parser;
use harness::moments::Moments;

/// Random faults under load, and the proof that nothing was lost.
#[derive(Parser)]
struct Arguments {
    /// cluster: RabbitMQ and Redis; embedded: SQLite; small-disk: SQLite on a disk that gets full (as root)
    #[arg(long, default_value = "cluster")]
    pairing: String,
    /// How long faults go on
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// What the faults and the load come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Uploads a second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
}

/// How long the system is left alone after each fault: enough to see it recover within ten seconds.
const CALM: Duration = Duration::from_secs(15);
/// How long an id may be without its outcome once all is healed.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let asked = Arguments::parse();
    let pairing = match asked.pairing.as_str() {
        "cluster" => Pairing::Cluster,
        "embedded" => Pairing::Embedded,
        "small-disk" => Pairing::EmbeddedOnSmallDisk,
        other => {
            eprintln!("--pairing {other}: expected cluster, embedded or small-disk");
            return ExitCode::from(2);
        }
    };
    let at_most = Duration::from_secs_f64(asked.minutes * 60.0);
    // None takes no time.
    let count = at_most.div_duration_f64(CALM).ceil() as usize;
    let mut moments = Moments::new(asked.seed);
    let faults = (0..count).map(|_| Fault::random(pairing, &mut moments)).collect();
    println!(
        "{pairing:?}, seed {}, {} uploads a second, {} minutes",
        asked.seed, asked.rate, asked.minutes
    );
    let verdict = chaos::run(Plan {
        pairing,
        rate: asked.rate,
        seed: asked.seed,
        faults,
        at_most,
        calm: CALM,
        patience: PATIENCE,
        sabotage: None,
    })
    .await;
    println!("{verdict}");
    if verdict.is_green() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
