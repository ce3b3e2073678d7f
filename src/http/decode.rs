//! From an upload's bytes to a picture, with as much work at a time as the machine has cores.
//!
//! Knows the reader's seam, and nothing of forms, jobs or seams behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Bytes};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::ApiError;
use crate::digit::{ReadError, Reader};
use crate::job::Picture;

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
    admitted: Semaphore,
    turns: Arc<Semaphore>,
}

impl Decoder {
    /// A decoder that has `cores` uploads in work at once.
    pub fn new(reader: Arc<dyn Reader>, cores: usize) -> Self {
        Self {
            reader,
            admitted: Semaphore::new(cores * (1 + WAITING)),
            turns: Arc::new(Semaphore::new(cores)),
        }
    }

    /// The picture in an upload. [`ApiError::Busy`] if too many wait already, or for too long.
    pub async fn decode(&self, upload: Bytes) -> Result<Picture, ApiError> {
        if upload.len() <= INLINE_BYTES {
            return read(&*self.reader, &upload)
                .ok_or(ApiError::Broken)?
                .map_err(ApiError::Read);
        }
        let _admitted = self.admitted.try_acquire().map_err(|_| ApiError::Busy)?;
        let Ok(Ok(turn)) = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await else {
            return Err(ApiError::Busy);
        };
        let reader = Arc::clone(&self.reader);
        let decoding = web::block(move || {
            // Goes with the work, which does not end when the client goes away.
            let _turn = turn;
            read(&*reader, &upload)
        });
        let read = decoding.await.ok().flatten();
        read.ok_or(ApiError::Broken)?.map_err(ApiError::Read)
    }
}

/// None if the reader panics: that is a mistake of ours, but no reason to leave a client without an answer.
fn read(reader: &dyn Reader, upload: &[u8]) -> Option<Result<Picture, ReadError>> {
    catch_unwind(AssertUnwindSafe(|| reader.read(upload))).ok()
}
