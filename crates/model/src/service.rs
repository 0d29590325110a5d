//! What a registry says of a service: its instances, each with its endpoint and what is told beside it.
//!
//! A plain value `HOST:PORT` is a whole record. One that tells more is a JSON object:
//!
//! ```json
//! {"address": "10.0.0.5:3306", "role": "primary", "zone": "a", "weight": 2, "tags": ["ssd"], "user": "app"}
//! ```
//!
//! `address` may lack the port if `port` is beside it; `host` is the same word. What is under a name that is not
//! reserved is kept as it is, in [`Instance::meta`], and so is what an object `meta` holds.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Endpoint, Value};

/// The version of the documents that [`document`] makes.
const DOCUMENT: u64 = 1;

/// One running copy of a service.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// What the instance is called: its key without the service's path; the service's own name if the key is
    /// that path.
    pub id: String,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Its share of the work beside the others; 1 if none is told. An instance of weight 0 gets no new work.
    pub weight: u32,
    /// What it is among its kind, such as `primary` or `replica`.
    pub role: Option<String>,
    /// Where it stands, such as a data centre.
    pub zone: Option<String>,
    /// Words that describe it, in the order in which they are told.
    pub tags: Vec<String>,
    /// Everything else: user, password, database and so on. It may hold secrets; `Debug` shows the names only.
    pub meta: BTreeMap<String, String>,
}

/// Why a value is no instance. It names what is wrong, not what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no instance: {0}")]
pub struct InvalidInstance(String);

impl Instance {
    /// An instance of which nothing but the endpoint is known.
    pub fn new(id: impl Into<String>, endpoint: Endpoint) -> Instance {
        Instance {
            id: id.into(),
            endpoint,
            weight: 1,
            role: None,
            zone: None,
            tags: Vec::new(),
            meta: BTreeMap::new(),
        }
    }

    /// Reads what a registry holds for the instance `id`.
    ///
    /// # Errors
    ///
    /// [`InvalidInstance`] if the value is neither `HOST:PORT` nor a JSON object with an address.
    pub fn parse(id: impl Into<String>, value: &Value) -> Result<Instance, InvalidInstance> {
        let text = value.as_text().ok_or_else(|| invalid("it is not UTF-8 text"))?.trim();
        if !text.starts_with('{') {
            let endpoint = text.parse().map_err(|_| invalid("neither HOST:PORT nor a JSON object"))?;
            return Ok(Instance::new(id, printable(endpoint)?));
        }
        // serde_json's message gives line and column, and quotes nothing of the text.
        let json = serde_json::from_str(text).map_err(|error| InvalidInstance(error.to_string()))?;
        Instance::from_object(id, &json)
    }

    /// Reads what [`Instance::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`InvalidInstance`] if it is no object, or has no id or address.
    pub fn from_json(json: &Json) -> Result<Instance, InvalidInstance> {
        let fields = json.as_object().ok_or_else(|| invalid("it is no JSON object"))?;
        let id = text_of(fields, "id")?.ok_or_else(|| invalid("`id` is missing"))?;
        Instance::from_object(id, fields)
    }

    fn from_object(id: impl Into<String>, fields: &Map<String, Json>) -> Result<Instance, InvalidInstance> {
        let mut instance = Instance::new(id, printable(endpoint(fields)?)?);
        instance.weight = weight(fields)?;
        instance.role = text_of(fields, "role")?;
        instance.zone = text_of(fields, "zone")?;
        instance.tags = tags(fields)?;
        for (name, value) in fields {
            match (&**name, value) {
                ("id" | "address" | "host" | "port" | "weight" | "role" | "zone" | "tags", _) => {}
                ("meta", Json::Object(inner)) => {
                    for (name, value) in inner {
                        instance.meta.insert(name.clone(), scalar(name, value)?);
                    }
                }
                _ => {
                    instance.meta.insert(name.clone(), scalar(name, value)?);
                }
            }
        }
        Ok(instance)
    }

    /// The instance with all its fields; what is not known is null. `Instance::from_json` reads it again.
    pub fn to_json(&self) -> Json {
        // In the order of the names: a program may link serde_json with `preserve_order`, and versions are hashes of
        // the text.
        json!({
            "address": self.endpoint.to_string(),
            "host": self.endpoint.host(),
            "id": self.id,
            "meta": self.meta,
            "port": self.endpoint.port(),
            "role": self.role,
            "tags": self.tags,
            "weight": self.weight,
            "zone": self.zone,
        })
    }

    /// What a registry is given for it: `HOST:PORT` if nothing more is known, else a JSON object.
    pub fn to_value(&self) -> Value {
        if *self == Instance::new(&*self.id, self.endpoint.clone()) {
            return self.endpoint.to_string().into();
        }
        let mut fields = Map::new();
        for (name, value) in &self.meta {
            fields.insert(name.clone(), value.clone().into());
        }
        // After the others, so that none of them takes the place of what is reserved.
        fields.insert("address".to_owned(), self.endpoint.to_string().into());
        if self.weight != 1 {
            fields.insert("weight".to_owned(), self.weight.into());
        }
        for (name, value) in [("role", &self.role), ("zone", &self.zone)] {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value.clone().into());
            }
        }
        if !self.tags.is_empty() {
            fields.insert("tags".to_owned(), self.tags.clone().into());
        }
        Json::Object(fields).to_string().into()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Instance");
        shown.field("id", &self.id).field("endpoint", &self.endpoint.to_string());
        shown.field("weight", &self.weight).field("role", &self.role).field("zone", &self.zone);
        shown.field("tags", &self.tags).field("meta", &self.meta.keys()).finish()
    }
}

