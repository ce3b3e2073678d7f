//! What this process takes of the machine, under the names that every Prometheus client gives it.
//!
//! Reads Linux's `/proc/self`; on other systems there is nothing to tell.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};
use tokio::runtime::Handle;

use super::fine;

/// Reads anew whenever it is asked.
#[derive(Clone)]
pub struct Process {
    cpu: Counter,
    resident: Gauge,
    size: Gauge,
    threads: Gauge,
    started: Gauge,
    open_files: Gauge,
    most_files: Gauge,
    tasks: Gauge,
    runtime: Option<Handle>,
}

impl Process {
    /// Of this process, and of the runtime within which it is made.
    pub fn new() -> Self {
        let gauge = |name: &str, help: &str| fine(Gauge::with_opts(Opts::new(name, help)));
        let cpu = "process_cpu_seconds_total";
        Self {
            cpu: fine(Counter::with_opts(Opts::new(
                cpu,
                "Processor time, of user and system.",
            ))),
            resident: gauge("process_resident_memory_bytes", "Memory that is in use."),
            size: gauge("process_virtual_memory_bytes", "Addresses that are in use."),
            threads: gauge("process_threads", "Threads of the system."),
            started: gauge(
                "process_start_time_seconds",
                "When the process began, since 1970.",
            ),
            open_files: gauge("process_open_fds", "Open files and connections."),
            most_files: gauge("process_max_fds", "How many there may be."),
            tasks: gauge(
                "mnistq_tasks",
                "Asynchronous tasks that go on, without those of HTTP connections.",
            ),
            runtime: Handle::try_current().ok(),
        }
    }

    fn collectors(&self) -> [&dyn Collector; 8] {
        [
            &self.cpu,
            &self.resident,
            &self.size,
            &self.threads,
            &self.started,
            &self.open_files,
            &self.most_files,
            &self.tasks,
        ]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().iter().flat_map(|one| one.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let tasks = self
            .runtime
            .as_ref()
            .map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        self.tasks.set(tasks as f64);
        if self.read().is_none() {
            return Vec::new();
        }
        self.collectors().iter().flat_map(|one| one.collect()).collect()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::process::{Resource, getrlimit};

    use super::Process;

    impl Process {
        /// None if the system does not tell. proc_pid_stat(5) counts the fields, from 1 on.
        pub(super) fn read(&self) -> Option<()> {
            let stat = fs::read_to_string("/proc/self/stat").ok()?;
            // The second field is a name in brackets, in which anything may stand.
            let (_, rest) = stat.rsplit_once(')')?;
            let fields: Vec<f64> = rest
                .split_whitespace()
                .map(|field| field.parse().unwrap_or_default())
                .collect();
            let field = |number: usize| fields.get(number - 3).copied();
            let tick = clock_ticks_per_second() as f64;
            let spent = (field(14)? + field(15)?) / tick;
            self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
            self.threads.set(field(20)?);
            self.started.set(booted()? + field(22)? / tick);
            self.size.set(field(23)?);
            self.resident.set(field(24)? * page_size() as f64);
            self.open_files
                .set(fs::read_dir("/proc/self/fd").ok()?.count() as f64);
            let limit = getrlimit(Resource::Nofile).current;
            self.most_files
                .set(limit.map_or(f64::INFINITY, |limit| limit as f64));
            Some(())
        }
    }

    /// When the system began, in seconds since 1970.
    fn booted() -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse().ok()
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    fn read(&self) -> Option<()> {
        None
    }
}
