//! `mnistq work`: a worker beside a device.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;

use super::seams::{self, Seams};
use crate::cli;
use crate::config::Config;
use crate::model;
use crate::shutdown;
use crate::worker::{Engine, Worker};

/// Works until a signal.
pub async fn run(flags: &cli::Work, mut config: Config) -> anyhow::Result<()> {
    config.apply_working(&flags.working)?;
    let shutdown = shutdown::on_signal().context("signals can't be handled")?;
    let seams = Seams::open(&config).await?;
    let worker = start_worker(format!("work-{}", std::process::id()), &config, &seams).await?;
    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let stop = shutdown.clone();
    parts.spawn(async move { Ok(worker.run(stop).await?) });
    let ended = super::run_all(parts, &shutdown).await;
    seams.close().await;
    ended
}

/// A worker whose model is loaded and warm.
pub async fn start_worker(name: String, config: &Config, seams: &Seams) -> anyhow::Result<Worker> {
    let weights = seams::weights(config)?;
    let settings = config.model.clone();
    let engine = Engine::start(move || model::open(&weights, settings.device, settings.threads)).await?;
    Ok(Worker {
        name,
        broker: Arc::clone(&seams.broker),
        store: Arc::clone(&seams.store),
        engine,
        settings: config.work.clone(),
    })
}
