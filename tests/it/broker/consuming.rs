//! What a worker may rely on: what it takes, holds, acknowledges and gives back.

use super::*;

pub async fn a_published_job_is_delivered_whole<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let job = job();
    broker.publish(&job, LONG, Confirm::AtOnce).await.unwrap();
    let mut consumer = consume(&broker, 4).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(delivery.id, job.id);
    assert_eq!(delivery.redeliveries, 0);
    assert_eq!(delivery.job.as_ref(), Ok(&job));
}

pub async fn a_large_picture_is_delivered_whole<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let pixels = (0..1_000 * 700).map(|pixel| (pixel % 251) as u8).collect();
    let job = Job {
        picture: Picture::new(1_000, 700, pixels).unwrap(),
        ..job()
    };
    broker.publish(&job, LONG, Confirm::AtOnce).await.unwrap();
    let mut consumer = consume(&broker, 1).await;
    assert_eq!(take(&mut consumer).await.job.as_ref(), Ok(&job));
}

pub async fn a_jobs_place_in_a_trace_comes_with_it<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for trace in [None, Some(place.parse().unwrap())] {
        let job = Job { trace, ..job() };
        broker.publish(&job, LONG, Confirm::AtOnce).await.unwrap();
        let mut consumer = consume(&broker, 1).await;
        let first = take(&mut consumer).await;
        assert_eq!(first.job.as_ref(), Ok(&job));
        drop(first);
        let again = take(&mut consumer).await;
        assert_eq!(again.job.as_ref(), Ok(&job), "when it comes again");
        again.ack();
        consumer.close().await.unwrap();
    }
}

pub async fn jobs_come_in_the_order_in_which_they_were_published<Q: Queue>() {
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

pub async fn a_waiting_consumer_gets_what_is_published<Q: Queue>() {
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

pub async fn what_has_arrived_can_be_taken_without_waiting<Q: Queue>() {
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

pub async fn an_acknowledged_job_does_not_come_back<Q: Queue>() {
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

pub async fn a_dropped_delivery_comes_again_and_says_so<Q: Queue>() {
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
pub async fn a_job_may_be_given_back_many_times<Q: Queue>() {
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

pub async fn no_more_than_the_prefetch_is_in_hand<Q: Queue>() {
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

pub async fn an_acknowledgement_makes_room_for_the_next_job<Q: Queue>() {
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

pub async fn two_consumers_share_the_jobs<Q: Queue>() {
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

pub async fn damaged_bytes_are_delivered_with_their_id<Q: Queue>() {
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
