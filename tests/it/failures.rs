//! What users rely on while servers are killed, stopped, full or locked.

mod front_end;
mod hostile;
mod losses;
mod poison;
mod rabbitmq;
mod redis;
mod secrets;
mod workers;
