//! `GET /result/{id}/events`: server-sent events, `queued` and then the outcome, and the end.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::web::{Bytes, Data, Path};
use futures_util::stream::unfold;

use super::State;
use super::error::ApiError;
use super::result::{Body, parse, unknown};
use crate::job::JobId;
use crate::store::Entry;

/// A comment this often keeps idle connections open through proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

enum Step {
    First(Entry),
    Waiting,
    Over,
}

/// Streams what becomes of a job, until its outcome, its end, or the end of this process.
pub async fn follow(path: Path<String>, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = parse(&path)?;
    let Some(entry) = state.store.fetch(id).await? else {
        return Err(unknown(&state, id));
    };
    let events = unfold((Step::First(entry), state), move |(step, state)| async move {
        let (event, next) = match step {
            Step::First(Entry::Queued) => (event(&Body::queued(id)), Step::Waiting),
            Step::First(Entry::Finished(outcome)) => (event(&Body::new(id, outcome)), Step::Over),
            Step::Waiting => wait(id, &state).await?,
            Step::Over => return None,
        };
        Some((Ok::<_, ApiError>(event), (next, state)))
    });
    Ok(HttpResponse::Ok()
        .content_type(ContentType(
            "text/event-stream".parse().map_err(|_| ApiError::NoRoute)?,
        ))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(Box::pin(events)))
}

/// The next event; none if there will be no more.
async fn wait(id: JobId, state: &State) -> Option<(Bytes, Step)> {
    let waited = tokio::select! {
        waited = state.store.wait(id, KEEP_ALIVE) => waited,
        () = state.shutdown.cancelled() => return None,
    };
    match waited {
        Ok(Some(Entry::Finished(outcome))) => Some((event(&Body::new(id, outcome)), Step::Over)),
        Ok(Some(Entry::Queued)) => Some((Bytes::from_static(b": waiting\n\n"), Step::Waiting)),
        // The client reconnects by itself, and is then told what it can be told.
        Ok(None) | Err(_) => None,
    }
}

fn event(body: &Body) -> Bytes {
    let text = serde_json::to_string(body).unwrap_or_default();
    format!("event: {}\ndata: {text}\n\n", body.status()).into()
}
