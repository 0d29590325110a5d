//! Against sockets that play php-fpm.

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

fn end(status: u8) -> Vec<u8> {
    record(END_REQUEST, &[0, 0, 0, 0, status, 0, 0, 0])
}

fn output(text: &str) -> Vec<u8> {
    [record(STDOUT, text.as_bytes()), end(0)].concat()
}

fn outcome(bytes: &[u8]) -> Result<(), String> {
    judge(&Answer::read(bytes)?)
}

#[test]
fn only_200_and_ok_is_good() {
    for good in ["Content-type: text/html\r\n\r\nok", "Status: 200 OK\r\n\r\nok\n", "X: y\r\n\r\nok: 3 ms"] {
        assert_eq!(outcome(&output(good)), Ok(()), "{good}");
    }
    for (bad, wanted) in [
        (output("Status: 404 Not Found\r\n\r\nok"), "answers 404"),
        (output("X: y\r\n\r\nFatal\n error"), "answers 200 and not `ok`: Fatal error"),
        (output("ok"), "no headers"),
        (record(STDOUT, b"X: y\r\n\r\nok"), "cut off"),
        (end(2), "overloaded"),
        (end(3), "refuses"),
        (
            [record(STDERR, b"Primary script unknown"), output("Status: 404\r\n\r\nNo")].concat(),
            "Primary script",
        ),
        (b"HTTP/1.1 400 Bad Request".to_vec(), "does not speak FastCGI"),
    ] {
        let why = outcome(&bad).unwrap_err();
        assert!(why.contains(wanted), "{wanted}: {why}");
    }
}

#[test]
fn an_answer_comes_in_records_of_any_length_with_any_padding() {
    let padded = |content: &[u8]| {
        let mut bytes = record(STDOUT, content);
        bytes[6] = 3;
        [bytes, vec![0; 3]].concat()
    };
    let bytes = [padded(b"A: b\r"), padded(b""), padded(b"\n\r\no"), padded(b"k"), end(0)].concat();
    assert_eq!(outcome(&bytes), Ok(()));
}

#[test]
fn long_values_have_long_lengths() {
    assert_eq!(pair(b"A", &[b'x'; 127])[..3], [1, 127, b'A']);
    assert_eq!(pair(b"A", &[b'x'; 300])[..6], [1, 0x80, 0, 1, 44, b'A']);
}

#[test]
fn a_socket_is_a_path_or_an_endpoint() {
    assert_eq!("/run/php.sock".parse(), Ok(Socket::Unix("/run/php.sock".into())));
    assert_eq!("[::1]:9000".parse::<Socket>().unwrap().to_string(), "[::1]:9000");
    assert!("php.sock".parse::<Socket>().unwrap_err().contains("neither the path"));
}

/// Answers every request with `answer`, or never; gives what it was sent.
fn serve(path: &Path, answer: Option<Vec<u8>>) -> JoinHandle<Vec<u8>> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = vec![0; 4096];
        let length = stream.read(&mut sent).await.unwrap();
        match answer {
            Some(answer) => stream.write_all(&answer).await.unwrap(),
            None => std::future::pending().await,
        }
        sent[..length].to_vec()
    })
}

#[tokio::test]
async fn all_sockets_are_asked_and_each_failure_is_named_by_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["good", "bad", "silent", "none"].map(|name| directory.path().join(name));
    let good = serve(&paths[0], Some(output("X: y\r\n\r\nok")));
    serve(&paths[1], Some(output("Status: 500 Oh\r\n\r\nno")));
    serve(&paths[2], None);
    let notice = Notice {
        sockets: paths.iter().cloned().map(Socket::Unix).collect(),
        script: "/s.php".into(),
        timeout: Duration::from_secs(1),
    };
    let failure = send(&notice, Path::new("/run/services.php")).await.unwrap_err();
    let message = failure.message;
    assert!(message.starts_with("cannot tell PHP of /run/services.php: "), "{message}");
    for part in
        ["bad: the script answers 500", "silent: no answer within 1s", "none: cannot connect: No such"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("good"), "{message}");
    let sent = String::from_utf8_lossy(&good.await.unwrap()).into_owned();
    assert!(
        sent.contains("SCRIPT_FILENAME/s.php") && sent.contains("WAYPOST_FILE/run/services.php"),
        "{sent:?}"
    );
}
