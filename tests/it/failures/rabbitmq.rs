//! The queue while its RabbitMQ is killed, stopped, short of memory or cut off, and while its queues are deleted.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnistq::broker::amqp::AmqpBroker;
use mnistq::broker::{Broker, BrokerError, Confirm, Consumer, PublishError, Settings};
use mnistq::job::{Job, JobId, Picture};
use mnistq::tls::Trust;

use crate::broker::amqp::url;
use crate::harness::proxy::Proxy;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::{eventually, within};

#[tokio::test]
async fn jobs_survive_crashes_of_rabbitmq_and_the_broker_reconnects() {
    let mut server = RabbitMq::launch().await;
    let broker = connect(&server.url()).await;
    // RabbitMQ writes down which queues there are some time after they were made; at its end it does so at once.
    server.ctl(&["stop_app"]).await;
    server.ctl(&["start_app"]).await;
    let mut published = HashSet::new();
    for _ in 0..2 {
        published.insert(publish_again(&broker).await);
        for _ in 0..10 {
            published.insert(publish(&broker).await.unwrap());
        }
        server.kill();
        refused(&broker).await;
        server.start().await;
    }
    published.insert(publish_again(&broker).await);
    receive_all(&mut consume(&broker).await, published).await;
}

#[tokio::test]
async fn a_consumer_goes_on_after_a_crash_of_rabbitmq() {
    let mut server = RabbitMq::launch().await;
    let broker = connect(&server.url()).await;
    server.ctl(&["stop_app"]).await;
    server.ctl(&["start_app"]).await;
    let mut consumer = consume(&broker).await;
    let in_hand = publish_again(&broker).await;
    let delivery = within("a job comes", consumer.receive()).await.unwrap();
    assert_eq!(delivery.id, in_hand);
    server.kill();
    server.start().await;
    // What was in hand on the old connection is the broker's again, and comes on the new one.
    delivery.ack();
    let published = publish_again(&broker).await;
    receive_all(&mut consumer, [in_hand, published].into()).await;
}

#[tokio::test]
async fn a_stopped_rabbitmq_refuses_until_it_goes_on() {
    let server = RabbitMq::launch().await;
    let broker = connect(&server.url()).await;
    let mut consumer = consume(&broker).await;
    server.stop();
    refused(&broker).await;
    let unready = within("readiness is answered", broker.check()).await;
    assert!(unready.is_err(), "a stopped broker is ready");
    server.resume();
    let published = publish_again(&broker).await;
    receive_all(&mut consumer, [published].into()).await;
}

#[tokio::test]
async fn connections_that_rabbitmq_closes_are_rebuilt() {
    let server = RabbitMq::launch().await;
    let broker = connect(&server.url()).await;
    let mut consumer = consume(&broker).await;
    for _ in 0..3 {
        server.ctl(&["close_all_connections", "maintenance"]).await;
        let published = publish_again(&broker).await;
        receive_all(&mut consumer, [published].into()).await;
    }
}

#[tokio::test]
async fn queues_that_are_deleted_are_made_again() {
    let server = RabbitMq::launch().await;
    let broker = connect(&server.url()).await;
    let mut consumer = consume(&broker).await;
    for queue in ["jobs", "suspects", "dead"] {
        server.ctl(&["delete_queue", &format!("mnistq.{queue}.v1")]).await;
        let published = publish_again(&broker).await;
        receive_all(&mut consumer, [published].into()).await;
        eventually("all queues are there again", async || {
            let queues = server.ctl(&["list_queues", "name"]).await;
            queues.lines().filter(|name| name.starts_with("mnistq.")).count() == 4
        })
        .await;
    }
    server.ctl(&["delete_queue", "mnistq.buried.v1"]).await;
    publish_again(&broker).await;
    let delivery = within("a job comes", consumer.receive()).await.unwrap();
    let heavy = delivery.id;
    delivery.bury("it is heavy".to_owned());
    eventually("the job is buried", async || {
        let buried = broker.buried().await.unwrap_or_default();
        buried.iter().any(|buried| buried.id == heavy)
    })
    .await;
}

