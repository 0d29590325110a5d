//! What is written as YAML or TOML reads back as it was.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use proptest::prelude::*;
use waypost_template::{Context, Error, MemoryNames, Template};

/// What `source` makes of the key `/t`.
fn of_value(source: &str, value: String) -> Result<Vec<u8>, Error> {
    let names: MemoryNames = [("/t", value)].into_iter().collect();
    Ok(Template::parse("t", source.as_bytes())?.render(&Context::new(&names))?.bytes)
}

/// Values as JSON has them.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-1_000_000i64..1_000_000).prop_map(Into::into),
        (1i64..1_000_000).prop_map(|n| (n as f64 / 128.0).into()),
        "[a-z /.:#'\"\\\\{}\\[\\]&*!|>%@`~?,=\n\t-]{0,6}".prop_map(Into::into),
        "\\PC{0,3}".prop_map(Into::into),
        prop::sample::select(vec![
            "yes",
            "No",
            "null",
            "~",
            "1e3",
            "0x1f",
            "1:30",
            "2024-01-02",
            ".5",
            "-",
            "- a",
            "<<",
            "=",
            "\u{85}",
            "\u{7f}",
            "\u{feff}"
        ])
        .prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c: #-]{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn yaml_reads_back_as_it_was_written(value in json()) {
        let source = "{{$v := fromJson (getv `/t`)}}{{eq (toJson $v) (toJson (fromYaml (toYaml $v)))}}";
        let agrees = of_value(source, value.to_string()).unwrap();
        prop_assert_eq!(agrees, b"true");
    }

    #[test]
    fn toml_reads_back_as_it_was_written(value in json()) {
        let map = serde_json::json!({ "v": value });
        match of_value("{{toToml (fromJson (getv `/t`))}}", map.to_string()) {
            Ok(document) => {
                let read: toml::Table = toml::from_str(std::str::from_utf8(&document).unwrap()).unwrap();
                prop_assert_eq!(without_nothing(serde_json::to_value(read).unwrap()), without_nothing(map));
            }
            Err(error) => prop_assert!(error.message().contains("an element without a value"), "{}", error),
        }
    }
}

/// Without what TOML cannot say, and fractions that are none as whole numbers.
fn without_nothing(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let entries = map.into_iter().filter(|(_, value)| !value.is_null());
            entries
                .map(|(name, value)| (name, without_nothing(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        serde_json::Value::Array(list) => list.into_iter().map(without_nothing).collect(),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => (float as i64).into(),
            _ => number.into(),
        },
        other => other,
    }
}
