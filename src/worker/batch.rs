//! Forms batches: all that waits, up to the largest batch, and a little more patience if asked for.
//!
//! In come single deliveries, out go batches. Knows nothing of models; time is tokio's, so that tests can
//! pause it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::broker::{Consumer, Delivery, Standing};
use crate::metrics::FlushedBy;

/// When a batch is closed: full, or `max_wait` after its first delivery with nothing more at hand.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    /// Most deliveries in a batch.
    pub max_batch: usize,
    /// How long to wait for more.
    pub max_wait: Duration,
}

/// Deliveries that are asked about together.
#[derive(Debug)]
pub struct Batch {
    /// One at least.
    pub deliveries: Vec<Delivery>,
    /// Why there are no more.
    pub flushed_by: FlushedBy,
}

impl Batch {
    /// Whether a job in it is suspected of killing workers.
    pub fn has_suspect(&self) -> bool {
        let mut deliveries = self.deliveries.iter();
        deliveries.any(|delivery| delivery.standing == Standing::Suspect)
    }
}

impl Batching {
    /// The next batch, of one delivery at least; `None` when the consumer has ended. If the future is
    /// dropped, what it had taken goes back to the queue.
    pub async fn next(&self, consumer: &mut Consumer) -> Option<Batch> {
        let mut deliveries = vec![consumer.receive().await?];
        let deadline = Instant::now() + self.max_wait;
        let flushed_by = loop {
            if deliveries.len() >= self.max_batch {
                break FlushedBy::Full;
            }
            if let Some(delivery) = consumer.try_receive() {
                deliveries.push(delivery);
                continue;
            }
            if self.max_wait.is_zero() {
                break FlushedBy::Idle;
            }
            match timeout_at(deadline, consumer.receive()).await {
                Ok(Some(delivery)) => deliveries.push(delivery),
                Ok(None) => break FlushedBy::Shutdown,
                Err(_) => break FlushedBy::Timer,
            }
        };
        Some(Batch {
            deliveries,
            flushed_by,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::broker::{Receipt, Settlement};
    use crate::job::{JobId, WireError};

    struct Queue {
        sender: mpsc::Sender<Delivery>,
        receipts: mpsc::UnboundedSender<(u64, Settlement)>,
        settled: mpsc::UnboundedReceiver<(u64, Settlement)>,
    }

    impl Queue {
        fn open() -> (Self, Consumer) {
            let (sender, deliveries) = mpsc::channel(100);
            let (receipts, settled) = mpsc::unbounded_channel();
            let consumer = Consumer::new(
                deliveries,
                CancellationToken::new(),
                tokio::spawn(async { Ok(()) }),
            );
            (
                Self {
                    sender,
                    receipts,
                    settled,
                },
                consumer,
            )
        }

        fn put(&self, tag: u64) {
            let receipt = Receipt::new(tag, self.receipts.clone());
            self.sender
                .try_send(Delivery::new(JobId::issue(), Err(WireError::Foreign), receipt))
                .unwrap();
        }
    }

    fn batching(max_batch: usize, max_wait_ms: u64) -> Batching {
        Batching {
            max_batch,
            max_wait: Duration::from_millis(max_wait_ms),
        }
    }

    /// A batch's size, and what closed it.
    fn told(batch: Option<Batch>) -> (usize, FlushedBy) {
        let batch = batch.unwrap();
        (batch.deliveries.len(), batch.flushed_by)
    }

    #[tokio::test(start_paused = true)]
    async fn takes_all_that_waits_up_to_the_largest_batch() {
        let (queue, mut consumer) = Queue::open();
        (0..5).for_each(|tag| queue.put(tag));
        let mut next = async || told(batching(3, 0).next(&mut consumer).await);
        assert_eq!(next().await, (3, FlushedBy::Full));
        assert_eq!(next().await, (2, FlushedBy::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn without_patience_does_not_wait_for_more() {
        let (queue, mut consumer) = Queue::open();
        queue.put(0);
        let before = Instant::now();
        let batch = batching(3, 0).next(&mut consumer).await;
        assert_eq!(told(batch), (1, FlushedBy::Idle));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_more_until_the_deadline_of_the_first() {
        let (queue, mut consumer) = Queue::open();
        queue.put(0);
        let before = Instant::now();
        let patient = batching(9, 10);
        let (batch, ()) = tokio::join!(patient.next(&mut consumer), async {
            tokio::time::sleep(Duration::from_millis(8)).await;
            queue.put(1);
            tokio::time::sleep(Duration::from_millis(8)).await;
            queue.put(2);
        });
        assert_eq!(told(batch), (2, FlushedBy::Timer));
        assert_eq!(before.elapsed(), Duration::from_millis(16));
        assert_eq!(told(batching(9, 0).next(&mut consumer).await).0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait() {
        let (queue, mut consumer) = Queue::open();
        (0..3).for_each(|tag| queue.put(tag));
        let before = Instant::now();
        let batch = batching(3, 10).next(&mut consumer).await;
        assert_eq!(told(batch), (3, FlushedBy::Full));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_back_what_it_took_when_it_is_dropped() {
        let (mut queue, mut consumer) = Queue::open();
        queue.put(7);
        let taken =
            tokio::time::timeout(Duration::from_millis(5), batching(9, 1_000).next(&mut consumer)).await;
        assert!(taken.is_err());
        assert_eq!(queue.settled.try_recv().unwrap(), (7, Settlement::Returned));
    }

    #[tokio::test(start_paused = true)]
    async fn ends_with_the_consumer() {
        let (queue, mut consumer) = Queue::open();
        queue.put(0);
        drop(queue);
        let batch = batching(9, 10).next(&mut consumer).await;
        assert_eq!(told(batch), (1, FlushedBy::Shutdown));
        assert!(batching(9, 10).next(&mut consumer).await.is_none());
    }
}
