//! What every broker promises ([`mnistq::broker::Broker`]), asked of each implementation.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnistq::broker::{Broker, Consumer, Delivery, PublishError};
use mnistq::job::{Job, JobId, Picture};

use crate::harness::{eventually, stays_pending, within};

mod sqlite;

/// A queue of one implementation, empty at first.
trait Queue: Sized {
    /// A fresh queue in which `limit` jobs may wait.
    async fn with_limit(limit: u32) -> Self;

    /// A broker for this queue, as another process would open it.
    async fn open(&self) -> Arc<dyn Broker>;

    /// Another fresh queue: on the same broker, where one holds several.
    async fn beside(&self) -> Self;

    /// Puts bytes on the queue that need not be a job's.
    async fn publish_bytes(&self, id: JobId, body: &[u8]);

    /// A fresh queue with room enough.
    async fn fresh() -> Self {
        Self::with_limit(10_000).await
    }
}

/// Makes one test of each promise for each implementation.
macro_rules! contract {
    ($($promise:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise::<super::sqlite::SqliteQueue>().await;
                }
            )+
        }
    };
}

contract! {
    a_published_job_is_delivered_whole,
    a_large_picture_is_delivered_whole,
    jobs_come_in_the_order_in_which_they_were_published,
    a_waiting_consumer_gets_what_is_published,
    what_has_arrived_can_be_taken_without_waiting,
    an_acknowledged_job_does_not_come_back,
    a_dropped_delivery_comes_again_and_says_so,
    a_job_may_be_given_back_many_times,
    a_dropped_consumer_gives_back_what_was_not_received,
    what_is_in_hand_can_be_acknowledged_after_its_consumer_was_dropped,
    a_closed_consumer_gives_back_what_was_not_received,
    closing_a_consumer_waits_for_what_is_in_hand,
    no_more_than_the_prefetch_is_in_hand,
    an_acknowledgement_makes_room_for_the_next_job,
    two_consumers_share_the_jobs,
    concurrent_publishers_lose_nothing,
    a_full_queue_refuses_and_loses_nothing,
    a_full_queue_takes_jobs_again_once_there_is_room,
    many_publishers_at_once_fill_the_queue_and_lose_nothing,
    jobs_survive_the_end_of_every_process,
    closing_the_broker_lets_publishes_finish,
    damaged_bytes_are_delivered_with_their_id,
    the_backlog_counts_what_waits,
    queues_of_other_names_are_apart,
    a_reachable_queue_is_ready,
}

async fn a_published_job_is_delivered_whole<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let job = job();
    broker.publish(&job).await.unwrap();
    let mut consumer = consume(&broker, 4).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(delivery.id, job.id);
    assert_eq!(delivery.redeliveries, 0);
    assert_eq!(delivery.job.as_ref(), Ok(&job));
}

async fn a_large_picture_is_delivered_whole<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let pixels = (0..1_000 * 700).map(|pixel| (pixel % 251) as u8).collect();
    let job = Job {
        picture: Picture::new(1_000, 700, pixels).unwrap(),
        ..job()
    };
    broker.publish(&job).await.unwrap();
    let mut consumer = consume(&broker, 1).await;
    assert_eq!(take(&mut consumer).await.job.as_ref(), Ok(&job));
}

async fn jobs_come_in_the_order_in_which_they_were_published<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 30).await;
    let mut consumer = consume(&broker, 4).await;
    let mut received = Vec::new();
    for _ in &published {
        let delivery = take(&mut consumer).await;
        received.push(delivery.id);
        delivery.ack();
    }
    assert_eq!(received, published);
}

async fn a_waiting_consumer_gets_what_is_published<Q: Queue>() {
    let queue = Q::fresh().await;
    let (front_end, worker) = (queue.open().await, queue.open().await);
    let mut consumer = consume(&worker, 4).await;
    assert!(
        stays_pending(consumer.receive()).await,
        "an empty queue delivered"
    );
    for _ in 0..3 {
        let published = publish(&front_end, 1).await;
        let delivery = take(&mut consumer).await;
        assert_eq!(vec![delivery.id], published);
        delivery.ack();
    }
}

async fn what_has_arrived_can_be_taken_without_waiting<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let mut consumer = consume(&broker, 4).await;
    assert!(consumer.try_receive().is_none());
    let published = publish(&broker, 1).await;
    let mut arrived = None;
    eventually("the job arrives at the consumer", async || {
        arrived = consumer.try_receive();
        arrived.is_some()
    })
    .await;
    assert_eq!(vec![arrived.unwrap().id], published);
}

