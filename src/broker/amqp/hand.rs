//! What a consumer has in hand on one link, by the broker's delivery tags.
//!
//! In come messages and how they were settled, out go deliveries and the fewest acknowledgements. Does no I/O.
//!
//! A delivery that is given back while its consumer lives is delivered to that consumer again from here: for
//! RabbitMQ before 4.3 each return would count like a crash, and end the job after some.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::mpsc;

use super::super::{Delivery, Receipt, Settlement, Standing};
use crate::job::{Job, JobId, TraceParent};

/// Messages in hand.
#[derive(Default)]
pub struct Hand {
    /// Not settled. Tags rise, as messages come.
    held: BTreeMap<u64, Message>,
    /// Of these, what is not with a worker.
    ready: VecDeque<u64>,
    /// Settled as acknowledged, and the broker does not know yet.
    acked: BTreeSet<u64>,
}

/// A message as it came.
pub struct Message {
    /// The job's id.
    pub id: JobId,
    /// The job's wire form, unless it is damaged.
    pub body: Vec<u8>,
    /// How often it was in hand before.
    pub redeliveries: u32,
    /// What that makes of it.
    pub standing: Standing,
    /// Where in a trace the job was published.
    pub trace: Option<TraceParent>,
}

/// What to tell the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The delivery that is acknowledged.
    pub tag: u64,
    /// Whether all before it are, too.
    pub multiple: bool,
}

impl Hand {
    /// Takes a message in hand.
    pub fn take(&mut self, tag: u64, message: Message) {
        self.held.insert(tag, message);
        self.ready.push_back(tag);
    }

    /// Whether something waits for a worker.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing is in hand.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The next delivery for a worker.
    pub fn deliver(&mut self, receipts: &mpsc::UnboundedSender<(u64, Settlement)>) -> Option<Delivery> {
        let tag = self.ready.pop_front()?;
        let message = self.held.get(&tag)?;
        let receipt = Receipt::new(tag, receipts.clone());
        let trace = message.trace;
        let job = Job::decode(&message.body).map(|job| Job { trace, ..job });
        let delivery = Delivery::new(message.id, job, receipt);
        Some(delivery.again(message.redeliveries, message.standing))
    }

    /// Takes a message in hand that no worker gets: it is on its way to another queue.
    pub fn hold(&mut self, tag: u64, message: Message) {
        self.held.insert(tag, message);
    }

    /// A message in hand.
    pub fn held(&self, tag: u64) -> Option<&Message> {
        self.held.get(&tag)
    }

    /// Takes a message off the queue, with the next acknowledgements.
    pub fn ack(&mut self, tag: u64) {
        self.held.remove(&tag);
        self.acked.insert(tag);
    }

    /// Makes a message that is given back the next to be delivered.
    pub fn take_back(&mut self, tag: u64) {
        if let Some(message) = self.held.get_mut(&tag) {
            message.redeliveries = message.redeliveries.saturating_add(1);
            self.ready.push_front(tag);
        }
    }

    /// What to tell the broker now. One acknowledgement covers all before which nothing is unsettled: covering
    /// more would lose what workers still hold.
    pub fn acknowledgements(&mut self) -> Vec<Acknowledgement> {
        let single = match self.held.first_key_value() {
            Some((first_held, _)) => self.acked.split_off(first_held),
            None => BTreeSet::new(),
        };
        let prefix = std::mem::take(&mut self.acked);
        let covering = prefix.last().map(|&tag| Acknowledgement {
            tag,
            multiple: prefix.len() > 1,
        });
        let single = single
            .into_iter()
            .map(|tag| Acknowledgement { tag, multiple: false });
        covering.into_iter().chain(single).collect()
    }

    /// Lets go of what is neither with a worker nor on its way to another queue: the tags to give back to the broker.
    pub fn let_go(&mut self) -> Vec<u64> {
        let tags: Vec<u64> = self.ready.drain(..).collect();
        for tag in &tags {
            self.held.remove(tag);
        }
        tags
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hand_of(tags: std::ops::RangeInclusive<u64>) -> Hand {
        let mut hand = Hand::default();
        for tag in tags {
            let message = Message {
                id: JobId::issue(),
                body: Vec::new(),
                redeliveries: 0,
                standing: Standing::Clear,
                trace: None,
            };
            hand.take(tag, message);
        }
        hand
    }

    fn ack(hand: &mut Hand, tags: &[u64]) -> Vec<(u64, bool)> {
        for tag in tags {
            hand.ack(*tag);
        }
        let acknowledgements = hand.acknowledgements();
        acknowledgements
            .into_iter()
            .map(|ack| (ack.tag, ack.multiple))
            .collect()
    }

    #[test]
    fn one_acknowledgement_covers_a_whole_batch() {
        let mut hand = hand_of(1..=5);
        assert_eq!(ack(&mut hand, &[3, 1, 2]), [(3, true)]);
        assert_eq!(ack(&mut hand, &[4]), [(4, false)]);
        assert_eq!(ack(&mut hand, &[5]), [(5, false)]);
        assert!(hand.is_empty());
        assert_eq!(ack(&mut hand, &[]), []);
    }

    #[test]
    fn no_acknowledgement_covers_what_is_still_held() {
        let mut hand = hand_of(1..=6);
        assert_eq!(ack(&mut hand, &[2, 4]), [(2, false), (4, false)]);
        assert_eq!(ack(&mut hand, &[1, 6]), [(1, false), (6, false)]);
        assert_eq!(ack(&mut hand, &[3]), [(3, false)]);
        assert_eq!(ack(&mut hand, &[5]), [(5, false)]);
        assert!(hand.is_empty());
    }

    #[test]
    fn what_is_given_back_is_held_and_delivered_again() {
        let mut hand = hand_of(1..=2);
        let (receipts, mut settlements) = mpsc::unbounded_channel();
        let first = hand.deliver(&receipts).unwrap();
        let id = first.id;
        drop(first);
        assert_eq!(settlements.try_recv().unwrap(), (1, Settlement::Returned));
        hand.take_back(1);
        assert_eq!(ack(&mut hand, &[2]), [(2, false)], "the first is still held");
        let again = hand.deliver(&receipts).unwrap();
        assert_eq!((again.id, again.redeliveries), (id, 1));
    }

    #[test]
    fn what_is_with_a_worker_is_not_let_go() {
        let mut hand = hand_of(1..=3);
        let (receipts, _settlements) = mpsc::unbounded_channel();
        let delivery = hand.deliver(&receipts).unwrap();
        assert_eq!(hand.let_go(), [2, 3]);
        assert!(!hand.is_empty());
        delivery.ack();
        assert_eq!(ack(&mut hand, &[1]), [(1, false)]);
    }
}
