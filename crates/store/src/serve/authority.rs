//! Makes requests acceptable whose `:authority` is none: what etcd's own clients send to etcd, which looks at
//! no authority.
//!
//! `etcdctl --endpoints http://HOST:PORT endpoint status` sends the URL as it was typed (3.4; over TLS the
//! server's name), clients of 3.5.0 send `#initially=[http://HOST:PORT]`. h2 resets the stream of such a
//! request (`malformed authority` in its `server.rs`), and has no setting for it. Here that one value is
//! replaced by [`REPLACEMENT`] on its way in, which changes nothing for anybody, since nothing in the store
//! looks at it either.
//!
//! A connection whose first request needs no replacement is read as it is from then on: a client sends the
//! same authority with all requests of a connection. What cannot be made sense of is passed on as it is, for
//! h2 to refuse. At most one frame of [`LONGEST`] bytes is held back.
//!
//! No table of HPACK's is kept. The value is a literal until the client's encoder refers to it by its place
//! in the dynamic table, and those places are counted from the newest entry. Since the replacement is never
//! longer than what it replaces, h2's table holds at least what the client believes it to hold, at the same
//! places.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use httlib_huffman::{DecoderSpeed, decode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::codegen::http::uri::Authority;

/// A valid authority of the least length, so that it is never longer than what it replaces.
const REPLACEMENT: u8 = b'_';

/// What a client sends first: section 3.4 of RFC 9113.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Of a frame's header, and of the whole content of a frame, which h2 announces no larger value for.
const HEAD: usize = 9;
const LONGEST: usize = 1 << 14;

/// Frame types and flags: section 6 of RFC 9113.
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The place of `:authority` in HPACK's static table, appendix A of RFC 7541.
const AUTHORITY: usize = 1;

/// A connection whose requests have an authority that h2 accepts.
#[derive(Debug)]
pub(super) struct Mended<S> {
    stream: S,
    mender: Mender,
    /// What is to be read before the stream.
    ready: Vec<u8>,
}

impl<S> Mended<S> {
    pub(super) fn new(stream: S) -> Mended<S> {
        Mended { stream, mender: Mender::default(), ready: Vec::new() }
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.ready.len().min(buffer.remaining());
        buffer.put_slice(&self.ready[..length]);
        self.ready.drain(..length);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.ready.is_empty() {
            if matches!(this.mender.state, State::Through) {
                return Pin::new(&mut this.stream).poll_read(cx, buffer);
            }
            let mut room = [0; 4096];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                // The end; what is left then is no whole frame, which h2 says better.
                this.mender.give_up(&mut this.ready);
            }
            this.mender.take(room.filled(), &mut this.ready);
        }
        this.give(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a client sends goes in, in pieces of any size; what h2 is to read comes out.
#[derive(Debug, Default)]
struct Mender {
    state: State,
    /// The beginning of a frame that is not passed on yet.
    held: Vec<u8>,
    /// A value has been replaced; until then the first request decides.
    has_mended: bool,
}

#[derive(Debug)]
enum State {
    /// So many bytes were as they are in the preface.
    Preface(usize),
    /// A frame begins with what is held.
    Frame,
    /// So many bytes are left of a frame that does not matter.
    Content(usize),
    /// Nothing is to be done any more.
    Through,
}

impl Default for State {
    fn default() -> State {
        State::Preface(0)
    }
}

impl Mender {
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::Preface(seen) => self.preface(seen, bytes, out),
                State::Frame => self.frame(bytes, out),
                State::Content(left) => self.content(left, bytes, out),
                State::Through => pass(bytes, out),
            };
            bytes = &bytes[taken..];
        }
    }

    /// Passes on what is held, and everything after it.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.state = State::Through;
    }

    fn preface(&mut self, seen: usize, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let length = bytes.len().min(PREFACE.len() - seen);
        self.state = match seen + length {
            _ if PREFACE[seen..seen + length] != bytes[..length] => State::Through,
            all if all == PREFACE.len() => State::Frame,
            seen => State::Preface(seen),
        };
        pass(&bytes[..length], out)
    }

    fn content(&mut self, left: usize, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let length = bytes.len().min(left);
        self.state = if length == left { State::Frame } else { State::Content(left - length) };
        pass(&bytes[..length], out)
    }

    fn frame(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let wanted = HEAD + length_of(&self.held).unwrap_or(0);
        let taken = bytes.len().min(wanted - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        let Some(length) = length_of(&self.held) else { return taken };
        if self.held[3] != HEADERS {
            out.append(&mut self.held);
            self.state = if length == 0 { State::Frame } else { State::Content(length) };
        } else if length > LONGEST {
            self.give_up(out);
        } else if self.held.len() == HEAD + length {
            self.headers(out);
        }
        taken
    }

    /// Passes on a whole HEADERS frame, mended if need be.
    fn headers(&mut self, out: &mut Vec<u8>) {
        match mend(&self.held) {
            Some(mended) => {
                self.has_mended = true;
                self.held.clear();
                out.extend(mended);
            }
            None if self.has_mended => out.append(&mut self.held),
            None => self.give_up(out),
        }
    }
}

