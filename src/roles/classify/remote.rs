//! The client of a front end: uploads, waits, and comes back by itself while the server is busy or restarts.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use crate::config::Config;
use crate::job::Picture;
use crate::roles::probe;

/// How long a server that can't be reached is tried: as long as a restart takes.
const RESTART: Duration = Duration::from_secs(3);
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// What one request asks the server to wait for an outcome, in seconds.
const LONG_POLL_SECONDS: u64 = 20;

/// A front end.
pub struct Server {
    client: Client,
    url: Url,
    timeout: Duration,
}

impl Server {
    /// A client of the configured front end, which knows us by `key`. Connects to nothing yet.
    pub fn new(config: &Config, key: Option<&str>) -> anyhow::Result<Self> {
        let url = &config.classify.server;
        let base = if url.ends_with('/') {
            url.to_owned()
        } else {
            format!("{url}/")
        };
        let url = Url::parse(&base).with_context(|| format!("--server {url}: not an http address"))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).context("--api-key is no key")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let client = probe::client(url.as_str(), config)?
            .user_agent(concat!("mnistq/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        Ok(Self {
            client: client.build()?,
            url,
            timeout: Duration::from_secs(config.classify.timeout_s),
        })
    }

    /// Uploads a picture; the answer has its id.
    pub async fn submit(&self, picture: Vec<u8>) -> anyhow::Result<Value> {
        let deadline = Instant::now() + self.timeout;
        let response = self.send(self.upload(picture)?, deadline).await?;
        Ok(response.json().await?)
    }

    /// Uploads a picture and waits for its outcome.
    pub async fn classify(&self, picture: Vec<u8>) -> anyhow::Result<Value> {
        let deadline = Instant::now() + self.timeout;
        let request = self
            .upload(picture)?
            .header("Prefer", format!("wait={LONG_POLL_SECONDS}"));
        let mut answer: Value = self.send(request, deadline).await?.json().await?;
        loop {
            match answer["status"].as_str() {
                Some("succeeded") => return Ok(answer),
                None | Some("queued") => {}
                Some("failed") => bail!("{}", answer["error"]["detail"].as_str().unwrap_or("it failed")),
                Some(other) => bail!("it was {other}"),
            }
            let id = answer["inference_id"]
                .as_str()
                .context("the server's answer has no id")?
                .to_owned();
            if Instant::now() >= deadline {
                bail!("no answer within {} s; its id is {id}", self.timeout.as_secs());
            }
            let url = self.url.join(&format!("result/{id}"))?;
            let request = self
                .client
                .get(url)
                .header("Prefer", format!("wait={LONG_POLL_SECONDS}"));
            answer = self.send(request, deadline).await?.json().await?;
        }
    }

    /// The picture that the model sees of an upload.
    pub async fn normalize(&self, upload: Vec<u8>) -> anyhow::Result<Picture> {
        #[derive(Deserialize)]
        struct Normalized {
            width: u16,
            height: u16,
            pixels: Vec<u8>,
        }
        let request = self.client.post(self.url.join("normalize")?).body(upload);
        let deadline = Instant::now() + self.timeout;
        let Normalized {
            width,
            height,
            pixels,
        } = self.send(request, deadline).await?.json().await?;
        Picture::new(width, height, pixels).context("the server's picture has another size than it says")
    }

    fn upload(&self, picture: Vec<u8>) -> anyhow::Result<RequestBuilder> {
        let request = self.client.post(self.url.join("classify")?);
        Ok(request
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("Idempotency-Key", Uuid::now_v7().to_string())
            .body(picture))
    }

    /// Sends until the server takes it. An upload that is sent twice has one id all the same, by its key.
    async fn send(&self, request: RequestBuilder, deadline: Instant) -> anyhow::Result<Response> {
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = request
                .try_clone()
                .context("the request can't be repeated")?
                .timeout(left);
            let (error, wait) = match attempt.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if is_busy(response.status()) => {
                    let wait = retry_after(&response).unwrap_or(pause);
                    (refusal(response).await, wait)
                }
                Ok(response) => return Err(refusal(response).await),
                Err(error) if started.elapsed() < RESTART && !error.is_timeout() => (error.into(), pause),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    let hint = hint(&format!("{error:#}"));
                    return Err(error.context(format!("no answer from {} ({hint})", self.url)));
                }
            };
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// What a person can do about a server that does not answer. TLS tells in words alone what it does not like.
fn hint(error: &str) -> &'static str {
    if error.contains("UnknownIssuer") {
        "name with --tls-ca whose certificates to trust"
    } else if error.contains("CaUsedAsEndEntity") {
        "it shows the certificate of an authority: give it one with basicConstraints=CA:FALSE"
    } else {
        "is `mnistq serve` running there? --server names another, --local needs none"
    }
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}

fn retry_after(response: &Response) -> Option<Duration> {
    response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// What the server's problem document says.
async fn refusal(response: Response) -> anyhow::Error {
    let status = response.status();
    let problem: Value = response.json().await.unwrap_or_default();
    match problem["detail"].as_str().or(problem["title"].as_str()) {
        Some(detail) if status == StatusCode::UNAUTHORIZED => anyhow!("{detail}; give it with --api-key"),
        Some(detail) => anyhow!("{detail}"),
        None => anyhow!("the server answered {status}"),
    }
}
