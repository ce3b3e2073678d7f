//! The life of one link that publishes: from its first publish to its loss.
//!
//! In come requests and what the broker says, out go answers. Rebuilds nothing.

use std::time::Duration;

use amqprs::channel::BasicPublishArguments;
use amqprs::{BasicProperties, DELIVERY_MODE_PERSISTENT};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use super::super::super::BrokerError;
use super::super::endpoint::Endpoint;
use super::super::link::{Event, Link, LinkError};
use super::super::reconnect::Backoff;
use super::super::topology::{Topology, headers};
use super::super::unconfirmed::{Unconfirmed, Waiter};
use super::{Parcel, Request};

/// A link on which a publish has waited for so long is given up: amqprs may have lost confirmations.
const STALLED: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// What a job is, for whoever looks at the queue with RabbitMQ's tools.
const CONTENT_TYPE: &str = "application/vnd.mnistq.job";

/// The life of one link.
pub(super) struct Session<'a> {
    pub(super) link: &'a Link,
    pub(super) endpoint: &'a Endpoint,
    pub(super) topology: &'a Topology,
    pub(super) unconfirmed: Unconfirmed,
    pub(super) askers: Vec<oneshot::Sender<Result<u64, BrokerError>>>,
    /// Is never cancelled while the link lives: amqprs may panic on an answer that nobody expects.
    pub(super) counting: Fuse<BoxFuture<'a, Result<u64, LinkError>>>,
    pub(super) backoff: &'a mut Backoff,
}

impl<'a> Session<'a> {
    /// Publishes until there is nobody left to publish for and all is answered, or until the link is lost.
    pub(super) async fn serve(
        &mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        requests: &mut mpsc::UnboundedReceiver<Request>,
        stop: &CancellationToken,
    ) -> Result<(), LinkError> {
        let mut look = interval(LOOK);
        let mut open = true;
        let link = self.link;
        let lost = link.lost();
        tokio::pin!(lost);
        while open || !self.unconfirmed.is_empty() {
            tokio::select! {
                event = events.recv() => self.hear(event)?,
                request = requests.recv(), if open => match request {
                    Some(Request::Publish(parcel, waiter)) => self.publish(parcel, waiter).await?,
                    Some(Request::Count(asker)) => self.count(asker),
                    None => open = false,
                },
                counted = &mut self.counting => self.answer(counted?),
                loss = &mut lost => return Err(loss),
                _ = look.tick() => if self.unconfirmed.longest_wait() > STALLED {
                    return Err(LinkError::Silent(STALLED));
                },
                // What was asked before is still done.
                () = stop.cancelled(), if !requests.is_closed() => requests.close(),
            }
        }
        Ok(())
    }

    async fn publish(&mut self, parcel: Parcel, waiter: Waiter) -> Result<(), LinkError> {
        if waiter.is_gone() {
            // Nobody waits any more: then it is better not queued.
            return Ok(());
        }
        let mut properties = BasicProperties::default();
        properties
            .with_content_type(CONTENT_TYPE)
            .with_delivery_mode(DELIVERY_MODE_PERSISTENT)
            .with_message_id(&parcel.id.to_string());
        // A longer one than RabbitMQ takes is as good as none.
        if let Some(milliseconds) = parcel
            .deadline
            .and_then(|deadline| u32::try_from(deadline.as_millis()).ok())
        {
            properties.with_expiration(&milliseconds.to_string());
        }
        if let Some(headers) = headers(parcel.reason.as_deref(), parcel.trace) {
            properties.with_headers(headers);
        }
        let arguments = BasicPublishArguments::new("", &parcel.queue)
            .mandatory(true)
            .finish();
        self.unconfirmed.add(waiter);
        let published = self
            .link
            .channel
            .basic_publish(properties.finish(), parcel.body, arguments);
        match timeout(STALLED, published).await {
            Ok(published) => published.map_err(|error| self.link.explain(error)),
            Err(_) => Err(LinkError::Silent(STALLED)),
        }
    }

    fn hear(&mut self, event: Option<Event>) -> Result<(), LinkError> {
        match event {
            Some(Event::Confirmed(tags)) => {
                self.prove();
                if !self.unconfirmed.confirm(tags, self.endpoint) {
                    return Err(LinkError::Unroutable);
                }
            }
            Some(Event::Rejected(tags)) => self.unconfirmed.reject(tags),
            Some(Event::Unroutable(id)) => self.unconfirmed.note_unroutable(id.as_deref()),
            Some(Event::Closed) | None => return Err(self.link.loss()),
        }
        Ok(())
    }

    fn count(&mut self, asker: oneshot::Sender<Result<u64, BrokerError>>) {
        if self.askers.is_empty() {
            let link: &'a Link = self.link;
            self.counting = link.declare(self.topology.inspection()).boxed().fuse();
        }
        self.askers.push(asker);
    }

    fn answer(&mut self, count: u64) {
        self.prove();
        for asker in self.askers.drain(..) {
            let _ = asker.send(Ok(count));
        }
    }

    /// An open link alone proves nothing: a broker short of memory opens one, and takes no publish on it.
    fn prove(&mut self) {
        *self.backoff = Backoff::default();
    }
}
