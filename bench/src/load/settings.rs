//! The numbers on the command line.

use std::collections::HashMap;

use crate::Outcome;

/// Numbers by their names.
#[derive(Debug)]
pub(crate) struct Settings(HashMap<String, usize>);

impl Settings {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Outcome<Settings> {
        let number = |arg: String| -> Outcome<(String, usize)> {
            let (name, number) = arg.split_once('=').ok_or_else(|| format!("{arg} is not NAME=NUMBER"))?;
            Ok((name.to_owned(), number.parse().map_err(|why| format!("{arg}: {why}"))?))
        };
        Ok(Settings(args.map(number).collect::<Outcome<_>>()?))
    }

    pub(crate) fn get(&self, name: &str) -> Outcome<usize> {
        self.find(name).ok_or_else(|| format!("{name}= is missing").into())
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }
}
