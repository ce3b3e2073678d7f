//! What goes wrong, and how it is healed.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::world::{Pairing, Servers, World};
use crate::harness::lasting;
use crate::harness::moments::Moments;
use crate::harness::proxy::{Proxy, Weather};

/// Something that goes wrong for a while. Numbers are the rows of the fault matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 1
    RabbitMqKilled,
    /// 2
    RabbitMqStopped,
    /// 3
    ConnectionsClosed,
    /// 6
    RedisKilled,
    /// 8
    RedisStopped,
    /// 9
    RedisFull,
    /// 10
    RedisSlow,
    /// 11
    WorkerKilled,
    /// 12
    WorkerTold,
    /// 13
    WorkerStopped,
    /// 14
    WorkersDown,
    /// 15
    FrontEndTold,
    /// 16
    FrontEndKilled,
    /// 17
    NetworkSlow,
    /// 18
    AmqpReset,
    /// 19
    AmqpSilent,
    /// 20
    AmqpDeaf,
    /// 26
    MemoryAlarm,
    /// 33
    ServersKilled,
    /// All processes of an embedded system
    AllKilled,
    /// Another program writes to the database and does not end
    DatabaseLocked,
    /// The disk of an embedded system is full
    DiskFull,
}

/// A fault that has happened, by the time since the start.
pub struct Happened {
    pub fault: Fault,
    pub began: Duration,
    pub healed: Duration,
    /// While it lasted, nothing could be confirmed.
    pub standstill: Option<(Duration, Duration)>,
}

const CLUSTER: [Fault; 19] = [
    Fault::RabbitMqKilled,
    Fault::RabbitMqStopped,
    Fault::ConnectionsClosed,
    Fault::RedisKilled,
    Fault::RedisStopped,
    Fault::RedisFull,
    Fault::RedisSlow,
    Fault::WorkerKilled,
    Fault::WorkerTold,
    Fault::WorkerStopped,
    Fault::WorkersDown,
    Fault::FrontEndTold,
    Fault::FrontEndKilled,
    Fault::NetworkSlow,
    Fault::AmqpReset,
    Fault::AmqpSilent,
    Fault::AmqpDeaf,
    Fault::MemoryAlarm,
    Fault::ServersKilled,
];
const EMBEDDED: [Fault; 9] = [
    Fault::WorkerKilled,
    Fault::WorkerTold,
    Fault::WorkerStopped,
    Fault::FrontEndTold,
    Fault::FrontEndKilled,
    Fault::AllKilled,
    Fault::DatabaseLocked,
    Fault::DatabaseLocked,
    Fault::DiskFull,
];

impl Fault {
    /// One of those that can happen to such a system.
    pub fn random(pairing: Pairing, moments: &mut Moments) -> Self {
        match pairing {
            Pairing::Cluster => CLUSTER[moments.next(CLUSTER.len()) - 1],
            Pairing::EmbeddedOnSmallDisk => EMBEDDED[moments.next(EMBEDDED.len()) - 1],
            Pairing::Embedded => EMBEDDED[moments.next(EMBEDDED.len() - 1) - 1],
        }
    }

    /// The longest that it lasts.
    fn longest(self) -> Duration {
        Duration::from_secs(match self {
            Self::RabbitMqStopped | Self::WorkersDown => 30,
            Self::RedisStopped | Self::AmqpReset | Self::AmqpSilent | Self::MemoryAlarm => 20,
            Self::WorkerStopped => 40,
            Self::RedisFull | Self::RedisSlow | Self::NetworkSlow | Self::AmqpDeaf => 15,
            Self::DatabaseLocked | Self::DiskFull => 12,
            _ => 3,
        })
    }

    /// It happens, and ends. While it lasts, nothing can be confirmed between the two instants, if there are any.
    pub async fn happen(self, world: &mut World, moments: &mut Moments) -> Option<(Instant, Instant)> {
        let longest = usize::try_from(self.longest().as_millis()).expect("minutes at most");
        let lasts = Duration::from_millis(moments.next(longest) as u64);
        let worker = moments.next(world.workers()) - 1;
        match self {
            Self::WorkerKilled => {
                world.kill_worker(worker);
                lasting("a worker is dead", lasts).await;
                world.start_worker(worker);
            }
            Self::WorkerTold => {
                world.tell_worker(worker).await;
                world.start_worker(worker);
            }
            Self::WorkerStopped => {
                world.signal_worker(worker, "STOP");
                lasting("a worker stands still", lasts).await;
                world.signal_worker(worker, "CONT");
            }
            Self::WorkersDown => {
                (0..world.workers()).for_each(|number| world.kill_worker(number));
                lasting("all workers are dead", lasts).await;
                (0..world.workers()).for_each(|number| world.start_worker(number));
            }
            Self::FrontEndTold => {
                world.tell_front_end().await;
                world.start_front_end().await;
            }
            Self::FrontEndKilled => {
                world.kill_front_end();
                world.start_front_end().await;
            }
            Self::AllKilled => {
                world.kill_front_end();
                (0..world.workers()).for_each(|number| world.kill_worker(number));
                world.start_front_end().await;
                (0..world.workers()).for_each(|number| world.start_worker(number));
            }
            Self::DatabaseLocked => return Some(lock(world, lasts).await),
            Self::DiskFull => fill(world, lasts).await,
            _ => {
                let servers = world.servers.as_mut().expect("this happens to servers");
                return self.happen_to(servers, lasts).await;
            }
        }
        None
    }