fn pass(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(bytes);
    bytes.len()
}

/// The length of a frame's content, once its header is there.
fn length_of(frame: &[u8]) -> Option<usize> {
    let head = frame.get(..HEAD)?;
    Some(usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]))
}

/// A whole HEADERS frame with another authority, if its own is a literal that h2 would refuse.
///
/// Pseudo-header fields come first, so that the CONTINUATION frames that may follow have none.
fn mend(frame: &[u8]) -> Option<Vec<u8>> {
    let flags = frame[4];
    let padding = if flags & PADDED == 0 { 0 } else { usize::from(*frame.get(HEAD)?) };
    let start = HEAD + usize::from(flags & PADDED != 0) + if flags & PRIORITY == 0 { 0 } else { 5 };
    let mut block = Block { rest: frame.get(start..frame.len().checked_sub(padding)?)? };
    let before = frame.len() - padding - block.authority()?.rest.len();
    let text = block.text()?;
    if !text.is_malformed_authority() {
        return None;
    }
    let after = frame.len() - padding - block.rest.len();
    let mended = [&frame[..before], &[1, REPLACEMENT], &frame[after..]].concat();
    let length = u32::try_from(mended.len() - HEAD).ok()?.to_be_bytes();
    Some([&length[1..], &mended[3..]].concat())
}

/// The rest of a header block: section 6 of RFC 7541.
struct Block<'a> {
    rest: &'a [u8],
}

/// A string literal: section 5.2 of RFC 7541.
struct Text<'a> {
    is_huffman: bool,
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// Goes on to the value of the first `:authority` that is a literal.
    fn authority(&mut self) -> Option<&mut Block<'a>> {
        loop {
            let (index, is_literal) = match *self.rest.first()? {
                0x80.. => (self.integer(7)?, false),
                0x40.. => (self.integer(6)?, true),
                // The table gets another size.
                0x20.. => (self.integer(5)?, false),
                _ => (self.integer(4)?, true),
            };
            if is_literal && index == AUTHORITY {
                return Some(self);
            }
            if is_literal && index == 0 {
                self.text()?;
            }
            if is_literal {
                self.text()?;
            }
        }
    }

    /// An integer of which the first byte has so many bits: section 5.1 of RFC 7541. None of use here is
    /// long.
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Some(number);
        }
        for shift in [0, 7, 14] {
            let byte = usize::from(self.byte()?);
            number += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let is_huffman = self.rest.first()? & 0x80 != 0;
        let length = self.integer(7)?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Text { is_huffman, bytes })
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }
}

