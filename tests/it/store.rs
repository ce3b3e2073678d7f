//! What every result store promises ([`mnistq::store::ResultStore`]), asked of each implementation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mnistq::job::{Failure, FailureCode, JobId, ModelName, Outcome, Prediction, Timings};
use mnistq::store::{Entry, Finished, ResultStore};

use crate::harness::{eventually, stays_pending, within};

mod sqlite;

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

/// Results of one implementation, none at first.
trait Results: Sized {
    /// Fresh results.
    async fn fresh() -> Self;

    /// Other results, none at first: in the same place, where one holds several.
    async fn beside(&self) -> Self;

    /// A store for these results, as another process would open it.
    async fn open(&self) -> Arc<dyn ResultStore>;
}

/// Makes one test of each promise for each implementation.
macro_rules! contract {
    ($($promise:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise::<super::sqlite::SqliteResults>().await;
                }
            )+
        }
    };
}

contract! {
    an_unknown_job_is_unknown,
    a_reserved_job_is_queued,
    a_reservation_may_be_repeated,
    a_released_job_is_unknown,
    every_kind_of_outcome_reads_as_it_was_stored,
    an_outcome_needs_no_reservation,
    the_first_outcome_wins_and_later_ones_count_as_success,
    of_many_outcomes_at_once_every_reader_sees_the_same,
    a_batch_is_answered_in_order,
    a_batch_may_name_a_job_twice,
    an_empty_batch_is_stored,
    a_late_reservation_does_not_hide_an_outcome,
    a_late_release_does_not_hide_an_outcome,
    an_outcome_is_kept_for_its_time_to_live,
    a_reservation_is_kept_for_its_time_to_live,
    an_outcome_past_its_time_does_not_read_as_queued,
    waiting_ends_at_once_when_there_is_nothing_to_wait_for,
    waiting_ends_when_another_process_finishes_the_job,
    waiting_ends_as_queued_at_its_limit,
    a_cancelled_wait_harms_nobody,
    a_thousand_waiters_each_get_their_own_outcome,
    many_may_wait_for_one_job,
    an_erased_job_is_unknown,
    outcomes_survive_the_end_of_every_process,
    stores_with_other_prefixes_are_apart,
    a_reachable_store_is_ready,
}

async fn an_unknown_job_is_unknown<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    assert_eq!(store.fetch(JobId::issue()).await.unwrap(), None);
}

async fn a_reserved_job_is_queued<R: Results>() {
    let results = R::fresh().await;
    let (front_end, other) = (results.open().await, results.open().await);
    let id = JobId::issue();
    front_end.reserve(id, LONG).await.unwrap();
    assert_eq!(front_end.fetch(id).await.unwrap(), Some(Entry::Queued));
    assert_eq!(other.fetch(id).await.unwrap(), Some(Entry::Queued));
}

async fn a_reservation_may_be_repeated<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    store.reserve(id, LONG).await.unwrap();
    assert_eq!(store.fetch(id).await.unwrap(), Some(Entry::Queued));
}

async fn a_released_job_is_unknown<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    store.release(id).await.unwrap();
    assert_eq!(store.fetch(id).await.unwrap(), None);
    store.release(id).await.unwrap();
}

async fn every_kind_of_outcome_reads_as_it_was_stored<R: Results>() {
    let results = R::fresh().await;
    let (worker, front_end) = (results.open().await, results.open().await);
    let failure = |code| Outcome::Failed {
        error: Failure {
            code,
            detail: "Zeile 1\n\"2\" – ünïcödé \u{1F5A4}".to_owned(),
        },
    };
    let outcomes = [
        succeeded(3),
        failure(FailureCode::Rejected),
        failure(FailureCode::Poison),
        failure(FailureCode::Unreadable),
        Outcome::Expired,
        Outcome::Cancelled,
    ];
    for outcome in outcomes {
        let id = JobId::issue();
        front_end.reserve(id, LONG).await.unwrap();
        finish(&worker, id, &outcome).await;
        assert_eq!(front_end.fetch(id).await.unwrap(), Some(Entry::Finished(outcome)));
    }
}

