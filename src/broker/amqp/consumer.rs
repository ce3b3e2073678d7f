//! Takes jobs off the queue, over a connection of its own, and settles them.
//!
//! In come messages, out go deliveries; in come receipts, out go acknowledgements. Rebuilds a lost link without
//! end: what was in hand on the old one is then the broker's to deliver again.
//!
//! A connection that is lost counts up all that its consumer had in hand. So a job that was lost more than once goes
//! to a queue from which each consumer takes one at a time: there its count is its own.

use std::sync::Arc;

use amqprs::channel::{BasicAckArguments, BasicNackArguments};
use amqprs::error::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::{BrokerError, Delivery, LIVES, SUSPECT_AFTER, Settlement, Standing};
use super::endpoint::Endpoint;
use super::hand::{Hand, Message};
use super::link::{Event, Link, LinkError, within_opening};
use super::moves::Moves;
use super::publisher::{Parcel, Publisher};
use super::reconnect::{Backoff, Rebuilt, open_patiently};
use super::subscriptions::{Incoming, Source, Subscriptions};
use super::topology::Topology;
use crate::job::JobId;

/// Settlements that are looked at together.
const SETTLED_AT_ONCE: usize = 1024;

/// The task behind a consumer.
pub struct Pump {
    pub endpoint: Endpoint,
    pub topology: Topology,
    /// Carries what moves from one queue to another.
    pub publisher: Arc<Publisher>,
    pub prefetch: u16,
    pub deliveries: mpsc::Sender<Delivery>,
    pub rebuilt: Rebuilt,
    pub stop: CancellationToken,
}

/// A link with its subscriptions.
pub struct ConsumeLink {
    link: Link,
    /// Unused but for its end: nothing but a farewell is ever said to a consumer.
    events: mpsc::UnboundedReceiver<Event>,
    subscriptions: Subscriptions,
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
            let subscriptions = Subscriptions::open(&link, &self.topology, self.prefetch).await?;
            Ok(ConsumeLink {
                link,
                events,
                subscriptions,
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
            self.rebuilt.note();
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
            subscriptions,
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
                incoming = subscriptions.next(link), if !stopped => {
                    self.take(&mut hand, &mut moves, incoming?);
                }
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
                for incoming in subscriptions.end(link).await? {
                    self.take(&mut hand, &mut moves, incoming);
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
    fn take(&self, hand: &mut Hand, moves: &mut Moves, incoming: Incoming) {
        let Incoming {
            source,
            tag,
            id,
            body,
            redeliveries,
            overdue,
            trace,
        } = incoming;
        let standing = match source {
            Source::Jobs => Standing::Clear,
            Source::Dead if overdue => Standing::Overdue,
            Source::Suspects if redeliveries < LIVES => Standing::Suspect,
            Source::Suspects | Source::Dead => Standing::Condemned,
        };
        let message = Message {
            // A stranger's message gets an id, so that the operator can name it.
            id: id.unwrap_or_else(JobId::issue),
            body,
            redeliveries,
            standing,
            trace,
        };
        if id.is_none() {
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
        } else if source == Source::Jobs && redeliveries >= SUSPECT_AFTER {
            tracing::warn!(inference_id = %message.id, redeliveries, "suspected of killing workers: set aside");
            moves.start(tag, parcel(&self.topology.suspects, &message, None));
            hand.hold(tag, message);
        } else {
            hand.take(tag, message);
        }
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
        deadline: None,
        reason,
        trace: message.trace,
    }
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
