//! The result store while its Redis is killed, stopped, full, locked or cut off.

use std::sync::Arc;
use std::time::Duration;

use mnistq::address::{Address, ServerUrl};
use mnistq::job::{Failure, FailureCode, JobId, Outcome};
use mnistq::store::redis::RedisStore;
use mnistq::store::{Entry, Finished, First, Reservation, ResultStore, Settings, StoreError};
use mnistq::tls::Trust;

use crate::harness::process::free_port;
use crate::harness::proxy::Proxy;
use crate::harness::redis::Redis;
use crate::harness::{eventually, stays_pending, within};

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_store_reconnects_after_a_crash_of_redis_and_has_lost_nothing() {
    let mut redis = Redis::launch().await;
    let store = connect(&redis).await;
    let (done, queued) = (failed(), JobId::issue());
    store
        .reserve(&Reservation::new(queued, LONG, LONG))
        .await
        .unwrap();
    finish(&store, &done).await;
    redis.kill();
    unavailable(&store, &done).await;
    redis.start().await;
    eventually("the store reconnects", async || store.check().await.is_ok()).await;
    assert_eq!(store.fetch(done.id).await.unwrap(), entry(&done));
    assert_eq!(store.fetch(queued).await.unwrap(), Some(Entry::Queued));
    eventually("the store listens for outcomes again", async || {
        listeners(&redis) == 1
    })
    .await;
}

#[tokio::test]
async fn a_stopped_redis_is_unavailable_until_it_goes_on() {
    let redis = Redis::launch().await;
    let store = connect(&redis).await;
    let done = failed();
    finish(&store, &done).await;
    redis.stop();
    unavailable(&store, &done).await;
    redis.resume();
    eventually("the store reconnects", async || store.check().await.is_ok()).await;
    assert_eq!(store.fetch(done.id).await.unwrap(), entry(&done));
    eventually("the store listens for outcomes again", async || {
        listeners(&redis) == 1
    })
    .await;
}

