//! From a body to the pictures in it: a form's files, or the body itself.
//!
//! Knows `multipart/form-data` (RFC 7578), and nothing of images.

use std::future::ready;

use actix_multipart::{Multipart, MultipartError};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use futures_util::StreamExt;
use futures_util::stream::once;
use utoipa::ToSchema;

use super::Settings;
use super::error::ApiError;

/// The form field that holds a picture.
const FIELD: &str = "file";

/// A form with pictures, for its description: it is read part by part.
#[derive(ToSchema)]
pub struct Form {
    /// The pictures: one field or several of this name.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1)]
    #[expect(dead_code, reason = "described, and never made")]
    file: Vec<Bytes>,
}

/// A form with one picture, for its description.
#[derive(ToSchema)]
pub struct FormOfOne {
    /// The picture.
    #[schema(value_type = String, format = Binary)]
    #[expect(dead_code, reason = "described, and never made")]
    file: Bytes,
}

/// A picture as the whole body, for its description.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "described, and never made")]
pub struct ImageFile(Bytes);

/// One picture as it came.
pub struct Upload {
    /// What the client calls it, if it came in a form.
    pub filename: Option<String>,
    /// Its bytes, or why they can't be had.
    pub picture: Result<Bytes, ApiError>,
}

/// Whether the body is a form. Any other body is a picture, whatever it calls itself: its bytes tell.
pub fn is_form(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("multipart/form-data"))
}

/// The pictures of a form: one at least, in its order. Other fields are passed over.
pub async fn parse(headers: &HeaderMap, body: Bytes, settings: &Settings) -> Result<Vec<Upload>, ApiError> {
    let mut form = Multipart::new(headers, once(ready(Ok(body))));
    let mut uploads = Vec::new();
    while let Some(field) = form.next().await {
        let mut field = field.map_err(ApiError::Form)?;
        if field.name() != Some(FIELD) {
            continue;
        }
        if uploads.len() == settings.max_files {
            return Err(ApiError::TooManyFiles {
                limit: settings.max_files,
            });
        }
        let filename = field
            .content_disposition()
            .and_then(|disposition| disposition.get_filename())
            .map(str::to_owned);
        let limit_bytes = settings.max_upload_bytes;
        let picture = match field.bytes(limit_bytes).await {
            Ok(bytes) => Ok(bytes.map_err(ApiError::Form)?),
            Err(_) => Err(ApiError::TooLarge { limit_bytes }),
        };
        uploads.push(Upload { filename, picture });
    }
    if uploads.is_empty() {
        Err(ApiError::NoFile)
    } else {
        Ok(uploads)
    }
}

/// What is wrong with a form, in words.
pub fn describe(error: &MultipartError) -> String {
    match error {
        MultipartError::BoundaryMissing => {
            "its content type names no boundary, or its parts are not separated by it".to_owned()
        }
        MultipartError::Incomplete => "it breaks off before its end".to_owned(),
        other => other.to_string(),
    }
}
