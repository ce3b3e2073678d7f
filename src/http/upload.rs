//! `POST /classify`: a request's uploads, and how each is answered.
//!
//! What becomes of an upload between the two is in `accept`.

use actix_web::http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;

use super::accept::{Terms, accept};
use super::body::{self, Body, Limits};
use super::error::{ApiError, Problem, refuse};
use super::form::{self, Upload};
use super::prefer;
use super::result::Shown;
use super::state::State;
use crate::job::JobId;
use crate::store::Entry;

/// Pictures of one request that are in work at once: enough to share the queue's commits, few enough that
/// one client does not take every turn to decode.
const AT_ONCE: usize = 16;

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
    let shown = Shown::of(request)?;
    let terms = Terms::of(headers, &state.settings)?;
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
    Ok(respond(headers, state, id, shown).await)
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
async fn respond(headers: &HeaderMap, state: &State, id: JobId, shown: Shown) -> HttpResponse {
    if let Some(wait) = prefer::wait(headers) {
        let granted = wait.min(state.settings.max_wait());
        // The job is queued: whatever the store says now, the client gets its id.
        if let Ok(Some(Entry::Finished(outcome))) = state.wait(id, granted).await {
            let mut response = HttpResponse::Ok();
            response.insert_header(prefer::applied(granted));
            return state.tell(response, id, outcome, shown);
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
        let terms = terms.at(place);
        (upload, terms)
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
