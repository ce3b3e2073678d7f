//! What a front end may rely on: what is confirmed is kept, and what does not fit is refused.

use super::*;

pub async fn concurrent_publishers_lose_nothing<Q: Queue>() {
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

pub async fn a_job_that_may_be_confirmed_later_is_delivered_and_confirmed<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    let mut consumer = consume(&broker, 4).await;
    for _ in 0..3 {
        let job = job();
        let publish = broker.publish(&job, LONG, Confirm::Soon);
        let confirmed = within("a publish that nothing follows is confirmed", publish);
        let (delivery, confirmed) = tokio::join!(take(&mut consumer), confirmed);
        assert_eq!(delivery.id, job.id);
        confirmed.unwrap();
        delivery.ack();
    }
}

pub async fn a_full_queue_refuses_and_loses_nothing<Q: Queue>() {
    let queue = Q::with_limit(5).await;
    let broker = queue.open().await;
    let accepted = fill(&broker).await;
    assert!(accepted.len() >= 5, "only {} of 5 jobs fit", accepted.len());
    assert_eq!(drain(&broker, accepted.len()).await, accepted);
    nothing_is_left(&queue).await;
}

pub async fn a_full_queue_takes_jobs_again_once_there_is_room<Q: Queue>() {
    let queue = Q::with_limit(5).await;
    let broker = queue.open().await;
    let accepted = fill(&broker).await;
    drain(&broker, accepted.len()).await;
    let mut last = None;
    eventually("the queue takes a job again", async || {
        let job = job();
        last = Some(job.id);
        match broker.publish(&job, LONG, Confirm::AtOnce).await {
            Ok(()) => true,
            Err(PublishError::Full) => false,
            Err(error) => panic!("not full, but: {error:?}"),
        }
    })
    .await;
    assert_eq!(drain(&broker, 1).await, last.into_iter().collect());
}

pub async fn many_publishers_at_once_fill_the_queue_and_lose_nothing<Q: Queue>() {
    let queue = Q::with_limit(10).await;
    let broker = queue.open().await;
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                let job = job();
                match broker.publish(&job, LONG, Confirm::AtOnce).await {
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

pub async fn the_backlog_counts_what_waits<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    assert_eq!(broker.backlog().await.unwrap(), 0);
    publish(&broker, 3).await;
    eventually("three jobs wait", async || broker.backlog().await.unwrap() == 3).await;
    drain(&broker, 3).await;
    eventually("no job waits", async || broker.backlog().await.unwrap() == 0).await;
}

pub async fn queues_of_other_names_are_apart<Q: Queue>() {
    let queue = Q::fresh().await;
    let other = queue.beside().await;
    let published = publish(&queue.open().await, 1).await;
    nothing_is_left(&other).await;
    assert_eq!(
        drain(&queue.open().await, 1).await,
        published.into_iter().collect()
    );
}

pub async fn a_reachable_queue_is_ready<Q: Queue>() {
    let queue = Q::fresh().await;
    let broker = queue.open().await;
    within("the broker is checked", broker.check()).await.unwrap();
}
