//! The behaviour tests, one binary: each module is one part of what users rely on.
#![allow(clippy::unwrap_used)]

mod harness;

mod architecture;
mod broker;
mod golden;
mod http;
mod kernels;
mod store;
