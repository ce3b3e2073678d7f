//! The front end over real sockets, with the embedded broker and store behind it.

mod deadlines;
mod faults;
mod keys;
mod kserve;
mod lifecycle;
mod limits;
mod results;
mod served;
mod uploads;
