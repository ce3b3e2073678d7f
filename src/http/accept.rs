//! From an upload to a queued job and its id.
//!
//! The order is the promise: read, reserve, publish, and only then an id is given out. What can't be read leaves nothing
//! behind; what can't be queued takes its reservation back, unless it has a key: then it may come again.

use std::time::{Duration, SystemTime};

use actix_web::HttpRequest;
use actix_web::web::{self, Bytes};
use sha2::{Digest, Sha256};

use super::access::Caller;
use super::error::ApiError;
use super::lifetimes::{self, CANCEL_AFTER, RESULT_TTL};
use super::state::State;
use super::{Settings, idempotency, watch};
use crate::broker::PublishError;
use crate::job::{Job, JobId, Picture, TraceParent};
use crate::store::{Claim, Entry, Reservation};

/// What holds for all pictures of a request.
#[derive(Clone)]
pub struct Terms {
    /// When it came.
    pub accepted_at: SystemTime,
    /// How long each may wait for its outcome.
    pub deadline: Duration,
    /// How long each outcome is kept.
    pub result_ttl: Duration,
    /// The client's own name for it.
    pub key: Option<String>,
    /// Where each outcome goes.
    pub callback_url: Option<String>,
    /// Who alone may know of it.
    pub owner: Option<String>,
    /// Where in a trace the request is.
    pub trace: Option<TraceParent>,
}

impl Terms {
    /// Of a request that comes now, and asks for nothing special.
    pub fn now(request: &HttpRequest, settings: &Settings) -> Self {
        Self {
            accepted_at: SystemTime::now(),
            deadline: settings.deadline(),
            result_ttl: settings.result_ttl(),
            key: None,
            callback_url: None,
            owner: Caller::of(request).name().map(str::to_owned),
            trace: None,
        }
    }

    /// Of a request that comes now, by its headers.
    pub fn of(request: &HttpRequest, settings: &Settings) -> Result<Self, ApiError> {
        let headers = request.headers();
        let terms = Self::now(request, settings);
        Ok(Self {
            deadline: lifetimes::asked(headers, CANCEL_AFTER, settings.deadline())?,
            result_ttl: lifetimes::asked(headers, RESULT_TTL, settings.result_ttl())?,
            key: idempotency::key(headers)?.map(|key| terms.own(key)),
            trace: watch::place(request),
            ..terms
        })
    }

    /// A key as its client's alone: another may use the same one.
    fn own(&self, key: String) -> String {
        match &self.owner {
            Some(owner) => format!("@{owner}/{key}"),
            None => key,
        }
    }

    /// Of one picture of several: a request's key stands for each of them by its place.
    pub fn at(&self, place: usize) -> Self {
        Self {
            key: self.key.as_ref().map(|key| format!("{key}/{place}")),
            ..self.clone()
        }
    }
}

/// Reads an upload, and queues it.
pub async fn accept(state: &State, upload: Bytes, terms: Terms) -> Result<JobId, ApiError> {
    let decoding = state.traces.stage("decode", terms.trace);
    let picture = state.decoder.decode(upload.clone()).await?;
    drop(decoding);
    queue(state, picture, upload, terms).await
}

/// Reserves, publishes. A picture whose `source` comes again under its key is published again unless it is finished: it
/// is not known how far the first one came, and a job that comes twice is answered once.
pub async fn queue(state: &State, picture: Picture, source: Bytes, terms: Terms) -> Result<JobId, ApiError> {
    let reading = terms.accepted_at.elapsed().unwrap_or_default();
    let id = match &terms.key {
        None => JobId::issue(),
        Some(key) => {
            let id = claim(state, key, source, &terms).await?;
            if let Some(Entry::Finished(_)) = state.store.fetch(id).await.map_err(ApiError::Store)? {
                return Ok(id);
            }
            id
        }
    };
    let mut publish = state.traces.publish(terms.trace);
    publish.note_text("mnistq.inference_id", id);
    let job = Job {
        id,
        picture,
        result_ttl: terms.result_ttl,
        accepted_at: terms.accepted_at,
        reading,
        trace: publish.context(),
    };
    state
        .store
        .reserve(&Reservation {
            owner: terms.owner,
            ..Reservation::new(id, terms.deadline, job.result_ttl)
        })
        .await
        .map_err(ApiError::Store)?;
    // Before the id is given out, like the job itself.
    if let (Some(url), Some(courier)) = (&terms.callback_url, &state.courier)
        && let Err(error) = courier.order(id, url).await
    {
        if terms.key.is_none() {
            take_back(state, id).await;
        }
        return Err(ApiError::Store(error));
    }
    match state.broker.publish(&job, terms.deadline).await {
        Ok(()) => {
            state.pace.note_queued();
            state.serving.note_accepted();
            tracing::debug!(inference_id = %id, "queued");
            Ok(id)
        }
        // It may have been queued: then it will be answered, and the reservation stays for it.
        Err(PublishError::Unconfirmed) => Err(ApiError::Unconfirmed { id }),
        Err(refused) => {
            publish.fail(&refused);
            // Under the same key it may have been queued by another request, which needs the reservation.
            if terms.key.is_none() {
                take_back(state, id).await;
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

/// What was kept for a job that could not be queued.
async fn take_back(state: &State, id: JobId) {
    if let Some(courier) = &state.courier
        && let Err(error) = courier.withdraw(id).await
    {
        tracing::debug!(inference_id = %id, %error, "its callback stays until it finds no job");
    }
    if let Err(error) = state.store.release(id).await {
        tracing::debug!(inference_id = %id, %error, "the reservation stays until it expires");
    }
}

/// The id that a key stands for.
async fn claim(state: &State, key: &str, source: Bytes, terms: &Terms) -> Result<JobId, ApiError> {
    // A large upload must not hold up others.
    let hashed = web::block(move || Sha256::digest(source).into()).await;
    let claim = Claim {
        id: JobId::issue(),
        fingerprint: hashed.map_err(|_| ApiError::Broken)?,
    };
    let ttl = terms.deadline.saturating_add(terms.result_ttl);
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
