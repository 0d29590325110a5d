//! A key that is kept alive.

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use waypost_model::Position;

use crate::{Error, ErrorKind, Result};

/// What a store's keep-alive task runs until it is asked to give the key up.
///
/// The future ends with the removal of the key once the receiver gets word; if the receiver is dropped
/// unasked, it is aborted and the key goes with its lease.
pub type Lease = BoxFuture<'static, Result<Position>>;

/// A key that is kept alive until this is dropped or revoked.
#[derive(Debug)]
pub struct Registration {
    give_up: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Position>>,
}

impl Registration {
    /// Runs `lease` in a task of its own; `give_up` is the other end of the receiver it listens to.
    pub fn keep(lease: Lease, give_up: oneshot::Sender<()>) -> Registration {
        Registration { give_up: Some(give_up), task: tokio::spawn(lease) }
    }

    /// Removes the key at once; gives a position at or after the removal.
    ///
    /// # Errors
    ///
    /// The store's, if it could not be told. The key then goes when its time to live is over.
    pub async fn revoke(mut self) -> Result<Position> {
        if let Some(give_up) = self.give_up.take() {
            // The task may have ended by itself; its result tells.
            let _ = give_up.send(());
        }
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => {
                Err(Error::new(ErrorKind::Unavailable, "store", "revoke", "a registration").because(error))
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.task.abort();
    }
}
