//! What every broker promises ([`mnistq::broker::Broker`]), asked of each implementation.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnistq::broker::{Broker, Confirm, Consumer, Delivery, PublishError};
use mnistq::job::{Job, JobId, Picture};

use crate::harness::{eventually, stays_pending, within};

pub mod amqp;
mod closing;
mod consuming;
mod overdue;
mod publishing;
pub mod sqlite;
mod suspects;

/// A deadline that no test reaches.
const LONG: Duration = Duration::from_secs(3_600);

/// A queue of one implementation, empty at first.
pub trait Queue: Sized + Sync {
    /// A fresh queue in which `limit` jobs may wait.
    async fn with_limit(limit: u32) -> Self;

    /// A broker for this queue, as another process would open it.
    async fn open(&self) -> Arc<dyn Broker>;

    /// As [`Queue::open`], but soon aware of consumers that have died.
    async fn open_watchful(&self) -> Arc<dyn Broker> {
        self.open().await
    }

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
    ($($part:ident { $($promise:ident,)+ })+) => {
        mod on_sqlite {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$part::$promise::<super::sqlite::SqliteQueue>().await;
                }
            )+)+
        }

        mod on_rabbitmq {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$part::$promise::<super::amqp::AmqpQueue>().await;
                }
            )+)+
        }
    };
}

contract! {
    consuming {
        a_published_job_is_delivered_whole,
        a_large_picture_is_delivered_whole,
        a_jobs_place_in_a_trace_comes_with_it,
        jobs_come_in_the_order_in_which_they_were_published,
        a_waiting_consumer_gets_what_is_published,
        what_has_arrived_can_be_taken_without_waiting,
        an_acknowledged_job_does_not_come_back,
        a_dropped_delivery_comes_again_and_says_so,
        a_job_may_be_given_back_many_times,
        no_more_than_the_prefetch_is_in_hand,
        an_acknowledgement_makes_room_for_the_next_job,
        two_consumers_share_the_jobs,
        damaged_bytes_are_delivered_with_their_id,
    }
    closing {
        a_dropped_consumer_gives_back_what_was_not_received,
        what_is_in_hand_can_be_acknowledged_after_its_consumer_was_dropped,
        a_closed_consumer_gives_back_what_was_not_received,
        closing_a_consumer_waits_for_what_is_in_hand,
        jobs_survive_the_end_of_every_process,
        closing_the_broker_lets_publishes_finish,
    }
    publishing {
        concurrent_publishers_lose_nothing,
        a_full_queue_refuses_and_loses_nothing,
        a_job_that_may_be_confirmed_later_is_delivered_and_confirmed,
        a_full_queue_takes_jobs_again_once_there_is_room,
        many_publishers_at_once_fill_the_queue_and_lose_nothing,
        the_backlog_counts_what_waits,
        queues_of_other_names_are_apart,
        a_reachable_queue_is_ready,
    }
    overdue {
        a_job_past_its_deadline_is_still_delivered,
        jobs_past_their_deadline_hold_up_no_other,
    }
    suspects {
        a_job_that_outlives_its_consumers_is_suspected_and_then_condemned,
        a_consumer_has_one_suspect_in_hand_beside_other_jobs,
        a_job_whose_consumer_is_stopped_is_not_suspected,
        what_is_buried_is_kept_until_it_is_exhumed,
    }
}

/// A job of its own: a fresh id, and a picture that no other has.
fn job() -> Job {
    let id = JobId::issue();
    Job {
        id,
        picture: Picture::new(4, 4, id.as_bytes().to_vec()).unwrap(),
        result_ttl: Duration::from_millis(3_600_007),
        accepted_at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        reading: Duration::from_micros(1_234),
        trace: None,
    }
}

async fn publish(broker: &Arc<dyn Broker>, count: usize) -> Vec<JobId> {
    let mut published = Vec::new();
    for _ in 0..count {
        let job = job();
        within(
            "a publish is confirmed",
            broker.publish(&job, LONG, Confirm::AtOnce),
        )
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
        match broker.publish(&job, LONG, Confirm::AtOnce).await {
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