#[tokio::test]
async fn a_rabbitmq_short_of_memory_takes_no_jobs_and_still_hands_them_out() {
    let alarm = ["set_vm_memory_high_watermark", "absolute", "1MB"];
    takes_none_and_hands_out(&alarm, &["set_vm_memory_high_watermark", "0.6"]).await;
}

#[tokio::test]
async fn a_rabbitmq_short_of_disk_takes_no_jobs_and_still_hands_them_out() {
    let alarm = ["set_disk_free_limit", "900000GB"];
    takes_none_and_hands_out(&alarm, &["set_disk_free_limit", "1MB"]).await;
}

async fn takes_none_and_hands_out(alarm: &[&str], all_clear: &[&str]) {
    let server = RabbitMq::launch().await;
    let broker = connect(&server.url()).await;
    let mut published = HashSet::new();
    for _ in 0..10 {
        published.insert(publish(&broker).await.unwrap());
    }
    server.ctl(alarm).await;
    refused(&broker).await;
    let mut consumer = consume(&broker).await;
    receive_all(&mut consumer, published).await;
    server.ctl(all_clear).await;
    let published = publish_again(&broker).await;
    receive_all(&mut consumer, [published].into()).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_back_is_answered_in_time_and_left() {
    let server = RabbitMq::launch().await;
    let proxy = Proxy::before(server.port()).await;
    let broker = connect(&format!("amqp://guest:guest@127.0.0.1:{}", proxy.port())).await;
    publish(&broker).await.unwrap();
    proxy.silence();
    refused(&broker).await;
    publish_again(&broker).await;
}

async fn connect(address: &str) -> Arc<dyn Broker> {
    let (url, settings) = (url(address), Settings::default());
    Arc::new(
        AmqpBroker::connect(&url, &settings, &Trust::default())
            .await
            .unwrap(),
    )
}

async fn consume(broker: &Arc<dyn Broker>) -> Consumer {
    let prefetch = NonZeroU16::new(64).unwrap();
    eventually_ok("a subscription starts", async || broker.consume(prefetch).await).await
}

/// The first success of something that may fail while RabbitMQ is not back.
async fn eventually_ok<T, E>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut success = None;
    eventually(what, async || {
        success = attempt().await.ok();
        success.is_some()
    })
    .await;
    success.unwrap()
}

async fn publish(broker: &Arc<dyn Broker>) -> Result<JobId, PublishError> {
    let job = Job {
        id: JobId::issue(),
        picture: Picture::new(2, 2, vec![0; 4]).unwrap(),
        result_ttl: Duration::from_secs(3600),
        accepted_at: SystemTime::now(),
        reading: Duration::from_micros(300),
        trace: None,
    };
    broker
        .publish(&job, job.result_ttl, Confirm::AtOnce)
        .await
        .map(|()| job.id)
}

async fn publish_again(broker: &Arc<dyn Broker>) -> JobId {
    eventually_ok("the broker takes jobs again", async || publish(broker).await).await
}

/// A publish is refused, and not left waiting.
async fn refused(broker: &Arc<dyn Broker>) {
    let error = within("a publish is answered", publish(broker))
        .await
        .unwrap_err();
    let away = matches!(
        error,
        PublishError::Unconfirmed | PublishError::Broker(BrokerError::Unavailable { .. })
    );
    assert!(away, "{error:?}");
}

/// Takes jobs until all of these have come. Others may come too, and any may come twice.
async fn receive_all(consumer: &mut Consumer, mut expected: HashSet<JobId>) {
    while !expected.is_empty() {
        let delivery = within("a job comes", consumer.receive()).await;
        let delivery = delivery.expect("the subscription goes on");
        expected.remove(&delivery.id);
        delivery.ack();
    }
}
