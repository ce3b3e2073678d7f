//! Jobs that wait past their deadline: delivered all the same, since somebody must say that they expired.

use mnistq::broker::{Confirm, Standing};

use super::*;

const SHORT: Duration = Duration::from_millis(1);

pub async fn a_job_past_its_deadline_is_still_delivered<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let job = job();
    broker.publish(&job, SHORT, Confirm::AtOnce).await.unwrap();
    let mut consumer = consume(&broker, 4).await;
    let delivery = take(&mut consumer).await;
    assert_eq!((delivery.id, delivery.job.as_ref()), (job.id, Ok(&job)));
    assert!(
        matches!(delivery.standing, Standing::Clear | Standing::Overdue),
        "{:?}",
        delivery.standing
    );
    delivery.ack();
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

pub async fn jobs_past_their_deadline_hold_up_no_other<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let mut published = HashSet::new();
    for number in 0..20 {
        let job = job();
        let deadline = if number % 2 == 0 { SHORT } else { LONG };
        broker.publish(&job, deadline, Confirm::AtOnce).await.unwrap();
        published.insert(job.id);
    }
    assert_eq!(drain(&broker, 20).await, published);
    nothing_is_left(&queue).await;
}