/// The reservation may be gone, by a restart without memory or by its time: the answer counts all the same.
async fn an_outcome_needs_no_reservation<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    finish(&store, id, &succeeded(3)).await;
    assert_eq!(
        store.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

async fn the_first_outcome_wins_and_later_ones_count_as_success<R: Results>() {
    let results = R::fresh().await;
    let (one, other) = (results.open().await, results.open().await);
    let id = JobId::issue();
    one.reserve(id, LONG).await.unwrap();
    finish(&one, id, &succeeded(3)).await;
    finish(&other, id, &succeeded(8)).await;
    finish(&one, id, &Outcome::Cancelled).await;
    for store in [one, other] {
        assert_eq!(
            store.fetch(id).await.unwrap(),
            Some(Entry::Finished(succeeded(3)))
        );
    }
}

async fn of_many_outcomes_at_once_every_reader_sees_the_same<R: Results>() {
    let results = R::fresh().await;
    let stores = [results.open().await, results.open().await];
    let id = JobId::issue();
    let tasks: Vec<_> = (0..20)
        .map(|class| {
            let store = Arc::clone(&stores[usize::from(class) % 2]);
            tokio::spawn(async move {
                finish(&store, id, &succeeded(class)).await;
                store.fetch(id).await.unwrap()
            })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(within("twenty workers finish one job", task).await.unwrap());
    }
    assert!(matches!(seen[0], Some(Entry::Finished(_))));
    assert!(
        seen.iter().all(|entry| *entry == seen[0]),
        "two answers: {seen:?}"
    );
}

async fn a_batch_is_answered_in_order<R: Results>() {
    let results = R::fresh().await;
    let (worker, front_end) = (results.open().await, results.open().await);
    let batch: Vec<Finished> = (0..200).map(|class| finished(succeeded(class), LONG)).collect();
    // One of them has an answer already.
    finish(&worker, batch[7].id, &succeeded(1_007)).await;
    let answers = worker.finish(&batch).await;
    assert_eq!(answers.len(), batch.len());
    for answer in answers {
        answer.unwrap();
    }
    for (index, one) in batch.into_iter().enumerate() {
        let outcome = if index == 7 { succeeded(1_007) } else { one.outcome };
        assert_eq!(
            front_end.fetch(one.id).await.unwrap(),
            Some(Entry::Finished(outcome))
        );
    }
}

async fn a_batch_may_name_a_job_twice<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let first = finished(succeeded(3), LONG);
    let second = Finished {
        id: first.id,
        ..finished(succeeded(8), LONG)
    };
    let answers = store.finish(&[first.clone(), second]).await;
    assert!(answers.len() == 2 && answers.iter().all(Result::is_ok));
    assert_eq!(
        store.fetch(first.id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

async fn an_empty_batch_is_stored<R: Results>() {
    let results = R::fresh().await;
    assert!(results.open().await.finish(&[]).await.is_empty());
}

async fn a_late_reservation_does_not_hide_an_outcome<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    finish(&store, id, &succeeded(3)).await;
    store.reserve(id, LONG).await.unwrap();
    assert_eq!(
        store.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

async fn a_late_release_does_not_hide_an_outcome<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    finish(&store, id, &succeeded(3)).await;
    store.release(id).await.unwrap();
    assert_eq!(
        store.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

async fn an_outcome_is_kept_for_its_time_to_live<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (short, long) = (finished(succeeded(3), SHORT), finished(succeeded(8), LONG));
    for answer in store.finish(&[short.clone(), long.clone()]).await {
        answer.unwrap();
    }
    eventually("an outcome is gone after its time", async || {
        store.fetch(short.id).await.unwrap().is_none()
    })
    .await;
    assert_eq!(
        store.fetch(long.id).await.unwrap(),
        Some(Entry::Finished(succeeded(8)))
    );
}

async fn a_reservation_is_kept_for_its_time_to_live<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (short, long) = (JobId::issue(), JobId::issue());
    store.reserve(short, SHORT).await.unwrap();
    store.reserve(long, LONG).await.unwrap();
    eventually("a reservation is gone after its time", async || {
        store.fetch(short).await.unwrap().is_none()
    })
    .await;
    assert_eq!(store.fetch(long).await.unwrap(), Some(Entry::Queued));
}

async fn an_outcome_past_its_time_does_not_read_as_queued<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let short = finished(succeeded(3), SHORT);
    store.reserve(short.id, LONG).await.unwrap();
    for answer in store.finish(std::slice::from_ref(&short)).await {
        answer.unwrap();
    }
    eventually("an outcome is gone after its time", async || {
        let entry = store.fetch(short.id).await.unwrap();
        assert_ne!(entry, Some(Entry::Queued), "a finished job reads as queued");
        entry.is_none()
    })
    .await;
}

async fn waiting_ends_at_once_when_there_is_nothing_to_wait_for<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let known = JobId::issue();
    finish(&store, known, &succeeded(3)).await;
    let entry = within("waiting for a finished job ends", store.wait(known, LONG)).await;
    assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(3))));
    let entry = within(
        "waiting for an unknown job ends",
        store.wait(JobId::issue(), LONG),
    )
    .await;
    assert_eq!(entry.unwrap(), None);
}

async fn waiting_ends_when_another_process_finishes_the_job<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    for class in 0..3 {
        let id = JobId::issue();
        front_end.reserve(id, LONG).await.unwrap();
        let mut waiting = Box::pin(front_end.wait(id, LONG));
        assert!(stays_pending(&mut waiting).await, "it did not wait");
        finish(&worker, id, &succeeded(class)).await;
        let entry = within("waiting ends when the job is finished", waiting).await;
        assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(class))));
    }
}