impl Text<'_> {
    /// An empty one is not meant: the replacement would be longer.
    fn is_malformed_authority(&self) -> bool {
        let mut plain = Vec::new();
        let text = match self.is_huffman {
            false => self.bytes,
            true => match decode(self.bytes, &mut plain, DecoderSpeed::FourBits) {
                Ok(()) => &plain,
                Err(_) => return false,
            },
        };
        !text.is_empty() && Authority::try_from(text).is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const DATA: u8 = 0;
    const SETTINGS: u8 = 4;
    const CONTINUATION: u8 = 9;
    const END_STREAM: u8 = 0x1;
    const END_HEADERS: u8 = 0x4;

    /// Of `:method: POST` and `:scheme: http`.
    const BEGIN: &[u8] = &[0x83, 0x86];

    fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
    }

    /// What a client sends before its first request.
    fn greeting() -> Vec<u8> {
        let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
        [PREFACE, &settings, &frame(SETTINGS, 1, 0, &[])].concat()
    }

    fn raw(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    fn huffman(text: &str) -> Vec<u8> {
        let mut coded = Vec::new();
        httlib_huffman::encode(text.as_bytes(), &mut coded).unwrap();
        [vec![0x80 | u8::try_from(coded.len()).unwrap()], coded].concat()
    }

    /// A literal that is put into the dynamic table, with its name at a place of the static one.
    fn indexed(name: u8, value: &[u8]) -> Vec<u8> {
        [&[0x40 | name], value].concat()
    }

    /// A header block as Go's clients send it, but for the rest of its fields.
    fn block(authority: &[u8]) -> Vec<u8> {
        [BEGIN, &indexed(4, &raw("/path")), &indexed(1, authority), &indexed(58, &raw("grpc-go"))].concat()
    }

    fn request(authority: &[u8]) -> Vec<u8> {
        frame(HEADERS, END_HEADERS, 1, &block(authority))
    }

    fn mended_in<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut mender, mut out) = (Mender::default(), Vec::new());
        pieces.into_iter().for_each(|piece| mender.take(piece, &mut out));
        mender.give_up(&mut out);
        out
    }

    /// What comes out, wherever what goes in is split.
    #[track_caller]
    fn mended(sent: &[u8]) -> Vec<u8> {
        let out = mended_in([sent]);
        for place in 0..sent.len() {
            let (begin, end) = sent.split_at(place);
            assert!(mended_in([begin, end]) == out, "it depends on a split at {place}");
        }
        assert!(mended_in(sent.chunks(1)) == out, "it depends on a split everywhere");
        out
    }

    #[track_caller]
    fn assert_left_alone(sent: &[u8]) {
        assert_eq!(mended(sent).escape_ascii().to_string(), sent.escape_ascii().to_string());
    }

    fn replaced() -> Vec<u8> {
        raw("_")
    }

    #[test]
    fn what_etcds_clients_send_is_replaced() {
        let sent = [
            "http://127.0.0.1:2379",
            "https://etcd.example:2379",
            "http://127.0.0.1:2379/",
            "127.0.0.1:2379/",
            "http://[::1]:2379",
            "#initially=[http://127.0.0.1:2379;http://127.0.0.1:22379]",
            "%23initially=%5Bhttp:%2F%2F127.0.0.1:2379%5D",
            "/",
        ];
        for authority in sent {
            for literal in [raw(authority), huffman(authority)] {
                let out = mended(&[greeting(), request(&literal)].concat());
                assert_eq!(out, [greeting(), request(&replaced())].concat(), "{authority}");
            }
        }
    }

    #[test]
    fn the_request_of_etcdctl_is_mended() {
        // `etcdctl --endpoints http://127.0.0.1:44209/ endpoint status` of etcd 3.4.23, up to its content
        // type.
        let path = b"\x45\x97\x60\xa9\x24\x88\x2d\x9d\xcb\x65\x71\xaf\xa0\x66\xa9\x25\xa8\x75\x10\xac\x6e\x48\xd3\x6a\x3f";
        let authority = b"\x41\x91\x9d\x29\xae\xe3\x0c\x04\x4e\xae\x05\xc0\xb8\x6e\x34\xd0\x80\xfb\x1f";
        let rest = b"\x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64";
        let of = |authority: &[u8]| frame(HEADERS, END_HEADERS, 1, &[BEGIN, path, authority, rest].concat());
        let out = mended(&[greeting(), of(authority)].concat());
        assert_eq!(out, [greeting(), of(b"\x41\x01_")].concat());
    }

    #[test]
    fn a_connection_with_an_authority_is_left_alone_for_ever() {
        for authority in ["127.0.0.1:2379", "[::1]:2379", "etcd.example", "localhost"] {
            for literal in [raw(authority), huffman(authority)] {
                let sent = [greeting(), request(&literal)].concat();
                let (mut mender, mut out) = (Mender::default(), Vec::new());
                mender.take(&sent, &mut out);
                assert!(matches!(mender.state, State::Through), "{authority}: {:?}", mender.state);
                assert_eq!(out, sent);
                assert_left_alone(&[sent, request(&raw("http://a"))].concat());
            }
        }
    }

    #[test]
    fn what_is_not_http_2_is_left_alone() {
        let http_1 = b"GET /health HTTP/1.1\r\nHost: http://a\r\n\r\n";
        for begin in [&b""[..], http_1, b"P", b"PRI * HTTP/2.0\r\n\r\nSN", &PREFACE[1..], &[0; 100]] {
            assert_left_alone(&[begin, &request(&raw("http://a"))].concat());
        }
    }

    #[test]
    fn what_makes_no_sense_is_left_for_h2_to_refuse() {
        let whole = block(&raw("http://a"));
        let blocks = [
            Vec::new(),
            whole[..whole.len() - 12].to_vec(),
            block(b""),
            block(&raw("")),
            block(&[0x83, 0xff, 0xff, 0xff]),
            block(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]),
            [0xff; 20].to_vec(),
        ];
        for block in blocks {
            assert_left_alone(&[greeting(), frame(HEADERS, END_HEADERS, 1, &block)].concat());
        }
        let too_much_padding = [&[200][..], &whole].concat();
        for flags in [PADDED, PADDED | PRIORITY] {
            assert_left_alone(&[greeting(), frame(HEADERS, flags, 1, &too_much_padding)].concat());
            assert_left_alone(&[greeting(), frame(HEADERS, flags, 1, &[])].concat());
        }
    }

    #[test]
    fn no_more_than_a_frame_that_h2_takes_is_held_back() {
        let longest = [block(&raw("http://a")), vec![0x82; LONGEST]].concat();
        let fits = |length: usize| [greeting(), frame(HEADERS, 0, 1, &longest[..length])].concat();
        assert_eq!(mended_in([&fits(LONGEST)[..]]).len(), fits(LONGEST).len() - "http://".len());
        let (sent, mut out) = (fits(LONGEST + 1), Vec::new());
        let mut mender = Mender::default();
        mender.take(&sent[..greeting().len() + HEAD], &mut out);
        assert!(mender.held.is_empty() && matches!(mender.state, State::Through), "{mender:?}");
    }

    #[test]
    fn padding_and_priority_stay() {
        let of = |flags: u8, before: &[u8], authority: &[u8], after: &[u8]| {
            let content = [before, &block(authority), after].concat();
            [greeting(), frame(HEADERS, END_HEADERS | flags, 1, &content)].concat()
        };
        let url = huffman("http://127.0.0.1:2379");
        let sent: [(u8, &[u8], &[u8]); 4] = [
            (PADDED, &[3], b"\0\0\0"),
            (PADDED, &[0], b""),
            (PRIORITY, &[0, 0, 0, 0, 16], b""),
            (PADDED | PRIORITY, &[2, 0, 0, 0, 0, 16], b"\0\0"),
        ];
        for (flags, before, after) in sent {
            let out = mended(&of(flags, before, &url, after));
            assert_eq!(out, of(flags, before, &replaced(), after), "{flags:x}");
        }
    }

    #[test]
    fn a_block_that_goes_on_is_mended() {
        let of = |authority: &[u8]| {
            let block = block(authority);
            let (begin, end) = block.split_at(block.len() - 4);
            let frames = [
                frame(HEADERS, END_STREAM, 1, begin),
                frame(CONTINUATION, 0, 1, &end[..1]),
                frame(CONTINUATION, END_HEADERS, 1, &end[1..]),
            ];
            [greeting(), frames.concat()].concat()
        };
        assert_eq!(mended(&of(&huffman("http://a"))), of(&replaced()));
    }

    #[test]
    fn every_literal_of_a_mended_connection_is_mended_and_nothing_else() {
        let of = |authority: &[u8]| {
            let frames = [
                request(authority),
                // What is in a DATA frame is no request, whatever it looks like.
                frame(DATA, END_STREAM, 1, &request(&raw("http://a"))),
                frame(HEADERS, END_HEADERS, 3, &[0x83, 0x86, 0xc0, 0xbf, 0xbe]),
                // A value that is not put into the table, a table of another size, a name that is in no
                // table.
                frame(HEADERS, END_HEADERS, 5, &[&[0x3f, 0x61, 0x01], authority].concat()),
                frame(HEADERS, END_HEADERS, 7, &[&b"\0\x01a\x01b\x11"[..], authority].concat()),
                // Places and lengths of more than one byte: `user-agent` without the table, and 200 bytes.
                frame(
                    HEADERS,
                    END_HEADERS,
                    9,
                    &[&[0x0f, 43, 0x7f, 73], &[b'a'; 200][..], &[1], authority].concat(),
                ),
                request(&raw("127.0.0.1:2379")),
            ];
            [greeting(), frames.concat()].concat()
        };
        assert_eq!(mended(&of(&huffman("http://127.0.0.1:2379"))), of(&replaced()));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_comes_out_the_same_however_it_is_split(
            frames in prop::collection::vec(
                (0..10_u8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40), any::<bool>()),
                0..6,
            ),
            place in any::<prop::sample::Index>(),
        ) {
            let mut sent = [greeting(), request(&raw("http://a"))].concat();
            for (kind, flags, content, is_block) in frames {
                let block = if is_block { block(&[1, b'/']) } else { Vec::new() };
                // Every other one has a block in it.
                sent.extend(frame(if kind > 4 { HEADERS } else { kind }, flags, 1, &[block, content].concat()));
            }
            let out = mended_in([&sent[..]]);
            let (begin, end) = sent.split_at(place.index(sent.len()));
            prop_assert_eq!(&mended_in([begin, end]), &out);
            prop_assert!(out.len() <= sent.len(), "it became longer");
        }
    }

    /// What reaches a service behind hyper: authority, path and `user-agent` of each request.
    async fn served(sent: Vec<u8>, requests: usize) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let agent = request.headers()["user-agent"].to_str().unwrap();
            told.lock().unwrap().push(format!("{} {agent}", request.uri()));
            async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) }
        });
        let (mut client, server) = tokio::io::duplex(1 << 10);
        let protocol = super::super::protocol();
        let serve = protocol.serve_connection(TokioIo::new(Mended::new(server)), service);
        let talk = async {
            let (mut from, mut to) = tokio::io::split(&mut client);
            let answers = async {
                let (mut answers, mut ended) = (Vec::new(), 0);
                while ended < requests {
                    assert!(from.read_buf(&mut answers).await.unwrap() > 0, "the server hung up");
                    while let Some(length) = length_of(&answers).filter(|l| answers.len() >= HEAD + l) {
                        assert!(![3, 7].contains(&answers[3]), "refused: {answers:?}");
                        ended += usize::from(answers[3] == HEADERS);
                        answers.drain(..HEAD + length);
                    }
                }
            };
            let send = async { to.write_all(&sent).await.unwrap() };
            tokio::join!(answers, send);
        };
        tokio::select! {
            ended = serve => panic!("the connection has ended: {ended:?}"),
            () = talk => {}
        }
        seen.lock().unwrap().clone()
    }

    /// The client's table, as RFC 7541 has it: so that a request refers to what is in it, and to nothing
    /// else.
    #[derive(Default)]
    struct Table(Vec<(u8, String)>);

    impl Table {
        fn field(&mut self, name: u8, value: &str) -> Vec<u8> {
            let place = self.0.iter().rev().position(|field| *field == (name, value.to_owned()));
            if let Some(place) = place {
                let place = 62 + place;
                return if place < 127 {
                    vec![0x80 | u8::try_from(place).unwrap()]
                } else {
                    vec![0xff, u8::try_from(place - 127).unwrap()]
                };
            }
            self.0.push((name, value.to_owned()));
            let names = [(1, ":authority".len()), (4, ":path".len()), (58, "user-agent".len())];
            let length_of = |name: u8| names.iter().find(|(at, _)| *at == name).unwrap().1;
            while self.0.iter().map(|(name, value)| 32 + length_of(*name) + value.len()).sum::<usize>() > 4096
            {
                self.0.remove(0);
            }
            indexed(name, &huffman(value))
        }

        fn block(&mut self, authority: &str, path: &str, agent: &str) -> Vec<u8> {
            let path = self.field(4, path);
            let authority = self.field(1, authority);
            [BEGIN, &path, &authority, &self.field(58, agent)].concat()
        }
    }

    #[tokio::test]
    async fn later_requests_refer_to_what_was_replaced_until_it_is_forgotten() {
        let (mut table, mut sent, mut expected, mut literals) = (Table::default(), greeting(), Vec::new(), 0);
        // Long enough that the client's table is full several times over.
        for number in 0..300_u32 {
            let (path, agent) = (format!("/{number}"), format!("agent {}", number % 7));
            let block = table.block("http://some.host.with.a.long.name.example:2379", &path, &agent);
            literals += usize::from(block.len() > 30);
            sent.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block));
            expected.push(format!("http://_{path} {agent}"));
        }
        assert!((2..100).contains(&literals), "{literals} literals");
        assert_eq!(served(sent, expected.len()).await, expected);
    }

    #[tokio::test]
    async fn an_authority_arrives_as_it_was_sent() {
        let block = Table::default().block("127.0.0.1:2379", "/path", "agent");
        let sent = [greeting(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)].concat();
        assert_eq!(served(sent, 1).await, ["http://127.0.0.1:2379/path agent"]);
    }
}
