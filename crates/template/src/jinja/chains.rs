//! Chains: how many operators an expression has.
//!
//! minijinja bounds brackets within brackets, but not `-----1` or `1 + 1 + 1`: for each operator its parser
//! recurses once, and goes over all that follows again. So chains are bounded before it sees them. Tags are
//! read as minijinja's lexer does, in a rougher way: what it refuses may pass here.

/// Operators in a row at one level of brackets; nobody writes a tenth of it.
const LONGEST: usize = 500;

/// Words that work on what is beside them.
const WORDS: [&[u8]; 7] = [b"and", b"else", b"if", b"in", b"is", b"not", b"or"];

/// Where a chain of a template gets too long, if one does.
pub(super) fn too_long(source: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'{', &source[at..]) {
        let start = at + found;
        at = match source.get(start + 1) {
            Some(b'#') => after(source, start, b"#}"),
            Some(b'{' | b'%') if is_raw(&source[start + 2..]) => after(source, start, b"endraw"),
            Some(b'{' | b'%') => match tag(source, start + 2) {
                Ok(end) => end,
                Err(place) => return Some(place),
            },
            _ => start + 1,
        };
    }
    None
}

fn after(source: &[u8], start: usize, end: &[u8]) -> usize {
    memchr::memmem::find(&source[start..], end).map_or(source.len(), |found| start + found + end.len())
}

fn is_raw(inside: &[u8]) -> bool {
    let inside = inside.strip_prefix(b"-").or_else(|| inside.strip_prefix(b"+")).unwrap_or(inside);
    inside.trim_ascii_start().starts_with(b"raw")
}

/// The end of the tag whose inside begins at `at`, or where a chain in it is too long.
fn tag(source: &[u8], mut at: usize) -> Result<usize, usize> {
    let mut chains = vec![0_usize]; // a count for each open bracket
    while let Some(&byte) = source.get(at) {
        let next = source.get(at + 1).copied();
        let mut width = 1;
        let mut counts = false;
        match byte {
            b'%' | b'}' if next == Some(b'}') && (byte == b'%' || chains.len() == 1) => return Ok(at + 2),
            b'"' | b'\'' => width = string(&source[at..]),
            b'(' | b'[' | b'{' => chains.push(0),
            b')' | b']' | b'}' => {
                if chains.len() > 1 {
                    chains.pop();
                }
                counts = true;
            }
            b',' => *chains.last_mut().expect("the first is never taken away") = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let word = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
                width = source[at..].iter().take_while(word).count();
                counts = WORDS.contains(&&source[at..at + width]);
            }
            other => counts = other.is_ascii_punctuation(),
        }
        let chain = chains.last_mut().expect("the first is never taken away");
        *chain += usize::from(counts);
        if *chain > LONGEST {
            return Err(at);
        }
        at += width;
    }
    Ok(source.len())
}

/// The length of the string that begins here, with its quotes.
fn string(source: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = source.get(at) {
        match byte {
            b'\\' => at += 1,
            _ if byte == source[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_bounded_wherever_they_are() {
        let long = |part: &str| part.repeat(LONGEST + 1);
        for source in [
            format!("{{{{ {}1 }}}}", long("-")),
            format!("{{% if {}1 %}}", long("not ")),
            format!("{{# }}}} #}}{{% raw %}}{{{{ '{{% endraw %}}{{{{ 1{} }}}}", long("+ '}}' ")),
            format!("{{{{ f{} }}}}", long("(1, 2)")),
            format!("{{{{ {{'a': {{}}}}{} }}}}", long(".a")),
        ] {
            assert!(too_long(source.as_bytes()).is_some(), "{}", &source[..40]);
        }
    }

    #[test]
    fn long_lists_and_text_are_no_chains() {
        for source in [
            format!("{{% set l = [{}] %}}", "-1 + x.y | f(2), ".repeat(10_000)),
            format!("{{% set l = {{{}}} %}}", "'a': [1, -2], ".repeat(10_000)),
            format!("{{{{ x }}}}{}{{{{ '{}' }}}}", "- + { }".repeat(1_000), "-".repeat(1_000)),
            format!("{{# {} #}}{{% raw %}}{{{{ {} {{% endraw %}}", "-".repeat(1_000), "-".repeat(1_000)),
            "{{ x + 1 }}".repeat(1_000),
        ] {
            assert_eq!(too_long(source.as_bytes()), None, "{}", &source[..40]);
        }
    }
}