    async fn happen_to(self, servers: &mut Servers, lasts: Duration) -> Option<(Instant, Instant)> {
        let Servers {
            rabbitmq,
            redis,
            to_rabbitmq,
            to_redis,
        } = servers;
        let began = Instant::now();
        match self {
            Self::RabbitMqKilled => {
                rabbitmq.kill();
                let killed = Instant::now();
                lasting("RabbitMQ is dead", lasts).await;
                let ended = Instant::now();
                rabbitmq.start().await;
                return Some((killed, ended));
            }
            Self::ServersKilled => {
                redis.kill();
                rabbitmq.kill();
                lasting("both servers are dead", lasts).await;
                redis.start().await;
                rabbitmq.start().await;
            }
            Self::RabbitMqStopped => {
                rabbitmq.stop();
                let stopped = Instant::now();
                lasting("RabbitMQ stands still", lasts).await;
                let ended = Instant::now();
                rabbitmq.resume();
                return Some((stopped, ended));
            }
            Self::ConnectionsClosed => {
                rabbitmq.ctl(&["close_all_connections", "maintenance"]).await;
            }
            Self::MemoryAlarm => {
                rabbitmq
                    .ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"])
                    .await;
                lasting("memory is short", lasts).await;
                rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.6"]).await;
            }
            Self::RedisKilled => {
                redis.kill();
                lasting("Redis is dead", lasts).await;
                redis.start().await;
            }
            Self::RedisStopped => {
                redis.stop();
                lasting("Redis stands still", lasts).await;
                redis.resume();
            }
            Self::RedisFull => {
                redis.ask("CONFIG SET maxmemory 1");
                lasting("Redis is full", lasts).await;
                redis.ask("CONFIG SET maxmemory 0");
            }
            Self::RedisSlow => weather(to_redis, Weather::Slow(Duration::from_millis(200)), lasts).await,
            Self::NetworkSlow => {
                let slow = Weather::Slow(Duration::from_millis(300));
                tokio::join!(weather(to_rabbitmq, slow, lasts), weather(to_redis, slow, lasts));
            }
            Self::AmqpSilent => weather(to_rabbitmq, Weather::Silent, lasts).await,
            Self::AmqpDeaf => weather(to_rabbitmq, Weather::Deaf, lasts).await,
            Self::AmqpReset => {
                while began.elapsed() < lasts {
                    to_rabbitmq.iter().for_each(Proxy::reset);
                    lasting("connections live", Duration::from_secs(3)).await;
                }
            }
            _ => unreachable!("{self} does not happen to servers"),
        }
        None
    }
}

async fn weather(links: &[Proxy], weather: Weather, lasts: Duration) {
    links.iter().for_each(|link| link.set(weather));
    lasting("the network is bad", lasts).await;
    links.iter().for_each(|link| link.set(Weather::Clear));
}

/// Holds the right to write to the database for a while.
async fn lock(world: &World, lasts: Duration) -> (Instant, Instant) {
    let database = world.database();
    let locked = tokio::task::spawn_blocking(move || {
        let connection = Connection::open(database).expect("the database is there");
        connection.busy_timeout(Duration::from_secs(60)).expect("a time");
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("its turn comes");
        connection
    });
    let connection = locked.await.expect("it does not panic");
    let began = Instant::now();
    lasting("another program holds the database", lasts).await;
    let ended = Instant::now();
    connection.execute_batch("ROLLBACK").expect("nothing was written");
    (began, ended)
}

/// Fills the disk for a while.
async fn fill(world: &World, lasts: Duration) {
    let path = world.path().join("state/filler");
    let mut filler = std::fs::File::create(&path).expect("a file");
    let piece = vec![0; 1 << 16];
    while filler.write(&piece).is_ok_and(|written| written > 0) {}
    lasting("the disk is full", lasts).await;
    std::fs::remove_file(path).expect("it is there");
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RabbitMqKilled => "1: RabbitMQ killed and restarted",
            Self::RabbitMqStopped => "2: RabbitMQ stopped (SIGSTOP)",
            Self::ConnectionsClosed => "3: RabbitMQ closes all connections",
            Self::RedisKilled => "6: Redis killed and restarted",
            Self::RedisStopped => "8: Redis stopped (SIGSTOP)",
            Self::RedisFull => "9: Redis full",
            Self::RedisSlow => "10: Redis slow (200 ms each way)",
            Self::WorkerKilled => "11: worker killed",
            Self::WorkerTold => "12: worker told to stop (SIGTERM)",
            Self::WorkerStopped => "13: worker stopped (SIGSTOP)",
            Self::WorkersDown => "14: all workers down",
            Self::FrontEndTold => "15: front end told to stop (SIGTERM)",
            Self::FrontEndKilled => "16: front end killed",
            Self::NetworkSlow => "17: network slow (300 ms each way)",
            Self::AmqpReset => "18: AMQP connections reset every 3 s",
            Self::AmqpSilent => "19: AMQP network silent",
            Self::AmqpDeaf => "20: AMQP network loses what RabbitMQ says",
            Self::MemoryAlarm => "26: RabbitMQ short of memory",
            Self::ServersKilled => "33: RabbitMQ and Redis killed together",
            Self::AllKilled => "front end and worker killed together",
            Self::DatabaseLocked => "database locked by another program",
            Self::DiskFull => "disk full",
        })
    }
}
