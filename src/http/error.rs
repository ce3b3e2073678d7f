//! The one table of errors and status codes: every refusal is a problem document (RFC 9457).
//!
//! What a client reads names no path, address or password of ours; causes go to the log.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_multipart::MultipartError;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Standing;
use super::form;
use crate::broker::BrokerError;
use crate::digit::ReadError;
use crate::job::JobId;
use crate::store::StoreError;

/// Seconds until another try when too many uploads are in hand, each for a moment.
const RETRY_BUSY: u64 = 1;
/// Seconds until another try when broker or store are away: about what a reconnection takes.
const RETRY_AWAY: u64 = 2;
/// An outage fails thousands of requests a second: the log gets one line in this time.
const QUIET: Duration = Duration::from_secs(1);

/// Everything that a client can be refused for. The text is the problem's detail.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The upload is no picture that can be asked about.
    #[error(transparent)]
    Read(ReadError),
    /// A picture or a body is larger than allowed.
    #[error("the upload is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The request asks for a time that it can't have.
    #[error("the header `{name}` takes one time such as 500ms, 30s, 5m or 1h, of at most {longest_s}s here")]
    Time {
        /// The header.
        name: &'static str,
        /// The longest.
        longest_s: u64,
    },
    /// The part of the address behind `?` is wrong.
    #[error("the query can't be read: {0}")]
    Query(String),
    /// A flood is not allowed, or not of this size.
    #[error("a flood takes `n` from 1 to {limit} here; the operator sets the limit with `flood`")]
    Flood {
        /// How many pictures it may have; 0: it is off.
        limit: u32,
    },
    /// The request orders a callback, and there are none here.
    #[error("there are no callbacks here: the operator allows them with `hosts` in [callbacks]")]
    CallbacksOff,
    /// The request orders a callback that may not be made.
    #[error("the callback can't be made: {0}")]
    Callback(String),
    /// The request's key can't be used.
    #[error("the header `Idempotency-Key` takes one key of 1 to {longest} visible characters")]
    UnusableKey {
        /// Characters at most.
        longest: usize,
    },
    /// The request's key stands for another upload.
    #[error("this `Idempotency-Key` was used for another picture: take a new key for each upload")]
    KeyTaken,
    /// The body did not come in time.
    #[error("the upload did not arrive within {limit_ms} ms")]
    Slow {
        /// The limit.
        limit_ms: u64,
    },
    /// The body broke off, or is encoded wrongly.
    #[error("the request's body can't be read: {0}")]
    Body(#[source] PayloadError),
    /// The body is no form, though it says so.
    #[error("the form can't be read: {}", form::describe(.0))]
    Form(#[source] MultipartError),
    /// The form has no picture.
    #[error("the form has no field named `file`")]
    NoFile,
    /// The form has too many pictures.
    #[error("the form has more than {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// The request has no key, or none that is let in.
    #[error("this server takes requests with a key that it knows: `Authorization: Bearer KEY`")]
    NoAccess,
    /// The client asks more often than it may.
    #[error("too many requests: come back later")]
    TooOften(Standing),
    /// Too many uploads are being received or decoded.
    #[error("too many uploads at this moment: nothing was queued, come back later")]
    Busy,
    /// The queue holds as many jobs as it may.
    #[error("the queue is full: nothing was queued, come back later")]
    Full {
        /// Seconds until it may have room.
        retry_after_s: u64,
    },
    /// The broker can't be used; nothing was queued.
    #[error("the queue can't take work now: nothing was queued, come back later")]
    Broker(#[source] BrokerError),
    /// The store can't be used.
    #[error("the result store does not answer now: come back later")]
    Store(#[source] StoreError),
    /// The broker did not say whether it queued the job.
    #[error(
        "the queue did not confirm the upload: it may yet be answered under its id, or submit it again later"
    )]
    Unconfirmed {
        /// The id that it would be answered under.
        id: JobId,
    },
    /// A request of the Open Inference Protocol makes no sense to this model.
    #[error("the inference request can't be read: {0}")]
    Tensor(String),
    /// A request of the Open Inference Protocol names another model.
    #[error("there is no such model: this server offers `{known}`")]
    UnknownModel {
        /// The one there is.
        known: String,
    },
    /// The outcome is a failure, and the request waits for an answer.
    #[error("the picture can't be classified: {0}")]
    Failed(String),
    /// The outcome did not come in time, and the request waits for an answer.
    #[error("there was no answer in time: come back later, or ask with `Prefer: respond-async`")]
    Late,
    /// A mistake of ours.
    #[error("the upload met a mistake in this software")]
    Broken,
    /// Never issued, or lost.
    #[error("no such inference: the id is unknown, or its record was lost; submit the picture again")]
    UnknownId,
    /// Issued, and no longer kept.
    #[error("the result has expired, or its record was lost; submit the picture again")]
    ExpiredId,
    /// No such path.
    #[error("there is nothing at this path")]
    NoRoute,
    /// A path that has no such method.
    #[error("this path takes {allowed} only")]
    Method {
        /// The methods it has, as the header `Allow` has them.
        allowed: &'static str,
    },
}

/// The type of a problem document.
pub const PROBLEM: &str = "application/problem+json";

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// For a program: what kind of problem it is.
    #[schema(example = "/problems/queue-full")]
    r#type: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// For a person: what happened, and what to do.
    detail: String,
    /// What is allowed, if the upload is larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit_bytes: Option<usize>,
    /// The id under which the upload may yet be answered, if the queue did not confirm it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inference_id: Option<JobId>,
}

