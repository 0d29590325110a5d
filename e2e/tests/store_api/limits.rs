//! Limits: requests that are too large.

use etcd_client::{PutOptions, TxnOp};

use crate::api::refused;

/// The largest request, of which etcd counts all bytes as it writes them to its log.
const LARGEST: usize = 3 << 19;

/// More than what surrounds a value in a request.
const AROUND: usize = 1_000;

#[tokio::test]
async fn a_request_of_a_megabyte_and_a_half_is_too_large() {
    let mut api = api!();
    let fits = vec![b'x'; LARGEST - AROUND];
    assert_eq!(api.put("a", fits.clone()).await, 1);
    assert_eq!(api.get("a").await.unwrap(), format!("a={} bytes c1 m1 v1", fits.len()));

    let exceeds = vec![b'x'; LARGEST + 1];
    assert_eq!(api.put_with("a", exceeds, PutOptions::new()).await.unwrap_err(), refused::TOO_LARGE);
    let half = || vec![b'x'; LARGEST / 2 + 1];
    let both = [TxnOp::put("a", half(), None), TxnOp::put("b", half(), None)];
    assert_eq!(api.run(both).await.unwrap_err(), refused::TOO_LARGE);
    assert_eq!(api.revision().await, 1);
}

#[tokio::test]
async fn a_request_of_four_megabytes_is_not_even_read() {
    let mut api = api!();
    let error = api.put_with("a", vec![b'x'; 4 << 20], PutOptions::new()).await.unwrap_err();
    assert!(error.starts_with("ResourceExhausted: "), "{error}");
    assert_eq!(api.put("a", "1").await, 1, "the connection goes on");
}
