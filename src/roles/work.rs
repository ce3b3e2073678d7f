//! `mnistq work`: a worker beside a device.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;

use super::reload::Reloading;
use super::seams::Seams;
use super::{Service, metrics};
use crate::cli;
use crate::config::Config;
use crate::metrics::{Metrics, Working};
use crate::shutdown;
use crate::traces::Traces;
use crate::worker::{Engine, Worker};

/// Works until a signal.
pub async fn run(flags: &cli::Work, mut config: Config, service: &Service) -> anyhow::Result<()> {
    config.apply_watching(&flags.watching)?;
    config.apply_working(&flags.working)?;
    let told = shutdown::on_signals().context("signals can't be handled")?;
    let mut reloading = Reloading::new(&config, service, told.reload);
    let traces = open_traces(&config, "mnistq-work")?;
    let metrics = Metrics::new();
    let apart = metrics::bind(&config)?;
    let seams = Seams::open_to_stay(&config, &metrics).await?;
    let name = format!("work-{}", std::process::id());
    let counted = Counted {
        seams: &seams,
        working: metrics.working(),
        traces: traces.clone(),
    };
    let worker = start_worker(name, &config, service, counted).await?;
    reloading.add(&worker);
    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if let Some(listener) = apart {
        parts.spawn(metrics::tell(listener, metrics, told.stop.clone()));
    }
    let (working, stop) = (told.stop.clone(), told.stop.clone());
    parts.spawn(async move { Ok(worker.run(working).await?) });
    parts.spawn(reloading.run(stop));
    let ended = super::run_all(parts, &told.stop).await;
    seams.close().await;
    traces.close().await;
    ended
}

/// Traces for the collector that is configured, if one is.
pub fn open_traces(config: &Config, service: &'static str) -> anyhow::Result<Traces> {
    match &config.telemetry.otlp_endpoint {
        Some(endpoint) => Ok(Traces::to(endpoint, service)?),
        None => Ok(Traces::default()),
    }
}

/// What a worker is given that others of its process share.
pub struct Counted<'a> {
    /// Where jobs come from, and where outcomes go.
    pub seams: &'a Seams,
    /// What it counts.
    pub working: Working,
    /// What it tells of each job.
    pub traces: Traces,
}

/// A worker whose model is loaded and warm.
pub async fn start_worker(
    name: String,
    config: &Config,
    service: &Service,
    Counted {
        seams,
        working,
        traces,
    }: Counted<'_>,
) -> anyhow::Result<Worker> {
    let engine = Engine::start((service.model)(config)?).await?;
    Ok(Worker {
        name,
        broker: Arc::clone(&seams.broker),
        store: Arc::clone(&seams.store),
        engine: engine.into(),
        working,
        traces,
        settings: config.work.clone(),
    })
}
