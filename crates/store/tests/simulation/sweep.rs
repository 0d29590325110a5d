//! What compaction has ended goes from the disk and from the quota, also when nobody asks for anything any more.

use tempfile::TempDir;
use waypost_servers::wait_until;
use waypost_store::{Limits, Refusal, Settings, Store, pb};

use crate::beside::{DEADLINE, run};

fn put(value: usize) -> pb::PutRequest {
    pb::PutRequest { key: b"key".to_vec(), value: vec![7; value], ..Default::default() }
}

fn size(store: &Store) -> i64 {
    store.status().unwrap().db_size_in_use
}

#[test]
fn a_compaction_makes_room_without_another_request() {
    run(async {
        let dir = TempDir::new().unwrap();
        let limits = Limits { size: 1 << 20, ..Limits::default() };
        let store = Store::open(&Settings { limits, ..Settings::new(dir.path()) }).unwrap();
        let mut revision = 0;
        let refused = loop {
            match store.put(put(2000)).await {
                Ok(response) => revision = response.header.unwrap().revision,
                Err(why) => break why,
            }
        };
        assert_eq!(refused, Refusal::NoSpace);
        let full = size(&store);

        store.compact(pb::CompactionRequest { revision, ..Default::default() }).await.unwrap();

        // One value, and the one change that is left of it with what was before.
        wait_until(format!("room, of {full} bytes"), DEADLINE, || size(&store) <= 3 * 2100);
        store.put(put(2000)).await.unwrap();
    });
}
