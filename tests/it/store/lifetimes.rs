//! How long it is kept.

use super::*;

pub async fn an_outcome_is_kept_for_its_time_to_live<R: Results>() {
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

pub async fn a_reservation_is_kept_for_its_time_to_live<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (short, long) = (JobId::issue(), JobId::issue());
    store
        .reserve(&Reservation::new(short, SHORT, SHORT))
        .await
        .unwrap();
    store.reserve(&Reservation::new(long, LONG, LONG)).await.unwrap();
    eventually(
        "a reservation, and that it expired, is gone after its time",
        async || store.fetch(short).await.unwrap().is_none(),
    )
    .await;
    assert_eq!(store.fetch(long).await.unwrap(), Some(Entry::Queued));
}

pub async fn an_outcome_past_its_time_does_not_read_as_queued<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let short = finished(succeeded(3), SHORT);
    store
        .reserve(&Reservation::new(short.id, LONG, LONG))
        .await
        .unwrap();
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

pub async fn an_erased_job_is_unknown<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (queued, done) = (JobId::issue(), JobId::issue());
    store
        .reserve(&Reservation::new(queued, LONG, LONG))
        .await
        .unwrap();
    store.reserve(&Reservation::new(done, LONG, LONG)).await.unwrap();
    finish(&store, done, &succeeded(3)).await;
    for id in [queued, done] {
        assert!(store.erase(id).await.unwrap(), "nothing was known");
        assert_eq!(store.fetch(id).await.unwrap(), None);
        assert!(!store.erase(id).await.unwrap(), "it was known after its erasure");
    }
}

pub async fn outcomes_survive_the_end_of_every_process<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (queued, done) = (JobId::issue(), JobId::issue());
    store
        .reserve(&Reservation::new(queued, LONG, LONG))
        .await
        .unwrap();
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

pub async fn stores_with_other_prefixes_are_apart<R: Results>() {
    let results = R::fresh().await;
    let others = results.beside().await;
    let (store, other) = (results.open().await, others.open().await);
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    assert_eq!(other.fetch(id).await.unwrap(), None);
    finish(&other, id, &succeeded(8)).await;
    assert_eq!(store.fetch(id).await.unwrap(), Some(Entry::Queued));
    assert!(store.erase(id).await.unwrap());
    assert_eq!(
        other.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(8)))
    );
}

pub async fn a_reachable_store_is_ready<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    within("the store is checked", store.check()).await.unwrap();
}
