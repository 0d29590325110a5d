//! The embedded single-node store: etcd's v3 API over a durable local file.
