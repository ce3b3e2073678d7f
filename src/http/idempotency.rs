//! The `Idempotency-Key` header of an upload: a client's own name for it, under which it may be sent again.

use actix_web::http::header::HeaderMap;

use super::error::ApiError;

/// Longest key, in characters.
const LONGEST: usize = 255;

/// The key that a request has, if it has one.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut keys = headers.get_all("idempotency-key");
    let Some(first) = keys.next() else {
        return Ok(None);
    };
    match first.to_str() {
        Ok(key) if keys.next().is_none() && (1..=LONGEST).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::UnusableKey { longest: LONGEST }),
    }
}
