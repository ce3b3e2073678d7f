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
use crate::model::device::DeviceName;
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
    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let working = metrics.working();
    let devices = &config.model.device;
    for (number, device) in (1..).zip(devices.iter()) {
        let name = match devices.iter().count() {
            1 => format!("work-{}", std::process::id()),
            _ => format!("work-{}-{number}", std::process::id()),
        };
        let counted = Counted {
            seams: &seams,
            working: working.clone(),
            traces: traces.clone(),
        };
        let worker = start_worker(name, &config, (service, device), counted).await?;
        reloading.add(&worker, device);
        let stop = told.stop.clone();
        parts.spawn(async move { Ok(worker.run(stop).await?) });
    }
    if let Some(listener) = apart {
        parts.spawn(metrics::tell(listener, metrics, told.stop.clone()));
    }
    parts.spawn(reloading.run(told.stop.clone()));
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

/// A worker on this device whose model is loaded and warm.
pub async fn start_worker(
    name: String,
    config: &Config,
    (service, device): (&Service, DeviceName),
    Counted {
        seams,
        working,
        traces,
    }: Counted<'_>,
) -> anyhow::Result<Worker> {
    let engine = start_engine(config, service, device).await?;
    if device == DeviceName::Auto {
        tracing::info!("--device auto: took {}", engine.card().device);
    }
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

/// An engine whose model is loaded from what is in the weight file now, and warm.
pub async fn start_engine(config: &Config, service: &Service, device: DeviceName) -> anyhow::Result<Engine> {
    let largest = usize::from(config.work.max_batch.get());
    let (mut config, ready) = (config.clone(), service.model);
    config.model = config.model.on(device);
    let opening = tokio::task::spawn_blocking(move || ready(&config));
    let opening = opening.await.context("reading the weights broke")??;
    #[cfg(debug_assertions)]
    let opening = super::sabotage::sabotaged_model(opening)?;
    Ok(Engine::start(opening, largest).await?)
}
