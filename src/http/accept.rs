//! From an upload to a queued job and its id.
//!
//! The order is the promise: read, reserve, publish, and only then an id is given out. What can't be read leaves nothing
//! behind; what can't be queued takes its reservation back, unless it has a key: then it may come again. A client that
//! waits for the outcome gets no id before that, and so need not wait for the confirmation of its job.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use actix_web::HttpRequest;
use actix_web::web::{self, Bytes};
use sha2::{Digest, Sha256};

use super::access::Caller;
use super::error::ApiError;
use super::lifetimes::{self, CANCEL_AFTER, RESULT_TTL};
use super::state::State;
use super::{Settings, idempotency, watch};
use crate::broker::{Confirm, PublishError};
use crate::job::{Job, JobId, Outcome, Picture, TraceParent};
use crate::store::{Claim, Entry, First, Reservation};

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
    /// For how long the client would rather wait for the outcome than take an id.
    pub wait: Option<Duration>,
}

/// An upload that was taken.
pub struct Accepted {
    /// By which the outcome can be had.
    pub id: JobId,
    /// The outcome, to a client that waits, if it came in time.
    pub outcome: Option<Outcome>,
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
            wait: None,
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
pub async fn accept(state: &State, upload: Bytes, terms: Terms) -> Result<Accepted, ApiError> {
    let decoding = state.traces.stage("decode", terms.trace);
    let picture = state.decoder.decode(upload.clone()).await?;
    drop(decoding);
    queue(state, picture, upload, terms).await
}

/// Reserves, publishes. A picture whose `source` comes again under its key is published again unless it is finished: it
/// is not known how far the first one came, and a job that comes twice is answered once.
pub async fn queue(
    state: &State,
    picture: Picture,
    source: Bytes,
    terms: Terms,
) -> Result<Accepted, ApiError> {
    let reading = terms.accepted_at.elapsed().unwrap_or_default();
    let id = match &terms.key {
        None => JobId::issue(),
        Some(key) => {
            let id = claim(state, key, source.clone(), &terms).await?;
            if let Some(Entry::Finished(outcome)) = state.store.fetch(id).await.map_err(ApiError::Store)? {
                let outcome = terms.wait.and(Some(outcome));
                return Ok(Accepted { id, outcome });
            }
            id
        }
    };
    // Whoever waits for an outcome holds no memory for an upload.
    drop(source);
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
    let published = match terms.wait {
        None => {
            let published = state.broker.publish(&job, terms.deadline, Confirm::AtOnce).await;
            published.map(|()| None)
        }
        Some(limit) => publish_and_wait(state, &job, terms.deadline, limit).await,
    };
    match published {
        Ok(outcome) => {
            state.pace.note_queued();
            state.serving.note_accepted();
            tracing::debug!(inference_id = %id, "queued");
            Ok(Accepted { id, outcome })
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

/// Publishes, and waits for the outcome, or for `limit`; in any case until the job is known to be durable, as it is with its
/// outcome.
async fn publish_and_wait(
    state: &State,
    job: &Job,
    deadline: Duration,
    limit: Duration,
) -> Result<Option<Outcome>, PublishError> {
    let mut waiting = pin!(async {
        // The job is queued: whatever the store says now, the client gets its id.
        match state.wait(job.id, limit, First::Listen).await {
            Ok(Some(Entry::Finished(outcome))) => Some(outcome),
            _ => None,
        }
    });
    let mut publishing = pin!(state.broker.publish(job, deadline, Confirm::Soon));
    tokio::select! {
        biased;
        outcome = &mut waiting => match outcome {
            Some(outcome) => Ok(Some(outcome)),
            None => publishing.await.map(|()| None),
        },
        published = &mut publishing => {
            published?;
            Ok(waiting.await)
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
