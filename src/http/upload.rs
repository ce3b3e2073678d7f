//! `POST /classify`: from an upload to a queued job and its id.
//!
//! The order is the promise: read, reserve, publish, and only then 202. What can't be read leaves nothing
//! behind; what can't be queued takes its reservation back.

use std::time::{Duration, SystemTime};

use actix_web::http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use actix_web::web::{self, Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::body::{self, Body, Limits};
use super::error::{ApiError, Problem, refuse};
use super::form::{self, Upload};
use super::state::State;
use super::{cancel_after, idempotency, prefer, result};
use crate::broker::PublishError;
use crate::job::{Job, JobId};
use crate::store::{Claim, Entry};

/// Pictures of one request that are in work at once: enough to share the queue's commits, few enough that
/// one client does not take every turn to decode.
const AT_ONCE: usize = 16;

/// What holds for all pictures of a request.
#[derive(Clone)]
pub struct Terms {
    accepted_at: SystemTime,
    /// How long each may wait for its outcome.
    deadline: Duration,
    /// The client's own name for it.
    key: Option<String>,
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

/// The answer to one upload, or to each of several.
#[derive(Serialize)]
struct Accepted {
    inference_id: JobId,
}

#[derive(Serialize)]
struct Several {
    inferences: Vec<Inference>,
}

#[derive(Serialize)]
struct Inference {
    filename: Option<String>,
    #[serde(flatten)]
    fate: Fate,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    InferenceId(JobId),
    Error(Problem),
}

#[derive(Serialize)]
struct Refused {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    several: Several,
}

/// Takes one upload or several.
pub async fn classify(request: HttpRequest, mut payload: Payload, state: Data<State>) -> HttpResponse {
    match take(&request, &mut payload, &state).await {
        Ok(response) => response,
        Err(error) => refuse(&error, payload),
    }
}

async fn take(request: &HttpRequest, payload: &mut Payload, state: &State) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let terms = Terms {
        key: idempotency::key(headers)?,
        ..Terms::now(cancel_after::deadline(headers, state.settings.deadline())?)
    };
    let (mut uploads, body) = collect(headers, payload, state).await?;
    let only = match uploads.pop() {
        Some(only) if uploads.is_empty() => only,
        last => {
            uploads.extend(last);
            return Ok(take_several(state, uploads, terms).await);
        }
    };
    let id = accept(state, only.picture?, terms).await?;
    // A client that waits for its result holds no memory for its upload.
    drop(body);
    Ok(respond(request, state, id).await)
}

/// The uploads of a request, one at least, and the body that holds their memory.
pub async fn collect(
    headers: &HeaderMap,
    payload: &mut Payload,
    state: &State,
) -> Result<(Vec<Upload>, Body), ApiError> {
    let settings = &state.settings;
    let is_form = form::is_form(headers);
    let limits = Limits {
        max_bytes: if is_form {
            settings.max_request_bytes
        } else {
            settings.max_upload_bytes
        },
        timeout_ms: settings.body_timeout_ms,
        room: state.room.clone(),
    };
    let body = body::collect(payload, headers, &limits).await?;
    let uploads = if is_form {
        form::parse(headers, body.bytes.clone(), settings).await?
    } else {
        vec![Upload {
            filename: None,
            picture: Ok(body.bytes.clone()),
        }]
    };
    Ok((uploads, body))
}

/// The id alone, or the result if the client would rather wait and it comes in time.
async fn respond(request: &HttpRequest, state: &State, id: JobId) -> HttpResponse {
    if let Some(wait) = prefer::wait(request.headers()) {
        let granted = wait.min(state.settings.max_wait());
        // The job is queued: whatever the store says now, the client gets its id.
        if let Ok(Some(Entry::Finished(outcome))) = state.wait(id, granted).await {
            state.seen.note(&outcome);
            return HttpResponse::Ok()
                .insert_header(prefer::applied(granted))
                .insert_header(result::NO_STORE)
                .json(result::Body::finished(id, outcome));
        }
    }
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/result/{id}")))
        .insert_header((RETRY_AFTER, state.pace.until_answered()))
        .json(Accepted { inference_id: id })
}

/// Each upload on its own; a refusal only if none could be taken.
async fn take_several(state: &State, uploads: Vec<Upload>, terms: Terms) -> HttpResponse {
    let accepting = uploads.into_iter().enumerate().map(|(place, upload)| {
        // A request's key stands for each of its uploads by its place.
        let key = terms.key.as_ref().map(|key| format!("{key}/{place}"));
        (upload, Terms { key, ..terms.clone() })
    });
    let accepting = accepting.map(|(upload, terms)| async move {
        let accepted = match upload.picture {
            Ok(picture) => accept(state, picture, terms).await,
            Err(error) => Err(error),
        };
        (upload.filename, accepted)
    });
    let accepted: Vec<_> = iter(accepting).buffered(AT_ONCE).collect().await;
    let any = accepted.iter().any(|(_, accepted)| accepted.is_ok());
    let worst = accepted
        .iter()
        .filter_map(|(_, accepted)| accepted.as_ref().err())
        // Of the statuses, the ones worth another try are the greatest.
        .max_by_key(|error| error.status_code())
        .map(|error| (error.response(), error.problem()));
    let inferences = accepted.into_iter().map(|(filename, accepted)| Inference {
        filename,
        fate: match accepted {
            Ok(id) => Fate::InferenceId(id),
            Err(error) => Fate::Error(error.problem()),
        },
    });
    let several = Several {
        inferences: inferences.collect(),
    };
    match worst {
        Some((mut response, problem)) if !any => response.json(Refused { problem, several }),
        _ => HttpResponse::Accepted()
            .insert_header((RETRY_AFTER, state.pace.until_answered()))
            .json(several),
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
