//! What a network runs on: threads of its own, so that it never competes for those of another, and the
//! instructions that they have.
//!
//! Knows no kernel.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::dispatch::{Kernel, Level};

/// A fixed number of threads, which clones share; a single one is the caller's.
#[derive(Clone)]
pub(crate) struct Cores {
    pool: Option<Arc<ThreadPool>>,
    threads: usize,
    level: Level,
}

impl Cores {
    /// `threads` threads, at least one.
    pub(crate) fn new(threads: usize, level: Level) -> Result<Self, ThreadPoolBuildError> {
        let threads = threads.max(1);
        let pool = match threads {
            1 => None,
            _ => {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("network-{i}"));
                Some(Arc::new(pool.build()?))
            }
        };
        Ok(Self { pool, threads, level })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on one of these threads: its calls of [`for_each`](Self::for_each) then find the others awake.
    pub(crate) fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Calls `work` for each item, in any order, and returns when all is done.
    pub(crate) fn for_each<T: Send>(&self, items: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
        let work = &work;
        match &self.pool {
            Some(pool) => pool.scope(|scope| {
                for item in items {
                    scope.spawn(move |_| work(item));
                }
            }),
            None => items.for_each(work),
        }
    }

    /// Runs a kernel on the calling thread.
    pub(crate) fn run(&self, kernel: impl Kernel) {
        self.level.run(kernel);
    }
}
