//! The behaviour tests, one binary: each module is one part of what users rely on.
#![allow(clippy::unwrap_used)]

mod harness;

mod access;
mod architecture;
mod broker;
mod callbacks;
// Some faults happen in `examples/chaos.rs` alone.
#[allow(dead_code)]
mod chaos;
mod cli;
mod config;
mod crash;
mod database;
mod dead;
mod deployment;
mod device;
mod digit;
mod doctor;
mod failures;
mod fuzz;
mod golden;
mod help;
mod http;
mod kernels;
mod life;
mod model;
mod openapi;
mod own_model;
mod page;
mod probe;
mod show;
mod store;
mod tls;
mod train;
mod unwanted;
mod watch;
mod weights;
