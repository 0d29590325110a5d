//! The php-fpm does what a test asks of it.

use std::fs;

use waypost_servers::{PhpFpm, PhpFpmOptions, require};

#[test]
fn a_script_sees_its_parameters_and_the_settings_and_variables_that_were_given() {
    require!("php-fpm8.2");
    let options = PhpFpmOptions::new().ini("opcache.revalidate_freq", "7").env("PLACE", "here").children(1);
    for options in [options.clone(), options.on_port()] {
        let fpm = PhpFpm::start_with(options);
        let script = fpm.dir().join("look.php");
        let text = "<?php header('X-A: b'); http_response_code(404); echo ini_get('opcache.revalidate_freq'),
            opcache_get_status() ? 'on' : 'off', getenv('PLACE'), $_GET['long'];";
        fs::write(&script, text).unwrap();
        let long = "x".repeat(20_000);
        let answer = fpm.request(&script, &[("QUERY_STRING", &format!("long={long}"))]);
        assert_eq!((answer.status, answer.header("x-a")), (404, Some("b")));
        assert_eq!(answer.text(), format!("7onhere{long}"));
    }
}

#[test]
fn a_killed_php_fpm_answers_nobody_and_comes_back() {
    require!("php-fpm8.2");
    let fpm = PhpFpm::start();
    let script = fpm.dir().join("hello.php");
    fs::write(&script, "hello").unwrap();
    fpm.kill();
    assert!(fpm.try_request(&script, &[]).is_err() && !fpm.is_running());
    fpm.start_again();
    assert_eq!(fpm.request(&script, &[]).text(), "hello");
    fpm.stop();
    assert!(fpm.try_request(&script, &[]).is_err());
    fpm.start_again();
    assert_eq!(fpm.request(&script, &[]).text(), "hello");
}
