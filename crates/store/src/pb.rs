//! etcd's requests and responses under the names of its `rpc.proto`.
//!
//! The messages are the store's vocabulary from the wire to the writer: it serves this API and no other,
//! so a second set of types would only be a copy. What is kept on disk has types of its own (`format.rs`).

pub use etcd_client::proto::{
    PbAlarmMember as AlarmMember, PbAlarmRequest as AlarmRequest, PbAlarmResponse as AlarmResponse,
    PbCompactionRequest as CompactionRequest, PbCompactionResponse as CompactionResponse,
    PbCompare as Compare, PbDeleteRequest as DeleteRangeRequest, PbDeleteResponse as DeleteRangeResponse,
    PbEvent as Event, PbHashKvRequest as HashKvRequest, PbHashKvResponse as HashKvResponse,
    PbHashRequest as HashRequest, PbHashResponse as HashResponse, PbKeyValue as KeyValue,
    PbLeaseGrantRequest as LeaseGrantRequest, PbLeaseGrantResponse as LeaseGrantResponse,
    PbLeaseKeepAliveResponse as LeaseKeepAliveResponse, PbLeaseLeasesResponse as LeaseLeasesResponse,
    PbLeaseRevokeRequest as LeaseRevokeRequest, PbLeaseRevokeResponse as LeaseRevokeResponse,
    PbLeaseStatus as LeaseStatus, PbLeaseTimeToLiveRequest as LeaseTimeToLiveRequest,
    PbLeaseTimeToLiveResponse as LeaseTimeToLiveResponse, PbPutRequest as PutRequest,
    PbPutResponse as PutResponse, PbRangeRequest as RangeRequest, PbRangeResponse as RangeResponse,
    PbResponseHeader as ResponseHeader, PbResponseOp as ResponseOp, PbStatusResponse as StatusResponse,
    PbTargetUnion as TargetUnion, PbTxnOpRequest as RequestUnion, PbTxnOpResponse as ResponseUnion,
    PbTxnRequest as TxnRequest, PbTxnRequestOp as RequestOp, PbTxnResponse as TxnResponse,
    PbWatchRequest as WatchRequest, PbWatchRequestUnion as WatchRequestUnion,
    PbWatchResponse as WatchResponse,
};
