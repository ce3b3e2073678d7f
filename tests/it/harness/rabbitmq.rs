//! A private RabbitMQ server: one for all tests, and more for tests that break theirs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::{Process, command, folder, free_port};
use super::{eventually, installed};

/// Where packages keep the scripts themselves: the ones on Debian's PATH change the user and drop the
/// environment.
const SCRIPTS: &[&str] = &[
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
];

/// A RabbitMQ server on its own port, with its own data.
pub struct RabbitMq {
    folder: TempDir,
    port: u16,
    cluster_port: u16,
    name_port: u16,
    process: Option<Process>,
}

impl RabbitMq {
    /// The server that tests share: each takes a queue of its own, and none breaks it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        SHARED.get_or_init(Self::launch).await
    }

    /// Starts a fresh server for one test, and waits until it answers: some seconds, 140 MB.
    pub async fn launch() -> Self {
        Self::launch_with("").await
    }

    /// As [`RabbitMq::launch`], with further lines of configuration.
    pub async fn launch_with(configuration: &str) -> Self {
        let folder = folder();
        let at = |file: &str| folder.path().join(file);
        std::fs::write(at("rabbitmq.conf"), format!("{CONFIGURATION}{configuration}"))
            .expect("a temporary file");
        std::fs::write(at("enabled_plugins"), "[].\n").expect("a temporary file");
        std::fs::write(at("rabbitmq-env.conf"), "").expect("a temporary file");
        let mut server = Self {
            folder,
            port: free_port(),
            cluster_port: free_port(),
            name_port: name_server().await,
            process: None,
        };
        server.start().await;
        server
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after [`RabbitMq::kill`], on the same port and with the data that it has on disk.
    pub async fn start(&mut self) {
        let program = installed(&["rabbitmq-server"], SCRIPTS);
        let mut command = command(&program, Path::new("/dev/null"));
        self.settle_environment(&mut command);
        let process = self
            .process
            .insert(Process::spawn(command, self.folder.path(), "rabbitmq"));
        let port = self.port;
        eventually("rabbitmq-server opens an AMQP handshake", async || {
            assert!(process.ended().is_none(), "rabbitmq-server: {}", process.output());
            greets(port).unwrap_or(false)
        })
        .await;
    }

    /// Kills it as a crash would (SIGKILL).
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it in its tracks (SIGSTOP): it takes connections and answers nothing.
    pub fn stop(&self) {
        self.running().signal("STOP");
    }

    /// Lets it go on after [`RabbitMq::stop`].
    pub fn resume(&self) {
        self.running().signal("CONT");
    }

    /// Runs `rabbitmqctl` with `arguments` and gives back what it prints.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let program = installed(&["rabbitmqctl"], SCRIPTS);
        let mut command = command(&program, Path::new("/dev/null"));
        self.settle_environment(&mut command);
        command.arg("--quiet").args(arguments);
        let output = folder();
        let mut process = Process::spawn(command, output.path(), "rabbitmqctl");
        let status = process.end().await;
        assert!(
            status.success(),
            "rabbitmqctl {arguments:?}: {}",
            process.output()
        );
        process.stdout()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("RabbitMQ was killed")
    }

    fn settle_environment(&self, command: &mut Command) {
        let at = |file: &str| -> PathBuf { self.folder.path().join(file) };
        let erlang = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none \
                      -kernel inet_dist_use_interface {127,0,0,1}";
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.folder.path())
            .env("ERL_EPMD_PORT", self.name_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("tests{}@localhost", self.port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.cluster_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", at("rabbitmq-env.conf"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang)
            // Makes the script become the server, so that a signal to it reaches the server.
            .env("RUNNING_UNDER_SYSTEMD", "true");
    }
}

/// A build machine's disk may be nearly full; that is not what the tests are about.
const CONFIGURATION: &str = "disk_free_limit.absolute = 1MB\n";

/// Whether it answers the first bytes of an AMQP 0-9-1 connection with a method frame (`connection.start`).
fn greets(port: u16) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"AMQP\0\0\x09\x01")?;
    let mut kind = [0];
    connection.read_exact(&mut kind)?;
    Ok(kind == [1])
}

/// The port of the tests' own `epmd`, by which Erlang nodes find each other.
///
/// A server would start one by itself, as a daemon that outlives the tests.
async fn name_server() -> u16 {
    static NAME_SERVER: OnceCell<(u16, TempDir, Process)> = OnceCell::const_new();
    let (port, ..) = NAME_SERVER
        .get_or_init(async || {
            let port = free_port();
            let folder = folder();
            let program = installed(
                &["epmd"],
                &["/usr/lib/erlang/bin", "/opt/homebrew/opt/erlang/bin"],
            );
            let mut command = command(&program, Path::new("/dev/null"));
            command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
            let mut process = Process::spawn(command, folder.path(), "epmd");
            eventually("epmd listens", async || {
                assert!(process.ended().is_none(), "epmd: {}", process.output());
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            })
            .await;
            (port, folder, process)
        })
        .await;
    *port
}

mod tests {
    use super::*;

    #[tokio::test]
    async fn rabbitmq_goes_on_after_a_stop_and_keeps_its_data_through_a_crash() {
        let mut server = RabbitMq::launch().await;
        server.ctl(&["add_vhost", "kept"]).await;
        server.stop();
        server.resume();
        assert!(greets(server.port).unwrap());
        server.kill();
        server.start().await;
        assert!(server.ctl(&["list_vhosts"]).await.contains("kept"));
    }
}
