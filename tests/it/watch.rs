//! What an operator sees of a running system: metrics, queries, log lines, traces.

mod metrics;
mod prometheus;
mod told;
