//! `mnistq serve`: the front end, and on the embedded queue a worker beside it.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use super::open_files::OpenFiles;
use super::reload::Reloading;
use super::seams::Seams;
use super::work::{Counted, open_traces, start_worker};
use super::{Service, metrics};
use crate::cli;
use crate::config::{Config, ConfigError};
use crate::http::{self, Access, Courier, FrontEnd};
use crate::metrics::Metrics;
use crate::shutdown::{self, Told};
use crate::tls::Identity;

/// Serves until a signal.
pub async fn run(flags: &cli::Serve, mut config: Config, service: &Service) -> anyhow::Result<()> {
    config.apply_serve(flags)?;
    let told = shutdown::on_signals().context("signals can't be handled")?;
    OpenFiles::raised_for(config.http.max_connections).warn();
    if config.access.exposes(config.http.bind) {
        let message = format!(
            "other machines can reach {}, and there are no keys: give --api-keys FILE (`mnistq keys add NAME` makes \
             one), or say --public-without-keys",
            config.http.bind
        );
        return Err(ConfigError::Flag {
            flag: "--bind",
            message,
        }
        .into());
    }
    let listener = http::bind(config.http.bind)
        .context("take another address with --bind, or stop what listens there")?;
    serve(listener, &config, service, told).await
}

/// Serves until it is told to stop, and says where once it is ready. If any part ends by itself, all end, and its error
/// is the role's.
///
/// # Errors
/// What could not be opened, or which part ended and why.
pub async fn serve(
    listener: TcpListener,
    config: &Config,
    service: &Service,
    told: Told,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listening address is unknown")?;
    let Told {
        stop: shutdown,
        reload,
    } = told;
    let mut reloading = Reloading::new(config, service, reload);
    let traces = open_traces(config, "mnistq-serve")?;
    let metrics = Metrics::new();
    let apart = metrics::bind(config)?;
    let seams = Seams::open_to_stay(config, &metrics).await?;

    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let devices = &config.model.device;
    let workers = match config.model.workers {
        Some(workers) => usize::from(workers),
        None if seams.embedded => devices.iter().count(),
        None => 0,
    };
    let working = (workers > 0).then(|| metrics.working());
    let dealt = devices.iter().cycle().zip(working.into_iter().cycle());
    for (number, (device, working)) in (1..=workers).zip(dealt) {
        let name = format!("serve-{}-{number}", std::process::id());
        let counted = Counted {
            seams: &seams,
            working,
            traces: traces.clone(),
        };
        let worker = start_worker(name, config, (service, device), counted).await?;
        reloading.add(&worker, device);
        let shutdown = shutdown.clone();
        parts.spawn(async move { Ok(worker.run(shutdown).await?) });
    }
    parts.spawn(reloading.run(shutdown.clone()));
    let (outbox, store) = (Arc::clone(&seams.outbox), Arc::clone(&seams.store));
    let courier = Courier::new(&config.callbacks, outbox, store).map_err(anyhow::Error::msg)?;
    let identity = match (&config.http.tls_certificate, &config.http.tls_key) {
        (Some(certificate), Some(key)) => Some(Identity::open(certificate.clone(), key.clone())?),
        (None, None) => None,
        _ => bail!("[http]: tls_certificate and tls_key go together"),
    };
    let front_end = FrontEnd {
        broker: Arc::clone(&seams.broker),
        store: Arc::clone(&seams.store),
        reader: (service.reader)(config),
        offer: service.offer.clone(),
        courier: courier.map(Arc::new),
        access: Access::open(&config.access)?,
        identity: identity.map(Arc::new),
        serving: metrics.serving(),
        traces: traces.clone(),
        metrics: apart.is_none().then(|| metrics.clone()),
        settings: config.http.clone(),
    };
    if let Some(listener) = apart {
        parts.spawn(metrics::tell(listener, metrics, shutdown.clone()));
    }
    let scheme = if front_end.identity.is_some() {
        "https"
    } else {
        "http"
    };
    let http = http::serve(listener, front_end, shutdown.clone());
    parts.spawn(async move { Ok(http.await?) });
    announce(&format!("listening on {scheme}://{address}"));

    let ended = super::run_all(parts, &shutdown).await;
    seams.close().await;
    traces.close().await;
    ended
}

/// A line for whoever waits until the server is ready. A closed standard output is no reason to stop.
fn announce(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
