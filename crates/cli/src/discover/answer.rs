//! What is answered of a service, and how it is written.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::Value as Json;
use waypost_model::Instance;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// SCHEME://HOST:PORT
    Url,
    /// HOST:PORT
    HostPort,
    /// All that is known of it, on one line
    Json,
    /// Variables for a shell's `eval`
    Env,
}

/// Whom a client is sent to: one instance, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) instances: Vec<Instance>,
    pub(super) is_all: bool,
}

/// Which instances may be answered.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) is_all: bool,
    /// The zone whose instances come first.
    pub(super) zone: Option<String>,
}

impl Choice {
    /// The answer from `known`; none if there is nobody. One that was given before stays as long as it is there, so
    /// that nobody moves without need; else `pick` takes one.
    pub(super) fn answer(
        &self,
        known: &[Instance],
        before: Option<&Answer>,
        pick: impl FnOnce() -> Option<Instance>,
    ) -> Option<Answer> {
        // Who has no weight gets no new work.
        let mut may: Vec<Instance> = known.iter().filter(|instance| instance.weight > 0).cloned().collect();
        if !self.is_all {
            let before = before.and_then(|before| before.instances.first());
            // What else is told of it may have changed.
            let stays = before.and_then(|before| may.iter().find(|instance| instance.id == before.id));
            let one = stays.cloned().or_else(pick);
            may = one.into_iter().collect();
        } else if let Some(zone) = &self.zone {
            may.sort_by_key(|instance| instance.zone.as_ref() != Some(zone));
        }
        (!may.is_empty()).then_some(Answer { instances: may, is_all: self.is_all })
    }
}

impl Answer {
    /// The lines of the answer, for `service` in a registry.
    pub(super) fn lines(&self, format: Format, service: &str, scheme: Option<&str>) -> Vec<String> {
        match format {
            Format::Url => self.instances.iter().map(|instance| url(instance, scheme)).collect(),
            Format::HostPort => self.instances.iter().map(|instance| instance.endpoint.to_string()).collect(),
            Format::Json => vec![self.json().to_string()],
            Format::Env => {
                let variables = self.variables(service, scheme);
                variables.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect()
            }
        }
    }

    fn json(&self) -> Json {
        match &self.instances[..] {
            [one] if !self.is_all => one.to_json(),
            all => all.iter().map(Instance::to_json).collect(),
        }
    }

    /// `DB_HOST` and so on for the service `db`; with all instances, `DB_1_HOST` and so on, their number and a list.
    pub(super) fn variables(&self, service: &str, scheme: Option<&str>) -> Vec<(String, String)> {
        let name = variable_name(service);
        if !self.is_all {
            return of_instance(&name, &self.instances[0], scheme);
        }
        let addresses: Vec<String> =
            self.instances.iter().map(|instance| instance.endpoint.to_string()).collect();
        let mut variables = vec![
            (format!("{name}_COUNT"), addresses.len().to_string()),
            (format!("{name}_ADDRESSES"), addresses.join(",")),
        ];
        for (index, instance) in self.instances.iter().enumerate() {
            variables.extend(of_instance(&format!("{name}_{}", index + 1), instance, scheme));
        }
        variables
    }
}

/// What is not told leaves no variable; what cannot be one is left out.
fn of_instance(name: &str, instance: &Instance, scheme: Option<&str>) -> Vec<(String, String)> {
    let endpoint = &instance.endpoint;
    let mut told = BTreeMap::new();
    for (field, value) in &instance.meta {
        told.entry(field_name(field)).or_insert_with(|| value.clone());
    }
    for (field, value) in [("ROLE", &instance.role), ("ZONE", &instance.zone)] {
        told.extend(value.iter().map(|value| (field.to_owned(), value.clone())));
    }
    let fixed = [
        ("HOST", endpoint.host().to_owned()),
        ("PORT", endpoint.port().to_string()),
        ("ADDRESS", endpoint.to_string()),
        ("URL", url(instance, scheme)),
    ];
    told.retain(|field, value| {
        !value.contains('\0') && !field.is_empty() && fixed.iter().all(|(fixed, _)| fixed != field)
    });
    let fixed = fixed.map(|(field, value)| (field.to_owned(), value));
    fixed.into_iter().chain(told).map(|(field, value)| (format!("{name}_{field}"), value)).collect()
}

/// The scheme is the one that is asked for, else what the instance says itself, if it is one (RFC 3986, 3.1).
fn url(instance: &Instance, scheme: Option<&str>) -> String {
    let own = instance.meta.get("scheme").map(|scheme| &**scheme).filter(|scheme| is_scheme(scheme));
    format!("{}://{}", scheme.or(own).unwrap_or("tcp"), instance.endpoint)
}

/// Reads `--scheme`.
pub(super) fn scheme(text: &str) -> Result<String, String> {
    if is_scheme(text) { Ok(text.to_owned()) } else { Err("it must be such as http or redis".to_owned()) }
}

fn is_scheme(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_inside)
}

