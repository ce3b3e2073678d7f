//! Jobs whose consumers die: under suspicion, then condemned, and never at the cost of others.

use mnistq::broker::{Confirm, LIVES, SUSPECT_AFTER, Standing};

use super::*;
use crate::harness::dying_process;

/// A consumer takes so many jobs, and its process dies with them in hand. What it was told of each.
fn die_with<Q: Queue>(queue: &Q, count: usize) -> Vec<Standing> {
    dying_process(async || {
        let broker = queue.open_watchful().await;
        let mut consumer = consume(&broker, 64).await;
        let taken = take_many(&mut consumer, count).await;
        let standings = taken.iter().map(|delivery| delivery.standing).collect();
        // A process that dies gives nothing back.
        std::mem::forget((broker, consumer, taken));
        standings
    })
}

pub async fn a_job_that_outlives_its_consumers_is_suspected_and_then_condemned<Q: Queue>() {
    let queue = Q::fresh().await;
    let published = publish(&queue.open().await, 1).await;
    for _ in 0..SUSPECT_AFTER {
        assert_eq!(die_with(&queue, 1), [Standing::Clear]);
    }
    for _ in 0..LIVES {
        assert_eq!(die_with(&queue, 1), [Standing::Suspect]);
    }
    let broker = queue.open_watchful().await;
    let mut consumer = consume(&broker, 4).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(
        (delivery.id, delivery.standing),
        (published[0], Standing::Condemned)
    );
    assert!(delivery.job.is_ok());
    delivery.ack();
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

pub async fn a_consumer_has_one_suspect_in_hand_beside_other_jobs<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open_watchful().await;
    let suspects: HashSet<JobId> = publish(&broker, 3).await.into_iter().collect();
    for _ in 0..SUSPECT_AFTER {
        die_with(&queue, 3);
    }
    let others: HashSet<JobId> = publish(&broker, 2).await.into_iter().collect();
    let mut consumer = consume(&broker, 8).await;
    let mut ended = HashSet::new();
    let mut in_hand = take_many(&mut consumer, 3).await;
    for _ in 0..3 {
        assert!(
            stays_pending(consumer.receive()).await,
            "it has more than one suspect in hand"
        );
        let place = in_hand
            .iter()
            .position(|delivery| delivery.standing == Standing::Suspect);
        let suspect = in_hand.remove(place.expect("a suspect is in hand"));
        ended.insert(suspect.id);
        suspect.ack();
        if ended.len() < 3 {
            in_hand.push(take(&mut consumer).await);
        }
    }
    assert_eq!(ended, suspects);
    assert_eq!(ids(&in_hand), others);
    in_hand.into_iter().for_each(Delivery::ack);
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

pub async fn a_job_whose_consumer_is_stopped_is_not_suspected<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open_watchful().await;
    publish(&broker, 1).await;
    let mut consumer = consume(&broker, 4).await;
    for _ in 0..=SUSPECT_AFTER {
        let delivery = take(&mut consumer).await;
        assert_eq!(delivery.standing, Standing::Clear);
    }
}

pub async fn what_is_buried_is_kept_until_it_is_exhumed<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    assert_eq!(broker.buried().await.unwrap(), []);
    let jobs = [job(), job(), job()];
    for job in &jobs {
        broker.publish(job, LONG, Confirm::AtOnce).await.unwrap();
    }
    let mut consumer = consume(&broker, 4).await;
    for delivery in take_many(&mut consumer, 3).await {
        let reason = format!("{} was too heavy", delivery.id);
        delivery.bury(reason);
    }
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;

    let buried = broker.buried().await.unwrap();
    assert_eq!(buried.len(), 3);
    for (buried, job) in buried.iter().zip(&jobs) {
        assert_eq!(buried.id, job.id);
        assert_eq!(buried.body, job.encode());
        assert_eq!(buried.reason, format!("{} was too heavy", job.id));
    }
    assert!(broker.exhume(&[jobs[1].id]).await.unwrap());
    assert!(!broker.exhume(&[jobs[1].id, jobs[2].id]).await.unwrap());
    let left = queue.open().await.buried().await.unwrap();
    assert_eq!(left, buried[..1]);
}
