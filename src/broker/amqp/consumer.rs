//! Takes jobs off the queue, over a connection of its own, and settles them.
//!
//! In come messages, out go deliveries; in come receipts, out go acknowledgements. Rebuilds a lost link without
//! end: what was in hand on the old one is then the broker's to deliver again.
//!
//! A connection that is lost counts up all that its consumer had in hand. So a job that was lost more than once goes
//! to a queue from which each consumer takes one at a time: there its count is its own.

use std::sync::Arc;
use std::time::Duration;

use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicNackArguments, BasicQosArguments,
    ConsumerMessage,
};
use amqprs::error::Error;
use amqprs::{BasicProperties, FieldValue};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::{BrokerError, Delivery, LIVES, SUSPECT_AFTER, Settlement, Standing};
use super::endpoint::Endpoint;
use super::hand::{Hand, Message};
use super::link::{Event, Link, LinkError, within_opening};
use super::moves::Moves;
use super::publisher::{Parcel, Publisher};
use super::reconnect::{Backoff, open_patiently};
use super::topology::Topology;
use crate::job::{Job, JobId};

/// Settlements that are looked at together.
const SETTLED_AT_ONCE: usize = 1024;
/// How long ending a subscription may take.
const CANCEL: Duration = Duration::from_secs(2);
/// Where quorum queues count how often a message came back.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The task behind a consumer.
pub struct Pump {
    pub endpoint: Endpoint,
    pub topology: Topology,
    /// Carries what moves from one queue to another.
    pub publisher: Arc<Publisher>,
    pub prefetch: u16,
    pub deliveries: mpsc::Sender<Delivery>,
    pub stop: CancellationToken,
}

/// A link with its subscriptions.
pub struct ConsumeLink {
    link: Link,
    /// Unused but for its end: nothing but a farewell is ever said to a consumer.
    events: mpsc::UnboundedReceiver<Event>,
    jobs: Subscription,
    suspects: Subscription,
    dead: Subscription,
}

struct Subscription {
    tag: String,
    messages: mpsc::UnboundedReceiver<ConsumerMessage>,
}

/// Which queue a message comes from.
#[derive(Clone, Copy)]
enum Source {
    Jobs,
    Suspects,
    Dead,
}

impl Pump {
    /// Subscribes, trying for some seconds.
    pub async fn subscribe(&self) -> Result<ConsumeLink, BrokerError> {
        open_patiently(&self.endpoint, || self.open()).await
    }

    async fn open(&self) -> Result<ConsumeLink, LinkError> {
        within_opening(async {
            let (link, events) = Link::open(&self.endpoint, "consumer").await?;
            self.topology.declare(&link).await?;
            let jobs = subscribe(&link, &self.topology.jobs, self.prefetch).await?;
            let suspects = subscribe(&link, &self.topology.suspects, 1).await?;
            let dead = subscribe(&link, &self.topology.dead, 1).await?;
            Ok(ConsumeLink {
                link,
                events,
                jobs,
                suspects,
                dead,
            })
        })
        .await
    }

    /// Runs until it is stopped and nothing is in hand any more, or until the broker refuses us.
    pub async fn run(self, mut opened: ConsumeLink) -> Result<(), BrokerError> {
        loop {
            let served = self.serve(&mut opened).await;
            let address = self.endpoint.address();
            let Err(loss) = served else {
                opened.link.close().await;
                return Ok(());
            };
            tracing::warn!(
                broker = address,
                error = &loss as &dyn std::error::Error,
                "lost the connection that consumes: rebuilding it"
            );
            tokio::spawn(opened.link.close());
            opened = tokio::select! {
                reopened = self.reopen() => reopened?,
                // All that was in hand is with the broker.
                () = self.stop.cancelled() => return Ok(()),
                () = self.deliveries.closed() => return Ok(()),
            };
            tracing::info!(broker = address, "the connection that consumes is back");
        }
    }

