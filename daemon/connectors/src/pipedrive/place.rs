//! Where new deals stand: the pipeline and the stage that the settings name, as people read them.

use serde_json::Value;

use super::{NAME, Ready, VENDOR, config::Config};
use crate::{
    Conversation, Result,
    vendor::{id_of, word},
};
use leadline_domain::{
    json::Json,
    nearest::unknown,
    outcome::{Failure, FailureClass},
};

/// The numbers of a pipeline and a stage; a stage decides the pipeline, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pipeline: Option<i64>,
    stage: Option<i64>,
}

impl Place {
    /// Puts a new deal there.
    pub(super) fn put(self, deal: &mut Json) {
        if let Some(stage) = self.stage {
            deal.set_at("stage_id", Json::integer(stage.into()));
        } else if let Some(pipeline) = self.pipeline {
            deal.set_at("pipeline_id", Json::integer(pipeline.into()));
        }
    }

    /// The place that the settings name, among these; else what is wrong with them, in a sentence.
    fn of(config: &Config, pipelines: &Value, stages: &Value) -> Result<Self, String> {
        let mut place =
            Self { pipeline: config.pipeline_id.map(|id| id.0), stage: config.stage_id.map(|id| id.0) };
        if let Some(name) = &config.pipeline {
            let found = named(pipelines, name).next();
            let missing = || format!("pipeline: {}", unknown("pipeline", name, names(pipelines)));
            place.pipeline = Some(found.and_then(|one| one["id"].as_i64()).ok_or_else(missing)?);
        }
        let Some(name) = &config.stage else { return Ok(place) };
        let is_within = |stage: &&Value| place.pipeline.is_none_or(|own| stage["pipeline_id"] == own);
        let found: Vec<&Value> = named(stages, name).filter(is_within).collect();
        place.stage = match found.as_slice() {
            [] => return Err(format!("stage: {}", unknown("stage", name, names(stages)))),
            [one] => one["id"].as_i64(),
            many => {
                let of = |stage: &&Value| {
                    let id = id_of(&stage["pipeline_id"]);
                    let all = pipelines.as_array().into_iter().flatten();
                    let own = all.into_iter().find(|one| id_of(&one["id"]) == id)?;
                    word(own, "name").map(str::to_owned)
                };
                let pipelines: Vec<String> = many.iter().filter_map(of).collect();
                return Err(format!("stage: {name} is in {}: set pipeline too", pipelines.join(" and ")));
            }
        };
        Ok(place)
    }
}

impl Ready {
    /// Where a new deal is put. What is named by numbers is not looked for.
    pub(super) async fn place(&self, ctx: &mut Conversation<'_>) -> Result<Place> {
        self.sought(ctx).await?.map_err(|wrong| {
            Failure::new(FailureClass::Rejected, format!("{NAME} {wrong}; correct the setting"))
        })
    }

    /// What is wrong with the names, in a sentence.
    pub(super) async fn misplaced(&self, ctx: &mut Conversation<'_>) -> Result<Option<String>> {
        Ok(self.sought(ctx).await?.err())
    }

    async fn sought(&self, ctx: &mut Conversation<'_>) -> Result<Result<Place, String>> {
        let (mut pipelines, mut stages) = (Value::Null, Value::Null);
        if self.config.pipeline.is_some() || self.config.stage.is_some() {
            pipelines = self.all("pipelines", ctx).await?;
        }
        if self.config.stage.is_some() {
            stages = self.all("stages", ctx).await?;
        }
        Ok(Place::of(&self.config, &pipelines, &stages))
    }

    /// Every pipeline, stage or field.
    pub(super) async fn all(&self, what: &str, ctx: &mut Conversation<'_>) -> Result<Value> {
        let page = |cursor: Option<&str>| {
            let cursor = cursor.map(|cursor| ("cursor", cursor));
            let query: Vec<(&str, &str)> = [("limit", "500")].into_iter().chain(cursor).collect();
            self.get(&["api", "v2", what], &query)
        };
        let next = |answer: &Value| word(&answer["additional_data"], "next_cursor").map(str::to_owned);
        VENDOR.list(ctx, "data", page, next).await
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|one| word(one, "name"))
}

fn named<'a>(list: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let wanted = name.trim().to_lowercase();
    let all = list.as_array().into_iter().flatten();
    all.filter(move |one| word(one, "name").is_some_and(|own| own.trim().to_lowercase() == wanted))
}
