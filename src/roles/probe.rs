//! `mnistq probe`: one request, for health checks in images that hold nothing but this executable.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, ClientBuilder};

use crate::cli;
use crate::config::Config;

/// How long the answer may take. Whoever checks has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fails unless the address answers with 2xx.
pub async fn run(asked: &cli::Probe, config: &Config) -> anyhow::Result<()> {
    let client = client(&asked.url, config)?.no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(&asked.url).send().await.context("no answer")?;
    let status = answer.status();
    ensure!(status.is_success(), "{} answers with {status}", asked.url);
    Ok(())
}

/// A client for this address: by TLS it knows servers as the configuration says.
pub fn client(url: &str, config: &Config) -> anyhow::Result<ClientBuilder> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder();
    Ok(match url.starts_with("https:") {
        true => client.tls_backend_preconfigured(config.trust().client()?),
        // It needs no certificates, and looking for them fails where there are none.
        false => client.tls_certs_only([]),
    })
}
