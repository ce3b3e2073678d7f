//! Callbacks: the outcome of an upload goes to an address that its client named (Standard Webhooks).
//!
//! An order is kept in the outbox before the upload is queued; a courier in each front end makes the calls, so that no
//! worker waits for anybody's server. Off unless the operator allows hosts.

mod courier;
mod places;
mod settings;
mod signature;

pub use courier::Courier;
pub use places::Places;
pub use settings::{Secret, Settings};
