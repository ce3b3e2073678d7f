//! Ordered calls: kept until they are settled, taken by one at a time.

use std::time::Duration;

use mnistq::job::JobId;
use mnistq::store::outbox::Callback;

use super::{LONG, Results, SHORT};
use crate::harness::eventually;

fn callback() -> Callback {
    Callback {
        id: JobId::issue(),
        url: "https://example.org/hook?token=1".to_owned(),
        attempts: 0,
        body: None,
    }
}

async fn due<R: Results>(results: &R, lease: Duration) -> Vec<Callback> {
    results.open_outbox().await.take_due(100, lease).await.unwrap()
}

pub async fn a_call_is_due_at_once_and_taken_by_one<R: Results>() {
    let results = R::fresh().await;
    let outbox = results.open_outbox().await;
    assert_eq!(outbox.take_due(100, LONG).await.unwrap(), []);
    let ordered = callback();
    outbox.order(&ordered).await.unwrap();
    assert_eq!(due(&results, LONG).await, [ordered]);
    assert_eq!(due(&results, LONG).await, []);
}

pub async fn a_call_that_nobody_settles_is_due_again<R: Results>() {
    let results = R::fresh().await;
    let outbox = results.open_outbox().await;
    let ordered = callback();
    outbox.order(&ordered).await.unwrap();
    assert_eq!(outbox.take_due(100, SHORT).await.unwrap().len(), 1);
    let mut again = Vec::new();
    eventually("the lease is over", async || {
        again = due(&results, LONG).await;
        !again.is_empty()
    })
    .await;
    assert_eq!(again, [ordered]);
}

pub async fn a_settled_call_is_gone<R: Results>() {
    let results = R::fresh().await;
    let outbox = results.open_outbox().await;
    let ordered = callback();
    outbox.order(&ordered).await.unwrap();
    let taken = outbox.take_due(100, SHORT).await.unwrap();
    for _ in 0..2 {
        outbox.settle(taken[0].id).await.unwrap();
    }
    // A late word of it does not bring it back.
    outbox.postpone(&ordered, Duration::ZERO).await.unwrap();
    let other = callback();
    outbox.order(&other).await.unwrap();
    assert_eq!(due(&results, LONG).await, [other]);
}

pub async fn a_postponed_call_is_due_later_and_as_it_was_left<R: Results>() {
    let results = R::fresh().await;
    let outbox = results.open_outbox().await;
    outbox.order(&callback()).await.unwrap();
    let mut taken = outbox.take_due(100, LONG).await.unwrap().remove(0);
    taken.attempts = 1;
    taken.body = Some("{\"data\":\"ü\"}".to_owned());
    outbox.postpone(&taken, LONG).await.unwrap();
    assert_eq!(due(&results, LONG).await, []);
    outbox.postpone(&taken, SHORT).await.unwrap();
    let mut again = Vec::new();
    eventually("the pause is over", async || {
        again = due(&results, LONG).await;
        !again.is_empty()
    })
    .await;
    assert_eq!(again, [taken]);
}

pub async fn a_second_order_for_a_job_changes_nothing<R: Results>() {
    let results = R::fresh().await;
    let outbox = results.open_outbox().await;
    let first = callback();
    let second = Callback {
        url: "https://example.org/other".to_owned(),
        ..first.clone()
    };
    outbox.order(&first).await.unwrap();
    outbox.order(&second).await.unwrap();
    assert_eq!(due(&results, LONG).await, [first]);
    outbox.order(&second).await.unwrap();
    assert_eq!(due(&results, LONG).await, []);
}

pub async fn of_many_calls_each_is_taken_once<R: Results>() {
    let results = R::fresh().await;
    let outbox = results.open_outbox().await;
    let mut ordered: Vec<Callback> = (0..200).map(|_| callback()).collect();
    for callback in &ordered {
        outbox.order(callback).await.unwrap();
    }
    let (one, other) = (results.open_outbox().await, results.open_outbox().await);
    let mut taken = Vec::new();
    loop {
        let (some, others) = tokio::join!(one.take_due(30, LONG), other.take_due(30, LONG));
        let before = taken.len();
        taken.extend(some.unwrap());
        taken.extend(others.unwrap());
        if taken.len() == before {
            break;
        }
    }
    let by_id = |callback: &Callback| callback.id;
    ordered.sort_by_key(by_id);
    taken.sort_by_key(by_id);
    assert_eq!(taken, ordered);
}
