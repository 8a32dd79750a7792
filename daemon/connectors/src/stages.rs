//! Where new deals stand: a pipeline and a stage of it, which settings name as people read them, or by id.

use serde_json::Value;

use super::vendor::{id_of, word};
use leadline_domain::{
    nearest::unknown,
    outcome::{Failure, FailureClass},
};

/// What is wrong with the settings that say where deals stand, in a sentence.
#[derive(Debug)]
pub(super) struct StageProblem(pub(super) String);

impl StageProblem {
    /// What a push fails with that would make a deal there.
    pub(super) fn refused(self, vendor: &str) -> Failure {
        Failure::new(FailureClass::Rejected, format!("{vendor} {}; correct the setting", self.0))
    }
}

/// A pipeline with its stages, or a stage.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) stages: Vec<Self>,
}

impl Spot {
    /// As a vendor tells it, the name under this key.
    pub(super) fn of(told: &Value, name: &str, stages: Vec<Self>) -> Option<Self> {
        let name = word(told, name).unwrap_or_default().trim().to_owned();
        Some(Self { id: id_of(&told["id"])?, name, stages })
    }

    fn is(&self, wanted: &str) -> bool {
        let wanted = wanted.trim();
        self.id == wanted || self.name.to_lowercase() == wanted.to_lowercase()
    }
}

/// The pipeline and the stage that two settings name, each by its key.
pub(super) fn sought<'a>(
    pipelines: &'a [Spot],
    [pipeline_key, stage_key]: [&str; 2],
    [pipeline, stage]: [Option<&str>; 2],
) -> Result<(&'a Spot, Option<&'a Spot>), StageProblem> {
    let wrong = |key: &str, problem: String| Err(StageProblem(format!("{key}: {problem}")));
    let is_meant = |spot: &&Spot| pipeline.is_none_or(|name| spot.is(name));
    let within: Vec<&Spot> = pipelines.iter().filter(is_meant).collect();
    let Some(first) = within.first() else {
        let known = pipelines.iter().map(|spot| spot.name.as_str());
        return wrong(pipeline_key, unknown("pipeline", pipeline.unwrap_or_default(), known));
    };
    let Some(name) = stage else { return Ok((first, None)) };
    let stages = within.iter().flat_map(|spot| spot.stages.iter().map(|stage| (*spot, stage)));
    let found: Vec<(&Spot, &Spot)> = stages.clone().filter(|(_, stage)| stage.is(name)).collect();
    match found.as_slice() {
        [] => {
            let known = stages.map(|(_, stage)| stage.name.as_str());
            wrong(stage_key, unknown("stage", name, known))
        }
        [(pipeline, stage)] => Ok((pipeline, Some(stage))),
        many => {
            let of: Vec<&str> = many.iter().map(|(pipeline, _)| pipeline.name.as_str()).collect();
            wrong(stage_key, format!("{name} is in {}: set {pipeline_key} too", of.join(" and ")))
        }
    }
}
