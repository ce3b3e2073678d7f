//! A request's body: all of its bytes, within limits of size, time and memory.
//!
//! Holds nothing on a disk. Knows nothing of forms or images.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::ApiError;

/// Memory that a body gets at once for a length that it only declares; the rest as it comes.
const RESERVED_BYTES: usize = 256 << 10;

/// What a body may be.
pub struct Limits {
    /// How large.
    pub max_bytes: usize,
    /// How long it may take to come in.
    pub timeout_ms: u64,
    /// One permit for each byte that all bodies together may hold.
    pub room: Arc<Semaphore>,
}

/// A body's bytes, with their share of the memory for all bodies.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the whole body, whose memory is free for others once the last part of it is dropped. After an error the rest of
/// it is still in `payload`.
pub async fn collect(payload: &mut Payload, headers: &HeaderMap, limits: &Limits) -> Result<Bytes, ApiError> {
    let declared = declared_bytes(headers);
    if declared.is_some_and(|bytes| bytes > limits.max_bytes) {
        return Err(too_large(limits));
    }
    let limit_ms = limits.timeout_ms;
    timeout(Duration::from_millis(limit_ms), read(payload, declared, limits))
        .await
        .unwrap_or(Err(ApiError::Slow { limit_ms }))
}

async fn read(payload: &mut Payload, declared: Option<usize>, limits: &Limits) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut grown = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(ApiError::Body)?;
        let is_first = length == 0;
        length += chunk.len();
        if length > limits.max_bytes {
            return Err(too_large(limits));
        }
        if is_first {
            // Most bodies come in one piece, which then needs no copy.
            first = chunk;
            continue;
        }
        if grown.is_empty() {
            take_room(&mut room, first.len(), limits)?;
            grown.reserve(declared.unwrap_or_default().min(RESERVED_BYTES));
            grown.extend_from_slice(&mem::take(&mut first));
        }
        take_room(&mut room, chunk.len(), limits)?;
        grown.extend_from_slice(&chunk);
    }
    // One that fits into a connection's own buffer takes no share.
    Ok(match room {
        None => first,
        Some(room) => Bytes::from_owner(Held {
            bytes: grown.freeze(),
            _room: room,
        }),
    })
}

fn take_room(room: &mut Option<OwnedSemaphorePermit>, bytes: usize, limits: &Limits) -> Result<(), ApiError> {
    let wanted = u32::try_from(bytes).map_err(|_| ApiError::Busy)?;
    let more = Arc::clone(&limits.room)
        .try_acquire_many_owned(wanted)
        .map_err(|_| ApiError::Busy)?;
    match room {
        Some(room) => room.merge(more),
        None => *room = Some(more),
    }
    Ok(())
}

fn declared_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limits: &Limits) -> ApiError {
    ApiError::TooLarge {
        limit_bytes: limits.max_bytes,
    }
}
