//! The target `parse`: any bytes as a template.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| waypost_fuzz::parse(input));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    waypost_fuzz::replay(waypost_fuzz::parse)
}