    async fn reopen(&self) -> Result<ConsumeLink, BrokerError> {
        let mut backoff = Backoff::default();
        loop {
            sleep(backoff.pause()).await;
            match self.open().await {
                Ok(opened) => return Ok(opened),
                // While a broker starts or stops, a login may fail for no fault of ours.
                Err(error) if error.is_refusal() && !matches!(error, LinkError::Login) => {
                    return Err(self.endpoint.error(&Arc::new(error)));
                }
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "no connection yet"),
            }
        }
    }

    /// Delivers and settles until told to stop, then until all is settled; or until the link is lost.
    async fn serve(&self, opened: &mut ConsumeLink) -> Result<(), LinkError> {
        let ConsumeLink {
            link,
            events,
            jobs,
            suspects,
            dead,
        } = opened;
        let (receipts, mut settlements) = mpsc::unbounded_channel();
        let mut settled = Vec::new();
        let mut hand = Hand::default();
        let mut moves = Moves::new(Arc::clone(&self.publisher), self.stop.clone());
        let mut stopping = false;
        let mut stopped = false;
        let lost = link.lost();
        tokio::pin!(lost);
        while !stopped || !hand.is_empty() {
            tokio::select! {
                permit = self.deliveries.reserve(), if !stopped && hand.is_ready() => match permit {
                    Ok(permit) => {
                        if let Some(delivery) = hand.deliver(&receipts) {
                            permit.send(delivery);
                        }
                    }
                    Err(_) => stopping = true,
                },
                _ = settlements.recv_many(&mut settled, SETTLED_AT_ONCE) => {
                    for (tag, settlement) in settled.drain(..) {
                        match settlement {
                            Settlement::Acked => hand.ack(tag),
                            Settlement::Returned => hand.take_back(tag),
                            Settlement::Buried(reason) => self.bury(&hand, &mut moves, (tag, reason)),
                        }
                    }
                    acknowledge(link, &mut hand).await.map_err(|error| link.explain(error))?;
                }
                message = next(jobs, suspects, dead), if !stopped => match message {
                    (source, Some(message)) => self.take(&mut hand, &mut moves, (source, message))?,
                    (_, None) => return Err(end_of_messages(link)),
                },
                (tag, moved) = moves.next() => {
                    if moved {
                        hand.ack(tag);
                        acknowledge(link, &mut hand).await.map_err(|error| link.explain(error))?;
                    } else {
                        hand.take_back(tag);
                    }
                }
                _ = events.recv() => return Err(link.loss()),
                loss = &mut lost => return Err(loss),
                () = self.stop.cancelled(), if !stopping => stopping = true,
            }
            if stopping && !stopped {
                stopped = true;
                for (source, subscription) in [
                    (Source::Jobs, &mut *jobs),
                    (Source::Suspects, &mut *suspects),
                    (Source::Dead, &mut *dead),
                ] {
                    for message in unsubscribe(link, subscription).await? {
                        self.take(&mut hand, &mut moves, (source, message))?;
                    }
                }
            }
            if stopped {
                give_back(link, &mut hand)
                    .await
                    .map_err(|error| link.explain(error))?;
            }
        }
        Ok(())
    }

    /// Takes a message in hand: for a worker, or to move it to where it belongs.
    fn take(
        &self,
        hand: &mut Hand,
        moves: &mut Moves,
        (source, message): (Source, ConsumerMessage),
    ) -> Result<(), LinkError> {
        let (Some(deliver), Some(properties), Some(body)) =
            (message.deliver, message.basic_properties, message.content)
        else {
            return Err(LinkError::Lost);
        };
        let tag = deliver.delivery_tag();
        let redeliveries = delivery_count(&properties).max(deliver.redelivered().into());
        let standing = match source {
            Source::Jobs => Standing::Clear,
            Source::Suspects if redeliveries < LIVES => Standing::Suspect,
            Source::Suspects | Source::Dead => Standing::Condemned,
        };
        let known = message_id(&properties).or_else(|| Job::decode(&body).ok().map(|job| job.id));
        let message = Message {
            // A stranger's message gets an id, so that the operator can name it.
            id: known.unwrap_or_else(JobId::issue),
            body,
            redeliveries,
            standing,
        };
        if known.is_none() {
            tracing::error!(
                bytes = message.body.len(),
                "a message without an id of ours: buried"
            );
            let reason = "a message without an id of ours: nobody waits for its outcome";
            moves.start(
                tag,
                parcel(&self.topology.buried, &message, Some(reason.to_owned())),
            );
            hand.hold(tag, message);
        } else if matches!(source, Source::Jobs) && redeliveries >= SUSPECT_AFTER {
            tracing::warn!(inference = %message.id, redeliveries, "suspected of killing workers: set aside");
            moves.start(tag, parcel(&self.topology.suspects, &message, None));
            hand.hold(tag, message);
        } else {
            hand.take(tag, message);
        }
        Ok(())
    }

    fn bury(&self, hand: &Hand, moves: &mut Moves, (tag, reason): (u64, String)) {
        if let Some(message) = hand.held(tag) {
            moves.start(tag, parcel(&self.topology.buried, message, Some(reason)));
        }
    }
}

