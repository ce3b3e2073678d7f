//! Tells the metrics of a role on an address of their own.

use std::net::TcpListener;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http;
use crate::metrics::Metrics;

/// Listens where they shall be told, if that is somewhere of its own.
pub fn bind(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.telemetry.metrics_addr else {
        return Ok(None);
    };
    let listener = http::bind(address).context("take another address with --metrics-addr")?;
    Ok(Some(listener))
}

/// Tells them until `shutdown`, and says in the log where.
pub async fn tell(
    listener: TcpListener,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the address for metrics is unknown")?;
    tracing::info!(url = format!("http://{address}/metrics"), "tells its metrics");
    Ok(http::serve_metrics(listener, metrics, shutdown).await?)
}
