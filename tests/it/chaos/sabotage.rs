//! The check finds each promise broken that a process breaks on purpose, and nothing where none does.

use std::time::Duration;

use super::{Fault, Pairing, Plan, Verdict, run};

/// What the check says of a short life.
async fn verdict(pairing: Pairing, sabotage: Option<&'static str>, faults: &[Fault]) -> Verdict {
    let verdict = run(Plan {
        pairing,
        rate: 60.0,
        seed: 7,
        faults: faults.to_vec(),
        at_most: Duration::MAX,
        calm: Duration::from_secs(3),
        // Of what is lost on purpose there is no outcome to wait for.
        patience: Duration::from_secs(if sabotage.is_some() { 12 } else { 60 }),
        sabotage,
    })
    .await;
    assert!(verdict.accepted > 0, "{verdict}");
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_honest_embedded_system_keeps_every_promise() {
    let faults = [Fault::WorkerKilled, Fault::DatabaseLocked, Fault::AllKilled];
    let verdict = verdict(Pairing::Embedded, None, &faults).await;
    assert!(verdict.is_green(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_honest_system_on_rabbitmq_and_redis_keeps_every_promise() {
    let faults = [
        Fault::RabbitMqKilled,
        Fault::WorkerKilled,
        Fault::RedisKilled,
        Fault::ConnectionsClosed,
    ];
    let verdict = verdict(Pairing::Cluster, None, &faults).await;
    assert!(verdict.is_green(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_is_found_that_jobs_are_acknowledged_before_their_outcome_is_stored() {
    let faults = [Fault::AllKilled; 3];
    let verdict = verdict(Pairing::Embedded, Some("ack-before-store"), &faults).await;
    assert!(!verdict.lost.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_is_found_that_uploads_are_answered_before_they_are_confirmed() {
    let faults = [Fault::RabbitMqKilled];
    let verdict = verdict(Pairing::Cluster, Some("answer-before-confirm"), &faults).await;
    assert!(!verdict.lost.is_empty(), "{verdict}");
    assert!(!verdict.early.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_is_found_that_the_last_outcome_wins() {
    let verdict = verdict(Pairing::Embedded, Some("last-outcome-wins"), &[]).await;
    assert!(!verdict.flip.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_is_found_that_a_closed_connection_is_not_rebuilt() {
    let faults = [Fault::ConnectionsClosed];
    let verdict = verdict(Pairing::Cluster, Some("no-return-after-close"), &faults).await;
    assert!(!verdict.stuck.is_empty(), "{verdict}");
}
