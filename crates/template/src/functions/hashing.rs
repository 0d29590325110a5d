//! Hashing: digests in lower-case hexadecimal, and a checksum as a number.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::text;
use crate::error::Outcome;
use crate::eval::Run;
use crate::value::{Operand, Value};

fn hex(bytes: &[u8]) -> Outcome<Value> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Value::Text(digits.into()))
}

fn digest<D: Digest>(args: &[Operand]) -> Outcome<Value> {
    hex(&D::digest(text(&args[0])))
}

pub(super) fn md5sum(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    digest::<Md5>(args)
}

pub(super) fn sha1sum(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    digest::<Sha1>(args)
}

pub(super) fn sha256sum(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    digest::<Sha256>(args)
}

pub(super) fn sha512sum(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    digest::<Sha512>(args)
}

/// The message first, then the key, as in consul-template.
pub(super) fn hmac_sha256(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(text(&args[1])).expect("HMAC takes keys of any length");
    mac.update(text(&args[0]));
    hex(&mac.finalize().into_bytes())
}

/// The checksum of gzip and PNG (IEEE 802.3), from 0 to 4,294,967,295: a number that is the same everywhere.
pub(super) fn crc32(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Int(i64::from(crc32fast::hash(text(&args[0])))))
}

#[cfg(test)]
mod tests {
    use crate::{Context, MemoryNames, Template};

    fn render(source: &str) -> String {
        let names = MemoryNames::new();
        let template = Template::parse("t", source.as_bytes()).unwrap();
        String::from_utf8(template.render(&Context::new(&names)).unwrap().bytes).unwrap()
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        assert_eq!(render("{{md5sum `abc`}}"), "900150983cd24fb0d6963f7d28e17f72", "RFC 1321, A.5");
        assert_eq!(render("{{sha1sum `abc`}}"), "a9993e364706816aba3e25717850c26c9cd0d89d", "RFC 3174, 7.3");
        assert!(render("{{sha512sum `abc`}}").starts_with("ddaf35a193617abacc417349ae204131"), "RFC 6234");
        let mac = render("{{hmacSHA256Hex `what do ya want for nothing?` `Jefe`}}");
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "RFC 4231, 4.3");
        assert_eq!(render("{{crc32 `123456789`}}"), "3421780262", "the check value of CRC-32");
    }
}
