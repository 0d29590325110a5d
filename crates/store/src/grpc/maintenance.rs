//! etcd's service `Maintenance`.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;

use etcd_client::proto::{
    PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest, PbDowngradeResponse, PbMaintenanceService,
    PbMoveLeaderRequest, PbMoveLeaderResponse, PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest,
};
use futures::stream::BoxStream;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Served, not_served};
use crate::error::Refusal;
use crate::pb;
use crate::{Backup, Store};

/// Of a backup, at a time; as in etcd's `v3rpc/maintenance.go`.
const BLOB: usize = 32 << 10;

/// Blobs that are read ahead of the client.
const AHEAD: usize = 16;

pub(super) struct Maintenance(pub(super) Arc<Served>);

#[tonic::async_trait]
impl PbMaintenanceService for Maintenance {
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        let caller = self.0.caller(&request)?;
        // 0 is to ask what the alarms are; anything else raises or clears one.
        let asks = request.get_ref().action == 0;
        (if asks { caller.known() } else { caller.admin() })?;
        Ok(Response::new(self.0.store.alarm(request.get_ref())))
    }

    // Open to all, as in etcd: probes ask before they log in.
    async fn status(&self, _: Request<PbStatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        Ok(Response::new(self.0.store.status()?))
    }

    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        self.0.caller(&request)?.admin()?;
        Ok(Response::new(aside(&self.0.store, Store::hash).await?))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.0.caller(&request)?.admin()?;
        let request = request.into_inner();
        Ok(Response::new(aside(&self.0.store, move |store| store.hash_kv(&request)).await?))
    }

    type SnapshotStream = BoxStream<'static, Result<PbSnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        request: Request<PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.0.caller(&request)?.admin()?;
        let turn = Arc::clone(&self.0.backups).try_acquire_owned().map_err(|_| Refusal::TooManyRequests)?;
        let backup = aside(&self.0.store, Store::backup).await?;
        let (blobs, answers) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            send(backup, &mut |blob| blobs.blocking_send(blob).is_ok());
        });
        Ok(Response::new(self.0.stop.clone().ends(ReceiverStream::new(answers))))
    }

    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        Err(not_served("waypost's store reuses the room of what is deleted: there is nothing to defragment"))
    }

    async fn move_leader(
        &self,
        _: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        Err(not_served(
            "waypost's store is a single node: there is no other leader; see docs/moving-to-etcd.md",
        ))
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        Err(not_served(
            "waypost's store is a single node without a cluster's version; see docs/moving-to-etcd.md",
        ))
    }
}

/// Runs what reads the disk where waiting harms nobody.
async fn aside<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let store = store.clone();
    // It fails only if the work panics, or at the very end.
    tokio::task::spawn_blocking(move || work(&store)).await.unwrap_or(Err(Refusal::Stopped))
}

type Answer = Result<PbSnapshotResponse, Status>;

/// Sends the file in pieces and its digest after them, until `push` says that nobody listens.
fn send(mut backup: Backup, push: &mut dyn FnMut(Answer) -> bool) {
    if let Err(why) = pieces(&mut backup.file, backup.length, push) {
        push(Err(Status::data_loss(format!("the backup cannot be read: {why}"))));
    }
}

fn pieces(file: &mut File, length: u64, push: &mut dyn FnMut(Answer) -> bool) -> io::Result<()> {
    file.rewind()?;
    let (mut digest, mut left) = (Sha256::new(), length);
    while left > 0 {
        let size = left.min(BLOB as u64);
        let mut blob = vec![0; usize::try_from(size).expect("a blob is small")];
        file.read_exact(&mut blob)?;
        digest.update(&blob);
        left -= size;
        if !push(Ok(answer(left, blob))) {
            return Ok(());
        }
    }
    push(Ok(answer(0, digest.finalize().to_vec())));
    Ok(())
}

fn answer(remaining_bytes: u64, blob: Vec<u8>) -> PbSnapshotResponse {
    PbSnapshotResponse { remaining_bytes, blob, ..PbSnapshotResponse::default() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn sent(content: &[u8], length: u64) -> Vec<Answer> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut answers = Vec::new();
        send(Backup { file, length }, &mut |answer| {
            answers.push(answer);
            true
        });
        answers
    }

    #[test]
    fn a_backup_is_sent_in_pieces_with_its_digest_at_the_end() {
        let content: Vec<u8> = (0..BLOB + 7).map(|number| (number % 251) as u8).collect();
        let answers = sent(&content, content.len() as u64);
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let shape: Vec<_> =
            answers.iter().map(|answer| (answer.remaining_bytes, answer.blob.len())).collect();
        assert_eq!(shape, [(7, BLOB), (0, 7), (0, 32)]);
        assert_eq!([&answers[0].blob[..], &answers[1].blob].concat(), content);
        assert_eq!(answers[2].blob, Sha256::digest(&content).to_vec());
    }

    #[test]
    fn a_backup_that_is_cut_short_ends_with_an_error_and_no_digest() {
        let answers = sent(b"short", 6);
        assert!(
            matches!(&answers[..], [Err(status)] if status.code() == tonic::Code::DataLoss),
            "{answers:?}"
        );
    }

    #[test]
    fn nothing_more_is_read_when_nobody_listens() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0; 3 * BLOB]).unwrap();
        let mut pushed = 0;
        send(Backup { file, length: 3 * BLOB as u64 }, &mut |_| {
            pushed += 1;
            false
        });
        assert_eq!(pushed, 1);
    }
}