async fn an_acknowledged_job_does_not_come_back<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    publish(&broker, 5).await;
    let mut consumer = consume(&broker, 8).await;
    for delivery in take_many(&mut consumer, 5).await {
        delivery.ack();
    }
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

async fn a_dropped_delivery_comes_again_and_says_so<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 1).await;
    let mut consumer = consume(&broker, 4).await;
    drop(take(&mut consumer).await);
    let delivery = take(&mut consumer).await;
    assert_eq!(vec![delivery.id], published);
    assert!(delivery.redeliveries > 0, "it says that it was never in hand");
    assert!(delivery.job.is_ok());
}

/// A worker that is told to stop gives back what it holds: that must not use up the job's lives.
async fn a_job_may_be_given_back_many_times<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 1).await;
    let mut consumer = consume(&broker, 4).await;
    for _ in 0..30 {
        drop(take(&mut consumer).await);
    }
    let delivery = take(&mut consumer).await;
    assert_eq!(vec![delivery.id], published);
    delivery.ack();
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

async fn a_dropped_consumer_gives_back_what_was_not_received<Q: Queue>() {
    let queue = Q::fresh().await;
    let (one, other) = (queue.open().await, queue.open().await);
    let published = publish(&one, 6).await;
    let mut first = consume(&one, 4).await;
    let in_hand = take_many(&mut first, 2).await;
    drop(first);
    drop(in_hand);
    let mut second = consume(&other, 8).await;
    let received = take_many(&mut second, 6).await;
    assert_eq!(ids(&received), published.into_iter().collect());
}

async fn what_is_in_hand_can_be_acknowledged_after_its_consumer_was_dropped<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 2).await;
    let mut consumer = consume(&broker, 1).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(delivery.id, published[0]);
    drop(consumer);
    delivery.ack();
    let mut consumer = consume(&broker, 1).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(delivery.id, published[1], "the acknowledged job came back");
    delivery.ack();
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

async fn a_closed_consumer_gives_back_what_was_not_received<Q: Queue>() {
    let queue = Q::fresh().await;
    let (one, other) = (queue.open().await, queue.open().await);
    let published = publish(&one, 6).await;
    let mut first = consume(&one, 6).await;
    for delivery in take_many(&mut first, 2).await {
        delivery.ack();
    }
    within("the consumer closes", first.close()).await.unwrap();
    let mut second = consume(&other, 8).await;
    let received = take_many(&mut second, 4).await;
    assert_eq!(ids(&received), published[2..].iter().copied().collect());
    assert!(
        stays_pending(second.receive()).await,
        "an acknowledged job came back"
    );
}

async fn closing_a_consumer_waits_for_what_is_in_hand<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    publish(&broker, 2).await;
    let mut consumer = consume(&broker, 2).await;
    let mut in_hand = take_many(&mut consumer, 2).await;
    let mut closing = Box::pin(consumer.close());
    assert!(stays_pending(&mut closing).await, "it left two jobs in hand");
    in_hand.pop().unwrap().ack();
    assert!(stays_pending(&mut closing).await, "it left a job in hand");
    in_hand.pop().unwrap().ack();
    within("the consumer closes", closing).await.unwrap();
    nothing_is_left(&queue).await;
}

async fn no_more_than_the_prefetch_is_in_hand<Q: Queue>() {
    let queue = Q::fresh().await;
    let (one, other) = (queue.open().await, queue.open().await);
    let published = publish(&one, 10).await;
    let mut first = consume(&one, 3).await;
    let mut in_hand = take_many(&mut first, 3).await;
    assert!(
        stays_pending(first.receive()).await,
        "it holds more than its prefetch"
    );
    // Had the first consumer taken more behind the scenes, the second would wait for them in vain.
    let mut second = consume(&other, 10).await;
    in_hand.extend(take_many(&mut second, 7).await);
    assert_eq!(ids(&in_hand), published.into_iter().collect());
}

async fn an_acknowledgement_makes_room_for_the_next_job<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 40).await;
    let mut consumer = consume(&broker, 3).await;
    let mut in_hand = take_many(&mut consumer, 3).await;
    let mut received = HashSet::new();
    // Acknowledged out of order, as workers may.
    while let Some(delivery) = in_hand.pop() {
        received.insert(delivery.id);
        delivery.ack();
        if received.len() + in_hand.len() < published.len() {
            in_hand.push(take(&mut consumer).await);
        }
    }
    assert_eq!(received, published.into_iter().collect());
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

