//! `/livez` and `/readyz`: whether the process lives, and whether it can take work.

use std::error::Error;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::result::NO_STORE;
use super::state::State;
use crate::broker::BrokerError;
use crate::store::StoreError;

/// How long an answer is good for, however often it is asked for.
const FRESH: Duration = Duration::from_secs(1);
/// How long broker and store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last report. Those who ask while it is being made wait for it.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, Report)>>,
}

/// What is known of each part, without the addresses and paths that its errors name: those go to the log.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct Report {
    status: Status,
    broker: Status,
    store: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ready,
    Unready,
    Unavailable,
    Full,
    Refused,
    TimedOut,
}

/// 200 as long as the process answers at all.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operation",
    summary = "Whether the process lives",
    responses((status = 200, description = "It does", body = Object, example = json!({ "status": "alive" })))
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(NO_STORE)
        .json(json!({ "status": "alive" }))
}

/// Whether an upload could be taken now.
pub async fn is_ready(state: &State) -> bool {
    !state.shutdown.is_cancelled() && report(state).await.status == Status::Ready
}

/// 200 if an upload could be taken now, else 503; which part is away, either way.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    summary = "Whether it can take work",
    responses(
        (status = 200, description = "It can", body = Report),
        (status = 503, description = "It can't: a part is away, or it is stopping", body = Object, example = json!({ "status": "unready", "broker": "unavailable", "store": "ready" })),
    )
)]
pub async fn ready(state: Data<State>) -> HttpResponse {
    if state.shutdown.is_cancelled() {
        return HttpResponse::ServiceUnavailable()
            .insert_header(NO_STORE)
            .json(json!({ "status": "stopping" }));
    }
    let report = report(&state).await;
    let mut response = if report.status == Status::Ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.insert_header(NO_STORE).json(report)
}

async fn report(state: &State) -> Report {
    let mut last = state.readiness.last.lock().await;
    if let Some((at, report)) = *last
        && at.elapsed() < FRESH
    {
        return report;
    }
    let (broker, store) = tokio::join!(
        timeout(PATIENCE, state.broker.check()),
        timeout(PATIENCE, state.store.check())
    );
    let broker = status("broker", broker, |error| match error {
        BrokerError::Unavailable { .. } => Status::Unavailable,
        BrokerError::Refused { .. } => Status::Refused,
    });
    let store = status("store", store, |error| match error {
        StoreError::Unavailable { .. } => Status::Unavailable,
        StoreError::Full { .. } => Status::Full,
        StoreError::Refused { .. } => Status::Refused,
    });
    let status = if broker == Status::Ready && store == Status::Ready {
        Status::Ready
    } else {
        Status::Unready
    };
    let report = Report {
        status,
        broker,
        store,
    };
    *last = Some((Instant::now(), report));
    report
}

fn status<E: Error + 'static>(
    part: &str,
    checked: Result<Result<(), E>, Elapsed>,
    classify: impl Fn(&E) -> Status,
) -> Status {
    match checked {
        Ok(Ok(())) => Status::Ready,
        Ok(Err(error)) => {
            tracing::warn!(part, error = &error as &dyn Error, "not ready");
            classify(&error)
        }
        Err(_) => {
            tracing::warn!(part, "not ready: no answer within {PATIENCE:?}");
            Status::TimedOut
        }
    }
}
