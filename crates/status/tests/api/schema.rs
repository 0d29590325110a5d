//! Holds JSON against the schemas of the OpenAPI document, with the words of JSON Schema that it uses. Another word
//! is a failure: it would not be looked at.

use serde_json::{Map, Value as Json};

/// The document.
pub struct Document(pub Json);

impl Document {
    /// Checks the body of an answer of `path` with this status.
    #[track_caller]
    pub fn check(&self, path: &str, status: u16, body: &Json) {
        let response = &self.0["paths"][path]["get"]["responses"][status.to_string()];
        assert!(!response.is_null(), "{path} has no answer {status} in the document: {body}");
        let response = self.followed(response);
        let schema = &response["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{path} {status} has no schema");
        if let Err(why) = self.problem(schema, body, "") {
            panic!("{path} {status}: {why}\n{body}");
        }
    }

    /// Checks `value` against the schema of that name.
    #[track_caller]
    pub fn check_as(&self, name: &str, value: &Json) {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "there is no schema {name}");
        if let Err(why) = self.problem(schema, value, "") {
            panic!("{name}: {why}\n{value}");
        }
    }

    fn followed<'a>(&'a self, json: &'a Json) -> &'a Json {
        match json["$ref"].as_str() {
            Some(place) => self.0.pointer(&place[1..]).unwrap_or_else(|| panic!("{place} leads nowhere")),
            None => json,
        }
    }

    fn problem(&self, schema: &Json, value: &Json, at: &str) -> Result<(), String> {
        let words = self.followed(schema).as_object().expect("a schema is an object");
        for (word, told) in words {
            self.word(words, word, told, value, at)?;
        }
        Ok(())
    }

    fn word(
        &self,
        words: &Map<String, Json>,
        word: &str,
        told: &Json,
        value: &Json,
        at: &str,
    ) -> Result<(), String> {
        let holds = match word {
            "description" => true,
            "type" => match told {
                Json::String(name) => is_of(name, value),
                several => {
                    several.as_array().unwrap().iter().any(|name| is_of(name.as_str().unwrap(), value))
                }
            },
            "enum" => told.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= told.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= told.as_f64().unwrap()),
            "pattern" => value.as_str().is_some_and(|text| matches(told.as_str().unwrap(), text)),
            "required" => {
                told.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "oneOf" => {
                let fits = told.as_array().unwrap().iter().filter(|one| self.problem(one, value, at).is_ok());
                fits.count() == 1
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                return items
                    .try_for_each(|(index, item)| self.problem(told, item, &format!("{at}/{index}")));
            }
            "properties" => {
                let is_there = |(name, schema)| Some((name, schema, value.get(name)?));
                let mut known = told.as_object().unwrap().iter().filter_map(is_there);
                let check = |(name, schema, value)| self.problem(schema, value, &format!("{at}/{name}"));
                return known.try_for_each(check);
            }
            "additionalProperties" => return self.others(words, told, value, at),
            other => panic!("the test does not know {other:?}"),
        };
        if holds { Ok(()) } else { Err(format!("{at}: {word} {told} does not hold")) }
    }

    fn others(&self, words: &Map<String, Json>, told: &Json, value: &Json, at: &str) -> Result<(), String> {
        let is_known = |name: &str| words.get("properties").is_some_and(|known| known.get(name).is_some());
        let mut others = value.as_object().into_iter().flatten().filter(|(name, _)| !is_known(name));
        let check = |(name, value): (&String, &Json)| match told {
            Json::Bool(false) => Err(format!("{at}/{name} is not in the document")),
            schema => self.problem(schema, value, &format!("{at}/{name}")),
        };
        others.try_for_each(check)
    }
}

fn is_of(name: &str, value: &Json) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the test does not know the type {other:?}"),
    }
}

/// The two patterns that there are.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9a-f]{16}$" => text.len() == 16 && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
        "^[^\n]+$" => !text.is_empty() && !text.contains('\n'),
        other => panic!("the test does not know the pattern {other:?}"),
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let document = Document(serde_json::from_str(include_str!("../../src/api/openapi.json")).unwrap());
    let health = serde_json::json!({ "status": "ok", "reachable": true, "age_seconds": 0.5, "keys": 1 });
    let schema = &document.0["components"]["schemas"]["Health"];
    assert_eq!(document.problem(schema, &health, ""), Ok(()));
    for (field, wrong) in [
        ("status", "fine".into()),
        ("reachable", Json::Null),
        ("age_seconds", (-1).into()),
        ("keys", 1.5.into()),
        ("more", 1.into()),
    ] {
        let mut health = health.clone();
        health[field] = wrong;
        assert!(document.problem(schema, &health, "").is_err(), "{field}");
    }
}
