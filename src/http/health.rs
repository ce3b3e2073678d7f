//! `/livez` and `/readyz`: whether the process lives, and whether it can take work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::State;

/// How long an answer is good for, however often it is asked for.
const FRESH: Duration = Duration::from_secs(1);
/// How long broker and store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last answer. Those who ask while it is being found out wait for it.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, Arc<Report>)>>,
}

struct Report {
    broker: Result<(), String>,
    store: Result<(), String>,
}

/// 200 as long as the process answers at all.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// 200 if an upload could be taken now, else 503; which part is away, either way.
pub async fn ready(state: Data<State>) -> HttpResponse {
    if state.shutdown.is_cancelled() {
        return HttpResponse::ServiceUnavailable().json(json!({ "status": "stopping" }));
    }
    let report = report(&state).await;
    let word = |result: &Result<(), String>| match result {
        Ok(()) => Value::from("ready"),
        Err(error) => Value::from(error.as_str()),
    };
    let is_ready = report.broker.is_ok() && report.store.is_ok();
    let status = if is_ready { "ready" } else { "unavailable" };
    let body = json!({ "status": status, "broker": word(&report.broker), "store": word(&report.store) });
    if is_ready {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

async fn report(state: &State) -> Arc<Report> {
    let mut last = state.readiness.last.lock().await;
    if let Some((at, report)) = last.as_ref()
        && at.elapsed() < FRESH
    {
        return Arc::clone(report);
    }
    let (broker, store) = tokio::join!(
        timeout(PATIENCE, state.broker.check()),
        timeout(PATIENCE, state.store.check())
    );
    let no_answer = || "no answer in time".to_owned();
    let report = Arc::new(Report {
        broker: broker.map_or_else(
            |_| Err(no_answer()),
            |checked| checked.map_err(|error| error.to_string()),
        ),
        store: store.map_or_else(
            |_| Err(no_answer()),
            |checked| checked.map_err(|error| error.to_string()),
        ),
    });
    *last = Some((Instant::now(), Arc::clone(&report)));
    report
}
