//! What is noted of every request, whoever answers it: its name, how long it took, and that it is in flight.
//!
//! Reads no body, and adds to answers nothing but that name.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage, HttpRequest};
use tracing::Instrument;

use super::request_id::REQUEST_ID;
use super::state::State;
use crate::job::TraceParent;
use crate::metrics::Hold;
use crate::traces::Span;

/// The path of a resource, as it was registered: there are only a few, whatever clients ask for.
pub struct Route(pub &'static str);

/// What stands for the path of a request that no resource has.
const NO_ROUTE: &str = "none";

/// Has a request answered, and notes what is to be noted.
pub async fn watch<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Watched>, Error> {
    let begun = Instant::now();
    let state = request.app_data::<Data<State>>().cloned();
    let state = state.expect("the front end has a state");
    let in_flight = state.serving.request();
    let method = word(request.method());
    let id = state.request_ids.name(request.headers());
    let mut span = begin(&request, &state);
    // Every line that is logged on the way has it.
    let named = tracing::error_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        client = tracing::field::Empty
    );

    let answered = next.call(request).instrument(named.clone()).await;

    let took = begun.elapsed();
    let mut note = |route: &str, status: StatusCode| {
        state
            .serving
            .note_request(&[route, method, status.as_str()], took);
        let status = status.as_u16();
        tracing::debug!(parent: &named, method, route, status, ms = milliseconds(took), "answered");
        span.rename(|| format!("{method} {route}"));
        span.note("http.request.method", method);
        span.note_text("http.route", route);
        span.note("http.response.status_code", i64::from(status));
        if status >= 500 {
            span.fail(status);
        }
    };
    match answered {
        Ok(mut response) => {
            let route = response.request().app_data::<Route>();
            note(route.map_or(NO_ROUTE, |route| route.0), response.status());
            span.note_text("mnistq.request_id", id.to_str().unwrap_or_default());
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response.map_into_boxed_body().map_body(|_, body| Watched {
                body,
                _in_flight: in_flight,
                _span: span,
            }))
        }
        Err(error) => {
            note(NO_ROUTE, error.as_response_error().status_code());
            Err(error)
        }
    }
}

/// The request in its trace, and for its handlers a note of where that is. Nothing while traces are off.
fn begin(request: &ServiceRequest, state: &State) -> Span {
    if !state.traces.are_on() {
        return Span::default();
    }
    let client = request.headers().get("traceparent");
    let client = client.and_then(|place| place.to_str().ok()?.parse().ok());
    let span = state.traces.request(client);
    if let Some(place) = span.context() {
        request.extensions_mut().insert(place);
    }
    span
}

/// Where in a trace a request is; none while traces are off.
pub fn place(request: &HttpRequest) -> Option<TraceParent> {
    request.extensions().get().copied()
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Clients may call their methods as they like.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// An answer's body, whose request is in flight until it is sent, or until its client is gone.
pub struct Watched {
    body: BoxBody,
    _in_flight: Hold,
    _span: Span,
}

impl MessageBody for Watched {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
