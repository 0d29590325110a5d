//! etcd: one node, a cluster of three, and etcd's own gRPC proxy.

mod cluster;
mod gateway;
mod grpc_proxy;
mod node;
mod options;
mod v2;

pub use cluster::EtcdCluster;
pub use grpc_proxy::EtcdGrpcProxy;
pub use node::Etcd;
pub use options::{EtcdOptions, Permission};
