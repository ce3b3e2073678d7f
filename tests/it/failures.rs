//! What users rely on while servers are killed, stopped, full or locked.

mod poison;
mod rabbitmq;
mod redis;