fn parcel(queue: &str, message: &Message, reason: Option<String>) -> Parcel {
    Parcel {
        queue: queue.to_owned(),
        id: message.id,
        body: message.body.clone(),
        reason,
    }
}

/// The next message of any of them, or the end of one.
async fn next(
    jobs: &mut Subscription,
    suspects: &mut Subscription,
    dead: &mut Subscription,
) -> (Source, Option<ConsumerMessage>) {
    tokio::select! {
        message = jobs.messages.recv() => (Source::Jobs, message),
        message = suspects.messages.recv() => (Source::Suspects, message),
        message = dead.messages.recv() => (Source::Dead, message),
    }
}

async fn subscribe(link: &Link, queue: &str, prefetch: u16) -> Result<Subscription, LinkError> {
    let explained = |error| link.explain(error);
    // Counts for the subscriptions that are made after it.
    let qos = BasicQosArguments::new(0, prefetch, false);
    link.channel.basic_qos(qos).await.map_err(explained)?;
    let consume = BasicConsumeArguments::new(queue, "").manual_ack(true).finish();
    let consumed = link.channel.basic_consume_rx(consume).await;
    let (tag, messages) = consumed.map_err(explained)?;
    Ok(Subscription { tag, messages })
}

fn end_of_messages(link: &Link) -> LinkError {
    match link.loss() {
        LinkError::Lost => LinkError::Unsubscribed,
        loss => loss,
    }
}

/// Ends a subscription before anything is given back: else it would come right back, and count. Gives back what had
/// come by then.
async fn unsubscribe(
    link: &Link,
    subscription: &mut Subscription,
) -> Result<Vec<ConsumerMessage>, LinkError> {
    let cancel = link
        .channel
        .basic_cancel(BasicCancelArguments::new(&subscription.tag));
    match timeout(CANCEL, cancel).await {
        Ok(cancelled) => cancelled.map_err(|error| link.explain(error))?,
        Err(_) => return Err(LinkError::Silent(CANCEL)),
    };
    let mut messages = Vec::new();
    while let Some(message) = subscription.messages.recv().await {
        messages.push(message);
    }
    Ok(messages)
}

fn message_id(properties: &BasicProperties) -> Option<JobId> {
    properties.message_id()?.parse().ok()
}

fn delivery_count(properties: &BasicProperties) -> u32 {
    let count = properties.headers().and_then(|headers| {
        let key = DELIVERY_COUNT.try_into().ok()?;
        headers.get(&key)
    });
    let count = match count {
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

async fn acknowledge(link: &Link, hand: &mut Hand) -> Result<(), Error> {
    for ack in hand.acknowledgements() {
        let arguments = BasicAckArguments::new(ack.tag, ack.multiple);
        link.channel.basic_ack(arguments).await?;
    }
    Ok(())
}

async fn give_back(link: &Link, hand: &mut Hand) -> Result<(), Error> {
    for tag in hand.let_go() {
        let arguments = BasicNackArguments::new(tag, false, true);
        link.channel.basic_nack(arguments).await?;
    }
    Ok(())
}
