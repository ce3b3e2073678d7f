//! What the behaviour tests run on: private servers, the real executable, and waiting with a reason.
//!
//! In comes a test's wish for a broker, a store or a running `mnistq`; out come addresses. Everything that is
//! started here ends with the test process, however that ends ([`process`]). Knows no promise of ours.

pub mod authority;
pub mod browser;
pub mod client;
pub mod collector;
pub mod data;
pub mod mnistq;
pub mod moments;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod rabbitmq;
pub mod receiver;
pub mod redis;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything may take before a test fails: far more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds. Fails with `what` if that never happens.
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    let held = holds_within(PATIENCE, condition).await;
    assert!(held, "waited {PATIENCE:?} in vain: {what}");
}

/// Whether `condition` comes to hold before `limit` is over.
pub async fn holds_within(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, holds).await.is_ok()
}

/// Lets a fault last for so long, which is part of what it is. Nothing may be waited for in this way.
pub async fn lasting(what: &str, time: Duration) {
    eprintln!("          {what}, for {:.1} s", time.as_secs_f64());
    tokio::time::sleep(time).await;
}

/// Awaits `future`. Fails with `what` if it never ends.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Whether `future` stays unfinished for a while. True is no proof, false is: for what must not happen.
pub async fn stays_pending<T>(future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(200), future)
        .await
        .is_err()
}

/// The first of `programs` that is installed, in `folders` or where the shell looks.
pub fn installed(programs: &[&str], folders: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let searched: Vec<PathBuf> = folders
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .collect();
    programs
        .iter()
        .flat_map(|program| searched.iter().map(move |folder| folder.join(program)))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "{} is not installed: `make test` installs it, and so does \
                 `apt-get install rabbitmq-server redis-server chromium chromium-driver prometheus`",
                programs[0]
            )
        })
}

/// Runs `life` as if in a process of its own, which then dies: nothing that it started goes on, closes or says a word.
/// Whatever would do so when dropped must be forgotten.
pub fn dying_process<T: Send>(life: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let process = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            let last_words = runtime.block_on(life());
            runtime.shutdown_background();
            last_words
        });
        process
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
