//! `resources/invalidate.php` in php-fpm whose opcache never looks at a file by itself.

use std::fs;
use std::os::unix::fs::symlink;

use waypost_servers::{PhpFpm, PhpFpmOptions, require};

use crate::package;

/// A php-fpm that looks at no file again, and a script that prints what the file beside it returns.
fn fpm() -> PhpFpm {
    let options = PhpFpmOptions::new().ini("opcache.validate_timestamps", "0");
    // It would keep no file that is younger than two seconds.
    let fpm = PhpFpm::start_with(options.ini("opcache.file_update_protection", "0"));
    fs::write(fpm.dir().join("read.php"), "<?php echo include __DIR__.'/services.php';").unwrap();
    write(&fpm, "one");
    fpm
}

fn write(fpm: &PhpFpm, word: &str) {
    fs::write(fpm.dir().join("stage"), format!("<?php return '{word}';")).unwrap();
    fs::rename(fpm.dir().join("stage"), fpm.dir().join("services.php")).unwrap();
}

fn read(fpm: &PhpFpm) -> String {
    fpm.request(&fpm.dir().join("read.php"), &[]).text()
}

fn invalidate(fpm: &PhpFpm, params: &[(&str, &str)]) -> (u16, String) {
    let answer = fpm.request(&package("resources/invalidate.php"), params);
    (answer.status, answer.text())
}

#[test]
fn what_is_told_to_opcache_is_seen_by_the_next_request() {
    require!("php-fpm8.2");
    let fpm = fpm();
    assert_eq!(read(&fpm), "one");
    write(&fpm, "two");
    assert_eq!(read(&fpm), "one", "opcache does not look");

    let file = fpm.dir().join("services.php").display().to_string();
    let answer = invalidate(&fpm, &[("WAYPOST_FILE", &file)]);

    assert_eq!(answer, (200, "ok: invalidated\n".to_owned()));
    assert_eq!(read(&fpm), "two");
}

#[test]
fn it_does_nothing_for_a_web_client_or_for_what_is_no_php_file() {
    require!("php-fpm8.2");
    let fpm = fpm();
    let at = |name: &str| fpm.dir().join(name).display().to_string();
    symlink(at("services.php"), at("link.php")).unwrap();
    fs::create_dir(at("directory.php")).unwrap();

    // A header or a query is all that a web client can send.
    let (header, query) = ("HTTP_WAYPOST_FILE", "QUERY_STRING");
    assert_eq!(invalidate(&fpm, &[(header, &at("services.php")), (query, "WAYPOST_FILE=/x.php")]).0, 404);
    for file in
        [at("link.php"), at("directory.php"), at("none.php"), at("fpm.conf"), "services.php".to_owned()]
    {
        let (status, said) = invalidate(&fpm, &[("WAYPOST_FILE", &file)]);
        assert_eq!(status, 400, "{file}: {said}");
        assert!(!said.starts_with("ok"), "{said}");
    }
}

#[test]
fn a_php_that_keeps_it_from_opcache_is_a_failure_and_one_without_opcache_is_none() {
    require!("php-fpm8.2");
    let cases = [("opcache.restrict_api", "/nowhere", 500), ("opcache.enable", "0", 200)];
    for (name, value, status) in cases {
        let fpm = PhpFpm::start_with(PhpFpmOptions::new().ini(name, value));
        write(&fpm, "one");
        let file = fpm.dir().join("services.php").display().to_string();
        let (answered, said) = invalidate(&fpm, &[("WAYPOST_FILE", &file)]);
        assert_eq!((answered, said.starts_with("ok")), (status, status == 200), "{name}: {said}");
    }
}
