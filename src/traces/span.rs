//! A stage of an upload's way, as it is told to the collector; nothing while traces are off.

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::Span as SdkSpan;

use crate::job::TraceParent;

/// A stage. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Span {
    pub(super) fn new(span: SdkSpan) -> Self {
        Self(Some(Box::new(span)))
    }

    /// Its place in its trace, for stages within it and for links; none while traces are off.
    #[must_use]
    pub fn context(&self) -> Option<TraceParent> {
        let context = self.0.as_ref()?.span_context();
        context.is_valid().then(|| TraceParent {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            flags: context.trace_flags().to_u8(),
        })
    }

    /// Says what it is, if it is recorded at all.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(span) = self.recorded() {
            span.update_name(name());
        }
    }

    /// Says more of it.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = self.recorded() {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// As [`Span::note`], for a value that costs something to make.
    pub fn note_text(&mut self, key: &'static str, value: impl ToString) {
        if let Some(span) = self.recorded() {
            span.set_attribute(KeyValue::new(key, value.to_string()));
        }
    }

    /// It has failed.
    pub fn fail(&mut self, why: impl ToString) {
        if let Some(span) = self.recorded() {
            span.set_status(Status::error(why.to_string()));
        }
    }

    fn recorded(&mut self) -> Option<&mut SdkSpan> {
        self.0.as_deref_mut().filter(|span| span.is_recording())
    }
}

/// Whether somebody decided to record this trace.
pub fn is_recorded(place: TraceParent) -> bool {
    TraceFlags::new(place.flags).is_sampled()
}

/// A place in a trace that was begun elsewhere.
pub fn remote(place: TraceParent) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(place.trace_id),
        SpanId::from_bytes(place.span_id),
        TraceFlags::new(place.flags),
        true,
        TraceState::NONE,
    )
}

/// What a stage within that place begins with.
pub fn within(place: TraceParent) -> Context {
    Context::new().with_remote_span_context(remote(place))
}
