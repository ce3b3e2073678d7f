//! `GET /result/{id}/events`: server-sent events, `queued` and then the outcome, and the end.

use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::unfold;

use super::error::ApiError;
use super::result::{Body, NO_STORE, requested, unknown};
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

/// Streams what becomes of a job, until its outcome, its end, or the end of this process. A client that is
/// cut off asks again, and is told what is known then.
pub async fn follow(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request)?;
    let Some(entry) = state.store.fetch(id).await.map_err(ApiError::Store)? else {
        return Err(unknown(&state, id));
    };
    let events = unfold((Step::Known(entry), state), move |(step, state)| async move {
        let (event, next) = match step {
            Step::Known(entry) => tell(id, entry, &state),
            Step::Waiting => wait(id, &state).await?,
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
async fn wait(id: JobId, state: &State) -> Option<(Bytes, Step)> {
    let keep_alive = Duration::from_millis(state.settings.event_keep_alive_ms);
    let waited = tokio::select! {
        waited = state.store.wait(id, keep_alive) => waited,
        () = state.shutdown.cancelled() => return None,
    };
    match waited {
        Ok(Some(Entry::Queued)) => Some((COMMENT, Step::Waiting)),
        Ok(Some(finished)) => Some(tell(id, finished, state)),
        Ok(None) | Err(_) => None,
    }
}

fn tell(id: JobId, entry: Entry, state: &State) -> (Bytes, Step) {
    let (body, next) = match entry {
        Entry::Queued => (Body::queued(id), Step::Waiting),
        Entry::Finished(outcome) => {
            state.seen.note(&outcome);
            (Body::finished(id, outcome), Step::Over)
        }
    };
    // Only a map with keys that are no texts could fail.
    let text = serde_json::to_string(&body).unwrap_or_default();
    let event = format!("event: {}\ndata: {text}\n\n", body.status());
    (event.into(), next)
}