async fn two_consumers_share_the_jobs<Q: Queue>() {
    let queue = Q::fresh().await;
    let (one, other) = (queue.open().await, queue.open().await);
    let mut first = consume(&one, 2).await;
    let mut second = consume(&other, 2).await;
    let published = publish(&one, 40).await;
    let mut received = Vec::new();
    // Each in its turn: if one got nothing while the other holds no more than two, this would wait in vain.
    while received.len() < 36 {
        for consumer in [&mut first, &mut second] {
            let delivery = take(consumer).await;
            received.push(delivery.id);
            delivery.ack();
        }
    }
    while received.len() < published.len() {
        let delivery = within("one of two consumers gets a job", async {
            tokio::select! {
                delivery = first.receive() => delivery,
                delivery = second.receive() => delivery,
            }
        })
        .await
        .expect("the subscriptions go on");
        received.push(delivery.id);
        delivery.ack();
    }
    let unique: HashSet<JobId> = received.iter().copied().collect();
    assert_eq!(unique, published.into_iter().collect());
    first.close().await.unwrap();
    second.close().await.unwrap();
    nothing_is_left(&queue).await;
}

async fn concurrent_publishers_lose_nothing<Q: Queue>() {
    let queue = Q::fresh().await;
    let (one, other) = (queue.open().await, queue.open().await);
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let broker = Arc::clone(if number % 2 == 0 { &one } else { &other });
            tokio::spawn(async move { publish(&broker, 4).await })
        })
        .collect();
    let mut published = HashSet::new();
    for task in tasks {
        published.extend(within("64 publishers publish", task).await.unwrap());
    }
    assert_eq!(published.len(), 256);
    assert_eq!(drain(&one, 256).await, published);
    nothing_is_left(&queue).await;
}

async fn a_full_queue_refuses_and_loses_nothing<Q: Queue>() {
    let queue = Q::with_limit(5).await;
    let broker = queue.open().await;
    let accepted = fill(&broker).await;
    assert!(accepted.len() >= 5, "only {} of 5 jobs fit", accepted.len());
    assert_eq!(drain(&broker, accepted.len()).await, accepted);
    nothing_is_left(&queue).await;
}

async fn a_full_queue_takes_jobs_again_once_there_is_room<Q: Queue>() {
    let queue = Q::with_limit(5).await;
    let broker = queue.open().await;
    let accepted = fill(&broker).await;
    drain(&broker, accepted.len()).await;
    let mut last = None;
    eventually("the queue takes a job again", async || {
        let job = job();
        last = Some(job.id);
        match broker.publish(&job).await {
            Ok(()) => true,
            Err(PublishError::Full) => false,
            Err(error) => panic!("not full, but: {error:?}"),
        }
    })
    .await;
    assert_eq!(drain(&broker, 1).await, last.into_iter().collect());
}

async fn many_publishers_at_once_fill_the_queue_and_lose_nothing<Q: Queue>() {
    let queue = Q::with_limit(10).await;
    let broker = queue.open().await;
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                let job = job();
                match broker.publish(&job).await {
                    Ok(()) => Some(job.id),
                    Err(PublishError::Full) => None,
                    Err(error) => panic!("not full, but: {error:?}"),
                }
            })
        })
        .collect();
    let mut accepted = HashSet::new();
    for task in tasks {
        accepted.extend(within("200 publishers are answered", task).await.unwrap());
    }
    assert!(accepted.len() >= 10, "only {} of 10 jobs fit", accepted.len());
    assert!(accepted.len() < 200, "nothing was refused");
    assert_eq!(drain(&broker, accepted.len()).await, accepted);
    nothing_is_left(&queue).await;
}

async fn jobs_survive_the_end_of_every_process<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 5).await;
    within("the broker closes", broker.close()).await;
    drop(broker);
    let broker = queue.open().await;
    assert_eq!(drain(&broker, 5).await, published.into_iter().collect());
    nothing_is_left(&queue).await;
}

async fn closing_the_broker_lets_publishes_finish<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                let job = job();
                broker.publish(&job).await.map(|()| job.id)
            })
        })
        .collect();
    // Every publisher has begun; none knows yet how it ended.
    tokio::task::yield_now().await;
    within("the broker closes", broker.close()).await;
    let mut published = HashSet::new();
    for task in tasks {
        published.insert(within("a publisher is answered", task).await.unwrap().unwrap());
    }
    let broker = queue.open().await;
    assert_eq!(drain(&broker, published.len()).await, published);
}

