//! Input: a template with its keys, made of any bytes.
//!
//! The number of keys comes first, then for each the length of its name, the name, the length of its value, the
//! value; lengths are a byte. The rest is the template. So the fuzzer can change each part alone, and what is
//! written down in this order is a seed: xtask's `fuzz.rs` does so.

use arbitrary::{Arbitrary, Result, Unstructured};
use waypost_template::MemoryNames;

/// A template with the keys that it may read.
pub(crate) struct Input<'a> {
    pub(crate) names: MemoryNames,
    pub(crate) template: &'a [u8],
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Input<'a>> {
        let mut names = MemoryNames::new();
        for _ in 0..u8::arbitrary(bytes)? % 16 {
            let name = text(bytes)?;
            // A store has clean names only.
            if name.starts_with('/') && !name.contains("//") && !name.ends_with('/') {
                names.insert(name, text(bytes)?);
            } else {
                names.insert(format!("/k/{}", name.replace('/', "-")), text(bytes)?);
            }
        }
        let template = bytes.bytes(bytes.len())?;
        Ok(Input { names, template })
    }
}

fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let length = usize::from(u8::arbitrary(bytes)?).min(bytes.len());
    Ok(String::from_utf8_lossy(bytes.bytes(length)?).into_owned())
}
