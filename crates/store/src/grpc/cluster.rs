//! etcd's service `Cluster`: one member, which is this.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use etcd_client::proto::{
    PbClusterService, PbMember, PbMemberAddRequest, PbMemberAddResponse, PbMemberListRequest,
    PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse, PbMemberRemoveRequest,
    PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse,
};
use tonic::{Request, Response, Status};

use super::{Served, not_served};
use crate::access::Peer;

pub(super) struct Cluster(pub(super) Arc<Served>);

/// Where clients are told to go.
#[derive(Debug)]
pub(crate) struct Urls {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) is_tls: bool,
}

impl Urls {
    /// An address that stands for all of the machine's is told as the one that the client came to.
    fn told(&self, came_to: Option<IpAddr>) -> Vec<String> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let told = |address: &SocketAddr| {
            let ip =
                if address.ip().is_unspecified() { came_to.unwrap_or(address.ip()) } else { address.ip() };
            format!("{scheme}://{}", SocketAddr::new(ip.to_canonical(), address.port()))
        };
        self.listen.iter().map(told).collect()
    }
}

#[tonic::async_trait]
impl PbClusterService for Cluster {
    // Open to all, as in etcd: clients ask before they log in.
    async fn member_list(
        &self,
        request: Request<PbMemberListRequest>,
    ) -> Result<Response<PbMemberListResponse>, Status> {
        let mut header = self.0.store.header();
        // etcd tells no revision here.
        header.revision = 0;
        let came_to = request.extensions().get::<Peer>().map(|peer| peer.local.ip());
        let member = PbMember {
            id: header.member_id,
            name: "waypost".to_owned(),
            client_ur_ls: self.0.urls.told(came_to),
            ..PbMember::default()
        };
        Ok(Response::new(PbMemberListResponse { header: Some(header), members: vec![member] }))
    }

    async fn member_add(
        &self,
        _: Request<PbMemberAddRequest>,
    ) -> Result<Response<PbMemberAddResponse>, Status> {
        Err(not_served(
            "waypost's store is a single node: members cannot be added; see docs/moving-to-etcd.md",
        ))
    }

    async fn member_remove(
        &self,
        _: Request<PbMemberRemoveRequest>,
    ) -> Result<Response<PbMemberRemoveResponse>, Status> {
        Err(not_served(
            "waypost's store is a single node: its member cannot be removed; see docs/moving-to-etcd.md",
        ))
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Result<Response<PbMemberUpdateResponse>, Status> {
        Err(not_served(
            "waypost's store is a single node: it has no peers to be told of; see docs/moving-to-etcd.md",
        ))
    }

    async fn member_promote(
        &self,
        _: Request<PbMemberPromoteRequest>,
    ) -> Result<Response<PbMemberPromoteResponse>, Status> {
        Err(not_served("waypost's store is a single node: it has no learners; see docs/moving-to-etcd.md"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_told_as_the_one_that_was_used() {
        let listen = ["0.0.0.0:2379", "[::]:2380", "10.0.0.1:1"].map(|text| text.parse().unwrap());
        let urls = Urls { listen: listen.to_vec(), is_tls: true };
        let told = urls.told(Some("::ffff:192.0.2.7".parse().unwrap()));
        assert_eq!(told, ["https://192.0.2.7:2379", "https://192.0.2.7:2380", "https://10.0.0.1:1"]);
    }
}