#[tokio::test]
async fn a_waiter_is_told_that_redis_went_away() {
    let mut redis = Redis::launch().await;
    let store = connect(&redis).await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    let mut waiting = Box::pin(store.wait(id, LONG, First::Look));
    assert!(stays_pending(&mut waiting).await, "it did not wait");
    redis.kill();
    let error = within("waiting ends without Redis", waiting).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_whose_connections_are_cut_comes_back() {
    let redis = Redis::launch().await;
    let store = connect(&redis).await;
    let done = failed();
    finish(&store, &done).await;
    for kind in ["normal", "pubsub"] {
        assert_eq!(redis.ask(&format!("CLIENT KILL TYPE {kind}")), ":1");
    }
    eventually("the store reconnects", async || store.check().await.is_ok()).await;
    assert_eq!(store.fetch(done.id).await.unwrap(), entry(&done));
    eventually("the store listens for outcomes again", async || {
        listeners(&redis) == 1
    })
    .await;
}

#[tokio::test]
async fn connections_on_which_nothing_comes_back_are_replaced() {
    let redis = Redis::launch().await;
    let proxy = Proxy::before(redis.port()).await;
    let store = open(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let (first, second) = (failed(), failed());
    finish(&store, &first).await;
    proxy.silence();
    eventually("the store asks on a new connection", async || {
        store
            .fetch(first.id)
            .await
            .is_ok_and(|found| found == entry(&first))
    })
    .await;
    finish(&store, &second).await;
    eventually("the store listens on a new connection", async || {
        // The old one is still open at this end.
        listeners(&redis) == 2
    })
    .await;
}

#[tokio::test]
async fn a_full_redis_refuses_outcomes_until_it_has_room_and_still_hands_out_what_it_has() {
    let redis = Redis::launch().await;
    let store = connect(&redis).await;
    let (early, late) = (failed(), [failed(), failed(), failed()]);
    finish(&store, &early).await;
    assert_eq!(redis.ask("CONFIG SET maxmemory 1"), "+OK");
    let answers = store.finish(&late).await;
    assert_eq!(answers.len(), late.len());
    let full = |error: &StoreError| matches!(error, StoreError::Full { .. });
    for answer in answers {
        assert!(answer.as_ref().is_err_and(full), "{answer:?}");
    }
    let reserved = store.reserve(&Reservation::new(JobId::issue(), LONG, LONG)).await;
    assert!(reserved.as_ref().is_err_and(full), "{reserved:?}");
    let ready = store.check().await;
    assert!(ready.as_ref().is_err_and(full), "{ready:?}");
    assert_eq!(store.fetch(early.id).await.unwrap(), entry(&early));
    assert_eq!(redis.ask("CONFIG SET maxmemory 0"), "+OK");
    store.check().await.unwrap();
    for one in late {
        finish(&store, &one).await;
        assert_eq!(store.fetch(one.id).await.unwrap(), entry(&one));
    }
}

#[tokio::test]
async fn a_store_waits_for_a_redis_that_starts_late() {
    let mut redis = Redis::launch().await;
    redis.kill();
    let url = url(&redis.url());
    let settings = Settings::default();
    let trust = Trust::default();
    let mut connecting = Box::pin(RedisStore::connect(&url, &settings, &trust));
    assert!(stays_pending(&mut connecting).await, "it did not wait");
    let (store, ()) = tokio::join!(connecting, redis.start());
    store.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_unavailable() {
    let error = refusal(&format!("redis://:canary@127.0.0.1:{}", free_port())).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_is_taken() {
    let redis = Redis::launch_with(&["--requirepass", "se/cr:t"]).await;
    let open = redis.url();
    for address in [
        open.clone(),
        open.replace("redis://", "redis://:canary@"),
        open.replace("redis://", "redis://canary:canary@"),
    ] {
        let error = refusal(&address).await;
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
    let url = url(&open.replace("redis://", "redis://:se%2Fcr%3At@"));
    let store = RedisStore::connect(&url, &Settings::default(), &Trust::default())
        .await
        .unwrap();
    store.check().await.unwrap();
}

/// Rather than to send a password in the clear to whoever asked for encryption.
#[tokio::test]
async fn an_encrypted_address_is_never_spoken_to_in_the_clear() {
    let redis = Redis::launch().await;
    let error = refusal(&redis.url().replace("redis://", "rediss://:canary@")).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let asked = redis.ask("INFO commandstats");
    assert!(
        !asked.contains("cmdstat_auth") && !asked.contains("cmdstat_hello"),
        "{asked}"
    );
}

#[tokio::test]
async fn an_outcome_of_a_newer_version_is_refused_and_not_misread() {
    let redis = Redis::launch().await;
    let store = connect(&redis).await;
    let id = JobId::issue();
    let stored = redis.ask(&format!(r#"SET mnistq:r:{id} '{{"v":2,"status":"expired"}}'"#));
    assert_eq!(stored, "+OK");
    let error = store.fetch(id).await.unwrap_err();
    let StoreError::Refused { source, .. } = error else {
        panic!("not refused, but: {error:?}");
    };
    assert!(source.to_string().contains("version 2"), "{source}");
}

/// Every method says so, and a batch says so for each of its jobs.
async fn unavailable(store: &Arc<dyn ResultStore>, known: &Finished) {
    let away = |error: &StoreError| matches!(error, StoreError::Unavailable { .. });
    let batch = [failed(), known.clone(), failed()];
    let answers = within("a batch is answered without Redis", store.finish(&batch)).await;
    assert_eq!(answers.len(), batch.len());
    for answer in answers {
        assert!(answer.as_ref().is_err_and(away), "{answer:?}");
    }
    let id = known.id;
    let answers = [
        within("fetching ends", store.fetch(id)).await.map(drop),
        within("waiting ends", store.wait(id, LONG, First::Look))
            .await
            .map(drop),
        within(
            "reserving ends",
            store.reserve(&Reservation::new(JobId::issue(), LONG, LONG)),
        )
        .await,
        within("releasing ends", store.release(JobId::issue())).await,
        within("erasing ends", store.erase(JobId::issue()))
            .await
            .map(drop),
        within("the check ends", store.check()).await,
    ];
    for answer in answers {
        assert!(answer.as_ref().is_err_and(away), "{answer:?}");
    }
}

/// How many listen for outcomes.
fn listeners(redis: &Redis) -> u32 {
    let answer = redis.ask("PUBSUB NUMSUB mnistq:done");
    let count = answer.rsplit(':').next().unwrap_or_default();
    count
        .parse()
        .unwrap_or_else(|_| panic!("no count of subscribers: {answer}"))
}

async fn connect(redis: &Redis) -> Arc<dyn ResultStore> {
    open(&redis.url()).await
}

async fn open(address: &str) -> Arc<dyn ResultStore> {
    let connected = RedisStore::connect(&url(address), &Settings::default(), &Trust::default()).await;
    Arc::new(connected.unwrap())
}

/// Why this address can't be used; it shows no password.
async fn refusal(address: &str) -> StoreError {
    let (url, settings) = (url(address), Settings::default());
    let connected = within(
        "connecting ends",
        RedisStore::connect(&url, &settings, &Trust::default()),
    )
    .await;
    let error = connected.err().expect("this Redis can't be used");
    assert!(!format!("{error:?} {error}").contains("canary@"), "{error:?}");
    error
}

fn url(text: &str) -> ServerUrl {
    match text.parse() {
        Ok(Address::Redis(url)) => url,
        _ => panic!("{text} is an address of Redis"),
    }
}

fn failed() -> Finished {
    let error = Failure {
        code: FailureCode::Rejected,
        detail: "blank".to_owned(),
    };
    Finished {
        id: JobId::issue(),
        outcome: Outcome::Failed { error },
        ttl: LONG,
    }
}

async fn finish(store: &Arc<dyn ResultStore>, finished: &Finished) {
    let answers = store.finish(std::slice::from_ref(finished)).await;
    assert_eq!(answers.len(), 1);
    for answer in answers {
        answer.unwrap();
    }
}

fn entry(finished: &Finished) -> Option<Entry> {
    Some(Entry::Finished(finished.outcome.clone()))
}
