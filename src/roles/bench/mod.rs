//! `mnistq bench`: how fast the model is, and how fast a server.

pub mod model;
pub mod server;

mod check;
mod connection;

/// A handwritten seven: the first of MNIST's test images.
pub const SEVEN: &[u8] = include_bytes!("seven.png");
