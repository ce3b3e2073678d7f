//! What becomes of jobs that nobody finishes in time.

use super::*;

async fn expires(store: &Arc<dyn ResultStore>, id: JobId) {
    eventually("a job expires", async || match store.fetch(id).await.unwrap() {
        Some(Entry::Queued) => false,
        Some(Entry::Finished(Outcome::Expired)) => true,
        other => panic!("{other:?}"),
    })
    .await;
}

pub async fn a_job_that_is_not_finished_by_its_deadline_has_expired<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (late, other) = (JobId::issue(), JobId::issue());
    store.reserve(&Reservation::new(late, SHORT, LONG)).await.unwrap();
    store.reserve(&Reservation::new(other, LONG, LONG)).await.unwrap();
    expires(&store, late).await;
    assert_eq!(store.fetch(other).await.unwrap(), Some(Entry::Queued));
}

pub async fn an_answer_after_the_deadline_changes_nothing<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    let id = JobId::issue();
    front_end
        .reserve(&Reservation::new(id, SHORT, LONG))
        .await
        .unwrap();
    expires(&front_end, id).await;
    finish(&worker, id, &succeeded(3)).await;
    let entry = front_end.fetch(id).await.unwrap();
    assert_eq!(entry, Some(Entry::Finished(Outcome::Expired)));
}

pub async fn an_answer_before_the_deadline_stays<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (early, late) = (JobId::issue(), JobId::issue());
    store
        .reserve(&Reservation::new(early, SHORT, LONG))
        .await
        .unwrap();
    finish(&store, early, &succeeded(3)).await;
    store.reserve(&Reservation::new(late, SHORT, LONG)).await.unwrap();
    expires(&store, late).await;
    let entry = store.fetch(early).await.unwrap();
    assert_eq!(entry, Some(Entry::Finished(succeeded(3))));
}

pub async fn a_wait_ends_with_the_deadline<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, SHORT, LONG)).await.unwrap();
    let entry = within("the wait ends", store.wait(id, LONG, First::Look))
        .await
        .unwrap();
    assert_eq!(entry, Some(Entry::Finished(Outcome::Expired)));
}

pub async fn many_jobs_are_looked_up_in_order<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (unknown, queued, done, late) = (JobId::issue(), JobId::issue(), JobId::issue(), JobId::issue());
    store
        .reserve(&Reservation::new(queued, LONG, LONG))
        .await
        .unwrap();
    store.reserve(&Reservation::new(late, SHORT, LONG)).await.unwrap();
    finish(&store, done, &succeeded(8)).await;
    expires(&store, late).await;
    let entries = store
        .fetch_all(&[late, unknown, done, queued, done])
        .await
        .unwrap();
    let finished = |outcome| Some(Entry::Finished(outcome));
    let expected = [
        finished(Outcome::Expired),
        None,
        finished(succeeded(8)),
        Some(Entry::Queued),
        finished(succeeded(8)),
    ];
    assert_eq!(entries, expected);
    assert_eq!(store.fetch_all(&[]).await.unwrap(), []);
}
