//! The v2 API of an etcd that was started with [`EtcdOptions::enable_v2`](super::EtcdOptions::enable_v2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::etcd::Etcd;
use crate::etcd::gateway::TIMEOUT;
use crate::{Outcome, Response, client, must};

impl Etcd {
    /// Sets a key of the v2 API; the value is text.
    ///
    /// # Panics
    ///
    /// When etcd does not answer or refuses; so do all functions below.
    #[track_caller]
    pub fn v2_put(&self, key: &str, value: &str) {
        must(self.v2_done("PUT", &keys(key), &format!("value={}", encoded(value))));
    }

    /// Sets keys of the v2 API, one after the other.
    #[track_caller]
    pub fn v2_put_all<K: AsRef<str>, V: AsRef<str>>(&self, entries: impl IntoIterator<Item = (K, V)>) {
        for (key, value) in entries {
            self.v2_put(key.as_ref(), value.as_ref());
        }
    }

    /// Deletes a key of the v2 API, or a directory with all that is below it.
    #[track_caller]
    pub fn v2_delete(&self, key: &str) {
        must(self.v2_done("DELETE", &format!("{}?recursive=true", keys(key)), ""));
    }

    /// Sends any request to the v2 API, as root if there are users of it: `PUT`, `/v2/keys/a?ttl=1`. A body that
    /// begins with `{` is JSON, any other one a form.
    #[track_caller]
    pub fn v2(&self, method: &str, path: &str, body: &str) -> Response {
        must(self.v2_request(method, path, body))
    }

    /// Adds a user of the v2 API that may read what begins with `/app`, and lets nobody in without a password.
    ///
    /// With `/app/*` etcd would refuse to read `/app` with all that is below it.
    #[track_caller]
    pub fn v2_user(&self, name: &str, password: &str) {
        let role = r#"{"role":"app","permissions":{"kv":{"read":["/app*"],"write":[]}}}"#;
        let root = format!(r#"{{"user":"root","password":"{}"}}"#, Etcd::ROOT_PASSWORD);
        let user = format!(r#"{{"user":"{name}","password":"{password}","roles":["app"]}}"#);
        let everything = r#"{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}"#;
        for (path, body) in [
            ("/v2/auth/users/root", root.as_str()),
            ("/v2/auth/roles/app", role),
            (&format!("/v2/auth/users/{name}"), &user),
            ("/v2/auth/enable", ""),
            ("/v2/auth/roles/guest", everything),
        ] {
            must(self.v2_done("PUT", path, body));
        }
    }

    fn v2_done(&self, method: &str, path: &str, body: &str) -> Outcome<()> {
        let answer = self.v2_request(method, path, body)?;
        match answer.status {
            200..300 => Ok(()),
            status => Err(format!("etcd: cannot {method} {path}: {status}: {}", answer.text())),
        }
    }

    fn v2_request(&self, method: &str, path: &str, body: &str) -> Outcome<Response> {
        let kind = match body.starts_with('{') {
            true => "application/json",
            false => "application/x-www-form-urlencoded",
        };
        let root = STANDARD.encode(format!("root:{}", Etcd::ROOT_PASSWORD));
        let headers = [("Content-Type", kind), ("Authorization", &format!("Basic {root}"))];
        let url = format!("{}{path}", self.admin_url());
        client::request(method, &url, &headers, body.as_bytes(), TIMEOUT)
            .map_err(|why| format!("etcd: cannot {method} {path}: {why}"))
    }
}

fn keys(key: &str) -> String {
    format!("/v2/keys{}", encoded(key))
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    let shown = |byte: u8| match is_plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(shown).collect()
}
