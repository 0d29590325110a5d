//! What is said where: the command line, `confd.toml` and the environment, and which of them counts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Generation;
use super::flags::FLAGS;
use crate::duration::{duration, seconds};

/// A text, and where it is from, for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: String,
}

/// What one place says, by the names of flags. A flag that can be repeated has several values.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(BTreeMap<&'static str, Vec<Value>>);

impl Layer {
    pub(super) fn new(given: BTreeMap<&'static str, Vec<Value>>) -> Layer {
        Layer(given)
    }

    pub(super) fn all(&self, name: &str) -> &[Value] {
        self.0.get(name).map_or(&[], |values| values)
    }

    /// The variables that confd reads: the new generation has one for each flag, the old one three.
    pub(super) fn environment(generation: Generation, variable: impl Fn(&str) -> Option<String>) -> Layer {
        let mut given = BTreeMap::new();
        let mut put = |name: &'static str, origin: String, texts: Vec<String>| {
            let value = |text| Value { text, origin: origin.clone() };
            if !texts.is_empty() {
                given.insert(name, texts.into_iter().map(value).collect());
            }
        };
        let read = |name: &str| variable(name).filter(|text| !text.is_empty());
        if let Some(peers) = read("ETCDCTL_PEERS").filter(|_| generation == Generation::Old) {
            let peers = peers.split(',').map(|peer| peer.trim().to_owned()).collect();
            put("node", "ETCDCTL_PEERS".to_owned(), peers);
        }
        let old = [
            ("client-ca-keys", "CONFD_CLIENT_CAKEYS"),
            ("client-cert", "CONFD_CLIENT_CERT"),
            ("client-key", "CONFD_CLIENT_KEY"),
        ];
        for (name, variable) in old {
            put(name, variable.to_owned(), read(variable).into_iter().collect());
        }
        if generation == Generation::New {
            for flag in FLAGS {
                let variable = flag.variable();
                let Some(text) = read(&variable) else { continue };
                let is_list = matches!(flag.takes, super::flags::Takes::Many(_));
                let texts = if is_list { text.split(',').map(str::to_owned).collect() } else { vec![text] };
                put(flag.name, variable, texts);
            }
            if let Some(token) = read("VAULT_TOKEN") {
                put("auth-token", "VAULT_TOKEN".to_owned(), vec![token]);
            }
        }
        Layer(given)
    }
}

/// All that is said; the first layer that says something about a flag counts.
#[derive(Debug)]
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// With the old generation the file counts before the command line: it parses its flags first and decodes
    /// the file over them, whatever its documentation says.
    pub(super) fn new(generation: Generation, words: Layer, file: Layer, environment: Layer) -> Layers {
        Layers(match generation {
            Generation::Old => vec![file, words, environment],
            Generation::New => vec![words, environment, file],
        })
    }

    pub(super) fn all(&self, name: &str) -> &[Value] {
        debug_assert!(super::flags::find(name).is_some(), "there is no flag {name}");
        let given = self.0.iter().map(|layer| layer.all(name));
        given.into_iter().find(|values| !values.is_empty()).unwrap_or_default()
    }

    /// Every flag that something is said about, with what counts.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &[Value])> {
        FLAGS.iter().map(|flag| (flag.name, self.all(flag.name))).filter(|(_, values)| !values.is_empty())
    }

    /// Flags that two places say something different about, and who is not heard.
    pub(super) fn overruled(&self) -> impl Iterator<Item = (&Value, &Value)> {
        FLAGS.iter().filter_map(|flag| {
            let mut given =
                self.0.iter().map(|layer| layer.all(flag.name)).filter(|values| !values.is_empty());
            let (heard, other) = (given.next()?, given.next()?);
            let texts = |values: &[Value]| values.iter().map(|value| value.text.clone()).collect::<Vec<_>>();
            (texts(heard) != texts(other)).then(|| (&heard[0], &other[0]))
        })
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).map(|value| &*value.text)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.all(name).last().filter(|value| !value.text.is_empty())
    }

    /// A switch, as Go's `strconv.ParseBool` reads it; off unless it is given.
    pub(super) fn switch(&self, name: &str) -> Result<bool, String> {
        Ok(self.switch_if_given(name)?.unwrap_or_default())
    }

    pub(super) fn switch_if_given(&self, name: &str) -> Result<Option<bool>, String> {
        self.read(name, |text| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<Duration>, String> {
        self.read(name, duration)
    }

    /// Whole seconds, or a time.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<Duration>, String> {
        self.read(name, seconds)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, String> {
        self.read(name, |text| text.parse().map_err(|_| "must be a whole number".to_owned()))
    }

    fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let value = self.value(name);
        value.map(|value| parse(&value.text).map_err(|why| format!("{}: {why}", value.origin))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: &str, given: &[(&'static str, &str)]) -> Layer {
        let value = |text: &str| vec![Value { text: text.to_owned(), origin: origin.to_owned() }];
        Layer(given.iter().map(|(name, text)| (*name, value(text))).collect())
    }

    fn layers(generation: Generation) -> Layers {
        let words = layer("--flag", &[("interval", "1"), ("prefix", "w")]);
        let file = layer("confd.toml", &[("interval", "2"), ("confdir", "f"), ("prefix", "w")]);
        let environment = layer("CONFD", &[("interval", "3"), ("confdir", "e"), ("path", "e")]);
        Layers::new(generation, words, file, environment)
    }

    #[test]
    fn the_old_ones_file_wins_over_flags_and_the_new_ones_flags_over_all() {
        let old = layers(Generation::Old);
        assert_eq!(
            (old.text("interval"), old.text("confdir"), old.text("path")),
            (Some("2"), Some("f"), Some("e"))
        );
        let new = layers(Generation::New);
        assert_eq!(
            (new.text("interval"), new.text("confdir"), new.text("path")),
            (Some("1"), Some("e"), Some("e"))
        );
    }

    #[test]
    fn who_is_not_heard_is_told_unless_both_say_the_same() {
        let old = layers(Generation::Old);
        let told: Vec<_> = old.overruled().map(|(heard, other)| (&*heard.origin, &*other.origin)).collect();
        assert_eq!(told, [("confd.toml", "CONFD"), ("confd.toml", "--flag")]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_where_it_is_from() {
        let file = layer(
            "/etc/confd/confd.toml:3:8",
            &[("watch", "yes"), ("debounce", "2"), ("diff-context", "-1")],
        );
        let layers = Layers::new(Generation::New, Layer::default(), file, Layer::default());
        assert_eq!(layers.switch("watch").unwrap_err(), "/etc/confd/confd.toml:3:8: must be true or false");
        assert!(layers.time("debounce").is_err() && layers.number("diff-context").is_err());
        assert_eq!(layers.switch("noop"), Ok(false));
    }

    #[test]
    fn each_generation_reads_its_variables() {
        let variable = |name: &str| match name {
            "ETCDCTL_PEERS" => Some("http://a:1, http://b:1".to_owned()),
            "CONFD_CLIENT_CERT" => Some("c".to_owned()),
            "CONFD_INTERVAL" => Some("5".to_owned()),
            "CONFD_PREFIX" => Some(String::new()),
            _ => None,
        };
        let names = |layer: Layer| layer.0.keys().copied().collect::<Vec<_>>();
        assert_eq!(names(Layer::environment(Generation::Old, variable)), ["client-cert", "node"]);
        assert_eq!(names(Layer::environment(Generation::New, variable)), ["client-cert", "interval"]);
        assert_eq!(Layer::environment(Generation::Old, variable).all("node").len(), 2);
    }
}
