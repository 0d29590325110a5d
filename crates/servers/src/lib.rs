//! Real servers for tests, benchmarks and chores: started on free loopback ports, ended on drop.
//!
//! A server started here listens only on 127.0.0.1, keeps everything it writes in a temporary
//! directory of its own, and is gone when its value is dropped or when the process that started it
//! ends, however it ends. Faults are commands: a server can be killed, stopped, paused and started
//! again on the same port, and a [`Proxy`] in front of it can cut or black-hole its connections.
//!
//! What goes wrong here is a broken test, so the functions panic, naming the caller's line, the
//! server and the end of its log, instead of returning an error that every test would unwrap.
//! The API is synchronous: a test with a runtime calls it from a blocking task or before it starts.
//!
//! ```no_run
//! waypost_servers::require!("etcd", "etcdctl");
//! let etcd = waypost_servers::Etcd::start();
//! etcd.put("/web/server/1", "127.0.0.1:9001");
//! etcd.kill();
//! etcd.start_again();
//! assert_eq!(etcd.get("/web/server/1").as_deref(), Some("127.0.0.1:9001"));
//! ```

mod binaries;
mod certificates;
mod client;
mod daemon;
mod docker;
mod etcd;
mod fastcgi;
mod http;
mod mariadb;
mod memcached;
mod nginx;
mod php_fpm;
mod ports;
mod postgres;
mod process;
mod proxy;
mod redis;
mod scratch;
mod varnish;
mod wait;

pub use binaries::{PACKAGES, available, find};
pub use certificates::Certificates;
pub use client::{Response, get, get_within, request};
pub use docker::{Docker, docker_is_permitted, install};
pub use etcd::{Etcd, EtcdCluster, EtcdGrpcProxy, EtcdOptions, Permission};
pub use http::Http;
pub use mariadb::MariaDb;
pub use memcached::Memcached;
pub use nginx::{Nginx, NginxLayout};
pub use php_fpm::{PhpFpm, PhpFpmOptions};
pub use ports::Ports;
pub use postgres::Postgres;
pub use process::{Process, Signal};
pub use proxy::Proxy;
pub use redis::Redis;
pub use scratch::{Scratch, Storage};
pub use varnish::Varnish;
pub use wait::{wait_for, wait_until};

/// Ends the calling test early, with a printed line, when one of the named servers is missing.
///
/// Under `cargo xtask test` a missing server is a panic instead: see [`available`].
#[macro_export]
macro_rules! require {
    ($($binary:expr),+ $(,)?) => {
        if !$crate::available(&[$($binary),+]) {
            return;
        }
    };
}

/// What a fallible helper of this crate returns: the error is the line that the panic will show.
type Outcome<T> = Result<T, String>;

/// Unwraps an [`Outcome`] where the public API meets the test, blaming the test's line.
#[track_caller]
fn must<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Ok(value) => value,
        Err(why) => panic!("{why}"),
    }
}
