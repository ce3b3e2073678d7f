//! Who waits for an outcome is woken by it.

use super::*;

pub async fn waiting_ends_at_once_when_there_is_nothing_to_wait_for<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let known = JobId::issue();
    finish(&store, known, &succeeded(3)).await;
    let entry = within(
        "waiting for a finished job ends",
        store.wait(known, LONG, First::Look),
    )
    .await;
    assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(3))));
    let entry = within(
        "waiting for an unknown job ends",
        store.wait(JobId::issue(), LONG, First::Look),
    )
    .await;
    assert_eq!(entry.unwrap(), None);
}

pub async fn waiting_ends_when_another_process_finishes_the_job<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    for class in 0..3 {
        let id = JobId::issue();
        front_end
            .reserve(&Reservation::new(id, LONG, LONG))
            .await
            .unwrap();
        let mut waiting = Box::pin(front_end.wait(id, LONG, First::Look));
        assert!(stays_pending(&mut waiting).await, "it did not wait");
        finish(&worker, id, &succeeded(class)).await;
        let entry = within("waiting ends when the job is finished", waiting).await;
        assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(class))));
    }
}

pub async fn waiting_ends_as_queued_at_its_limit<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    for limit in [SHORT, Duration::ZERO] {
        let entry = within("waiting ends at its limit", store.wait(id, limit, First::Look)).await;
        assert_eq!(entry.unwrap(), Some(Entry::Queued));
    }
}

pub async fn who_only_listens_hears_what_is_finished_later<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    let mut listening = Vec::new();
    for class in 0..3 {
        let id = JobId::issue();
        let reservation = Reservation::new(id, LONG, LONG);
        front_end.reserve(&reservation).await.unwrap();
        let mut heard = Box::pin(front_end.wait(id, LONG, First::Listen));
        assert!(stays_pending(&mut heard).await, "it did not wait");
        listening.push((finished(succeeded(class), LONG), id, heard));
    }
    for (job, id, heard) in listening {
        finish(&worker, id, &job.outcome).await;
        let entry = within("who listens hears the outcome", heard).await;
        assert_eq!(entry.unwrap(), Some(Entry::Finished(job.outcome)));
    }
}

pub async fn who_listens_in_vain_is_told_at_the_limit<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    for limit in [SHORT, Duration::ZERO] {
        let entry = within(
            "listening ends at its limit",
            store.wait(id, limit, First::Listen),
        )
        .await;
        assert_eq!(entry.unwrap(), Some(Entry::Queued));
    }
}

pub async fn a_cancelled_wait_harms_nobody<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    let mut other = Box::pin(store.wait(id, LONG, First::Look));
    assert!(stays_pending(&mut other).await);
    assert!(stays_pending(store.wait(id, LONG, First::Look)).await);
    finish(&store, id, &succeeded(3)).await;
    let entry = within("the other wait ends", other).await;
    assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(3))));
}

pub async fn a_thousand_waiters_each_get_their_own_outcome<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    let jobs: Vec<Finished> = (0..1_000).map(|class| finished(succeeded(class), LONG)).collect();
    for job in &jobs {
        front_end
            .reserve(&Reservation::new(job.id, LONG, LONG))
            .await
            .unwrap();
    }
    let mut waiting = join_all(jobs.iter().map(|job| front_end.wait(job.id, LONG, First::Look)));
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

pub async fn many_may_wait_for_one_job<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    let mut waiting = join_all((0..50).map(|_| store.wait(id, LONG, First::Look)));
    assert!(stays_pending(&mut waiting).await, "they did not wait");
    finish(&store, id, &succeeded(3)).await;
    for entry in within("each of fifty waiters wakes", waiting).await {
        assert_eq!(entry.unwrap(), Some(Entry::Finished(succeeded(3))));
    }
}
