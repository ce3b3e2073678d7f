//! A consumer's subscriptions to its three queues, on one channel.
//!
//! In come messages as RabbitMQ delivers them, out they go with where they come from and how often they came back.
//! Takes nothing in hand. From the queue of suspects it has one message at a time.

use std::time::Duration;

use amqprs::channel::{BasicCancelArguments, BasicConsumeArguments, BasicQosArguments, ConsumerMessage};
use amqprs::{BasicProperties, FieldValue};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::{Link, LinkError};
use super::topology::{Topology, trace};
use crate::job::{Job, JobId, TraceParent};

/// How long ending a subscription may take.
const CANCEL: Duration = Duration::from_secs(2);
/// Where quorum queues count how often a message came back.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Where RabbitMQ says why it took a message out of its queue, and what it says of one past its deadline.
const DEATH: (&str, &str) = ("x-first-death-reason", "expired");

/// Which queue a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Where jobs wait.
    Jobs,
    /// Where suspects wait.
    Suspects,
    /// Where RabbitMQ puts what is past its deadline or outlived too many consumers.
    Dead,
}

/// A message as it came.
pub struct Incoming {
    /// From where.
    pub source: Source,
    /// The broker's name for this delivery.
    pub tag: u64,
    /// The job's id, unless it is a stranger's message.
    pub id: Option<JobId>,
    /// The job's wire form, unless it is damaged.
    pub body: Vec<u8>,
    /// How often it was in hand before, counted by its queue.
    pub redeliveries: u32,
    /// Whether RabbitMQ took it out of its queue because its deadline had passed.
    pub overdue: bool,
    /// Where in a trace the job was published.
    pub trace: Option<TraceParent>,
}

/// All subscriptions of a link.
pub struct Subscriptions {
    jobs: Subscription,
    suspects: Subscription,
    dead: Subscription,
}

struct Subscription {
    source: Source,
    tag: String,
    messages: mpsc::UnboundedReceiver<ConsumerMessage>,
}

impl Subscriptions {
    /// Subscribes; at most `prefetch` jobs, and as many dead ones, come before one is acknowledged.
    pub async fn open(link: &Link, topology: &Topology, prefetch: u16) -> Result<Self, LinkError> {
        Ok(Self {
            jobs: Subscription::open(link, (Source::Jobs, &topology.jobs), prefetch).await?,
            suspects: Subscription::open(link, (Source::Suspects, &topology.suspects), 1).await?,
            dead: Subscription::open(link, (Source::Dead, &topology.dead), prefetch).await?,
        })
    }

    /// The next message. Cancel-safe.
    pub async fn next(&mut self, link: &Link) -> Result<Incoming, LinkError> {
        let (source, message) = tokio::select! {
            message = self.jobs.messages.recv() => (Source::Jobs, message),
            message = self.suspects.messages.recv() => (Source::Suspects, message),
            message = self.dead.messages.recv() => (Source::Dead, message),
        };
        match message {
            Some(message) => read(source, message),
            None => Err(match link.loss() {
                LinkError::Lost => LinkError::Unsubscribed,
                loss => loss,
            }),
        }
    }

    /// Ends them before anything is given back: else it would come right back, and count. Gives out what had come
    /// by then.
    pub async fn end(&mut self, link: &Link) -> Result<Vec<Incoming>, LinkError> {
        let mut last = Vec::new();
        for subscription in [&mut self.jobs, &mut self.suspects, &mut self.dead] {
            let cancel = BasicCancelArguments::new(&subscription.tag);
            match timeout(CANCEL, link.channel.basic_cancel(cancel)).await {
                Ok(cancelled) => cancelled.map_err(|error| link.explain(error))?,
                Err(_) => return Err(LinkError::Silent(CANCEL)),
            };
            while let Some(message) = subscription.messages.recv().await {
                last.push(read(subscription.source, message)?);
            }
        }
        Ok(last)
    }
}

impl Subscription {
    async fn open(link: &Link, (source, queue): (Source, &str), prefetch: u16) -> Result<Self, LinkError> {
        let explained = |error| link.explain(error);
        // Counts for the subscriptions that are made after it.
        let qos = BasicQosArguments::new(0, prefetch, false);
        link.channel.basic_qos(qos).await.map_err(explained)?;
        let consume = BasicConsumeArguments::new(queue, "").manual_ack(true).finish();
        let consumed = link.channel.basic_consume_rx(consume).await;
        let (tag, messages) = consumed.map_err(explained)?;
        Ok(Self {
            source,
            tag,
            messages,
        })
    }
}

fn read(source: Source, message: ConsumerMessage) -> Result<Incoming, LinkError> {
    let (Some(deliver), Some(properties), Some(body)) =
        (message.deliver, message.basic_properties, message.content)
    else {
        return Err(LinkError::Lost);
    };
    Ok(Incoming {
        source,
        tag: deliver.delivery_tag(),
        id: message_id(&properties).or_else(|| Job::decode(&body).ok().map(|job| job.id)),
        trace: trace(&properties),
        body,
        redeliveries: delivery_count(&properties).max(deliver.redelivered().into()),
        overdue: matches!(header(&properties, DEATH.0), Some(FieldValue::S(why)) if why.to_string() == DEATH.1),
    })
}

fn message_id(properties: &BasicProperties) -> Option<JobId> {
    properties.message_id()?.parse().ok()
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a FieldValue> {
    properties.headers()?.get(&name.try_into().ok()?)
}

fn delivery_count(properties: &BasicProperties) -> u32 {
    let count = match header(properties, DELIVERY_COUNT) {
        Some(FieldValue::l(count)) => u32::try_from(*count),
        Some(FieldValue::I(count)) => u32::try_from(*count),
        Some(FieldValue::b(count)) => u32::try_from(*count),
        Some(FieldValue::B(count)) => Ok(u32::from(*count)),
        Some(FieldValue::s(count)) => u32::try_from(*count),
        Some(FieldValue::u(count)) => Ok(u32::from(*count)),
        Some(FieldValue::i(count)) => Ok(*count),
        _ => Ok(0),
    };
    count.unwrap_or(0)
}
