//! What is lost when consumers, brokers and processes end: nothing.

use super::*;

pub async fn a_dropped_consumer_gives_back_what_was_not_received<Q: Queue>() {
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

pub async fn what_is_in_hand_can_be_acknowledged_after_its_consumer_was_dropped<Q: Queue>() {
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

pub async fn a_closed_consumer_gives_back_what_was_not_received<Q: Queue>() {
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

pub async fn closing_a_consumer_waits_for_what_is_in_hand<Q: Queue>() {
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

pub async fn jobs_survive_the_end_of_every_process<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let published = publish(&broker, 5).await;
    within("the broker closes", broker.close()).await;
    drop(broker);
    let broker = queue.open().await;
    assert_eq!(drain(&broker, 5).await, published.into_iter().collect());
    nothing_is_left(&queue).await;
}

pub async fn closing_the_broker_lets_publishes_finish<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                let job = job();
                broker.publish(&job, LONG, Confirm::AtOnce).await.map(|()| job.id)
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
