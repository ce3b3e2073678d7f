//! RabbitMQ as a broker: a server holds the queues of several systems, by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use amqprs::BasicProperties;
use amqprs::channel::BasicPublishArguments;
use amqprs::connection::{Connection, OpenConnectionArguments};
use mnistq::address::{Address, ServerUrl};
use mnistq::broker::amqp::AmqpBroker;
use mnistq::broker::{Broker, BrokerError, Confirm, Settings, Standing};
use mnistq::job::JobId;
use mnistq::tls::Trust;

use super::*;
use crate::harness::process::free_port;
use crate::harness::rabbitmq::RabbitMq;

/// A queue of a name of its own.
pub struct AmqpQueue {
    server: &'static RabbitMq,
    settings: Settings,
}

static QUEUES: AtomicU32 = AtomicU32::new(0);

impl Queue for AmqpQueue {
    async fn with_limit(queue_limit: u32) -> Self {
        let queue = format!("jobs-{}", QUEUES.fetch_add(1, Ordering::Relaxed));
        Self {
            server: RabbitMq::shared().await,
            settings: Settings { queue, queue_limit },
        }
    }

    async fn beside(&self) -> Self {
        Self::with_limit(self.settings.queue_limit).await
    }

    async fn open(&self) -> Arc<dyn Broker> {
        let url = url(&self.server.url());
        Arc::new(
            AmqpBroker::connect(&url, &self.settings, &Trust::default())
                .await
                .unwrap(),
        )
    }

    async fn publish_bytes(&self, id: JobId, body: &[u8]) {
        let properties = BasicProperties::default()
            .with_persistence(true)
            .with_message_id(&id.to_string())
            .finish();
        self.publish_raw(properties, body).await;
    }
}

impl AmqpQueue {
    /// Puts a message of anybody's on the queue.
    async fn publish_raw(&self, properties: BasicProperties, body: &[u8]) {
        // The queue is there once a broker was opened for it.
        drop(self.open().await);
        let arguments = OpenConnectionArguments::new("127.0.0.1", self.server.port(), "guest", "guest");
        let connection = Connection::open(&arguments).await.unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        let queue = format!("{}.jobs.v1", self.settings.queue);
        let arguments = BasicPublishArguments::new("", &queue);
        channel
            .basic_publish(properties, body.to_vec(), arguments)
            .await
            .unwrap();
        channel.close().await.unwrap();
        connection.close().await.unwrap();
    }
}

/// The address that a text names.
pub fn url(text: &str) -> ServerUrl {
    match text.parse() {
        Ok(Address::Amqp(url)) => url,
        _ => panic!("{text} is an address of RabbitMQ"),
    }
}

/// How a broker that can't be used answers.
async fn refusal(address: &str, settings: &Settings) -> BrokerError {
    let url = url(address);
    let trust = Trust::default();
    let connecting = AmqpBroker::connect(&url, settings, &trust);
    let connected = within("connecting ends", connecting).await;
    connected.err().expect("this broker can't be used")
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = RabbitMq::shared().await;
    let address = server.url().replace("guest:guest", "guest:secret");
    let error = refusal(&address, &Settings::default()).await;
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"));
}

#[tokio::test]
async fn an_unknown_virtual_host_is_refused() {
    let server = RabbitMq::shared().await;
    let address = server.url().replace("%2f", "elsewhere");
    let error = refusal(&address, &Settings::default()).await;
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_queue_with_another_limit_is_refused_with_advice() {
    let queue = AmqpQueue::with_limit(10).await;
    let _broker = queue.open().await;
    let settings = Settings {
        queue_limit: 11,
        ..queue.settings.clone()
    };
    let error = refusal(&queue.server.url(), &settings).await;
    let BrokerError::Refused { source, .. } = error else {
        panic!("not refused, but: {error:?}");
    };
    assert!(source.to_string().contains("queue_limit"), "{source}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unavailable() {
    let address = format!("amqp://guest:secret@127.0.0.1:{}", free_port());
    let error = refusal(&address, &Settings::default()).await;
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"));
}

#[tokio::test]
async fn a_message_of_a_stranger_is_kept_for_the_operator_and_holds_up_nobody() {
    let queue = AmqpQueue::fresh().await;
    queue
        .publish_raw(BasicProperties::default(), b"hello, is this the printer?")
        .await;
    let broker = queue.open().await;
    let published = publish(&broker, 1).await;
    let mut consumer = consume(&broker, 1).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(vec![delivery.id], published);
    delivery.ack();
    let mut buried = Vec::new();
    eventually("it is kept", async || {
        buried = broker.buried().await.unwrap();
        !buried.is_empty()
    })
    .await;
    assert_eq!(buried[0].body, b"hello, is this the printer?");
    assert!(buried[0].reason.contains("without an id"), "{}", buried[0].reason);
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

#[tokio::test]
async fn jobs_past_their_deadline_make_room_for_others_and_come_as_overdue() {
    let queue = AmqpQueue::with_limit(5).await;
    let broker = queue.open().await;
    let mut late = HashSet::new();
    for _ in 0..5 {
        let job = job();
        broker
            .publish(&job, Duration::from_millis(1), Confirm::AtOnce)
            .await
            .unwrap();
        late.insert(job.id);
    }
    eventually("no job waits", async || broker.backlog().await.unwrap() == 0).await;
    let others: HashSet<JobId> = publish(&broker, 5).await.into_iter().collect();
    let mut consumer = consume(&broker, 10).await;
    let taken = take_many(&mut consumer, 10).await;
    for delivery in &taken {
        let expected = if late.contains(&delivery.id) {
            Standing::Overdue
        } else {
            Standing::Clear
        };
        assert_eq!(delivery.standing, expected);
    }
    assert_eq!(ids(&taken), &late | &others);
    taken.into_iter().for_each(Delivery::ack);
    consumer.close().await.unwrap();
    nothing_is_left(&queue).await;
}

#[tokio::test]
async fn jobs_past_their_deadline_are_bounded_too() {
    let queue = AmqpQueue::with_limit(5).await;
    let broker = queue.open().await;
    let mut accepted = 0;
    eventually("both queues are full", async || {
        match broker
            .publish(&job(), Duration::from_millis(1), Confirm::AtOnce)
            .await
        {
            Ok(()) => accepted += 1,
            Err(PublishError::Full) => return true,
            Err(error) => panic!("not full, but: {error:?}"),
        }
        false
    })
    .await;
    assert!(accepted >= 10, "only {accepted} of 10 jobs fit");
}
