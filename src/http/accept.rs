//! From an upload to a queued job and its id.
//!
//! The order is the promise: read, reserve, publish, and only then an id is given out. What can't be read leaves nothing
//! behind; what can't be queued takes its reservation back, unless it has a key: then it may come again.

use std::time::{Duration, SystemTime};

use actix_web::web::{self, Bytes};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::state::State;
use crate::broker::PublishError;
use crate::job::{Job, JobId};
use crate::store::{Claim, Entry};

/// What holds for all pictures of a request.
#[derive(Clone)]
pub struct Terms {
    /// When it came.
    pub accepted_at: SystemTime,
    /// How long each may wait for its outcome.
    pub deadline: Duration,
    /// The client's own name for it.
    pub key: Option<String>,
}

impl Terms {
    /// Of a request that comes now, has no key and this deadline.
    pub fn now(deadline: Duration) -> Self {
        Self {
            accepted_at: SystemTime::now(),
            deadline,
            key: None,
        }
    }
}

/// Reads, reserves, publishes. An upload that comes again under its key is published again unless it is finished: it
/// is not known how far the first one came, and a job that comes twice is answered once.
pub async fn accept(state: &State, upload: Bytes, terms: Terms) -> Result<JobId, ApiError> {
    let picture = state.decoder.decode(upload.clone()).await?;
    let id = match &terms.key {
        None => JobId::issue(),
        Some(key) => {
            let id = claim(state, key, upload, terms.deadline).await?;
            if let Some(Entry::Finished(_)) = state.store.fetch(id).await.map_err(ApiError::Store)? {
                return Ok(id);
            }
            id
        }
    };
    let job = Job {
        id,
        picture,
        result_ttl: state.settings.result_ttl(),
        accepted_at: terms.accepted_at,
    };
    state
        .store
        .reserve(id, terms.deadline, job.result_ttl)
        .await
        .map_err(ApiError::Store)?;
    match state.broker.publish(&job, terms.deadline).await {
        Ok(()) => {
            state.pace.note_queued();
            tracing::debug!(inference_id = %id, "queued");
            Ok(id)
        }
        // It may have been queued: then it will be answered, and the reservation stays for it.
        Err(PublishError::Unconfirmed) => Err(ApiError::Unconfirmed { id }),
        Err(refused) => {
            // Under the same key it may have been queued by another request, which needs the reservation.
            if terms.key.is_none()
                && let Err(error) = state.store.release(id).await
            {
                tracing::debug!(inference_id = %id, %error, "the reservation stays until it expires");
            }
            Err(match refused {
                PublishError::Broker(error) => ApiError::Broker(error),
                PublishError::Full | PublishError::Unconfirmed => ApiError::Full {
                    retry_after_s: state.pace.until_room(),
                },
            })
        }
    }
}

/// The id that a key stands for.
async fn claim(state: &State, key: &str, upload: Bytes, deadline: Duration) -> Result<JobId, ApiError> {
    // A large upload must not hold up others.
    let hashed = web::block(move || Sha256::digest(upload).into()).await;
    let claim = Claim {
        id: JobId::issue(),
        fingerprint: hashed.map_err(|_| ApiError::Broken)?,
    };
    let ttl = deadline.saturating_add(state.settings.result_ttl());
    let held = state
        .store
        .claim(key, claim, ttl)
        .await
        .map_err(ApiError::Store)?;
    if held.fingerprint == claim.fingerprint {
        Ok(held.id)
    } else {
        Err(ApiError::KeyTaken)
    }
}
