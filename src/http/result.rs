//! `GET` and `DELETE /result/{id}`: what became of a job.

use actix_web::http::header::{CACHE_CONTROL, HeaderName, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::access::Caller;
use super::answer::{Answer, Shown, server_timing};
use super::error::{ApiError, PROBLEM, Problem};
use super::prefer;
use super::state::State;
use crate::job::{JobId, Outcome};
use crate::store::{Entry, Finished, First};

/// A result changes once, and may be erased: nobody on the way keeps a copy.
pub const NO_STORE: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// What is known now, or after the time that the client would rather wait.
#[utoipa::path(
    get,
    path = "/result/{id}",
    operation_id = "result",
    tag = "results",
    summary = "What became of an upload",
    params(
        ("id" = JobId, Path, description = "The id that the upload was given"),
        Shown,
        ("Prefer" = Option<String>, Header, description = "`wait=5`: the answer may come up to five seconds later", example = "wait=5"),
    ),
    responses(
        (status = 200, description = "What is known now", body = Answer, headers(
            ("Retry-After" = u64, description = "While it is queued: seconds until it makes sense to ask again"),
            ("Server-Timing" = String, description = "Once it has succeeded: the time of each stage, in milliseconds"),
        )),
        (status = 400, description = "Unreadable query", body = Problem, content_type = PROBLEM),
        (status = 404, description = "Never issued, or lost", body = Problem, content_type = PROBLEM),
        (status = 410, description = "No longer kept", body = Problem, content_type = PROBLEM),
        (status = 503, description = "The store is away", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn fetch(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request, &state).await?;
    let shown = Shown::of(&request)?;
    let mut response = HttpResponse::Ok();
    let known = match prefer::wait(request.headers(), state.settings.max_wait()) {
        None => state.store.fetch(id).await,
        Some(granted) => {
            response.insert_header(prefer::applied(granted));
            state.wait(id, granted, First::Look).await
        }
    };
    match known.map_err(ApiError::Store)? {
        Some(Entry::Finished(outcome)) => Ok(state.tell(response, id, outcome, shown)),
        Some(Entry::Queued) => Ok(response
            .insert_header(NO_STORE)
            .insert_header((RETRY_AFTER, state.pace.until_answered()))
            .json(Answer::queued(id))),
        None => Err(unknown(&state, id)),
    }
}

impl State {
    /// An outcome as a client is told of it, with the time that each stage took.
    pub fn tell(
        &self,
        mut response: HttpResponseBuilder,
        id: JobId,
        outcome: Outcome,
        shown: Shown,
    ) -> HttpResponse {
        self.seen.note(&outcome);
        if let Outcome::Succeeded(prediction) = &outcome {
            response.insert_header(server_timing(&prediction.timings));
        }
        response
            .insert_header(NO_STORE)
            .json(Answer::finished(id, outcome, shown))
    }
}

/// Cancels what is queued, erases what is stored.
#[utoipa::path(
    delete,
    path = "/result/{id}",
    operation_id = "cancel",
    tag = "results",
    summary = "Cancel an upload, or erase its result",
    params(("id" = JobId, Path, description = "The id that the upload was given")),
    responses(
        (status = 204, description = "Cancelled, or erased"),
        (status = 404, description = "Never issued, or erased already", body = Problem, content_type = PROBLEM),
        (status = 410, description = "No longer kept", body = Problem, content_type = PROBLEM),
        (status = 503, description = "The store is away", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn delete(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request, &state).await?;
    let mut known = state.store.fetch(id).await.map_err(ApiError::Store)?;
    if known == Some(Entry::Queued) {
        cancel(&state, id).await?;
        // A worker's answer may have come first.
        known = state.store.fetch(id).await.map_err(ApiError::Store)?;
    }
    match known {
        Some(Entry::Queued) => {}
        // While this stands, it keeps the job's own outcome out, should a worker still have the job.
        Some(Entry::Finished(Outcome::Cancelled)) => {}
        Some(Entry::Finished(_)) => {
            state.store.erase(id).await.map_err(ApiError::Store)?;
        }
        None => return Err(unknown(&state, id)),
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Makes a queued job cancelled.
pub async fn cancel(state: &State, id: JobId) -> Result<(), ApiError> {
    let cancelled = Finished {
        id,
        outcome: Outcome::Cancelled,
        ttl: state.settings.result_ttl(),
    };
    let stored = state.store.finish(&[cancelled]).await;
    stored
        .into_iter()
        .collect::<Result<(), _>>()
        .map_err(ApiError::Store)
}

/// The id that a request is about; a text that is none was never issued, and of somebody else's nothing is known.
pub async fn requested(request: &HttpRequest, state: &State) -> Result<JobId, ApiError> {
    let text = request.match_info().get("id").unwrap_or_default();
    let id = text.parse().map_err(|_| ApiError::UnknownId)?;
    if let Some(name) = Caller::of(request).name() {
        let owner = state.store.owner(id).await.map_err(ApiError::Store)?;
        if owner.as_deref() != Some(name) {
            return Err(unknown(state, id));
        }
    }
    Ok(id)
}

/// Why nothing is known of an id: its own time tells whether its result may have expired.
pub fn unknown(state: &State, id: JobId) -> ApiError {
    if id.age() > state.settings.result_ttl() {
        ApiError::ExpiredId
    } else {
        ApiError::UnknownId
    }
}
