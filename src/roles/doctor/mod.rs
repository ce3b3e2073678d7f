//! `mnistq doctor`: looks at all that serving needs, one thing after the other, and says what to do about what is
//! wrong.
//!
//! A thing that is away stops no other look. Starts nothing, makes no file, and prints no password.

mod access;
mod finding;
mod machine;
mod model;
mod seams;

use std::process::ExitCode;

use crate::cli;
use crate::config::Config;
use finding::Report;

/// Looks at everything. Succeeds only if all is well.
pub async fn run(flags: &cli::Doctor, shared: &cli::Shared, mut config: Config) -> anyhow::Result<ExitCode> {
    config.apply_serve(&flags.serve)?;
    let (broker, store) = config.addresses()?;
    let mut report = Report::new(flags);
    report.add(machine::version())?;
    report.add(machine::configuration(shared))?;
    for file in seams::databases(&broker, &store) {
        report.add(seams::database(file))?;
    }
    // Each tries for some seconds if nobody answers.
    let (broker, store) = tokio::join!(seams::broker(&broker, &config), seams::store(&store, &config));
    report.add(broker)?;
    report.add(store)?;
    let (weights, read) = model::weights(&config);
    report.add(weights)?;
    if let Some(weights) = read {
        for device in config.model.device.iter() {
            let place = config.model.on(device).place()?;
            report.add(model::device(place, weights.clone()).await)?;
        }
    }
    report.add(machine::open_files(&config))?;
    report.add(access::access(&config))?;
    if let Some(certificate) = access::certificate(&config) {
        report.add(certificate)?;
    }
    report.add(machine::address(&config).await)?;
    report.add(machine::mnist())?;
    report.end()
}
