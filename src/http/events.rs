//! `GET /result/{id}/events`: server-sent events, `queued` and then the outcome, and the end.
//!
//! An event's id is its status: whoever was cut off goes on at any front end, since all know the same store.

use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::unfold;

use super::error::ApiError;
use super::result::{Body, NO_STORE, QUEUED, Shown, requested, status, unknown};
use super::state::State;
use crate::job::JobId;
use crate::store::Entry;

/// Carries no event: it keeps idle connections open through proxies, and fails if the client is gone.
const COMMENT: Bytes = Bytes::from_static(b": queued\n\n");

enum Step {
    Known(Entry),
    Waiting,
    Over,
}

/// Streams what becomes of a job, until its outcome, its end, or the end of this process. A client that comes back is
/// told what it was not told before; if that is nothing, 204 tells browsers not to come again.
pub async fn follow(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request)?;
    let shown = Shown::of(&request)?;
    let Some(entry) = state.store.fetch(id).await.map_err(ApiError::Store)? else {
        return Err(unknown(&state, id));
    };
    let told = request.headers().get("last-event-id");
    let told = told.and_then(|told| told.to_str().ok());
    let first = match entry {
        Entry::Queued if told == Some(QUEUED) => Step::Waiting,
        Entry::Finished(outcome) if told == Some(status(&outcome)) => {
            return Ok(HttpResponse::NoContent().finish());
        }
        entry => Step::Known(entry),
    };
    let events = unfold((first, state), move |(step, state)| async move {
        let (event, next) = match step {
            Step::Known(entry) => tell(id, entry, shown, &state),
            Step::Waiting => wait(id, shown, &state).await?,
            Step::Over => return None,
        };
        Some((Ok::<_, ApiError>(event), (next, state)))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(NO_STORE)
        // nginx would hold events back until it has a buffer full of them.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(events)))
}

/// What comes next; none if there will be nothing more.
async fn wait(id: JobId, shown: Shown, state: &State) -> Option<(Bytes, Step)> {
    let keep_alive = Duration::from_millis(state.settings.event_keep_alive_ms);
    let waited = tokio::select! {
        waited = state.store.wait(id, keep_alive) => waited,
        () = state.shutdown.cancelled() => return None,
    };
    match waited {
        Ok(Some(Entry::Queued)) => Some((COMMENT, Step::Waiting)),
        Ok(Some(finished)) => Some(tell(id, finished, shown, state)),
        Ok(None) | Err(_) => None,
    }
}

fn tell(id: JobId, entry: Entry, shown: Shown, state: &State) -> (Bytes, Step) {
    let (body, next) = match entry {
        Entry::Queued => (Body::queued(id), Step::Waiting),
        Entry::Finished(outcome) => {
            state.seen.note(&outcome);
            (Body::finished(id, outcome, shown), Step::Over)
        }
    };
    // Only a map with keys that are no texts could fail.
    let text = serde_json::to_string(&body).unwrap_or_default();
    let status = body.status();
    let event = format!("id: {status}\nevent: {status}\ndata: {text}\n\n");
    (event.into(), next)
}
