//! An OpenTelemetry collector: it keeps what it gets (OTLP over HTTP), and answers as it is told to.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a collector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// With 200.
    Well,
    /// With 503.
    Ill,
    /// Not at all.
    Mute,
}

/// A span, and which service it is of.
#[derive(Debug, Clone)]
pub struct Told {
    /// `service.name`.
    pub service: String,
    /// The span.
    pub span: Span,
}

/// The collector.
pub struct Collector {
    port: u16,
    told: Arc<Mutex<Vec<Told>>>,
    calls: Arc<Mutex<usize>>,
}

impl Collector {
    /// Listens.
    pub async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let collector = Self {
            port: listener.local_addr().expect("an address").port(),
            told: Arc::default(),
            calls: Arc::default(),
        };
        let (told, calls) = (Arc::clone(&collector.told), Arc::clone(&collector.calls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, calls) = (Arc::clone(&told), Arc::clone(&calls));
                tokio::spawn(async move {
                    *calls.lock().unwrap() += 1;
                    take(stream, &told, mood).await
                });
            }
        });
        collector
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    /// What it got so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

impl Told {
    /// A text or a number that it says of itself.
    pub fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text.clone()),
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

async fn take(mut stream: TcpStream, told: &Mutex<Vec<Told>>, mood: Mood) {
    let mut bytes = Vec::new();
    let body = loop {
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&more[..count]),
            _ => return,
        }
        if let Some(body) = whole(&bytes) {
            break body;
        }
    };
    let status = match mood {
        Mood::Well => "200 OK",
        Mood::Ill => "503 Service Unavailable",
        Mood::Mute => return std::future::pending().await,
    };
    if mood == Mood::Well {
        let request = ExportTraceServiceRequest::decode(body).expect("an export by OTLP's own schema");
        for spans in request.resource_spans {
            let resource = spans.resource.expect("spans are somebody's").attributes;
            let service = attribute(&resource, "service.name").expect("a service has a name");
            let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            told.lock().unwrap().extend(spans.map(|span| Told {
                service: service.clone(),
                span,
            }));
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The body, once all of it is there.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let (_, length) = head.split_once("content-length: ")?;
    let length: usize = length.lines().next()?.trim().parse().ok()?;
    let body = &bytes[end + 4..];
    (body.len() == length).then_some(body)
}
