//! A counter that is kept elsewhere: asked for its value whenever the metrics are.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Opts};

use super::fine;

/// A counter of somebody else.
#[derive(Clone)]
pub struct Pulled {
    options: Opts,
    description: Desc,
    read: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Pulled {
    /// With the value that `read` gives, which never falls.
    pub fn new(options: Opts, read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let counter = fine(IntCounter::with_opts(options.clone()));
        Self {
            options,
            description: counter.desc()[0].clone(),
            read: Arc::new(read),
        }
    }
}

impl Collector for Pulled {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counter = fine(IntCounter::with_opts(self.options.clone()));
        counter.inc_by((self.read)());
        counter.collect()
    }
}
