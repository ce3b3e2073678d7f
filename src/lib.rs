//! Asynchronous machine-learning inference at scale, as one executable.
//!
//! # The life of one upload
//!
//! ```text
//! image ─► http/upload ─► digit ─► broker ─► worker ─► model ─► store ─► http/result ─► client
//!          202 + id       28×28    durable   batches   one forward pass   200 + class
//! ```
//!
//! 1. [`http`] takes the upload, [`digit`] turns it into a small grey [`job::Picture`].
//! 2. The [`store`] reserves the id, the [`broker`] confirms the [`job::Job`], the client gets 202 and the id.
//! 3. A [`worker`] takes what waits, runs one forward pass of a [`model`] for all of it, stores each
//!    [`job::Outcome`] (the first one wins), and only then acknowledges the deliveries.
//! 4. The client fetches the outcome with its id. One that would rather wait is given it as soon as it is stored; the
//!    job was durable then, whether its confirmation has come or not.
//!
//! A crash between any two steps repeats work and changes nothing that a client can see.
//!
//! # Import rules
//!
//! `roles` knows everything. `http` and `worker` share only [`job`], [`digit`] and the two seams, and
//! never import each other. `broker` and `store` know `job`, and what opens them: `address`, `database`, `tls`.
//! `metrics` knows nobody and `traces` only `job`; `http`, `worker` and `roles` tell them what happens.
//! `train` meets the rest only in `model`. Each foreign crate has one owner. The test
//! `tests/it/architecture.rs` holds the whole table, and names file, line and rule on a breach.

pub mod roles;

pub mod cli;
pub mod config;

pub mod http;

pub mod digit;

pub mod worker;

pub mod model;
pub mod train;

pub mod broker;
pub mod store;

pub mod job;

pub mod metrics;

pub mod address;
pub mod database;
pub mod followed;
pub mod shutdown;
pub mod telemetry;
pub mod terminal;
pub mod tls;
pub mod traces;
