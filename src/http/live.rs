//! `GET /live`: the system at work, once a second, as server-sent events.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::error::ApiError;
use super::result::NO_STORE;
use super::seen::WorkerSeen;
use super::state::State;

/// How often there is news.
const EVERY: Duration = Duration::from_secs(1);

/// The system at one moment.
#[derive(Serialize)]
struct Moment {
    /// Jobs that wait; none while the broker is away.
    backlog: Option<u64>,
    /// What the queue was seen to drain.
    results_per_second: f64,
    /// The largest batch of the last second, as far as this front end has seen its results.
    batch_size: Option<usize>,
    /// Workers whose results this front end has handed out of late.
    workers: Vec<WorkerSeen>,
    /// When a client that comes now should come back.
    retry_after: u64,
    /// How many pictures `POST /flood` takes at once.
    flood: u32,
}

/// Streams until the client or this process goes.
#[utoipa::path(
    get,
    path = "/live",
    operation_id = "watch",
    tag = "operation",
    summary = "The system at work, once a second",
    description = "Server-sent events without end: backlog, results a second, batch sizes, workers.",
    responses((status = 200, description = "Events", content(("text/event-stream"))))
)]
pub async fn follow(state: Data<State>) -> HttpResponse {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let moments = unfold((tick, state), |(mut tick, state)| async move {
        tokio::select! {
            _ = tick.tick() => {}
            () = state.shutdown.cancelled() => return None,
        }
        let moment = Moment {
            backlog: state.pace.backlog(),
            results_per_second: state.pace.drained_per_second(),
            batch_size: state.seen.largest_batch(),
            workers: state.seen.workers(),
            retry_after: state.pace.until_answered(),
            flood: state.settings.flood,
        };
        // Only a map with keys that are no texts could fail.
        let text = serde_json::to_string(&moment).unwrap_or_default();
        let event = Bytes::from(format!("data: {text}\n\n"));
        Some((Ok::<_, ApiError>(event), (tick, state)))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(NO_STORE)
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(moments))
}
