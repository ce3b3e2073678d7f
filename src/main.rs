//! The executable `mnistq`: the digits of MNIST as a service.

use std::process::ExitCode;

use mnistq::roles::{self, Service};

fn main() -> ExitCode {
    roles::start(&Service::mnist())
}
