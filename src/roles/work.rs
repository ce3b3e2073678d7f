//! `mnistq work`: a worker beside a device.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;

use super::Service;
use super::reload::Reloading;
use super::seams::Seams;
use crate::cli;
use crate::config::Config;
use crate::shutdown;
use crate::worker::{Engine, Worker};

/// Works until a signal.
pub async fn run(flags: &cli::Work, mut config: Config, service: &Service) -> anyhow::Result<()> {
    config.apply_working(&flags.working)?;
    let told = shutdown::on_signals().context("signals can't be handled")?;
    let mut reloading = Reloading::new(&config, service, told.reload);
    let seams = Seams::open_to_stay(&config).await?;
    let name = format!("work-{}", std::process::id());
    let worker = start_worker(name, &config, service, &seams).await?;
    reloading.add(&worker);
    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let (working, stop) = (told.stop.clone(), told.stop.clone());
    parts.spawn(async move { Ok(worker.run(working).await?) });
    parts.spawn(reloading.run(stop));
    let ended = super::run_all(parts, &told.stop).await;
    seams.close().await;
    ended
}

/// A worker whose model is loaded and warm.
pub async fn start_worker(
    name: String,
    config: &Config,
    service: &Service,
    seams: &Seams,
) -> anyhow::Result<Worker> {
    let engine = Engine::start((service.model)(config)?).await?;
    Ok(Worker {
        name,
        broker: Arc::clone(&seams.broker),
        store: Arc::clone(&seams.store),
        engine: engine.into(),
        settings: config.work.clone(),
    })
}
