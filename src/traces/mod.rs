//! Traces: which stages an upload went through, and how long each took, told to an OpenTelemetry collector (OTLP).
//!
//! One [`Traces`] a process, made by its role and handed down; off unless there is an endpoint, and then everything here
//! does nothing. What can't be sent in time is dropped: nobody ever waits for a collector. Knows the stages by their
//! names, and nothing of what happens in them.

mod collector;
mod endpoint;
mod span;

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanBuilder, SpanKind, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use endpoint::{Endpoint, InvalidEndpoint};
pub use span::Span;

use crate::job::TraceParent;
use collector::Collector;

/// How long what is left may take to be sent at the end.
const LEAVE: Duration = Duration::from_secs(3);
/// Links of one span: the members of the largest batch that makes sense.
const LINKS: u32 = 4096;

/// What makes spans, and sends them; clones send together.
#[derive(Clone, Default)]
pub struct Traces {
    on: Option<(SdkTracerProvider, SdkTracer)>,
}

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// There is no client.
    #[error("traces can't be sent")]
    Client(#[source] reqwest::Error),
    /// OpenTelemetry does not want its own settings.
    #[error("traces can't be set up: check the variables OTEL_…")]
    Exporter(#[source] ExporterBuildError),
}

impl Traces {
    /// Those of this `service`, for the collector at this endpoint; does not ask whether it is there. To be called within
    /// a tokio runtime. OpenTelemetry's own variables (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, …) say the rest.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn to(endpoint: &Endpoint, service: &'static str) -> Result<Self, TracesError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(endpoint).map_err(TracesError::Client)?)
            .with_endpoint(endpoint.to_string())
            .build()
            .map_err(TracesError::Exporter)?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(service);
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_max_links_per_span(LINKS)
            .with_resource(resource.with_attribute(version).build())
            .build();
        let tracer = provider.tracer("mnistq");
        Ok(Self {
            on: Some((provider, tracer)),
        })
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.on.is_some()
    }

    /// An HTTP request, within the trace of its client if that names one.
    #[must_use]
    pub fn request(&self, client: Option<TraceParent>) -> Span {
        self.start(
            || SpanBuilder::from_name("request").with_kind(SpanKind::Server),
            client,
        )
    }

    /// A stage within another. None without that.
    #[must_use]
    pub fn stage(&self, name: &'static str, within: Option<TraceParent>) -> Span {
        let Some(within) = within else {
            return Span::default();
        };
        self.start(|| SpanBuilder::from_name(name), Some(within))
    }

    /// A publish within a request: its context goes with the message.
    #[must_use]
    pub fn publish(&self, within: Option<TraceParent>) -> Span {
        let Some(within) = within else {
            return Span::default();
        };
        let builder = || SpanBuilder::from_name("publish").with_kind(SpanKind::Producer);
        self.start(builder, Some(within))
    }

    /// A forward pass for jobs of many traces: a trace of its own, linked to each of theirs. None without any.
    #[must_use]
    pub fn batch(&self, members: impl Iterator<Item = TraceParent>) -> Span {
        if self.on.is_none() {
            return Span::default();
        }
        let links: Vec<Link> = members
            .filter(|member| span::is_recorded(*member))
            .map(|member| Link::with_context(span::remote(member)))
            .collect();
        if links.is_empty() {
            return Span::default();
        }
        self.start(|| SpanBuilder::from_name("batch").with_links(links), None)
    }

    /// A job in a worker's hand since `taken`, within the trace that came with its message, and linked to its batch.
    #[must_use]
    pub fn job(&self, message: Option<TraceParent>, taken: SystemTime, batch: &Span) -> Span {
        let Some(message) = message else {
            return Span::default();
        };
        let links = batch.context().map(span::remote).map(Link::with_context);
        let builder = || {
            SpanBuilder::from_name("job")
                .with_kind(SpanKind::Consumer)
                .with_start_time(taken)
                .with_links(links.into_iter().collect())
        };
        self.start(builder, Some(message))
    }

    /// Sends what is left, in bounded time.
    pub async fn close(&self) {
        let Some((provider, _)) = self.on.clone() else {
            return;
        };
        let closing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LEAVE));
        if !matches!(closing.await, Ok(Ok(()))) {
            tracing::warn!("the last traces are lost: the collector did not take them in time");
        }
    }

    fn start(&self, builder: impl FnOnce() -> SpanBuilder, parent: Option<TraceParent>) -> Span {
        let Some((_, tracer)) = &self.on else {
            return Span::default();
        };
        let context = parent.map_or_else(Context::new, span::within);
        Span::new(tracer.build_with_context(builder(), &context))
    }
}