impl ApiError {
    /// Status, type and title.
    #[rustfmt::skip]
    fn row(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Read(ReadError::Empty) => (400, "/problems/empty-upload", "Empty upload"),
            Self::Read(ReadError::Unsupported) => (415, "/problems/not-an-image", "Not an image"),
            Self::Read(ReadError::Damaged(_)) => (400, "/problems/damaged-image", "Damaged image"),
            Self::Read(ReadError::TooManyPixels { .. }) => (422, "/problems/too-many-pixels", "Too many pixels"),
            Self::Read(ReadError::Unusable(_)) => (422, "/problems/unusable-image", "No digit in the image"),
            Self::Time { .. } => (400, "/problems/bad-time", "Unusable time"),
            Self::Query(_) => (400, "/problems/bad-query", "Unreadable query"),
            Self::Flood { limit: 0 } => (403, "/problems/flood-off", "Floods are off"),
            Self::Flood { .. } => (422, "/problems/flood-size", "Flood too large"),
            Self::CallbacksOff => (403, "/problems/callbacks-off", "Callbacks are off"),
            Self::Callback(_) => (422, "/problems/bad-callback", "Callback not allowed"),
            Self::UnusableKey { .. } => (400, "/problems/bad-key", "Unusable key"),
            Self::KeyTaken => (422, "/problems/key-taken", "Key taken"),
            Self::TooLarge { .. } => (413, "/problems/too-large", "Upload too large"),
            Self::Slow { .. } => (408, "/problems/too-slow", "Upload too slow"),
            Self::Body(_) => (400, "/problems/bad-body", "Unreadable body"),
            Self::Form(_) => (400, "/problems/bad-form", "Unreadable form"),
            Self::NoFile => (400, "/problems/no-file", "No file in the form"),
            Self::TooManyFiles { .. } => (422, "/problems/too-many-files", "Too many files"),
            Self::NoAccess => (401, "/problems/no-access", "No access"),
            Self::TooOften(_) => (429, "/problems/too-often", "Too many requests"),
            Self::Busy => (503, "/problems/busy", "Busy"),
            Self::Full { .. } => (429, "/problems/queue-full", "Queue full"),
            Self::Broker(_) => (503, "/problems/queue-unavailable", "Queue unavailable"),
            Self::Store(_) => (503, "/problems/store-unavailable", "Result store unavailable"),
            Self::Unconfirmed { .. } => (503, "/problems/unconfirmed", "Upload not confirmed"),
            Self::Tensor(_) => (400, "/problems/bad-inference-request", "Unreadable inference request"),
            Self::UnknownModel { .. } => (404, "/problems/unknown-model", "Unknown model"),
            Self::Failed(_) => (422, "/problems/failed", "Not classified"),
            Self::Late => (504, "/problems/late", "No answer in time"),
            Self::Broken => (500, "/problems/internal", "Internal error"),
            Self::UnknownId => (404, "/problems/unknown-inference", "Unknown inference"),
            Self::ExpiredId => (410, "/problems/expired-inference", "Expired inference"),
            Self::NoRoute => (404, "/problems/no-such-path", "No such path"),
            Self::Method { .. } => (405, "/problems/wrong-method", "Wrong method"),
        }
    }

    /// The problem's type in short, as metrics have it.
    pub fn reason(&self) -> &'static str {
        let (_, r#type, _) = self.row();
        r#type.trim_start_matches("/problems/")
    }

    /// Seconds until another try makes sense, if it ever does.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy | Self::Late => Some(RETRY_BUSY),
            Self::Full { retry_after_s } => Some(*retry_after_s),
            Self::TooOften(standing) => Some(standing.reset_s),
            Self::Broker(_) | Self::Store(_) | Self::Unconfirmed { .. } => Some(RETRY_AWAY),
            _ => None,
        }
    }

    /// The problem document.
    pub fn problem(&self) -> Problem {
        let (status, r#type, title) = self.row();
        Problem {
            r#type,
            title,
            status,
            detail: self.to_string(),
            limit_bytes: match self {
                Self::TooLarge { limit_bytes } => Some(*limit_bytes),
                _ => None,
            },
            inference_id: match self {
                Self::Unconfirmed { id } => Some(*id),
                _ => None,
            },
        }
    }

    /// A response with this problem's status and headers, and no body yet. Notes in the log what is no
    /// client's fault.
    pub fn response(&self) -> HttpResponseBuilder {
        let status = self.status_code();
        if status.is_server_error() {
            complain(self);
        }
        let mut response = HttpResponse::build(status);
        response.content_type(PROBLEM);
        if let Some(seconds) = self.retry_after() {
            response.insert_header((RETRY_AFTER, seconds));
        }
        match self {
            Self::Method { allowed } => response.insert_header((ALLOW, *allowed)),
            Self::NoAccess => response.insert_header((WWW_AUTHENTICATE, "Bearer")),
            Self::TooOften(standing) => response
                .insert_header(standing.policy())
                .insert_header(standing.state()),
            _ => &mut response,
        };
        response
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response().json(self.problem())
    }
}

fn complain(error: &ApiError) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|at| at.elapsed() < QUIET) {
        return;
    }
    *last = Some(Instant::now());
    drop(last);
    tracing::warn!(
        error = error as &dyn Error,
        "uploads or results are refused; more of them are not logged for a second"
    );
}
