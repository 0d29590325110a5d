//! SRV records, asked from a name server of our own.
#![cfg(feature = "srv")]
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use waypost_backend::ErrorKind;
use waypost_backend::srv::{Resolver, Server};
use waypost_servers::Ports;

/// Priority, weight, port and target.
type Answer = (u16, u16, u16, &'static str);

/// A name server that knows `name` and nothing else; it ends with the test's process.
fn name_server(name: &'static str, answers: &'static [Answer]) -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", Ports::free())).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            socket.send_to(&answer(&query, name, answers).to_vec().unwrap(), client).unwrap();
        }
    });
    address
}

fn answer(query: &Message, name: &str, answers: &[Answer]) -> Message {
    let mut answer = query.clone().into_response();
    let asked = query.queries[0].name().clone();
    if asked != Name::from_ascii(name).unwrap() {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return answer;
    }
    for (priority, weight, port, target) in answers {
        let target = Name::from_ascii(target).unwrap();
        let record = SRV::new(*priority, *weight, *port, target);
        answer.add_answer(Record::from_rdata(asked.clone(), 60, RData::SRV(record)));
    }
    answer
}

fn resolver(address: SocketAddr) -> Resolver {
    Resolver::at(address, Duration::from_secs(2))
}

fn shown(servers: &[Server]) -> Vec<String> {
    let line = |it: &Server| format!("{} {} {}:{}", it.priority, it.weight, it.target, it.port);
    servers.iter().map(line).collect()
}

const RECORD: &str = "_etcd._tcp.example.com.";

const ANSWERS: &[Answer] = &[
    (10, 0, 4001, "third.example.com."),
    (5, 1, 4001, "b.example.com."),
    (5, 9, 4002, "z.example.com."),
    (5, 1, 4001, "a.example.com."),
    (5, 1, 4000, "a.example.com."),
];

const SORTED: [&str; 5] = [
    "5 9 z.example.com.:4002",
    "5 1 a.example.com.:4000",
    "5 1 a.example.com.:4001",
    "5 1 b.example.com.:4001",
    "10 0 third.example.com.:4001",
];

#[tokio::test]
async fn servers_come_by_priority_then_weight_then_name_with_their_final_dot() {
    let resolver = resolver(name_server(RECORD, ANSWERS));
    assert_eq!(shown(&resolver.look_up(RECORD).await.unwrap()), SORTED);
    assert_eq!(shown(&resolver.look_up("_etcd._tcp.example.com").await.unwrap()), SORTED);
}

#[tokio::test]
async fn a_thread_of_the_blocking_pool_may_ask_and_so_may_one_without_a_runtime() {
    let resolver = resolver(name_server(RECORD, ANSWERS));
    let asking = resolver.clone();
    let found = tokio::task::spawn_blocking(move || asking.look_up_blocking(RECORD)).await.unwrap();
    assert_eq!(shown(&found.unwrap()), SORTED);
    let found = std::thread::spawn(move || resolver.look_up_blocking(RECORD)).join().unwrap();
    assert_eq!(shown(&found.unwrap()), SORTED);
}

#[tokio::test]
async fn a_name_without_servers_is_an_empty_list() {
    let resolver = resolver(name_server(RECORD, &[]));
    assert_eq!(resolver.look_up(RECORD).await.unwrap(), [], "no records");
    assert_eq!(resolver.look_up("_etcd._tcp.nobody.example.").await.unwrap(), [], "no such name");
}

#[tokio::test]
async fn the_root_as_a_target_says_that_there_is_no_service() {
    let resolver = resolver(name_server(RECORD, &[(0, 0, 0, ".")]));
    assert_eq!(resolver.look_up(RECORD).await.unwrap(), []);
}

#[tokio::test]
async fn no_answer_is_an_error_and_no_empty_list() {
    let silent = UdpSocket::bind(("127.0.0.1", Ports::free())).unwrap();
    let resolver = Resolver::at(silent.local_addr().unwrap(), Duration::from_millis(300));
    let error = resolver.look_up(RECORD).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    assert!(error.to_string().contains(RECORD), "{error}");
}

#[tokio::test]
async fn what_is_no_name_is_invalid() {
    let resolver = resolver(name_server(RECORD, ANSWERS));
    let error = resolver.look_up(&"x".repeat(64)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
}
