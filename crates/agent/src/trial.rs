//! A trial: a render that goes nowhere, and is checked for its format.

use waypost_backend::View;
use waypost_model::{InvalidInstance, Key};
use waypost_template::Reads;

use crate::source::Source;
use crate::{Failure, Resource, Step};

/// How a trial ended.
#[derive(Debug)]
pub struct Trial {
    /// Why there is no output, or none of the right format.
    pub failure: Option<Failure>,
    /// What a template looked at; none if there was none to render.
    pub reads: Option<Reads>,
    /// The keys whose values are no instances, each with the reason.
    pub refused: Vec<(Key, InvalidInstance)>,
}

/// Renders `resource` from `view`, and neither compares nor writes anything.
pub fn trial(resource: &Resource, view: &View) -> Trial {
    match Source::default().render(resource, view) {
        Ok(made) => {
            let objection = resource.format.and_then(|format| format.objection(&made.bytes));
            let failure = objection.map(|objection| Failure::new(Step::Format, objection));
            Trial { failure, reads: Some(made.reads), refused: made.refused }
        }
        Err(unrendered) => {
            Trial { failure: Some(unrendered.failure), reads: unrendered.reads, refused: Vec::new() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Format;
    use crate::resource::tests::resource;

    #[test]
    fn a_trial_writes_nothing_and_checks_the_format() {
        let directory = tempfile::tempdir().unwrap();
        let mut resource = resource(directory.path());
        let view = View::empty(waypost_model::Position::fixed());
        let template = resource.content.template().unwrap();
        fs::write(&template.file, "{{range gets \"/web/*\"}}{{end}}[1").unwrap();
        let tried = trial(&resource, &view);
        assert!(tried.failure.is_none() && tried.reads.is_some_and(|reads| reads.touched_by(b"/web/1")));
        resource.format = Some(Format::Json);
        let tried = trial(&resource, &view);
        assert_eq!(tried.failure.map(|failure| failure.step), Some(Step::Format));
        assert!(!resource.destination.exists());
    }
}
