//! Writing: keys that stay, and keys that live under a lease.

use std::time::Duration;

use etcd_client::{GetOptions, PutOptions};
use futures::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use waypost_model::{Key, Position, Value};

use super::wire::position_of;
use super::{Etcd, invalid};
use crate::{Backoff, ErrorKind, Lease, LeaseLimits, Registration, Registry, Result};

/// How long giving a key up may be tried.
const REVOKE_WITHIN: Duration = Duration::from_secs(5);

impl Registry for Etcd {
    /// Source: etcd's `minLeaseTTL` is one and a half election timeouts (1 s by default), rounded up; and
    /// a new leader extends every lease by its whole time to live (`lease/lessor.go`, `Promote`).
    fn lease_limits(&self) -> LeaseLimits {
        LeaseLimits {
            shortest: Duration::from_secs(2),
            longest: Duration::from_secs(24 * 60 * 60),
            slack: Duration::from_secs(1),
        }
    }

    fn put<'a>(&'a self, key: &'a Key, value: Value) -> BoxFuture<'a, Result<Position>> {
        async move { self.put_under(key, &value, 0).await }.boxed()
    }

    fn deregister<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Position>> {
        async move {
            let name = key.as_str();
            let delete = |mut client: etcd_client::Client| async move { client.delete(name, None).await };
            position_of(self.connector.request("delete", key, delete).await?.header())
        }
        .boxed()
    }

    fn register<'a>(
        &'a self,
        key: &'a Key,
        value: Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Registration>> {
        async move {
            if let Some(why) = self.lease_limits().objection(ttl) {
                return Err(invalid("register", key, why));
            }
            let mut keeper = Keeper { etcd: self.clone(), key: key.clone(), value, ttl, lease: 0 };
            keeper.write().await?;
            let (give_up, asked) = oneshot::channel();
            Ok(Registration::keep(keeper.keep(asked), give_up))
        }
        .boxed()
    }
}

impl Etcd {
    async fn put_under(&self, key: &Key, value: &Value, lease: i64) -> Result<Position> {
        let (name, bytes) = (key.as_str(), value.as_bytes());
        let options = PutOptions::new().with_lease(lease);
        let put =
            |mut client: etcd_client::Client| async move { client.put(name, bytes, Some(options)).await };
        position_of(self.connector.request("write", key, put).await?.header())
    }
}

/// Keeps one key alive.
struct Keeper {
    etcd: Etcd,
    key: Key,
    value: Value,
    ttl: Duration,
    lease: i64,
}

impl Keeper {
    /// Takes a lease and writes the key under it.
    async fn write(&mut self) -> Result<()> {
        let seconds = self.ttl.as_secs() + u64::from(self.ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let grant = |mut client: etcd_client::Client| async move { client.lease_grant(seconds, None).await };
        self.lease = self.etcd.connector.request("take a lease for", &self.key, grant).await?.id();
        match self.etcd.put_under(&self.key, &self.value, self.lease).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // The lease would outlive the failure, and the key with it if the write did arrive.
                let _ = self.revoke().await;
                Err(error)
            }
        }
    }

    /// Renews the lease every third of its time, until asked to give the key up.
    fn keep(mut self, mut asked: oneshot::Receiver<()>) -> Lease {
        async move {
            let pause = self.ttl / 3;
            let mut backoff = Backoff::new(pause / 10, pause, fastrand::Rng::new());
            let mut wait = pause;
            loop {
                tokio::select! {
                    _ = &mut asked => return self.give_up().await,
                    () = tokio::time::sleep(wait) => {}
                }
                wait = match self.renew().await {
                    Ok(()) => {
                        backoff.succeeded();
                        pause
                    }
                    Err(error) => {
                        tracing::warn!(key = %self.key, error = error.chain(), "cannot keep the key alive; trying again");
                        backoff.failed(Instant::now().into_std())
                    }
                };
            }
        }
        .boxed()
    }

    /// Renews the lease; writes the key again if the lease or the key is gone.
    async fn renew(&mut self) -> Result<()> {
        if !self.renew_lease().await? {
            tracing::warn!(key = %self.key, "the lease is gone; registering again");
            return self.write().await;
        }
        if !self.is_there().await? {
            tracing::warn!(key = %self.key, "the key is gone; writing it again");
            self.etcd.put_under(&self.key, &self.value, self.lease).await?;
        }
        Ok(())
    }

    /// How long an answer may take, so that another endpoint can be asked before the time to live is over.
    fn patience(&self) -> Duration {
        self.etcd.connector.settings.request_timeout.min(self.ttl / 3)
    }

    /// Renews the lease; false if etcd knows it no more.
    async fn renew_lease(&self) -> Result<bool> {
        let lease = self.lease;
        let renew = |mut client: etcd_client::Client| async move {
            // Opening the stream sends a renewal and waits for its answer, so one is all it takes.
            match client.lease_keep_alive(lease).await {
                Ok(_) => Ok(true),
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.etcd.connector.request_within(self.patience(), "keep alive", &self.key, renew).await
    }

    /// True if the key is under our lease, or if we may write it but not read it.
    async fn is_there(&self) -> Result<bool> {
        let name = self.key.as_str();
        let options = GetOptions::new().with_keys_only();
        let get = |mut client: etcd_client::Client| async move { client.get(name, Some(options)).await };
        match self.etcd.connector.request_within(self.patience(), "read", &self.key, get).await {
            Ok(answer) => Ok(answer.kvs().iter().any(|kv| kv.lease() == self.lease)),
            Err(error) if error.kind() == ErrorKind::Denied => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes the key with its lease, trying again for a while.
    async fn give_up(&self) -> Result<Position> {
        let until = Instant::now() + REVOKE_WITHIN;
        let mut backoff =
            Backoff::new(Duration::from_millis(50), Duration::from_secs(1), fastrand::Rng::new());
        loop {
            match self.revoke().await {
                Err(error) if error.is_transient() => {
                    let next = Instant::now() + backoff.failed(Instant::now().into_std());
                    if next > until {
                        return Err(error);
                    }
                    tokio::time::sleep_until(next).await;
                }
                // A lease that is not there took its key along.
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    return self.etcd.deregister(&self.key).await;
                }
                result => return result,
            }
        }
    }

    async fn revoke(&self) -> Result<Position> {
        let lease = self.lease;
        let revoke = |mut client: etcd_client::Client| async move { client.lease_revoke(lease).await };
        position_of(self.etcd.connector.request("revoke the lease of", &self.key, revoke).await?.header())
    }
}
