//! `mnistq bench`: how fast the model is, and how fast a server.

pub mod model;
pub mod server;

mod connection;
