//! Refuses a request before its body was read to its end.
//!
//! In come a problem and what is left of the body, out goes an answer that its client gets to read.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, Payload};
use serde::Serialize;

use super::error::ApiError;

/// Refuses a request of whose body some may be `unread`.
pub fn refuse(error: &ApiError, unread: Payload) -> HttpResponse {
    refuse_with(error, &error.problem(), unread)
}

/// As [`refuse`], with a document that says more than the problem.
pub fn refuse_with(error: &ApiError, document: &impl Serialize, unread: Payload) -> HttpResponse {
    // As for any problem: only a map with keys that are no texts could fail.
    let text = serde_json::to_vec(document).unwrap_or_default();
    error.response().body(Refusal {
        text: text.into(),
        _unread: unread,
    })
}

/// A response that keeps the request's body until it is sent. Once that is dropped, actix reads on what is left
/// of a chunked one, without end; while it is there, actix closes the connection after the response, and gives
/// the client a second to read it.
struct Refusal {
    text: Bytes,
    _unread: Payload,
}

impl MessageBody for Refusal {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.text.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let text = mem::take(&mut self.text);
        Poll::Ready((!text.is_empty()).then_some(Ok(text)))
    }
}
