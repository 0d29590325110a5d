//! gRPC by hand, for the requests that the client cannot send: HTTP/2 frames on a socket.
//!
//! What a status says is not read: it may be in Huffman's code, and only tells why there is no answer.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

use waypost_e2e::DEADLINE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Calls `path` (`/package.Service/Method`) with an encoded message; the answer's message, or `None` for a refusal.
pub fn call(url: &str, path: &str, message: &[u8]) -> Option<Vec<u8>> {
    let answer = exchange(url.strip_prefix("http://").expect("plain HTTP"), path, message);
    // Each message follows a byte for its compression and its length in four.
    answer.unwrap().get(5..).map(<[u8]>::to_vec)
}

fn exchange(address: &str, path: &str, message: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut request, SETTINGS, 0, 0, &[]);
    frame(&mut request, HEADERS, END_HEADERS, 1, &headers(address, path));
    let length = u32::try_from(message.len()).expect("a small message").to_be_bytes();
    frame(&mut request, DATA, END_STREAM, 1, &[&[0], &length[..], message].concat());
    stream.write_all(&request)?;

    let mut answer = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload)?;
        let (kind, flags, of_call) = (head[3], head[4], head[8] == 1);
        if of_call && kind == DATA {
            answer.extend(payload);
        }
        if of_call && (kind == DATA || kind == HEADERS) && flags & END_STREAM != 0 {
            return Ok(answer);
        }
    }
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    to.extend([length[1], length[2], length[3], kind, flags, 0, 0, 0, stream]);
    to.extend(payload);
}

/// A header block of RFC 7541: names by their number in its static table, values as they are.
fn headers(authority: &str, path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat();
    let (method_post, scheme_http) = (0x83, 0x86);
    let mut block = vec![method_post, scheme_http, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text(authority));
    // `content-type` is number 31, of which 15 are in the first byte.
    block.extend([0x0f, 16]);
    block.extend(text("application/grpc"));
    block.push(0x00);
    block.extend(text("te"));
    block.extend(text("trailers"));
    block
}
