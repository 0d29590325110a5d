//! Varnish's command line interface, as varnishd speaks it on a port: one command, one answer.
//!
//! Source: varnish-cli(7), and "VCLI protocol" in Varnish's reference. An answer is a line of 13 bytes (a status of
//! three digits, a space, a length of eight characters, a newline), the text of that length, and a newline.
//! varnishd begins with an answer of its own: 200, or 107 with a challenge.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waypost_model::Endpoint;

/// The answer is good.
const OK: u16 = 200;
/// The answer is good, and cut off: varnishd's parameter `cli_limit`.
const TRUNCATED: u16 = 201;
/// Whoever asks must prove that he knows the secret.
const AUTHENTICATE: u16 = 107;

const HEADER: usize = 13;

/// No answer that we read is longer.
const LONGEST_ANSWER: usize = 16 << 20;

/// A connection that may give commands.
#[derive(Debug)]
pub(crate) struct Cli {
    stream: TcpStream,
}

/// What varnishd says to a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    /// The text of a good answer that is not cut off.
    pub(crate) fn whole(&self) -> Option<&str> {
        (self.status == OK).then_some(&*self.text)
    }
}

impl Cli {
    /// Connects, and proves with the content of `secret` that it may, if it is asked to.
    pub(crate) async fn connect(address: &Endpoint, secret: Option<&PathBuf>) -> Result<Cli, String> {
        let stream = TcpStream::connect((address.host(), address.port())).await;
        let mut cli = Cli { stream: stream.map_err(|error| format!("cannot connect: {error}"))? };
        let greeting = cli.answer().await?;
        match (greeting.status, secret) {
            (OK, _) => Ok(cli),
            (AUTHENTICATE, Some(path)) => cli.authenticate(&greeting.text, path).await,
            (AUTHENTICATE, None) => Err("it asks for a secret; name its file in `secret`".to_owned()),
            (status, _) => Err(format!("it begins with {status}, and does not speak Varnish's CLI")),
        }
    }

    async fn authenticate(mut self, greeting: &str, path: &Path) -> Result<Cli, String> {
        let secret = std::fs::read(path);
        let secret = secret.map_err(|error| format!("cannot read the secret {}: {error}", path.display()))?;
        let challenge = greeting.lines().next().unwrap_or_default();
        match self.ask(&format!("auth {}", proof(challenge, &secret))).await?.status {
            OK => Ok(self),
            status => Err(format!("it refuses the secret in {} ({status})", path.display())),
        }
    }

    /// The text of a good answer.
    ///
    /// # Errors
    ///
    /// The text of another, or one line about the connection.
    pub(crate) async fn order(&mut self, command: &str) -> Result<String, String> {
        let answer = self.ask(command).await?;
        match answer.status {
            OK | TRUNCATED => Ok(answer.text),
            status => {
                let name = command.split(' ').next().unwrap_or_default();
                // The first line of what the compiler says is always the same.
                let text = answer.text.trim();
                let text = text.strip_prefix("Message from VCC-compiler:\n").unwrap_or(text);
                Err(format!("{name} is refused ({status}): {text}"))
            }
        }
    }

    pub(crate) async fn ask(&mut self, command: &str) -> Result<Answer, String> {
        let sent = self.stream.write_all(format!("{command}\n").as_bytes()).await;
        sent.map_err(|error| broken(&error))?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, String> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).await.map_err(|error| broken(&error))?;
        let wrong = || "what answers does not speak Varnish's CLI".to_owned();
        let (status, length) =
            parse(&header).filter(|(_, length)| *length <= LONGEST_ANSWER).ok_or_else(wrong)?;
        let mut text = vec![0; length + 1];
        self.stream.read_exact(&mut text).await.map_err(|error| broken(&error))?;
        text.pop();
        Ok(Answer { status, text: String::from_utf8_lossy(&text).into_owned() })
    }
}

fn broken(error: &std::io::Error) -> String {
    format!("the connection broke: {error}")
}

fn parse(header: &[u8; HEADER]) -> Option<(u16, usize)> {
    let line = std::str::from_utf8(header).ok()?.strip_suffix('\n')?;
    let (status, length) = line.split_once(' ')?;
    Some((status.parse().ok()?, length.trim_end().parse().ok()?))
}

/// The hash, in lower-case hexadecimal, of the challenge's line, the secret as its file has it, and the line again.
fn proof(challenge: &str, secret: &[u8]) -> String {
    let line = format!("{challenge}\n");
    let hash = Sha256::new().chain_update(&line).chain_update(secret).chain_update(&line).finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A word of a command, in quotes, in which everything but plain ASCII is an octal number.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("\"{}\"", bytes.iter().map(shown).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_one_of_varnishs_documentation() {
        let proof = proof("ixslvvxrgkjptxmcgnnsdxsvdmvfympg", b"foo\n");
        assert_eq!(proof, "455ce847f0073c7ab3b1465f74507b75d3dc064c1e7de3b71e00de9092fdc89a");
    }

    #[test]
    fn an_answer_that_is_cut_off_is_not_whole() {
        let whole = |status| Answer { status, text: "vcl".to_owned() }.whole().is_some();
        assert_eq!([OK, TRUNCATED, 106].map(whole), [true, false, false]);
    }

    #[test]
    fn an_answers_first_line_has_a_status_and_a_length() {
        assert_eq!(parse(b"200 19      \n"), Some((200, 19)));
        for wrong in [b"HTTP/1.1 400 ", b"200         \n", b"200 -1      \n"] {
            assert_eq!(parse(wrong), None);
        }
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(quoted("/a b\"\\\n\u{e4}".as_bytes()), r#""/a b\"\\\012\303\244""#);
    }
}
