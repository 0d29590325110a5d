//! What a start finds in the files: who the store is, what the journal has to add, and how far it is then.

use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, StorageBackend};

use crate::disk::Trouble;
use crate::error::Error;
use crate::format::{self, CHANGES, LEASES, META, meta};
use crate::group::{Group, State};
use crate::journal::Journal;
use crate::leases::Leases;
use crate::look::Head;

/// What leases get beside their time after a start, as etcd's get an election's time (`Promote` in its
/// `lessor.go`).
const UNTIL_SERVED: Duration = Duration::from_secs(1);

/// What is in every header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
    pub(crate) term: u64,
}

/// Reads who the store is and which record of the journal it has; counts this start.
pub(crate) fn opening(database: &Database) -> Result<(Identity, u64), Trouble> {
    let transaction = database.begin_read().map_err(|why| Trouble::Unusable(why.to_string()))?;
    let numbers = transaction.open_table(META)?;
    let number = |name| format::number(&numbers, name);
    let identity = Identity {
        cluster: number(meta::CLUSTER)?,
        member: number(meta::MEMBER)?,
        term: number(meta::TERM)? + 1,
    };
    Ok((identity, number(meta::SEQUENCE)?))
}

/// Does again what the journal has and the database does not. Nothing is made durable: a start that is killed
/// is begun anew.
pub(crate) fn recover(
    database: &Database,
    journal: Box<dyn StorageBackend>,
    identity: Identity,
    checkpoint: u64,
    database_path: &Path,
    journal_path: &Path,
) -> Result<Journal, Error> {
    let at_database = |why: Trouble| why.at(database_path);
    let mut transaction =
        database.begin_write().map_err(|why| at_database(Trouble::Unusable(why.to_string())))?;
    transaction
        .set_durability(Durability::None)
        .map_err(|why| at_database(Trouble::Unusable(why.to_string())))?;
    let state = state(database).map_err(at_database)?;
    let mut group = Group::begin(&transaction, state).map_err(|why| at_database(why.into()))?;
    let mut failed = None;
    let journal = Journal::open(journal, identity.cluster, checkpoint, |_, record| {
        if failed.is_none() {
            failed = group.replay(record).err();
        }
    });
    let journal = journal.map_err(|why| Trouble::from(why).at(journal_path))?;
    if let Some(why) = failed {
        return Err(at_database(why.into()));
    }
    group.finish(Some(journal.sequence())).map_err(|why| at_database(why.into()))?;
    count_start(&transaction, identity).map_err(at_database)?;
    transaction.commit().map_err(|why| at_database(why.into()))?;
    Ok(journal)
}

fn count_start(transaction: &redb::WriteTransaction, identity: Identity) -> Result<(), Trouble> {
    transaction.open_table(META)?.insert(meta::TERM, identity.term)?;
    Ok(())
}

/// The leases with all their time, and with what a start takes until clients can renew them.
pub(crate) fn load_leases(database: &Database) -> Result<Leases, Trouble> {
    let transaction = database.begin_read().map_err(|why| Trouble::Unusable(why.to_string()))?;
    let mut leases = Leases::default();
    let now = Instant::now() + UNTIL_SERVED;
    for entry in transaction.open_table(LEASES)?.iter()? {
        let (id, ttl) = entry?;
        leases.grant(id.value(), ttl.value(), now);
    }
    Ok(leases)
}

/// How far the store is.
pub(crate) fn state(database: &Database) -> Result<State, Trouble> {
    let transaction = database.begin_read().map_err(|why| Trouble::Unusable(why.to_string()))?;
    let numbers = transaction.open_table(META)?;
    let head = Head::of(&numbers, &transaction.open_table(CHANGES)?)?;
    Ok(State { head, size: format::number(&numbers, meta::SIZE)? })
}
