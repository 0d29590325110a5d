//! Remarks: what there is to say of one resource, and to which generation it applies.

use std::fmt;

use super::Generation;

/// What a remark means for the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It does not work.
    Fault,
    /// It does not work if the render gets there.
    Perhaps,
    /// It works, and not as in that confd.
    Differs,
    /// It is as in that confd, and worth knowing.
    Note,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) class: Class,
    pub(super) text: String,
    /// Of which generations it is true.
    pub(super) of: Vec<Generation>,
}

/// All remarks on a resource, the gravest first.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

impl Remarks {
    pub(super) fn add(&mut self, class: Class, generation: Generation, text: impl Into<String>) {
        let text = text.into();
        match self.0.iter_mut().find(|known| known.class == class && known.text == text) {
            Some(known) if known.of.contains(&generation) => {}
            Some(known) => known.of.push(generation),
            None => self.0.push(Remark { class, text, of: vec![generation] }),
        }
        self.0.sort_by_key(|remark| remark.class);
    }

    /// How the resource fares with `generation`.
    pub(super) fn verdict(&self, generation: Generation) -> &'static str {
        let of = self.0.iter().filter(|remark| remark.of.contains(&generation));
        match of.map(|remark| remark.class).min() {
            Some(Class::Fault) => "does not work",
            Some(Class::Perhaps) => "may not work",
            Some(Class::Differs) => "works, and not quite as it did",
            Some(Class::Note) | None => "works unchanged",
        }
    }

    pub(super) fn works(&self, generation: Generation) -> bool {
        !self.0.iter().any(|remark| remark.class <= Class::Perhaps && remark.of.contains(&generation))
    }

    /// The verdicts, then the remarks; what is not true of all `generations` names those that it is true of.
    pub(super) fn show(&self, generations: &[Generation], f: &mut dyn fmt::Write) -> fmt::Result {
        let verdicts: Vec<_> = generations.iter().map(|generation| self.verdict(*generation)).collect();
        if verdicts.iter().all(|verdict| *verdict == verdicts[0]) {
            writeln!(f, "    {}", verdicts[0])?;
        } else {
            for (generation, verdict) in generations.iter().zip(verdicts) {
                writeln!(f, "    {generation}: {verdict}")?;
            }
        }
        for Remark { text, of, .. } in &self.0 {
            let label = if of.len() == generations.len() { String::new() } else { format!("{}: ", of[0]) };
            writeln!(f, "    - {label}{text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_one_generation_names_it() {
        let (old, new) = (Generation::Old, Generation::New);
        let mut remarks = Remarks::default();
        remarks.add(Class::Note, old, "both");
        remarks.add(Class::Note, new, "both");
        remarks.add(Class::Fault, old, "one");
        let mut shown = String::new();
        remarks.show(&[old, new], &mut shown).unwrap();
        let wanted = "    0.16: does not work\n    0.41: works unchanged\n    - 0.16: one\n    - both\n";
        assert_eq!(shown, wanted);
        assert!(!remarks.works(old) && remarks.works(new));
    }
}
