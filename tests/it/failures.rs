//! What users rely on while servers are killed, stopped, full or locked.

mod hostile;
mod poison;
mod rabbitmq;
mod redis;
mod secrets;
mod workers;