/// A name, and the running copies behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Service {
    /// The name: its path below the prefix of all services, such as `db` or `shop/cache`.
    pub name: String,
    /// Its instances, in the byte order of their ids.
    pub instances: Vec<Instance>,
}

impl Service {
    /// Tells one state of the service from another, over restarts and on every host: the hash (XXH3, 64 bits, in
    /// hexadecimal) of its name and instances.
    pub fn version(&self) -> String {
        hash(&json!([self.name, self.instances_json()]))
    }

    /// Its instances as a JSON array.
    pub fn instances_json(&self) -> Json {
        self.instances.iter().map(Instance::to_json).collect()
    }
}

/// The services as one JSON document, which says the same of the same services wherever it is made:
/// `{"waypost": 1, "version": …, "services": {NAME: [INSTANCE, …]}}`.
pub fn document(services: &[Service]) -> Json {
    let by_name: BTreeMap<_, _> =
        services.iter().map(|service| (service.name.clone(), service.instances_json())).collect();
    let by_name = Json::Object(by_name.into_iter().collect());
    let version = hash(&by_name);
    // In the order of the names, as an instance.
    json!({ "services": by_name, "version": version, "waypost": DOCUMENT })
}

/// Reads what [`document`] made.
///
/// # Errors
///
/// [`InvalidInstance`] if it is another kind of document, or one of a later version.
pub fn from_document(json: &Json) -> Result<Vec<Service>, InvalidInstance> {
    if json.get("waypost").and_then(Json::as_u64) != Some(DOCUMENT) {
        return Err(invalid("it is no document of services of version 1"));
    }
    let services = json.get("services").and_then(Json::as_object);
    let services = services.ok_or_else(|| invalid("`services` must be an object"))?;
    let read = |(name, instances): (&String, &Json)| {
        let instances = instances.as_array().ok_or_else(|| invalid("a service must be an array"))?;
        let instances = instances.iter().map(Instance::from_json).collect::<Result<_, _>>()?;
        Ok(Service { name: name.clone(), instances })
    };
    services.iter().map(read).collect()
}

fn hash(json: &Json) -> String {
    format!("{:016x}", xxh3_64(json.to_string().as_bytes()))
}

fn invalid(problem: &str) -> InvalidInstance {
    InvalidInstance(problem.to_owned())
}

fn text_of(fields: &Map<String, Json>, name: &str) -> Result<Option<String>, InvalidInstance> {
    match fields.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(InvalidInstance(format!("`{name}` must be a text"))),
    }
}

fn endpoint(fields: &Map<String, Json>) -> Result<Endpoint, InvalidInstance> {
    let port = match fields.get("port") {
        None | Some(Json::Null) => None,
        Some(port) => Some(port_of(port).ok_or_else(|| invalid("`port` must be a number from 1 to 65535"))?),
    };
    if let Some(address) = text_of(fields, "address")? {
        return match (address.parse::<Endpoint>(), port) {
            (Ok(endpoint), None) => Ok(endpoint),
            // What is written by `to_json` has both.
            (Ok(endpoint), Some(port)) if endpoint.port() == port => Ok(endpoint),
            (Ok(_), Some(_)) => Err(invalid("`address` and `port` name two ports")),
            (Err(_), Some(port)) => host_and_port(&address, port),
            (Err(_), None) => Err(invalid("`address` must be HOST:PORT, or a host with `port` beside it")),
        };
    }
    match (text_of(fields, "host")?, port) {
        (Some(host), Some(port)) => host_and_port(&host, port),
        _ => Err(invalid("`address` is missing")),
    }
}

/// What holds a control character is no host: it would reach a terminal, or an environment, which takes no NUL.
fn printable(endpoint: Endpoint) -> Result<Endpoint, InvalidInstance> {
    let is_printable = !endpoint.host().contains(char::is_control);
    if is_printable { Ok(endpoint) } else { Err(invalid("the host is no name or address")) }
}

fn host_and_port(host: &str, port: u16) -> Result<Endpoint, InvalidInstance> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let written = Endpoint::new(host, port).to_string();
    written.parse().map_err(|_| invalid("the host is no name or address"))
}