async fn damaged_bytes_are_delivered_with_their_id<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let whole = job();
    let mut damaged = whole.encode();
    *damaged.last_mut().unwrap() ^= 1;
    let expected = [
        (whole.id, damaged),
        (JobId::issue(), b"not a job".to_vec()),
        (JobId::issue(), Vec::new()),
    ];
    for (id, body) in &expected {
        queue.publish_bytes(*id, body).await;
    }
    let after = publish(&broker, 1).await;
    let mut consumer = consume(&broker, 4).await;
    for (id, body) in &expected {
        let delivery = take(&mut consumer).await;
        assert_eq!(delivery.id, *id);
        assert_eq!(delivery.job, Job::decode(body));
        delivery.ack();
    }
    let delivery = take(&mut consumer).await;
    assert_eq!(vec![delivery.id], after);
    assert!(delivery.job.is_ok());
    delivery.ack();
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

async fn the_backlog_counts_what_waits<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    assert_eq!(broker.backlog().await.unwrap(), 0);
    publish(&broker, 3).await;
    eventually("three jobs wait", async || broker.backlog().await.unwrap() == 3).await;
    drain(&broker, 3).await;
    eventually("no job waits", async || broker.backlog().await.unwrap() == 0).await;
}

async fn queues_of_other_names_are_apart<Q: Queue>() {
    let queue = Q::fresh().await;
    let other = queue.beside().await;
    let published = publish(&queue.open().await, 1).await;
    nothing_is_left(&other).await;
    assert_eq!(
        drain(&queue.open().await, 1).await,
        published.into_iter().collect()
    );
}

async fn a_reachable_queue_is_ready<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    within("the broker is checked", broker.check()).await.unwrap();
}

/// A job of its own: a fresh id, and a picture that no other has.
fn job() -> Job {
    let id = JobId::issue();
    Job {
        id,
        picture: Picture::new(4, 4, id.as_bytes().to_vec()).unwrap(),
        result_ttl: Duration::from_millis(3_600_007),
        accepted_at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
    }
}

async fn publish(broker: &Arc<dyn Broker>, count: usize) -> Vec<JobId> {
    let mut published = Vec::new();
    for _ in 0..count {
        let job = job();
        within("a publish is confirmed", broker.publish(&job))
            .await
            .unwrap();
        published.push(job.id);
    }
    published
}

/// Publishes, one after the other, until the queue refuses.
async fn fill(broker: &Arc<dyn Broker>) -> HashSet<JobId> {
    let mut accepted = HashSet::new();
    for _ in 0..1_000 {
        let job = job();
        match broker.publish(&job).await {
            Ok(()) => accepted.insert(job.id),
            Err(PublishError::Full) => return accepted,
            Err(error) => panic!("not full, but: {error:?}"),
        };
    }
    panic!("a thousand jobs, and the queue is not full");
}

async fn consume(broker: &Arc<dyn Broker>, prefetch: u16) -> Consumer {
    let prefetch = NonZeroU16::new(prefetch).unwrap();
    within("a subscription starts", broker.consume(prefetch))
        .await
        .unwrap()
}

async fn take(consumer: &mut Consumer) -> Delivery {
    within("a consumer gets a job", consumer.receive())
        .await
        .expect("the subscription goes on")
}

async fn take_many(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(take(consumer).await);
    }
    taken
}

/// Takes `count` jobs off the queue for good.
async fn drain(broker: &Arc<dyn Broker>, count: usize) -> HashSet<JobId> {
    let mut consumer = consume(broker, 64).await;
    let mut received = HashSet::new();
    for _ in 0..count {
        let delivery = take(&mut consumer).await;
        received.insert(delivery.id);
        delivery.ack();
    }
    within("the consumer closes", consumer.close()).await.unwrap();
    received
}

/// Fails if anything waits in the queue or comes back to it.
async fn nothing_is_left(queue: &impl Queue) {
    let broker = queue.open().await;
    eventually("the queue is empty", async || {
        broker.backlog().await.unwrap() == 0
    })
    .await;
    let mut consumer = consume(&broker, 1).await;
    assert!(
        stays_pending(consumer.receive()).await,
        "a job is left in the queue"
    );
}

fn ids(deliveries: &[Delivery]) -> HashSet<JobId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}
