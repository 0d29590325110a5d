//! A refusal leaves both files as they were, byte for byte.

use std::fs;

use waypost_store::Store;

use crate::refused::{JOURNAL, Killed, set_format, settings};

#[track_caller]
fn assert_untouched(killed: &Killed, what: &str) {
    let before = killed.contents();
    let Err(error) = Store::open(&settings(&killed.path(""))) else { panic!("{what} is not refused") };
    assert!(killed.contents() == before, "{what}: the files were changed, after: {error}");
}

#[test]
fn a_store_with_a_damaged_journal_is_not_written_to() {
    let killed = Killed::new();
    killed.edit(JOURNAL, |bytes| bytes[4096 + 40] ^= 1);
    assert_untouched(&killed, "a damaged journal");
}

#[test]
fn a_store_with_anothers_journal_is_not_written_to() {
    let killed = Killed::new();
    fs::copy(Killed::new().path(JOURNAL), killed.path(JOURNAL)).unwrap();
    assert_untouched(&killed, "another store's journal");
}

#[test]
fn a_store_of_a_later_format_is_not_written_to() {
    let killed = Killed::new();
    set_format(&killed, 999);
    assert_untouched(&killed, "a later format");
}

#[test]
fn a_journal_that_was_cut_off_between_two_records_is_refused() {
    let killed = Killed::new();
    killed.edit(JOURNAL, |bytes| bytes.truncate(4096 + 512 * 10));
    assert_untouched(&killed, "a journal without its end");
}
