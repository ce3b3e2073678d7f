//! The one table of errors and status codes: every refusal is a problem document (RFC 9457).

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::{Value, json};

use crate::broker::{BrokerError, PublishError};
use crate::digit::ReadError;
use crate::store::StoreError;

/// Seconds until another try at a full queue: at usual rates a batch is gone by then.
const RETRY_FULL: u64 = 1;
/// Seconds until another try when broker or store are away: about what a reconnection takes.
const RETRY_AWAY: u64 = 2;

/// Everything that a client can be refused for. The text is the problem's detail.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The upload is no picture that can be asked about.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A picture or a body is larger than allowed.
    #[error("the upload is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body did not come in time.
    #[error("the upload did not arrive within {limit_ms} ms")]
    Slow {
        /// The limit.
        limit_ms: u64,
    },
    /// The body broke off, or is no form.
    #[error("the request's body can't be read: {0}")]
    Body(String),
    /// The form has no picture.
    #[error("the form has no field named `file`")]
    NoFile,
    /// The form has too many pictures.
    #[error("the form has more than {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// Too many uploads are being decoded.
    #[error("too many uploads at this moment")]
    Busy,
    /// The queue holds as many jobs as it may.
    #[error("the queue is full: nothing was queued, come back later")]
    Full,
    /// The broker or the store are away.
    #[error("the service can't take or look up work now: come back later")]
    Away(#[source] crate::store::Cause),
    /// Never issued, or lost.
    #[error("no such inference: the id is unknown, or its record was lost; submit the picture again")]
    UnknownId,
    /// Issued, and no longer kept.
    #[error("the result has expired, or was lost; submit the picture again")]
    ExpiredId,
    /// No such path.
    #[error("there is nothing at this path")]
    NoRoute,
    /// A path that has no such method.
    #[error("this path takes {allowed} only")]
    Method {
        /// The methods it has.
        allowed: String,
    },
}

impl ApiError {
    /// Status, the end of its type's URI, and title.
    fn row(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Read(ReadError::Empty) => (StatusCode::BAD_REQUEST, "empty-upload", "Empty upload"),
            Self::Read(ReadError::Unsupported) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-an-image", "Not an image")
            }
            Self::Read(ReadError::Damaged(_)) => (StatusCode::BAD_REQUEST, "damaged-image", "Damaged image"),
            Self::Read(ReadError::TooManyPixels { .. }) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too-many-pixels",
                "Too many pixels",
            ),
            Self::Read(ReadError::Unusable(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "no-digit",
                "No digit in the image",
            ),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Upload too large"),
            Self::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, "too-slow", "Upload too slow"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "bad-body", "Unreadable body"),
            Self::NoFile => (StatusCode::BAD_REQUEST, "no-file", "No file in the form"),
            Self::TooManyFiles { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too-many-files",
                "Too many files",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Self::Full => (StatusCode::TOO_MANY_REQUESTS, "queue-full", "Queue full"),
            Self::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable"),
            Self::UnknownId => (StatusCode::NOT_FOUND, "unknown-inference", "Unknown inference"),
            Self::ExpiredId => (StatusCode::GONE, "expired-inference", "Expired inference"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-such-path", "No such path"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Wrong method"),
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy | Self::Full => Some(RETRY_FULL),
            Self::Away(_) => Some(RETRY_AWAY),
            _ => None,
        }
    }

    /// The problem document.
    pub fn problem(&self) -> Value {
        let (status, kind, title) = self.row();
        json!({
            "type": format!("/problems/{kind}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.to_string(),
        })
    }

    /// A response with this problem's status and headers, and no body yet.
    pub fn response(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        if let Some(seconds) = self.retry_after() {
            response.insert_header((RETRY_AFTER, seconds));
        }
        match self {
            Self::Method { allowed } => {
                response.insert_header((ALLOW, allowed.as_str()));
            }
            // The rest of such a body is not read: the connection can't be used again.
            Self::Slow { .. } | Self::TooLarge { .. } => {
                response.insert_header((CONNECTION, HeaderValue::from_static("close")));
            }
            _ => {}
        }
        response
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.row().0
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Away(cause) = self {
            tracing::debug!(error = cause.as_ref() as &dyn std::error::Error, "answered 503");
        }
        self.response().body(self.problem().to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Away(Box::new(error))
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Full => Self::Full,
            PublishError::Broker(_) | PublishError::Unconfirmed => Self::Away(Box::new(error)),
        }
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        Self::Away(Box::new(error))
    }
}
