//! Sends spans to the collector, from the thread on which OpenTelemetry gathers them, and says when that does not work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::Client;
use tokio::runtime::Handle;

use super::Endpoint;

/// How long a collector may take for one batch of spans.
const PATIENCE: Duration = Duration::from_secs(2);

/// A collector.
#[derive(Debug)]
pub struct Collector {
    client: Client,
    runtime: Handle,
    endpoint: Endpoint,
    is_away: AtomicBool,
}

impl Collector {
    /// The one at this endpoint. Calls go through the runtime in which this is called.
    pub fn new(endpoint: &Endpoint) -> Result<Self, reqwest::Error> {
        // An error means that another part of this process has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(PATIENCE).build()?;
        Ok(Self {
            client,
            runtime: Handle::current(),
            endpoint: endpoint.clone(),
            is_away: AtomicBool::new(false),
        })
    }

    /// Says so once, however often it is tried.
    fn tell(&self, trouble: Option<&str>) {
        if self.is_away.swap(trouble.is_some(), Ordering::Relaxed) == trouble.is_some() {
            return;
        }
        match trouble {
            Some(error) => {
                tracing::warn!(endpoint = %self.endpoint, error, "the collector does not take traces: they are dropped");
            }
            None => tracing::info!(endpoint = %self.endpoint, "the collector takes traces again"),
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let call = self.client.post(head.uri.to_string());
        let call = call.headers(head.headers).body(body);
        let answer = async move {
            let answer = call.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        };
        // The thread that asks belongs to no runtime.
        let answered = self.runtime.spawn(answer).await?;
        let (status, headers, body) = answered.inspect_err(|error| self.tell(Some(&error.to_string())))?;
        let trouble = (!status.is_success()).then(|| status.to_string());
        self.tell(trouble.as_deref());
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
