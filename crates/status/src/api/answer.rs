//! The answers' content: plain JSON of a picture at a time.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use waypost_model::{Entry, Prefix};

use super::picture::Picture;

/// How many bytes of values one answer may hold.
const VALUES_AT_MOST: usize = 4 << 20;

/// The document of the service `name`.
pub(super) fn service(picture: &Picture, root: &Prefix, name: &str, now: Instant) -> Json {
    let found = picture.view().map(|view| view.service(root, name)).unwrap_or_default();
    let keys = Prefix::new(&format!("{}/{name}", root.as_str()));
    let refused: Vec<&str> = found.refused.iter().map(|(key, _)| key.as_str()).collect();
    json!({
        "name": name,
        "version": found.service.version(),
        "reachable": picture.is_reachable(&keys),
        "age_seconds": age_seconds(picture, &keys, now),
        "instances": found.service.instances_json(),
        "refused": refused,
    })
}

/// The list of all services.
pub(super) fn services(picture: &Picture, root: &Prefix, now: Instant) -> Json {
    let names = picture.view().map(|view| view.service_names(root)).unwrap_or_default();
    let entry = |name: &String| {
        let service = picture.view().map(|view| view.service(root, name).service).unwrap_or_default();
        json!({ "name": name, "version": service.version(), "instances": service.instances.len() })
    };
    json!({
        "reachable": picture.is_reachable(&Prefix::all()),
        "age_seconds": age_seconds(picture, &Prefix::all(), now),
        "services": names.iter().map(entry).collect::<Vec<_>>(),
    })
}

/// How things are; the age is null before the registry was read.
pub(super) fn health(picture: &Picture, now: Instant) -> Json {
    let status = match (picture.view(), picture.is_reachable(&Prefix::all())) {
        (None, _) => "starting",
        (Some(_), true) => "ok",
        (Some(_), false) => "stale",
    };
    json!({
        "status": status,
        "reachable": picture.is_reachable(&Prefix::all()),
        "age_seconds": age_seconds(picture, &Prefix::all(), now),
        "keys": picture.view().map_or(0, waypost_backend::View::len),
    })
}

/// Whether the registry answers, and how old what is known is.
pub(super) fn registry(picture: &Picture, now: Instant) -> Json {
    let all = Prefix::all();
    json!({ "reachable": picture.is_reachable(&all), "age_seconds": age_seconds(picture, &all, now) })
}

/// One key; none if it is not there.
pub(super) fn key(picture: &Picture, key: &str) -> Option<Json> {
    picture.view()?.get(key).map(|entry| of_entry(key, entry))
}

/// The keys at and below `prefix`; none if their values are too many bytes for one answer.
pub(super) fn keys(picture: &Picture, prefix: &Prefix) -> Option<Json> {
    let below = || picture.view().into_iter().flat_map(|view| view.below(prefix));
    let bytes: usize = below().map(|(_, entry)| entry.value.bytes().len()).sum();
    let keys = || below().map(|(key, entry)| of_entry(key.as_str(), entry)).collect::<Vec<_>>();
    (bytes <= VALUES_AT_MOST).then(|| json!({ "keys": keys() }))
}

fn of_entry(key: &str, entry: &Entry) -> Json {
    match entry.value.as_text() {
        Some(text) => json!({ "key": key, "value": text, "revision": entry.revision }),
        None => {
            let encoded = STANDARD.encode(entry.value.bytes());
            json!({ "key": key, "value_base64": encoded, "revision": entry.revision })
        }
    }
}

/// Seconds with milliseconds.
fn age_seconds(picture: &Picture, prefix: &Prefix, now: Instant) -> Option<f64> {
    picture.age(prefix, now).map(|age| age.as_millis() as f64 / 1000.0)
}
