//! The target `jinja`: a Jinja template with keys, of any bytes.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| waypost_fuzz::jinja(input));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    waypost_fuzz::replay(waypost_fuzz::jinja)
}
