//! A whole system: one front end, its workers, and between them either a database or servers behind bad networks.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::gauges::Processes;
use crate::harness::client::Client;
use crate::harness::mnistq::{Home, Mnistq, Output};
use crate::harness::process::free_port;
use crate::harness::proxy::Proxy;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

/// Which queue and which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// One database for both, and a worker within the front end and one beside it.
    Embedded,
    /// The same on a file system of its own, so that its disk can be full. Only a superuser can make one.
    EmbeddedOnSmallDisk,
    /// RabbitMQ and Redis, and two workers.
    Cluster,
}

/// A running system.
pub struct World {
    home: Home,
    port: u16,
    pairing: Pairing,
    front_end: Option<Mnistq>,
    workers: Vec<Option<Mnistq>>,
    /// The servers, unless the system is embedded.
    pub servers: Option<Servers>,
    processes: Processes,
    complaints: Vec<String>,
}

/// Servers, and the networks before them: the front end's, and each worker's.
pub struct Servers {
    pub rabbitmq: RabbitMq,
    pub redis: Redis,
    pub to_rabbitmq: Vec<Proxy>,
    pub to_redis: Vec<Proxy>,
}

/// A disk that can be filled: larger than what a run needs.
const DISK: &str = "size=1g";

impl World {
    /// Starts it, and waits until it takes uploads.
    pub async fn start(pairing: Pairing, sabotage: Option<&str>) -> Self {
        let mut home = Home::new();
        if let Some(name) = sabotage {
            home = home.with_variable("MNISTQ_SABOTAGE", name);
        }
        let (servers, workers) = match pairing {
            Pairing::Cluster => (Some(Servers::start().await), 2),
            Pairing::Embedded | Pairing::EmbeddedOnSmallDisk => (None, 1),
        };
        let mut world = Self {
            port: free_port(),
            home,
            pairing,
            front_end: None,
            workers: (0..workers).map(|_| None).collect(),
            servers,
            processes: Arc::default(),
            complaints: Vec::new(),
        };
        if pairing == Pairing::EmbeddedOnSmallDisk {
            world.mount();
        }
        world.start_front_end().await;
        for number in 0..workers {
            world.start_worker(number);
        }
        Client::new(&world.url()).ready().await;
        world
    }

    /// Where everything of it is.
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Where the front end listens, also while it is down.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The database of an embedded system.
    pub fn database(&self) -> std::path::PathBuf {
        self.home.database()
    }

    /// Which process plays which part.
    pub fn processes(&self) -> Processes {
        Arc::clone(&self.processes)
    }

    /// How many workers there are beside the front end.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Starts the front end on its port.
    pub async fn start_front_end(&mut self) {
        let seams = self.seams(0);
        let mut arguments: Vec<&str> = seams.iter().map(String::as_str).collect();
        // Longer than any run: what is read twice must be there twice.
        arguments.extend(["--result-ttl", "36000"]);
        if self.servers.is_some() {
            arguments.extend(["--workers", "0"]);
        }
        let front_end = self.home.serve_on(self.port, &arguments).await;
        self.note("serve", front_end.id());
        self.front_end = Some(front_end);
    }

    /// Starts a worker.
    pub fn start_worker(&mut self, number: usize) {
        let seams = self.seams(number + 1);
        let arguments: Vec<&str> = ["work"]
            .into_iter()
            .chain(seams.iter().map(String::as_str))
            .collect();
        let worker = self.home.start(&arguments);
        self.note(&format!("work {}", number + 1), worker.id());
        self.workers[number] = Some(worker);
    }

    /// The front end dies (SIGKILL).
    pub fn kill_front_end(&mut self) {
        self.front_end.take().expect("it runs").kill();
    }

    /// A worker dies (SIGKILL).
    pub fn kill_worker(&mut self, number: usize) {
        self.workers[number].take().expect("it runs").kill();
    }

    /// The front end is told to stop (SIGTERM), and does.
    pub async fn tell_front_end(&mut self) {
        let output = self.front_end.take().expect("it runs").stop().await;
        self.ended("serve", &output);
    }

    /// A worker is told to stop (SIGTERM), and does.
    pub async fn tell_worker(&mut self, number: usize) {
        let output = self.workers[number].take().expect("it runs").stop().await;
        self.ended("work", &output);
    }

    /// Sends a worker a signal.
    pub fn signal_worker(&self, number: usize, signal: &str) {
        self.workers[number].as_ref().expect("it runs").signal(signal);
    }

    /// Stops everything in order. Says what was not as it should be.
    pub async fn stop(mut self) -> Vec<String> {
        for number in 0..self.workers.len() {
            self.tell_worker(number).await;
        }
        self.tell_front_end().await;
        if self.pairing == Pairing::EmbeddedOnSmallDisk {
            self.run("umount", &[]);
        }
        self.complaints
    }

    fn ended(&mut self, part: &str, output: &Output) {
        if output.code != Some(0) || output.stderr.contains("panicked") {
            self.complaints.push(format!("{part} ended as {output:?}"));
        }
    }

    fn note(&self, part: &str, process: u32) {
        self.processes.lock().unwrap().insert(part.to_owned(), process);
    }

    /// What a process is told of queue and store: the front end is number 0.
    fn seams(&self, number: usize) -> Vec<String> {
        let Some(servers) = &self.servers else {
            return Vec::new();
        };
        let (rabbitmq, redis) = (
            servers.to_rabbitmq[number].port(),
            servers.to_redis[number].port(),
        );
        vec![
            "--broker".to_owned(),
            format!("amqp://guest:guest@127.0.0.1:{rabbitmq}/%2f"),
            "--store".to_owned(),
            format!("redis://127.0.0.1:{redis}/0"),
        ]
    }

    fn mount(&self) {
        std::fs::create_dir_all(self.path().join("state")).expect("a folder");
        self.run("mount", &["-t", "tmpfs", "-o", DISK, "mnistq-chaos"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let folder = self.path().join("state");
        let status = Command::new(program).args(arguments).arg(folder).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{program} needs a superuser"
        );
    }
}

impl Servers {
    async fn start() -> Self {
        let (rabbitmq, redis) = (RabbitMq::launch().await, Redis::launch().await);
        let (mut to_rabbitmq, mut to_redis) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            to_rabbitmq.push(Proxy::before(rabbitmq.port()).await);
            to_redis.push(Proxy::before(redis.port()).await);
        }
        Self {
            rabbitmq,
            redis,
            to_rabbitmq,
            to_redis,
        }
    }
}
