//! The templates that are timed, and their keys; `bench/go/bodies` makes the same keys.

use waypost_template::MemoryNames;

/// A template with its keys.
pub struct Body {
    /// What the tables call it.
    pub name: &'static str,
    /// Its source.
    pub template: &'static str,
    /// Makes the keys.
    pub keys: fn() -> MemoryNames,
}

const FLAT: &str = include_str!("flat.tmpl");
const RICH: &str = include_str!("rich.tmpl");
const NESTED: &str = include_str!("nested.tmpl");
const SEQ: &str = include_str!("seq.tmpl");
const GETV: &str = include_str!("getv.tmpl");
const HAPROXY: &str = include_str!("haproxy.tmpl");

const ALL: &[Body] = &[
    body("Flat10", FLAT, || upstream(10)),
    body("Flat10+50000", FLAT, || beside_foreign(upstream(10))),
    body("Flat1000", FLAT, || upstream(1_000)),
    body("Flat10000", FLAT, || upstream(10_000)),
    body("Flat50000", FLAT, || upstream(50_000)),
    body("Rich1000", RICH, || apps(1_000)),
    body("Rich10000", RICH, || apps(10_000)),
    body("Nested100x100", NESTED, || services(100, 100)),
    body("Nested100x100+50000", NESTED, || beside_foreign(services(100, 100))),
    body("Nested500x20", NESTED, || services(500, 20)),
    body("Seq10000", SEQ, MemoryNames::new),
    body("Getv10000", GETV, || upstream(10_000)),
    body("Haproxy10000", HAPROXY, || upstream(10_000)),
];

const fn body(name: &'static str, template: &'static str, keys: fn() -> MemoryNames) -> Body {
    Body { name, template, keys }
}

/// The bodies of these names, or all if there are none.
pub fn bodies(wanted: &[String]) -> impl Iterator<Item = &'static Body> {
    ALL.iter().filter(|body| wanted.is_empty() || wanted.iter().any(|name| name == body.name))
}

fn address(index: usize) -> String {
    format!("10.{}.{}.{}:8000", index >> 16 & 255, index >> 8 & 255, index & 255)
}

fn upstream(count: usize) -> MemoryNames {
    (0..count).map(|index| (format!("/upstream/{index:05}"), address(index))).collect()
}

/// With 50,000 keys that are none of the bodies'.
fn beside_foreign(mut names: MemoryNames) -> MemoryNames {
    for index in 0..50_000 {
        names.insert(format!("/other/group{:03}/{index:05}", index % 100), address(index));
    }
    names
}

fn services(services: usize, each: usize) -> MemoryNames {
    let key = |service, index| (format!("/svc/s{service:03}/upstream/{index:05}"), address(index));
    (0..services).flat_map(|service| (0..each).map(move |index| key(service, index))).collect()
}

fn apps(count: usize) -> MemoryNames {
    let value = |index: usize| {
        format!(
            r#"{{"addr":"{}","weight":{},"status":"{}","backup":{},"tags":["a","b"],"meta":{{"zone":"z{}"}}}}"#,
            address(index),
            index % 100,
            if index % 10 == 9 { "down" } else { "up" },
            index.is_multiple_of(7),
            index % 3
        )
    };
    (0..count).map(|index| (format!("/app/node{index:05}"), value(index))).collect()
}
