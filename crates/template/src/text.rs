//! Text: the string of the template language, which is Go's: any bytes, usually UTF-8.
//!
//! Cloning and slicing share the bytes, so a key's value reaches the output without being copied on the
//! way. A value may be a secret: `Debug` prints a length, never the content.

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Deref, RangeBounds};

use bytes::Bytes;

/// A string as Go has it: bytes, cheap to clone and to slice.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Bytes);

impl Text {
    /// A part of the text, sharing its bytes.
    ///
    /// # Panics
    ///
    /// If the range is not within the text, as slicing does.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Text {
        Text(self.0.slice(range))
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes, where they lie.
    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The part of this text that `part`, borrowed from it, stands for.
    pub(crate) fn share(&self, part: &[u8]) -> Text {
        Text(self.0.slice_ref(part))
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Text {
        Text(bytes)
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(Bytes::from(bytes))
    }
}

impl From<String> for Text {
    fn from(string: String) -> Text {
        Text(Bytes::from(string))
    }
}

impl From<&'static str> for Text {
    fn from(string: &'static str) -> Text {
        Text(Bytes::from_static(string.as_bytes()))
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_a_length_and_no_content() {
        assert_eq!(format!("{:?}", Text::from("secret")), "Text(6 bytes)");
    }

    #[test]
    fn a_slice_shares_its_bytes() {
        let whole = Text::from(String::from("/app/name"));
        let part = whole.slice(5..);
        assert_eq!(part.as_ptr(), whole[5..].as_ptr());
    }
}
