//! One kept-alive connection to a front end: as little as an HTTP client can cost, so that the measured
//! machine serves rather than measures.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Pause between two looks at a result, on servers that don't wait for it.
const POLL: Duration = Duration::from_millis(1);
/// What a server that can is asked to wait.
const PREFER: &str = "wait=10";

/// What became of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A class.
    Answered,
    /// 429 or 503.
    Refused,
    /// Accepted, and ended as something else than a class.
    Failed,
}

/// A connection, reopened after an error.
pub struct Connection {
    host: String,
    /// The header by which the server knows us.
    authorization: Option<String>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects to nothing yet.
    pub fn new(url: &Url, key: Option<&str>) -> anyhow::Result<Self> {
        if url.scheme() != "http" {
            bail!("{url}: only http:// can be measured");
        }
        let host = url.host_str().context("the address has no host")?;
        let port = url.port_or_known_default().context("the address has no port")?;
        Ok(Self {
            host: format!("{host}:{port}"),
            authorization: key.map(|key| format!("Bearer {key}")),
            sender: None,
        })
    }

    /// Uploads a form and follows it to its outcome.
    pub async fn classify(&mut self, content_type: &str, form: Bytes) -> anyhow::Result<Fate> {
        let upload = Request::post("/classify").header(header::CONTENT_TYPE, content_type);
        let (status, mut answer) = self.send(upload, form).await?;
        let id = match answer["inference_id"].as_str() {
            Some(id) => id.to_owned(),
            None if is_busy(status) => return Ok(Fate::Refused),
            None => bail!("the server answered {status}"),
        };
        loop {
            if !answer["predicted_class"].is_null() {
                return Ok(Fate::Answered);
            }
            match answer["status"].as_str() {
                None | Some("queued") => {}
                Some(_) => return Ok(Fate::Failed),
            }
            let (status, fetched) = self
                .send(Request::get(format!("/result/{id}")), Bytes::new())
                .await?;
            if !status.is_success() && !is_busy(status) {
                return Ok(Fate::Failed);
            }
            if fetched["predicted_class"].is_null() {
                sleep(POLL).await;
            }
            answer = fetched;
        }
    }

    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let request = match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        };
        let request = request
            .header(header::HOST, &self.host)
            .header("prefer", PREFER)
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(body))?;
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.host)
            .await
            .with_context(|| format!("no answer from {}", self.host))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}
