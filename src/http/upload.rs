//! `POST /classify`: a request's uploads, and how each is answered.
//!
//! What becomes of an upload between the two is in `accept`.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept::{Accepted, Terms, accept};
use super::access::Caller;
use super::answer::{Answer, Shown};
use super::body;
use super::error::{ApiError, PROBLEM, Problem};
use super::form::{self, Upload};
use super::form::{Form, ImageFile};
use super::prefer;
use super::refusal::refuse;
use super::state::State;
use crate::job::JobId;

/// Pictures of one request that are in work at once: enough to share the queue's commits, few enough that
/// one client does not take every turn to decode.
const AT_ONCE: usize = 16;

/// The answer to one upload, or to each of several.
#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
#[serde(untagged)]
enum Taken {
    One(Queued),
    Many(Several),
}

#[derive(Serialize, ToSchema)]
struct Queued {
    inference_id: JobId,
}

#[derive(Serialize, ToSchema)]
struct Several {
    inferences: Vec<Inference>,
}

#[derive(Serialize, ToSchema)]
struct Inference {
    /// As the form has it.
    filename: Option<String>,
    #[serde(flatten)]
    fate: Fate,
}

#[derive(Serialize, ToSchema)]
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
#[utoipa::path(
    post,
    path = "/classify",
    tag = "uploads",
    summary = "Queue a picture, or several",
    description = "PNG, JPEG, WebP, GIF or BMP. Several `file` fields are answered each on its own.",
    params(
        Shown,
        Ordered,
        ("Prefer" = Option<String>, Header, description = "`wait=5`: the result itself, if it comes within five seconds", example = "wait=5"),
        ("Cancel-After" = Option<String>, Header, description = "After this time nobody wants the result: `500ms`, `30s`, `5m`, `1h`", example = "30s"),
        ("Result-TTL" = Option<String>, Header, description = "For how long the result is kept", example = "10m"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and picture, sent again, has the same id", min_length = 1, max_length = 255),
    ),
    request_body(content(
        (Form = "multipart/form-data"),
        (ImageFile = "image/png", examples(("three" = (summary = "A handwritten 3", external_value = "/digits/3.png")))),
        (ImageFile = "image/jpeg"),
        (ImageFile = "image/webp"),
        (ImageFile = "image/gif"),
        (ImageFile = "image/bmp"),
    )),
    responses(
        (status = 200, description = "The result, to whoever preferred to wait", body = Answer),
        (status = 202, description = "Queued", body = Taken, headers(
            ("Location" = String, description = "Where the result of a single upload will be"),
            ("Retry-After" = u64, description = "Seconds until it is probably there"),
        ), links(
            ("result" = (operation_id = "result", parameters(("id" = "$response.body#/inference_id")))),
            ("events" = (operation_id = "events", parameters(("id" = "$response.body#/inference_id")))),
            ("cancel" = (operation_id = "cancel", parameters(("id" = "$response.body#/inference_id")))),
        )),
        (status = 400, description = "Empty or damaged, or a header or the query is wrong", body = Problem, content_type = PROBLEM),
        (status = 403, description = "Callbacks are off", body = Problem, content_type = PROBLEM),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Problem, content_type = PROBLEM),
        (status = 415, description = "Not an image", body = Problem, content_type = PROBLEM),
        (status = 422, description = "Too many pixels or files, nothing to see, another picture under this key, or a callback that may not be made", body = Problem, content_type = PROBLEM),
        (status = 429, description = "The queue is full, or too many requests", body = Problem, content_type = PROBLEM),
        (status = 503, description = "Queue or store are away, or too many uploads are in hand", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn classify(request: HttpRequest, mut payload: Payload, state: Data<State>) -> HttpResponse {
    match take(&request, &mut payload, &state).await {
        Ok(response) => response,
        Err(error) => {
            state.serving.note_refused(error.reason());
            refuse(&error, payload)
        }
    }
}

async fn take(request: &HttpRequest, payload: &mut Payload, state: &State) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let shown = Shown::of(request)?;
    let mut terms = Terms {
        callback_url: callback_url(request, state)?,
        ..Terms::of(request, &state.settings)?
    };
    let mut uploads = collect(headers, payload, state).await?;
    let further = uploads.len().saturating_sub(1);
    state.access.charge(&Caller::of(request), further)?;
    let only = match uploads.pop() {
        Some(only) if uploads.is_empty() => only,
        last => {
            uploads.extend(last);
            return Ok(take_several(state, uploads, terms).await);
        }
    };
    terms.wait = prefer::wait(headers, state.settings.max_wait());
    let granted = terms.wait;
    let accepted = accept(state, only.picture?, terms).await?;
    Ok(respond(state, accepted, granted, shown))
}

/// What the query of an upload may order.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Ordered {
    /// Where the outcome is sent once it is there, signed as Standard Webhooks are. Off unless the operator allows
    /// hosts.
    callback_url: Option<String>,
}

/// Where the outcome shall go, if it may go there.
fn callback_url(request: &HttpRequest, state: &State) -> Result<Option<String>, ApiError> {
    let ordered = Query::<Ordered>::from_query(request.query_string());
    let ordered = ordered.map_err(|error| ApiError::Query(error.to_string()))?;
    let Some(url) = ordered.into_inner().callback_url else {
        return Ok(None);
    };
    let courier = state.courier.as_ref().ok_or(ApiError::CallbacksOff)?;
    courier.places().check(&url).map_err(ApiError::Callback)?;
    Ok(Some(url))
}

/// The uploads of a request, one at least.
pub async fn collect(
    headers: &HeaderMap,
    payload: &mut Payload,
    state: &State,
) -> Result<Vec<Upload>, ApiError> {
    let settings = &state.settings;
    let is_form = form::is_form(headers);
    let max_bytes = if is_form {
        settings.max_request_bytes
    } else {
        settings.max_upload_bytes
    };
    let body = body::collect(payload, headers, &state.limits(max_bytes)).await?;
    if is_form {
        return form::parse(headers, body, settings).await;
    }
    Ok(vec![Upload {
        filename: None,
        picture: Ok(body),
    }])
}

/// The result to a client that waited and got it, else the id.
fn respond(state: &State, accepted: Accepted, granted: Option<Duration>, shown: Shown) -> HttpResponse {
    let Accepted { id, outcome } = accepted;
    if let (Some(granted), Some(outcome)) = (granted, outcome) {
        let mut response = HttpResponse::Ok();
        response.insert_header(prefer::applied(granted));
        return state.tell(response, id, outcome, shown);
    }
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/result/{id}")))
        .insert_header((RETRY_AFTER, state.pace.until_answered()))
        .json(Taken::One(Queued { inference_id: id }))
}

/// Each upload on its own; a refusal only if none could be taken.
async fn take_several(state: &State, uploads: Vec<Upload>, terms: Terms) -> HttpResponse {
    let accepting = uploads.into_iter().enumerate().map(|(place, upload)| {
        let terms = terms.at(place);
        async move {
            let accepted = match upload.picture {
                Ok(picture) => accept(state, picture, terms).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &accepted {
                state.serving.note_refused(error.reason());
            }
            (upload.filename, accepted)
        }
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
            Ok(Accepted { id, .. }) => Fate::InferenceId(id),
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
            .json(Taken::Many(several)),
    }
}
