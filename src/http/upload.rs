//! `POST /classify`: from an upload to a queued job and its id.
//!
//! The order is the promise: read, reserve, publish, and only then 202. What can't be read leaves nothing
//! behind; what can't be queued takes its reservation back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::body::{self, Upload};
use super::error::ApiError;
use super::{State, prefer, result};
use crate::broker::PublishError;
use crate::job::{Job, JobId, Picture};
use crate::store::Entry;

/// Seconds after which a client may come back for a result.
pub const COME_BACK: u64 = 1;
/// Uploads up to this size are read where they arrive: a 28×28 PNG takes less time than a change of threads.
const READ_IN_PLACE_BYTES: usize = 2 << 10;
/// How long an upload waits for its turn to be decoded.
const DECODE_TURN: Duration = Duration::from_secs(10);
/// A reservation outlives the longest time that a job may plausibly wait; it takes a few bytes.
const RESERVED: Duration = Duration::from_secs(24 * 3600);

/// Takes one upload or several.
pub async fn classify(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, ApiError> {
    let accepted_at = SystemTime::now();
    let mut uploads = body::receive(&request, payload, &state.settings).await?;
    match uploads.pop() {
        Some(only) if uploads.is_empty() => {
            let id = accept(&state, only.picture, accepted_at).await?;
            respond(&request, &state, id).await
        }
        last => {
            uploads.extend(last);
            respond_to_several(&state, uploads, accepted_at).await
        }
    }
}

/// The id alone, or the result if the client would rather wait and it comes in time.
async fn respond(request: &HttpRequest, state: &State, id: JobId) -> Result<HttpResponse, ApiError> {
    if let Some(preferred) = prefer::wait(request) {
        let granted = preferred.min(state.settings.max_wait());
        // The job is queued: whatever the store answers now, the client gets its id.
        let waited = tokio::select! {
            waited = state.store.wait(id, granted) => waited.ok().flatten(),
            () = state.shutdown.cancelled() => None,
        };
        if let Some(Entry::Finished(outcome)) = waited {
            let applied = ("Preference-Applied", format!("wait={}", granted.as_secs()));
            return Ok(HttpResponse::Ok()
                .insert_header(applied)
                .json(result::Body::new(id, outcome)));
        }
    }
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/result/{id}")))
        .insert_header((RETRY_AFTER, COME_BACK))
        .json(json!({ "inference_id": id })))
}

/// Each upload on its own; a refusal only if none could be taken.
async fn respond_to_several(
    state: &Data<State>,
    uploads: Vec<Upload>,
    accepted_at: SystemTime,
) -> Result<HttpResponse, ApiError> {
    let accepted = uploads
        .into_iter()
        .map(|upload| async move { (upload.filename, accept(state, upload.picture, accepted_at).await) });
    let accepted = join_all(accepted).await;
    let entry = |(filename, accepted): &(Option<String>, Result<JobId, ApiError>)| match accepted {
        Ok(id) => json!({ "filename": filename, "inference_id": id }),
        Err(error) => json!({ "filename": filename, "error": error.problem() }),
    };
    let inferences: Vec<Value> = accepted.iter().map(entry).collect();
    if accepted.iter().any(|(_, accepted)| accepted.is_ok()) {
        let mut response = HttpResponse::Accepted();
        return Ok(response
            .insert_header((RETRY_AFTER, COME_BACK))
            .json(json!({ "inferences": inferences })));
    }
    match accepted.into_iter().find_map(|(_, accepted)| accepted.err()) {
        Some(first) => {
            let mut problem = first.problem();
            problem["inferences"] = inferences.into();
            Ok(first.response().body(problem.to_string()))
        }
        None => Err(ApiError::NoFile),
    }
}

/// Reads, reserves, publishes.
async fn accept(
    state: &Data<State>,
    upload: Result<Bytes, ApiError>,
    accepted_at: SystemTime,
) -> Result<JobId, ApiError> {
    let picture = read(state, upload?).await?;
    let job = Job {
        id: JobId::issue(),
        picture,
        result_ttl: state.settings.result_ttl(),
        accepted_at,
    };
    state.store.reserve(job.id, RESERVED.max(job.result_ttl)).await?;
    match state.broker.publish(&job).await {
        Ok(()) => {
            tracing::debug!(inference = %job.id, "accepted");
            Ok(job.id)
        }
        // It may have been queued: then it will be answered, and the reservation stays for it.
        Err(unconfirmed @ PublishError::Unconfirmed) => Err(unconfirmed.into()),
        Err(refused) => {
            if let Err(error) = state.store.release(job.id).await {
                tracing::debug!(inference = %job.id, %error, "the reservation stays until it expires");
            }
            Err(refused.into())
        }
    }
}

/// Small pictures at once, others on a thread for blocking work, as many at a time as there are cores.
async fn read(state: &Data<State>, upload: Bytes) -> Result<Picture, ApiError> {
    if upload.len() <= READ_IN_PLACE_BYTES {
        return Ok(state.reader.read(&upload)?);
    }
    let _waiting = state.uploads.try_acquire().map_err(|_| ApiError::Busy)?;
    let turn = timeout(DECODE_TURN, state.decodes.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(ApiError::Busy);
    };
    let reader = Arc::clone(&state.reader);
    let read = spawn_blocking(move || reader.read(&upload)).await;
    Ok(read.map_err(|panic| ApiError::Away(Box::new(panic)))??)
}
