//! Commands such as confd's `check_cmd` are small templates over flat data.

use waypost_template::{ErrorKind, expand};

#[test]
fn fields_are_the_data() {
    let data = [("src", "/etc/.nginx.conf1"), ("dest", "/etc/nginx.conf")];
    let command = expand("check_cmd", b"nginx -t -c {{.src}} # for {{printf \"%q\" .dest}}", &data).unwrap();
    assert_eq!(command, b"nginx -t -c /etc/.nginx.conf1 # for \"/etc/nginx.conf\"");
}

#[test]
fn a_command_without_fields_stays_as_it_is() {
    assert_eq!(expand("reload_cmd", b"pkill -HUP nginx || true", &[]).unwrap(), b"pkill -HUP nginx || true");
}

#[test]
fn an_unknown_field_has_no_value() {
    assert_eq!(expand("reload_cmd", b"[{{.target}}]", &[("src", "x")]).unwrap(), b"[<no value>]");
}

#[test]
fn confds_functions_are_not_known_in_commands() {
    let error = expand("check_cmd", b"{{getv \"/x\"}}", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse);
    assert_eq!(error.to_string(), "check_cmd:1:3: function \"getv\" not defined");
}