async fn waiting_ends_as_queued_at_its_limit<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    for limit in [SHORT, Duration::ZERO] {
        let entry = within("waiting ends at its limit", store.wait(id, limit)).await;
        assert_eq!(entry.unwrap(), Some(Entry::Queued));
    }
}

async fn a_cancelled_wait_harms_nobody<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    let mut other = Box::pin(store.wait(id, LONG));
    assert!(stays_pending(&mut other).await);
    assert!(stays_pending(store.wait(id, LONG)).await);
    finish(&store, id, &succeeded(3)).await;
    let entry = within("the other wait ends", other).await;
    assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(3))));
}

async fn a_thousand_waiters_each_get_their_own_outcome<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    let jobs: Vec<Finished> = (0..1_000).map(|class| finished(succeeded(class), LONG)).collect();
    for job in &jobs {
        front_end.reserve(job.id, LONG).await.unwrap();
    }
    let mut waiting = join_all(jobs.iter().map(|job| front_end.wait(job.id, LONG)));
    assert!(stays_pending(&mut waiting).await, "they did not wait");
    let finishing = async {
        for batch in jobs.chunks(64) {
            for answer in worker.finish(batch).await {
                answer.unwrap();
            }
        }
    };
    let both = async { tokio::join!(waiting, finishing) };
    let (entries, ()) = within("each of a thousand waiters wakes", both).await;
    for (job, entry) in jobs.into_iter().zip(entries) {
        assert_eq!(entry.unwrap(), Some(Entry::Finished(job.outcome)));
    }
}

async fn many_may_wait_for_one_job<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    let mut waiting = join_all((0..50).map(|_| store.wait(id, LONG)));
    assert!(stays_pending(&mut waiting).await, "they did not wait");
    finish(&store, id, &succeeded(3)).await;
    for entry in within("each of fifty waiters wakes", waiting).await {
        assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(3))));
    }
}

async fn an_erased_job_is_unknown<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (queued, done) = (JobId::issue(), JobId::issue());
    store.reserve(queued, LONG).await.unwrap();
    store.reserve(done, LONG).await.unwrap();
    finish(&store, done, &succeeded(3)).await;
    for id in [queued, done] {
        assert!(store.erase(id).await.unwrap(), "nothing was known");
        assert_eq!(store.fetch(id).await.unwrap(), None);
        assert!(!store.erase(id).await.unwrap(), "it was known after its erasure");
    }
}

async fn outcomes_survive_the_end_of_every_process<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (queued, done) = (JobId::issue(), JobId::issue());
    store.reserve(queued, LONG).await.unwrap();
    finish(&store, done, &succeeded(3)).await;
    within("the store closes", store.close()).await;
    drop(store);
    let store = results.open().await;
    assert_eq!(store.fetch(queued).await.unwrap(), Some(Entry::Queued));
    assert_eq!(
        store.fetch(done).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

async fn stores_with_other_prefixes_are_apart<R: Results>() {
    let results = R::fresh().await;
    let others = results.beside().await;
    let (store, other) = (results.open().await, others.open().await);
    let id = JobId::issue();
    store.reserve(id, LONG).await.unwrap();
    assert_eq!(other.fetch(id).await.unwrap(), None);
    finish(&other, id, &succeeded(8)).await;
    assert_eq!(store.fetch(id).await.unwrap(), Some(Entry::Queued));
    assert!(store.erase(id).await.unwrap());
    assert_eq!(
        other.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(8)))
    );
}

async fn a_reachable_store_is_ready<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    within("the store is checked", store.check()).await.unwrap();
}

/// An answer with numbers that a careless text form would change.
fn succeeded(class: u16) -> Outcome {
    let mut probabilities = vec![0.0_f32; 10];
    probabilities[usize::from(class) % 10] = 1.0 - f32::EPSILON;
    probabilities[usize::from(class + 1) % 10] = 1.0e-38;
    probabilities[usize::from(class + 2) % 10] = 1.0 / 3.0;
    Outcome::Succeeded(Prediction {
        predicted_class: class,
        probabilities,
        model: ModelName {
            name: "mnistnet".to_owned(),
            weights_sha256: "ff7bcfd4".to_owned(),
        },
        worker: "worker-1".to_owned(),
        device: "cpu".to_owned(),
        batch_size: 64,
        timings: Timings::default(),
    })
}

fn finished(outcome: Outcome, ttl: Duration) -> Finished {
    Finished {
        id: JobId::issue(),
        outcome,
        ttl,
    }
}

async fn finish(store: &Arc<dyn ResultStore>, id: JobId, outcome: &Outcome) {
    let finished = Finished {
        id,
        outcome: outcome.clone(),
        ttl: LONG,
    };
    let answers = store.finish(&[finished]).await;
    assert_eq!(answers.len(), 1);
    for answer in answers {
        answer.unwrap();
    }
}
