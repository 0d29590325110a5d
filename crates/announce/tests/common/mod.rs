//! What the tests share: a registry in memory that fails and hangs on demand, free ports, and an announcer
//! with its happenings at hand.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::StreamExt;
use tokio::net::TcpSocket;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use waypost_announce::{Error as NotBegun, Happening, Outcome, Settings, Signal, announce};
use waypost_backend::{Error, ErrorKind, LeaseLimits, Registration, Registry, Result};
use waypost_model::{Endpoint, Key, Position, StoreId, Value};

/// How long a test waits for something that is bound to happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A registry in memory.
#[derive(Debug)]
pub struct FakeRegistry {
    keys: Arc<Mutex<BTreeMap<Key, Value>>>,
    /// What the next registrations fail with.
    refusals: Mutex<VecDeque<ErrorKind>>,
    /// Whether revocations are answered; they wait until they are.
    answers_revokes: watch::Sender<bool>,
}

impl FakeRegistry {
    pub fn new() -> Arc<FakeRegistry> {
        let (answers_revokes, _) = watch::channel(true);
        Arc::new(FakeRegistry { keys: Arc::default(), refusals: Mutex::default(), answers_revokes })
    }

    /// The next registrations fail, each with one of `kinds`.
    pub fn refuse_with(&self, kinds: impl IntoIterator<Item = ErrorKind>) {
        self.refusals.lock().unwrap().extend(kinds);
    }

    pub fn answer_revokes(&self, whether: bool) {
        self.answers_revokes.send_replace(whether);
    }

    /// What the key holds, as text.
    pub fn get(&self, key: &Key) -> Option<String> {
        self.keys.lock().unwrap().get(key).map(|value| value.as_text().unwrap().to_owned())
    }
}

impl Registry for FakeRegistry {
    fn lease_limits(&self) -> LeaseLimits {
        LeaseLimits {
            shortest: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            slack: Duration::ZERO,
        }
    }

    fn put<'a>(&'a self, _: &'a Key, _: Value) -> BoxFuture<'a, Result<Position>> {
        unreachable!("an announcer only registers")
    }

    fn deregister<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<Position>> {
        unreachable!("an announcer only registers")
    }

    fn register<'a>(
        &'a self,
        key: &'a Key,
        value: Value,
        _: Duration,
    ) -> BoxFuture<'a, Result<Registration>> {
        if let Some(kind) = self.refusals.lock().unwrap().pop_front() {
            return future::ready(Err(Error::new(kind, "fake", "register", key))).boxed();
        }
        let known = self.keys.lock().unwrap().insert(key.clone(), value);
        assert!(known.is_none(), "{key} is registered twice");

        let (give_up, asked) = oneshot::channel();
        let (keys, key) = (Arc::clone(&self.keys), key.clone());
        let mut answers = self.answers_revokes.subscribe();
        let lease = async move {
            if asked.await.is_err() {
                future::pending::<()>().await;
            }
            answers.wait_for(|answers| *answers).await.expect("the registry outlives its leases");
            keys.lock().unwrap().remove(&key);
            Ok(Position::new(StoreId::Lasting(1), 1))
        };
        future::ready(Ok(Registration::keep(lease.boxed(), give_up))).boxed()
    }
}

/// A socket on a free loopback port below 32768, where no client's own port is. It takes no connection
/// until it listens.
pub fn bound() -> (TcpSocket, Endpoint) {
    for _ in 0..10_000 {
        let socket = TcpSocket::new_v4().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(10_001..32_768)));
        if socket.bind(address).is_ok() {
            return (socket, address.into());
        }
    }
    panic!("no free port below 32768");
}

/// Settings for `/test/a` at `endpoint`, by the defaults.
pub fn settings(endpoint: &Endpoint) -> Settings {
    Settings::new(Key::new("/test/a").unwrap(), endpoint.clone())
}

/// An announcer that runs beside the test.
pub struct Announcer {
    pub signals: mpsc::UnboundedSender<Signal>,
    pub happenings: mpsc::UnboundedReceiver<Happening>,
    task: JoinHandle<std::result::Result<Outcome, NotBegun>>,
}

impl Announcer {
    pub fn start(registry: &Arc<FakeRegistry>, settings: Settings) -> Announcer {
        let (signals, signalled) = mpsc::unbounded();
        let (reports, happenings) = mpsc::unbounded();
        let registry: Arc<dyn Registry> = registry.clone();
        let observe = move |happening: &Happening| drop(reports.unbounded_send(happening.clone()));
        let task = tokio::spawn(announce(registry, settings, signalled, observe));
        Announcer { signals, happenings, task }
    }

    pub fn signal(&self, signal: Signal) {
        self.signals.unbounded_send(signal).unwrap();
    }

    /// Waits for a happening that is as wanted; those before are skipped.
    pub async fn until(&mut self, is_wanted: impl Fn(&Happening) -> bool) -> Happening {
        let wanted = async {
            loop {
                let happening = self.happenings.next().await.expect("it ended before");
                if is_wanted(&happening) {
                    return happening;
                }
            }
        };
        timeout(DEADLINE, wanted).await.expect("it is bound to happen")
    }

    pub async fn until_registered(&mut self) {
        self.until(|happening| *happening == Happening::Registered).await;
    }

    pub async fn outcome(self) -> Outcome {
        timeout(DEADLINE, self.task).await.expect("it is bound to end").unwrap().unwrap()
    }
}
