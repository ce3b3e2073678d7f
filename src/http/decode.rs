//! From an upload's bytes to a picture, with as much work at a time as the machine has cores.
//!
//! Knows the reader's seam, and nothing of forms, jobs or seams behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::ApiError;
use crate::digit::{ReadError, Reader};
use crate::job::Picture;
use crate::metrics::Serving;

/// Uploads up to this size are read where they arrive: a 28×28 PNG takes less time than a change of threads,
/// and what a hostile one of this size unpacks to (a thousandfold) holds a thread up for milliseconds only.
const INLINE_BYTES: usize = 4 << 10;
/// Uploads that may wait for their turn, for each that is being decoded.
const WAITING: usize = 32;
/// How long an upload waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// A reader, with bounds on how many use it at once.
pub struct Decoder {
    reader: Arc<dyn Reader>,
    serving: Serving,
    admitted: Semaphore,
    turns: Arc<Semaphore>,
}

impl Decoder {
    /// A decoder that has `cores` uploads in work at once.
    pub fn new(reader: Arc<dyn Reader>, cores: usize, serving: Serving) -> Self {
        Self {
            reader,
            serving,
            admitted: Semaphore::new(cores * (1 + WAITING)),
            turns: Arc::new(Semaphore::new(cores)),
        }
    }

    /// The picture in an upload. [`ApiError::Busy`] if too many wait already, or for too long.
    pub async fn decode(&self, upload: Bytes) -> Result<Picture, ApiError> {
        if upload.len() <= INLINE_BYTES {
            return read(&*self.reader, &upload, &self.serving)
                .ok_or(ApiError::Broken)?
                .map_err(ApiError::Read);
        }
        let _admitted = self.admitted.try_acquire().map_err(|_| ApiError::Busy)?;
        let Ok(Ok(turn)) = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await else {
            return Err(ApiError::Busy);
        };
        let (reader, serving) = (Arc::clone(&self.reader), self.serving.clone());
        let decoding = web::block(move || {
            // Goes with the work, which does not end when the client goes away.
            let _turn = turn;
            read(&*reader, &upload, &serving)
        });
        let read = decoding.await.ok().flatten();
        read.ok_or(ApiError::Broken)?.map_err(ApiError::Read)
    }
}

/// None if the reader panics: that is a mistake of ours, but no reason to leave a client without an answer.
fn read(reader: &dyn Reader, upload: &[u8], serving: &Serving) -> Option<Result<Picture, ReadError>> {
    let begun = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| reader.read(upload))).ok();
    serving.note_decoded(begun.elapsed());
    read
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;
    use crate::metrics::Metrics;

    /// Reads nothing until it is let go, and knows how many are at it.
    #[derive(Default)]
    struct HeldReader {
        state: Mutex<Held>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct Held {
        reading: usize,
        most: usize,
        let_go: bool,
    }

    impl Reader for HeldReader {
        fn read(&self, _: &[u8]) -> Result<Picture, ReadError> {
            let mut state = self.state.lock().unwrap();
            state.reading += 1;
            state.most = state.most.max(state.reading);
            let mut state = self.changed.wait_while(state, |state| !state.let_go).unwrap();
            state.reading -= 1;
            Err(ReadError::Unsupported)
        }
    }

    impl HeldReader {
        fn let_go(&self) {
            self.state.lock().unwrap().let_go = true;
            self.changed.notify_all();
        }
    }

    const LARGE: Bytes = Bytes::from_static(&[0; INLINE_BYTES + 1]);

    #[tokio::test]
    async fn as_many_decode_as_there_are_cores_some_wait_and_more_are_refused() {
        let reader = Arc::new(HeldReader::default());
        let decoder = Decoder::new(reader.clone(), 2, Metrics::new().serving());
        let admitted = 2 * (1 + WAITING);
        let decode = async || decoder.decode(LARGE).await;
        // Those who are admitted wait for one another; this one is polled last, and lets them go.
        let refused = async {
            let refused = decode().await;
            reader.let_go();
            refused
        };
        let (decoded, refused) = tokio::join!(join_all((0..admitted).map(|_| decode())), refused);
        assert!(matches!(refused, Err(ApiError::Busy)));
        for decoded in decoded {
            assert!(matches!(decoded, Err(ApiError::Read(ReadError::Unsupported))));
        }
        assert!(reader.state.lock().unwrap().most <= 2);
        assert!(matches!(decode().await, Err(ApiError::Read(_))));
    }

    #[tokio::test]
    async fn a_decode_that_nobody_waits_for_still_takes_its_turn() {
        let reader = Arc::new(HeldReader::default());
        let decoder = Decoder::new(reader.clone(), 1, Metrics::new().serving());
        let abandoned = decoder.decode(LARGE);
        // One poll takes the turn and starts the work.
        assert!(abandoned.now_or_never().is_none());
        let turns = decoder.turns.available_permits();
        reader.let_go();
        assert_eq!(turns, 0);
        assert!(matches!(decoder.decode(LARGE).await, Err(ApiError::Read(_))));
    }
}