fn port_of(json: &Json) -> Option<u16> {
    let number = match json {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}

fn weight(fields: &Map<String, Json>) -> Result<u32, InvalidInstance> {
    match fields.get("weight") {
        None | Some(Json::Null) => Ok(1),
        Some(weight) => weight
            .as_u64()
            .and_then(|weight| u32::try_from(weight).ok())
            .ok_or_else(|| invalid("`weight` must be a whole number, 0 or more")),
    }
}

fn tags(fields: &Map<String, Json>) -> Result<Vec<String>, InvalidInstance> {
    let wrong = || invalid("`tags` must be an array of texts");
    match fields.get("tags") {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(tags)) => {
            tags.iter().map(|tag| tag.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn scalar(name: &str, json: &Json) -> Result<String, InvalidInstance> {
    match json {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(truth) => Ok(truth.to_string()),
        Json::Null => Ok(String::new()),
        _ => Err(InvalidInstance(format!("`{name}` must be a text, a number or a truth value"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &str) -> Result<Instance, String> {
        Instance::parse("1", &value.to_owned().into()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_plain_address_is_a_whole_record() {
        assert_eq!(parse("10.0.0.5:3306\n"), Ok(Instance::new("1", Endpoint::new("10.0.0.5", 3306))));
    }

    #[test]
    fn what_is_told_beside_the_address_is_kept() {
        let text = r#"{"address": "db:3306", "role": "primary", "zone": "a", "weight": 3, "tags": ["ssd"],
            "user": "app", "meta": {"dbname": "shop"}, "port": 3306, "tls": true}"#;
        let instance = parse(text).unwrap();
        assert_eq!((&*instance.endpoint.to_string(), instance.weight), ("db:3306", 3));
        assert_eq!((instance.role.as_deref(), instance.zone.as_deref()), (Some("primary"), Some("a")));
        let meta: Vec<_> = instance.meta.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(meta, [("dbname", "shop"), ("tls", "true"), ("user", "app")]);
        assert!(!format!("{instance:?}").contains("shop"), "meta may be a secret");
    }

    #[test]
    fn host_and_port_may_stand_apart() {
        for text in [
            r#"{"host": "::1", "port": 80}"#,
            r#"{"address": "::1", "port": "80"}"#,
            r#"{"address": "[::1]", "port": 80}"#,
            r#"{"address": "[::1]:80"}"#,
        ] {
            assert_eq!(parse(text).unwrap().endpoint.to_string(), "[::1]:80", "{text}");
        }
    }

    #[test]
    fn what_is_no_instance_is_refused_without_being_quoted() {
        for text in [
            "hunter2",
            "{\"hunter2\"",
            r#"{"host": "hunter2"}"#,
            r#"{"address": "hunter2"}"#,
            r#"{"address": "hunter2:80", "port": 81}"#,
            r#"{"address": "h:1", "weight": "hunter2"}"#,
            r#"{"address": "h:1", "tags": "hunter2"}"#,
            r#"{"address": "h:1", "role": ["hunter2"]}"#,
            r#"{"address": "h:1", "deep": {"a": "hunter2"}}"#,
            "hunter2\u{1b}[31m:80",
            r#"{"address": "hunter2\u0000:80"}"#,
            r#"{"host": "hunter2\u0000", "port": 80}"#,
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with("it is no instance: ") && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_version_is_the_same_for_the_same_service_and_no_other() {
        let service = |port| {
            let instances = vec![Instance::new("1", Endpoint::new("h", port))];
            Service { name: "db".to_owned(), instances }
        };
        assert_eq!(service(1).version(), service(1).version());
        assert_ne!(service(1).version(), service(2).version());
    }

    #[test]
    fn a_document_is_the_same_text_in_every_program() {
        let mut instance = Instance::new("1", Endpoint::new("h", 1));
        instance.meta = [("user".to_owned(), "app".to_owned())].into();
        let services = ["web", "db"].map(|name| Service {
            name: name.to_owned(),
            instances: if name == "db" { vec![instance.clone()] } else { Vec::new() },
        });
        let text = "{\"services\":{\"db\":[{\"address\":\"h:1\",\"host\":\"h\",\"id\":\"1\",\"meta\":{\"user\":\"app\"},\
            \"port\":1,\"role\":null,\"tags\":[],\"weight\":1,\"zone\":null}],\"web\":[]},\
            \"version\":\"VERSION\",\"waypost\":1}";
        let document = document(&services);
        let version = document["version"].as_str().unwrap();
        assert_eq!(document.to_string(), text.replace("VERSION", version));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in "[a-z0-9/-]{1,12}",
            host in "[a-z0-9.-]{1,12}",
            port in 1..=u16::MAX,
            weight in 0..9_u32,
            role in proptest::option::of(".{0,9}"),
            zone in proptest::option::of(".{0,9}"),
            tags in proptest::collection::vec(".{0,9}", 0..3),
            meta in proptest::collection::btree_map("[a-z]{8,12}", ".{0,9}", 0..3),
        ) {
            let endpoint = Endpoint::new(host, port);
            let instance = Instance { id, endpoint, weight, role, zone, tags, meta };
            prop_assert_eq!(Instance::from_json(&instance.to_json()), Ok(instance.clone()));
            prop_assert_eq!(Instance::parse(&*instance.id, &instance.to_value()), Ok(instance.clone()));
            let service = Service { name: "db".to_owned(), instances: vec![instance] };
            let services = vec![service];
            prop_assert_eq!(from_document(&document(&services)), Ok(services));
        }
    }
}
