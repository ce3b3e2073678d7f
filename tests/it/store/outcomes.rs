//! What is stored, and which of two answers counts.

use super::*;

pub async fn an_unknown_job_is_unknown<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    assert_eq!(store.fetch(JobId::issue()).await.unwrap(), None);
}

pub async fn a_reserved_job_is_queued<R: Results>() {
    let results = R::fresh().await;
    let (front_end, other) = (results.open().await, results.open().await);
    let id = JobId::issue();
    front_end
        .reserve(&Reservation::new(id, LONG, LONG))
        .await
        .unwrap();
    assert_eq!(front_end.fetch(id).await.unwrap(), Some(Entry::Queued));
    assert_eq!(other.fetch(id).await.unwrap(), Some(Entry::Queued));
}

pub async fn a_reservation_may_be_repeated<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    assert_eq!(store.fetch(id).await.unwrap(), Some(Entry::Queued));
}

pub async fn a_released_job_is_unknown<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    store.release(id).await.unwrap();
    assert_eq!(store.fetch(id).await.unwrap(), None);
    store.release(id).await.unwrap();
}

pub async fn every_kind_of_outcome_reads_as_it_was_stored<R: Results>() {
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
        front_end
            .reserve(&Reservation::new(id, LONG, LONG))
            .await
            .unwrap();
        finish(&worker, id, &outcome).await;
        assert_eq!(front_end.fetch(id).await.unwrap(), Some(Entry::Finished(outcome)));
    }
}

/// The reservation may be gone, by a restart without memory or by its time: the answer counts all the same.
pub async fn an_outcome_needs_no_reservation<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    finish(&store, id, &succeeded(3)).await;
    assert_eq!(
        store.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

pub async fn the_first_outcome_wins_and_later_ones_count_as_success<R: Results>() {
    let results = R::fresh().await;
    let (one, other) = (results.open().await, results.open().await);
    let id = JobId::issue();
    one.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
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

pub async fn of_many_outcomes_at_once_every_reader_sees_the_same<R: Results>() {
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

pub async fn a_batch_is_answered_in_order<R: Results>() {
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

pub async fn a_batch_may_name_a_job_twice<R: Results>() {
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

pub async fn an_empty_batch_is_stored<R: Results>() {
    let results = R::fresh().await;
    assert!(results.open().await.finish(&[]).await.is_empty());
}

pub async fn a_late_reservation_does_not_hide_an_outcome<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    finish(&store, id, &succeeded(3)).await;
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    assert_eq!(
        store.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

pub async fn a_late_release_does_not_hide_an_outcome<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let id = JobId::issue();
    store.reserve(&Reservation::new(id, LONG, LONG)).await.unwrap();
    finish(&store, id, &succeeded(3)).await;
    store.release(id).await.unwrap();
    assert_eq!(
        store.fetch(id).await.unwrap(),
        Some(Entry::Finished(succeeded(3)))
    );
}

fn claim(first_byte: u8) -> Claim {
    Claim {
        id: JobId::issue(),
        fingerprint: [first_byte; 32],
    }
}

pub async fn the_first_claim_of_a_key_holds<R: Results>() {
    let results = R::fresh().await;
    let (one, other) = (results.open().await, results.open().await);
    let (first, second) = (claim(1), claim(2));
    assert_eq!(one.claim("a key / of mine", first, LONG).await.unwrap(), first);
    assert_eq!(other.claim("a key / of mine", second, LONG).await.unwrap(), first);
    assert_eq!(other.claim("another", second, LONG).await.unwrap(), second);
    let claims = (3..40).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
        async move { store.claim("contended", claim(number), LONG).await.unwrap() }
    });
    let held: Vec<Claim> = join_all(claims).await;
    assert!(held.iter().all(|claim| *claim == held[0]), "{held:?}");
}

pub async fn a_claim_is_kept_for_its_time_to_live<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (first, second) = (claim(1), claim(2));
    store.claim("short", first, SHORT).await.unwrap();
    eventually("the key is free again", async || {
        store.claim("short", second, SHORT).await.unwrap() == second
    })
    .await;
}

pub async fn the_owner_of_a_job_is_known_as_long_as_its_outcome<R: Results>() {
    let results = R::fresh().await;
    let (front_end, worker) = (results.open().await, results.open().await);
    let (owned, free) = (JobId::issue(), JobId::issue());
    front_end.reserve(&of_alice(owned)).await.unwrap();
    front_end
        .reserve(&Reservation::new(free, LONG, LONG))
        .await
        .unwrap();
    for id in [owned, free] {
        finish(&worker, id, &succeeded(3)).await;
    }
    assert_eq!(worker.owner(owned).await.unwrap().as_deref(), Some("alice"));
    assert_eq!(worker.owner(free).await.unwrap(), None);
    assert_eq!(worker.owner(JobId::issue()).await.unwrap(), None);
    // A repetition by somebody else changes nothing.
    let stolen = Reservation {
        owner: Some("mallory".to_owned()),
        ..of_alice(owned)
    };
    front_end.reserve(&stolen).await.unwrap();
    assert_eq!(front_end.owner(owned).await.unwrap().as_deref(), Some("alice"));
}

pub async fn a_released_or_erased_job_has_no_owner<R: Results>() {
    let results = R::fresh().await;
    let store = results.open().await;
    let (released, erased) = (JobId::issue(), JobId::issue());
    for id in [released, erased] {
        store.reserve(&of_alice(id)).await.unwrap();
    }
    store.release(released).await.unwrap();
    finish(&store, erased, &succeeded(3)).await;
    assert!(store.erase(erased).await.unwrap());
    for id in [released, erased] {
        assert_eq!(store.owner(id).await.unwrap(), None);
    }
    assert!(!store.erase(erased).await.unwrap());
}

fn of_alice(id: JobId) -> Reservation {
    Reservation {
        owner: Some("alice".to_owned()),
        ..Reservation::new(id, LONG, LONG)
    }
}
