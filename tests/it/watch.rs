//! What an operator sees of a running system: metrics, queries, log lines, traces.

mod logs;
mod metrics;
mod prometheus;
mod told;
mod traces;
