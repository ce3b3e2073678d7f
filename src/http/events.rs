//! `GET /result/{id}/events`: server-sent events, `queued` and then the outcome, and the end.
//!
//! An event's id is its status: whoever was cut off goes on at any front end, since all know the same store.

use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::unfold;

use super::answer::{Answer, QUEUED, Shown};
use super::error::{ApiError, PROBLEM, Problem};
use super::result::{NO_STORE, requested, unknown};
use super::state::State;
use crate::job::JobId;
use crate::store::{Entry, First};

/// Carries no event: it keeps idle connections open through proxies, and fails if the client is gone.
const COMMENT: Bytes = Bytes::from_static(b": queued\n\n");

enum Step {
    Known(Answer),
    Waiting,
    Over,
}

/// Streams what becomes of a job, until its outcome, its end, or the end of this process. A client that comes back is
/// told what it was not told before; if that is nothing, 204 tells browsers not to come again.
#[utoipa::path(
    get,
    path = "/result/{id}/events",
    operation_id = "events",
    tag = "results",
    summary = "Follow an upload to its outcome",
    description = "Server-sent events: `queued`, then the outcome, each with the body of `GET /result/{id}`, and the end.",
    params(
        ("id" = JobId, Path, description = "The id that the upload was given"),
        Shown,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that the client has: browsers send it by themselves", example = "queued"),
    ),
    responses(
        (status = 200, description = "Events until the outcome", content(("text/event-stream"))),
        (status = 204, description = "There will be nothing that the client does not have"),
        (status = 400, description = "Unreadable query", body = Problem, content_type = PROBLEM),
        (status = 404, description = "Never issued, or lost", body = Problem, content_type = PROBLEM),
        (status = 410, description = "No longer kept", body = Problem, content_type = PROBLEM),
        (status = 503, description = "The store is away", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn follow(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request, &state).await?;
    let shown = Shown::of(&request)?;
    let Some(entry) = state.store.fetch(id).await.map_err(ApiError::Store)? else {
        return Err(unknown(&state, id));
    };
    let told = request.headers().get("last-event-id");
    let told = told.and_then(|told| told.to_str().ok());
    let first = match entry {
        Entry::Queued if told == Some(QUEUED) => Step::Waiting,
        Entry::Queued => Step::Known(Answer::queued(id)),
        Entry::Finished(outcome) => {
            state.seen.note(&outcome);
            let answer = Answer::finished(id, outcome, shown);
            if told == Some(answer.status()) {
                return Ok(HttpResponse::NoContent().finish());
            }
            Step::Known(answer)
        }
    };
    let events = unfold((first, state), move |(step, state)| async move {
        let (event, next) = match step {
            Step::Known(answer) => tell(&answer),
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
        waited = state.store.wait(id, keep_alive, First::Look) => waited,
        () = state.shutdown.cancelled() => return None,
    };
    match waited {
        Ok(Some(Entry::Queued)) => Some((COMMENT, Step::Waiting)),
        Ok(Some(Entry::Finished(outcome))) => {
            state.seen.note(&outcome);
            Some(tell(&Answer::finished(id, outcome, shown)))
        }
        Ok(None) | Err(_) => None,
    }
}

fn tell(answer: &Answer) -> (Bytes, Step) {
    let status = answer.status();
    // Only a map with keys that are no texts could fail.
    let text = serde_json::to_string(answer).unwrap_or_default();
    let event = format!("id: {status}\nevent: {status}\ndata: {text}\n\n");
    let next = if status == QUEUED {
        Step::Waiting
    } else {
        Step::Over
    };
    (event.into(), next)
}
