//! `mnistq probe`: one request, for health checks in images that hold nothing but this executable.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cli;

/// How long the answer may take. Whoever checks has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fails unless the address answers with 2xx.
pub async fn run(asked: &cli::Probe) -> anyhow::Result<()> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(&asked.url).send().await.context("no answer")?;
    let status = answer.status();
    ensure!(status.is_success(), "{} answers with {status}", asked.url);
    Ok(())
}