/// `shop/db` as a shell can have it: `SHOP_DB`.
fn variable_name(service: &str) -> String {
    let name = field_name(service);
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn field_name(text: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    text.chars().map(letter).collect()
}

/// The text for a shell, byte for byte: between single quotes nothing has a meaning (POSIX, "Single-Quotes").
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn instance(id: &str, value: &str) -> Instance {
        Instance::parse(id, &value.to_owned().into()).unwrap()
    }

    fn one(value: &str) -> Answer {
        Answer { instances: vec![instance("1", value)], is_all: false }
    }

    fn all(values: &[&str]) -> Answer {
        Answer { instances: values.iter().map(|value| instance(value, value)).collect(), is_all: true }
    }

    #[test]
    fn an_answer_is_written_in_each_format() {
        let lines = |format| one("h:1").lines(format, "shop/db", Some("mysql"));
        assert_eq!(lines(Format::HostPort), ["h:1"]);
        assert_eq!(lines(Format::Url), ["mysql://h:1"]);
        assert!(lines(Format::Json)[0].starts_with("{\"address\":\"h:1\","));
        assert_eq!(
            lines(Format::Env),
            ["SHOP_DB_HOST='h'", "SHOP_DB_PORT='1'", "SHOP_DB_ADDRESS='h:1'", "SHOP_DB_URL='mysql://h:1'"]
        );
    }

    #[test]
    fn all_are_written_in_each_format() {
        let lines = |format| all(&["h:1", "h:2"]).lines(format, "web", None);
        assert_eq!(lines(Format::HostPort), ["h:1", "h:2"]);
        assert_eq!(lines(Format::Url), ["tcp://h:1", "tcp://h:2"]);
        assert!(lines(Format::Json)[0].starts_with("[{"));
        let env = lines(Format::Env);
        assert_eq!(&env[..3], ["WEB_COUNT='2'", "WEB_ADDRESSES='h:1,h:2'", "WEB_1_HOST='h'"]);
    }

    #[test]
    fn what_is_told_beside_the_address_is_a_variable_too_and_takes_no_others_place() {
        let told = r#"{"address": "h:1", "role": "primary", "user": "app", "db-name": "a", "db_name": "b", "url": "x",
            "zero": "\u0000", "scheme": "redis"}"#;
        let variables = one(told).variables("db", None);
        let names: Vec<&str> = variables.iter().map(|(name, _)| &**name).collect();
        let fixed = ["DB_HOST", "DB_PORT", "DB_ADDRESS", "DB_URL"];
        assert_eq!(&names[..4], fixed);
        assert_eq!(&names[4..], ["DB_DB_NAME", "DB_ROLE", "DB_SCHEME", "DB_USER"]);
        assert_eq!((&*variables[3].1, &*variables[4].1), ("redis://h:1", "a"));
    }

    #[test]
    fn a_service_that_begins_with_a_digit_has_variables_too() {
        assert_eq!(one("h:1").variables("9a/ü", None)[0].0, "_9A___HOST");
    }

    #[test]
    fn hostile_values_come_out_of_a_shell_as_they_went_in() {
        let hostile = "'; touch /tmp/x; '$(id)`id`\\\"\n two\tlines \u{1F600} #'";
        let json = serde_json::json!({ "address": "h:1", "user; id": hostile, "scheme": "x://$(id)" });
        let lines = one(&json.to_string()).lines(Format::Env, "a;b $(id)", None).join("\n");
        let script = format!("{lines}\nprintf %s \"$A_B___ID__USER__ID\"");
        let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), hostile, "{lines}");
        assert!(lines.contains("A_B___ID__URL='tcp://h:1'"), "{lines}");
    }

    #[test]
    fn one_that_was_answered_stays_as_long_as_it_is_there() {
        let (a, b) = (instance("a", "h:1"), instance("b", "h:2"));
        let choice = Choice { is_all: false, zone: None };
        let picked = |which: &Instance| Some(which.clone());
        let first = choice.answer(&[a.clone(), b.clone()], None, || picked(&b)).unwrap();
        let second = choice.answer(&[a.clone(), b.clone()], Some(&first), || picked(&a));
        assert_eq!(second.as_ref(), Some(&first));
        let told_more = Instance { weight: 2, ..b.clone() };
        let known = [a.clone(), told_more.clone()];
        let same = choice.answer(&known, Some(&first), || picked(&a)).unwrap();
        assert_eq!(same.instances[0], told_more, "it is the same one, with something else to tell");
        let third = choice.answer(std::slice::from_ref(&a), Some(&first), || picked(&a)).unwrap();
        assert_eq!(third.instances[0], a);
        let drained = Instance { weight: 0, ..a };
        assert_eq!(choice.answer(&[drained], Some(&third), || None), None);
    }

    #[test]
    fn of_all_those_of_the_own_zone_come_first_and_those_without_weight_not_at_all() {
        let choice = Choice { is_all: true, zone: Some("a".to_owned()) };
        let known = [
            instance("1", r#"{"address": "h:1", "zone": "b"}"#),
            instance("2", r#"{"address": "h:2", "zone": "a"}"#),
            instance("3", r#"{"address": "h:3", "weight": 0}"#),
        ];
        let answer = choice.answer(&known, None, || None).unwrap();
        let ids: Vec<&str> = answer.instances.iter().map(|instance| &*instance.id).collect();
        assert_eq!(ids, ["2", "1"]);
    }
}
