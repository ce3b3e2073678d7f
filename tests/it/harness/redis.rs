//! A private Redis (or Valkey) server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, command, folder, free_port};
use super::{eventually, installed};

/// A Redis server on its own port, with its own data, which it writes to an append-only file.
pub struct Redis {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Redis {
    /// Starts a fresh, empty server, and waits until it answers.
    pub async fn launch() -> Self {
        Self::launch_with(&[]).await
    }

    /// As [`Redis::launch`], with further arguments, such as `["--requirepass", "secret"]`.
    pub async fn launch_with(arguments: &[&str]) -> Self {
        let mut redis = Self {
            folder: folder(),
            port: free_port(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            process: None,
        };
        redis.start().await;
        redis
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after [`Redis::kill`], on the same port and with the data that it has on disk.
    pub async fn start(&mut self) {
        let program = installed(&["redis-server", "valkey-server"], &[]);
        let mut command = command(&program, Path::new("/dev/null"));
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(["--save", "", "--appendonly", "yes", "--daemonize", "no"])
            .args(&self.arguments);
        let process = self
            .process
            .insert(Process::spawn(command, self.folder.path(), "redis"));
        let port = self.port;
        eventually("redis-server answers a PING", async || {
            assert!(process.ended().is_none(), "redis-server: {}", process.output());
            answers(port).unwrap_or(false)
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

    /// Lets it go on after [`Redis::stop`].
    pub fn resume(&self) {
        self.running().signal("CONT");
    }

    /// Sends one inline command, and reads what comes within the first piece of the answer.
    pub fn ask(&self, command: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(connection, "{command}\r\n").unwrap();
        let mut answer = [0; 256];
        let length = connection.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).trim().to_owned()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("Redis was killed")
    }
}

/// Whether it serves commands: not while it reads its files (`-LOADING`); one that wants a password does.
fn answers(port: u16) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    connection.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n" || &answer == b"-NOAUTH")
}

mod tests {
    use super::*;

    #[tokio::test]
    async fn redis_keeps_its_data_through_a_crash() {
        let mut redis = Redis::launch().await;
        assert_eq!(redis.ask("SET digit 3"), "+OK");
        redis.kill();
        redis.start().await;
        assert_eq!(redis.ask("GET digit"), "$1\r\n3");
    }

    #[tokio::test]
    async fn redis_goes_on_after_a_stop() {
        let redis = Redis::launch().await;
        redis.stop();
        redis.resume();
        assert_eq!(redis.ask("PING"), "+PONG");
    }

    #[tokio::test]
    async fn redis_takes_arguments() {
        let redis = Redis::launch_with(&["--requirepass", "secret"]).await;
        assert_eq!(redis.ask("GET digit"), "-NOAUTH Authentication required.");
    }
}
