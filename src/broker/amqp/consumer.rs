//! Takes jobs off the queue, over a connection of its own, and settles them.
//!
//! In come messages, out go deliveries; in come receipts, out go acknowledgements. Rebuilds a lost link without
//! end: what was in hand on the old one is then the broker's to deliver again. Knows nothing of publishers.

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

use super::super::{BrokerError, Delivery};
use super::endpoint::Endpoint;
use super::hand::{Hand, Message};
use super::link::{Event, Link, LinkError, within_opening};
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
    pub prefetch: u16,
    pub deliveries: mpsc::Sender<Delivery>,
    pub stop: CancellationToken,
}

/// A link with a subscription.
pub struct ConsumeLink {
    link: Link,
    /// Unused but for its end: nothing but a farewell is ever said to a consumer.
    events: mpsc::UnboundedReceiver<Event>,
    messages: mpsc::UnboundedReceiver<ConsumerMessage>,
    subscription: String,
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
            let explained = |error| link.explain(error);
            let qos = BasicQosArguments::new(0, self.prefetch, false);
            link.channel.basic_qos(qos).await.map_err(explained)?;
            let consume = BasicConsumeArguments::new(&self.topology.jobs, "")
                .manual_ack(true)
                .finish();
            let consumed = link.channel.basic_consume_rx(consume).await;
            let (subscription, messages) = consumed.map_err(explained)?;
            Ok(ConsumeLink {
                link,
                events,
                messages,
                subscription,
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
            messages,
            subscription,
        } = opened;
        let (receipts, mut settlements) = mpsc::unbounded_channel();
        let mut settled = Vec::new();
        let mut hand = Hand::default();
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
                    Err(_) => {
                        stopped = true;
                        unsubscribe(link, subscription, messages, &mut hand).await?;
                    }
                },
                _ = settlements.recv_many(&mut settled, SETTLED_AT_ONCE) => {
                    for (tag, settlement) in settled.drain(..) {
                        hand.settle(tag, settlement);
                    }
                    acknowledge(link, &mut hand).await.map_err(|error| link.explain(error))?;
                }
                message = messages.recv(), if !stopped => match message {
                    Some(message) => take(link, &mut hand, message).await?,
                    None => return Err(end_of_messages(link)),
                },
                _ = events.recv() => return Err(link.loss()),
                loss = &mut lost => return Err(loss),
                () = self.stop.cancelled(), if !stopped => {
                    stopped = true;
                    unsubscribe(link, subscription, messages, &mut hand).await?;
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
}

fn end_of_messages(link: &Link) -> LinkError {
    match link.loss() {
        LinkError::Lost => LinkError::Unsubscribed,
        loss => loss,
    }
}

/// Ends the subscription before anything is given back: else it would come right back, and count.
async fn unsubscribe(
    link: &Link,
    subscription: &str,
    messages: &mut mpsc::UnboundedReceiver<ConsumerMessage>,
    hand: &mut Hand,
) -> Result<(), LinkError> {
    let cancel = link.channel.basic_cancel(BasicCancelArguments::new(subscription));
    match timeout(CANCEL, cancel).await {
        Ok(cancelled) => cancelled.map_err(|error| link.explain(error))?,
        Err(_) => return Err(LinkError::Silent(CANCEL)),
    };
    while let Some(message) = messages.recv().await {
        take(link, hand, message).await?;
    }
    Ok(())
}

/// Takes a message in hand; one without an id can't be answered by anybody, and goes to the dead.
async fn take(link: &Link, hand: &mut Hand, message: ConsumerMessage) -> Result<(), LinkError> {
    let (Some(deliver), Some(properties), Some(body)) =
        (message.deliver, message.basic_properties, message.content)
    else {
        return Err(LinkError::Lost);
    };
    let tag = deliver.delivery_tag();
    let job_id = || Job::decode(&body).ok().map(|job| job.id);
    match message_id(&properties).or_else(job_id) {
        Some(id) => {
            let redeliveries = delivery_count(&properties).max(deliver.redelivered().into());
            let message = Message {
                id,
                body,
                redeliveries,
            };
            hand.take(tag, message);
            Ok(())
        }
        None => {
            tracing::error!(
                bytes = body.len(),
                "a message without an id of ours: moved to the queue of the dead"
            );
            let rejected = link
                .channel
                .basic_nack(BasicNackArguments::new(tag, false, false));
            rejected.await.map_err(|error| link.explain(error))
        }
    }
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
