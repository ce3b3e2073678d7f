//! From a request's body to the pictures in it: a form's files, or the body itself, within limits.
//!
//! Bounded in bytes, files and time; holds nothing on a disk. Knows nothing of images.

use std::time::Duration;

use actix_multipart::{Multipart, MultipartError};
use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::Settings;
use super::error::ApiError;

/// The form field that holds a picture.
const FIELD: &str = "file";

/// One picture as it came.
pub struct Upload {
    /// What the client calls it, if it came in a form.
    pub filename: Option<String>,
    /// Its bytes, or why they can't be had.
    pub picture: Result<Bytes, ApiError>,
}

/// All pictures of a request: one at least.
pub async fn receive(
    request: &HttpRequest,
    payload: Payload,
    settings: &Settings,
) -> Result<Vec<Upload>, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_form = content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("multipart/"));
    let receiving = async {
        if is_form {
            form(Multipart::new(request.headers(), payload), settings).await
        } else {
            let picture = collect(payload, settings.max_upload_bytes).await?;
            Ok(vec![Upload {
                filename: None,
                picture: Ok(picture),
            }])
        }
    };
    let limit_ms = settings.body_timeout_ms;
    match timeout(Duration::from_millis(limit_ms), receiving).await {
        Ok(received) => received,
        Err(_) => Err(ApiError::Slow { limit_ms }),
    }
}

async fn form(mut form: Multipart, settings: &Settings) -> Result<Vec<Upload>, ApiError> {
    let mut uploads = Vec::new();
    let mut left = settings.max_request_bytes;
    while let Some(field) = form.next().await {
        let mut field = field.map_err(|error| ApiError::Body(describe(&error)))?;
        let wanted = field.name() == Some(FIELD);
        if wanted && uploads.len() == settings.max_files {
            return Err(ApiError::TooManyFiles {
                limit: settings.max_files,
            });
        }
        let filename = field
            .content_disposition()
            .and_then(|header| header.get_filename());
        let filename = filename.map(str::to_owned);
        let mut picture = BytesMut::new();
        let mut too_large = false;
        while let Some(chunk) = field.next().await {
            let chunk = chunk.map_err(|error| ApiError::Body(describe(&error)))?;
            left = left.checked_sub(chunk.len()).ok_or(ApiError::TooLarge {
                limit_bytes: settings.max_request_bytes,
            })?;
            // The rest of the form is still read, so that the other pictures get their answers.
            too_large |= picture.len() + chunk.len() > settings.max_upload_bytes;
            if wanted && !too_large {
                picture.extend_from_slice(&chunk);
            }
        }
        if wanted {
            let too_large_error = ApiError::TooLarge {
                limit_bytes: settings.max_upload_bytes,
            };
            let picture = if too_large {
                Err(too_large_error)
            } else {
                Ok(picture.freeze())
            };
            uploads.push(Upload { filename, picture });
        }
    }
    if uploads.is_empty() {
        Err(ApiError::NoFile)
    } else {
        Ok(uploads)
    }
}

async fn collect(
    mut payload: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    limit_bytes: usize,
) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::Body(error.to_string()))?;
        if body.len() + chunk.len() > limit_bytes {
            return Err(ApiError::TooLarge { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What is wrong with a form, in words.
fn describe(error: &MultipartError) -> String {
    match error {
        MultipartError::BoundaryMissing => "the form's content type names no boundary".to_owned(),
        MultipartError::Incomplete => "the form breaks off before its end".to_owned(),
        other => other.to_string(),
    }
}
