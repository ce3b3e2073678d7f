//! The queues at the broker: their names, and what they promise.
//!
//! In comes the name of a system, out go its declared queues. A queue's arguments can't be changed, so the names
//! carry a version; every limit is explicit, since RabbitMQ's defaults are unbounded or lose messages.

use amqprs::channel::QueueDeclareArguments;
use amqprs::{BasicProperties, FieldName, FieldTable, FieldValue};

use super::super::{GRAVES, Settings};
use super::endpoint::LONGEST_NAME_BYTES;
use super::link::{Link, LinkError};
use crate::job::TraceParent;

/// How many consumers a job may outlive in one queue before RabbitMQ itself takes it out: its own default from 4.0
/// on. Consumers take a job out long before.
const DELIVERY_LIMIT: i64 = 20;
/// Where a message says why it was buried.
const REASON: &str = "x-mnistq-reason";
/// Where a message says at what place in a trace it was published (W3C Trace Context for AMQP).
const TRACE: &str = "traceparent";

/// The queues of one system.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Where jobs wait.
    pub jobs: String,
    /// Where jobs wait that are suspected of killing consumers, which take them one by one.
    pub suspects: String,
    /// Where RabbitMQ itself puts jobs that are past their deadline or outlived too many consumers, until a consumer
    /// takes them to end them.
    pub dead: String,
    /// Where jobs are kept that ended without a model's answer, for the operator.
    pub buried: String,
    /// How many jobs may wait.
    pub queue_limit: u32,
}

/// A name that no queue can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue's name has 1 to 243 bytes and does not begin with `amq.`")]
pub struct InvalidName;

impl Topology {
    /// The queues of the system of this name.
    pub fn new(settings: &Settings) -> Result<Self, InvalidName> {
        let Settings { queue, queue_limit } = settings;
        let named = |role| format!("{queue}.{role}.v1");
        let suspects = named("suspects");
        if queue.is_empty() || queue.starts_with("amq.") || suspects.len() > LONGEST_NAME_BYTES {
            return Err(InvalidName);
        }
        Ok(Self {
            jobs: named("jobs"),
            suspects,
            dead: named("dead"),
            buried: named("buried"),
            queue_limit: *queue_limit,
        })
    }

    /// Makes the queues, or sees that they are as they should be. RabbitMQ writes down half-second by half-second which
    /// queues there are: one that is younger does not outlive a power failure of its only node, older ones do.
    pub async fn declare(&self, link: &Link) -> Result<(), LinkError> {
        let dead = [
            ("x-queue-type", text("quorum")),
            ("x-max-length", FieldValue::l(self.queue_limit.into())),
            // While it is full, the dead stay in their queues, and RabbitMQ tries again every three minutes.
            ("x-overflow", text("reject-publish")),
        ];
        link.declare(durable(&self.dead, &dead)).await?;
        let buried = [
            ("x-queue-type", text("quorum")),
            ("x-max-length", FieldValue::l(GRAVES.into())),
            // Their outcomes were told: whoever buries more forgets the oldest.
            ("x-overflow", text("drop-head")),
            // Looking at them counts as a delivery.
            ("x-delivery-limit", FieldValue::l(i32::MAX.into())),
        ];
        link.declare(durable(&self.buried, &buried)).await?;
        for queue in [&self.suspects, &self.jobs] {
            let waiting = [
                ("x-queue-type", text("quorum")),
                ("x-max-length", FieldValue::l(self.queue_limit.into())),
                ("x-overflow", text("reject-publish")),
                ("x-delivery-limit", FieldValue::l(DELIVERY_LIMIT)),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(&self.dead)),
                // Else RabbitMQ may lose a message on its way to the other queue.
                ("x-dead-letter-strategy", text("at-least-once")),
            ];
            link.declare(durable(queue, &waiting)).await?;
        }
        Ok(())
    }

    /// Asks for the queue of jobs without making it.
    pub fn inspection(&self) -> QueueDeclareArguments {
        QueueDeclareArguments::new(&self.jobs).passive(true).finish()
    }
}

/// The headers of a message, if it needs any: why it was buried, and where in a trace it was published.
pub fn headers(reason: Option<&str>, trace: Option<TraceParent>) -> Option<FieldTable> {
    if reason.is_none() && trace.is_none() {
        return None;
    }
    let mut headers = FieldTable::new();
    if let Some(reason) = reason {
        headers.insert(short(REASON), text(reason));
    }
    if let Some(trace) = trace {
        headers.insert(short(TRACE), text(&trace.to_string()));
    }
    Some(headers)
}

/// Where in a trace a message was published, if it says so.
pub fn trace(properties: &BasicProperties) -> Option<TraceParent> {
    match properties.headers()?.get(&short(TRACE))? {
        FieldValue::S(trace) => trace.to_string().parse().ok(),
        _ => None,
    }
}

/// Why a message was buried, if it says so.
pub fn reason(properties: &BasicProperties) -> Option<String> {
    match properties.headers()?.get(&short(REASON))? {
        FieldValue::S(reason) => Some(reason.to_string()),
        _ => None,
    }
}

fn durable(name: &str, arguments: &[(&str, FieldValue)]) -> QueueDeclareArguments {
    let mut table = FieldTable::new();
    for (key, value) in arguments {
        table.insert(short(key), value.clone());
    }
    QueueDeclareArguments::durable_client_named(name)
        .arguments(table)
        .finish()
}

fn short(key: &str) -> FieldName {
    key.try_into().expect("the keys here are short")
}

fn text(value: &str) -> FieldValue {
    FieldValue::S(value.try_into().expect("shorter than 4 GiB"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn topology(queue: &str) -> Result<Topology, InvalidName> {
        Topology::new(&Settings {
            queue: queue.to_owned(),
            ..Settings::default()
        })
    }

    #[test]
    fn the_names_carry_a_version() {
        let topology = topology("digits").unwrap();
        assert_eq!(topology.jobs, "digits.jobs.v1");
        assert_eq!(topology.dead, "digits.dead.v1");
    }

    #[test]
    fn a_name_that_no_queue_can_have_is_refused() {
        for queue in ["", "amq.digits", &"q".repeat(244)] {
            assert_eq!(topology(queue).err(), Some(InvalidName), "{queue}");
        }
        assert!(topology(&"q".repeat(243)).is_ok());
    }
}
