//! `POST /flood?n=…`: queues test digits, many at once, to see the queue at work. Off unless the operator allows it.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept::{Accepted, Terms, accept};
use super::error::{ApiError, PROBLEM, Problem};
use super::page::DIGITS;
use super::state::State;
use crate::store::{Entry, First};

/// Digits in work at once: they share the queue's commits.
const AT_ONCE: usize = 64;
/// Of so many digits one is followed to its outcome, to see which worker gave it and in which batch.
const FOLLOWED: usize = 16;
/// For so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// So many test digits.
    #[param(minimum = 1, example = 100)]
    n: u32,
}

#[derive(Serialize, ToSchema)]
struct Flooded {
    accepted: usize,
    refused: usize,
    /// Why, of the last that was refused.
    problem: Option<Problem>,
    /// Seconds until it makes sense to come back.
    retry_after: Option<u64>,
}

/// Queues them, and says how many were taken.
#[utoipa::path(
    post,
    path = "/flood",
    tag = "operation",
    summary = "Queue test digits, to see the queue at work",
    description = "Off unless the operator allows it.",
    params(Asked),
    responses(
        (status = 202, description = "How many were taken", body = Flooded),
        (status = 400, description = "Unreadable query", body = Problem, content_type = PROBLEM),
        (status = 403, description = "Off", body = Problem, content_type = PROBLEM),
        (status = 422, description = "More than the operator allows", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn flood(
    request: HttpRequest,
    asked: Query<Asked>,
    state: Data<State>,
) -> Result<HttpResponse, ApiError> {
    let limit = state.settings.flood;
    if asked.n == 0 || asked.n > limit {
        return Err(ApiError::Flood { limit });
    }
    let terms = Terms::now(&request, &state.settings);
    let digits = DIGITS.iter().cycle().take(asked.n as usize);
    let accepting = digits.map(|digit| accept(&state, Bytes::from_static(digit), terms.clone()));
    let accepted: Vec<_> = iter(accepting).buffer_unordered(AT_ONCE).collect().await;
    let mut ids = Vec::new();
    let mut last_refusal = None;
    for accepted in accepted {
        match accepted {
            Ok(Accepted { id, .. }) => ids.push(id),
            Err(error) => last_refusal = Some(error),
        }
    }
    for id in ids.iter().copied().step_by(FOLLOWED) {
        let state = state.clone();
        actix_web::rt::spawn(async move {
            if let Ok(Some(Entry::Finished(outcome))) = state.wait(id, PATIENCE, First::Look).await {
                state.seen.note(&outcome);
            }
        });
    }
    Ok(HttpResponse::Accepted().json(Flooded {
        accepted: ids.len(),
        refused: asked.n as usize - ids.len(),
        retry_after: last_refusal.as_ref().and_then(ApiError::retry_after),
        problem: last_refusal.as_ref().map(ApiError::problem),
    }))
}
