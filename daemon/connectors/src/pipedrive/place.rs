//! Where new deals stand: the pipeline and the stage that the settings name, as people read them.

use super::{Compiled, NAME, VENDOR, requests::number};
use crate::prelude::*;
use crate::stages::{Spot, StageProblem, sought};

/// The numbers of a pipeline and a stage; a stage decides the pipeline, too.
#[derive(Debug, Default)]
pub(super) struct Place {
    pipeline: Option<String>,
    stage: Option<String>,
}

impl Place {
    /// Puts a new deal there.
    pub(super) fn put(&self, deal: &mut Json) {
        if let Some(stage) = &self.stage {
            deal.set_at("stage_id", number(stage));
        } else if let Some(pipeline) = &self.pipeline {
            deal.set_at("pipeline_id", number(pipeline));
        }
    }
}

impl Compiled {
    /// Where a new deal is put. What is named by numbers is not looked for.
    pub(super) async fn place(&self, ctx: &mut Conversation<'_>) -> Result<Place> {
        self.sought(ctx).await?.map_err(|wrong| wrong.refused(NAME))
    }

    /// Where the names lead.
    pub(super) async fn sought(&self, ctx: &mut Conversation<'_>) -> Result<Result<Place, StageProblem>> {
        let config = &self.config;
        let [pipeline, stage] = [config.pipeline_id, config.stage_id].map(|id| Some(id?.0.to_string()));
        if config.pipeline.is_none() && config.stage.is_none() {
            return Ok(Ok(Place { pipeline, stage }));
        }
        let pipelines = self.all("pipelines", ctx).await?;
        let stages = if config.stage.is_some() { self.all("stages", ctx).await? } else { Value::Null };
        let spot = |one: &Value| {
            let own = each(&stages).filter(|stage| stage["pipeline_id"] == one["id"]);
            Spot::of(one, "name", own.filter_map(|stage| Spot::of(stage, "name", Vec::new())).collect())
        };
        let pipelines: Vec<Spot> = each(&pipelines).filter_map(spot).collect();
        let wanted = [config.pipeline.as_deref().or(pipeline.as_deref()), config.stage.as_deref()];
        let found = sought(&pipelines, ["pipeline", "stage"], wanted);
        Ok(found.map(|(pipeline, own)| Place {
            pipeline: Some(pipeline.id.clone()),
            stage: own.map(|stage| stage.id.clone()).or(stage),
        }))
    }

    /// Every pipeline, stage or field.
    pub(super) async fn all(&self, what: &str, ctx: &mut Conversation<'_>) -> Result<Value> {
        let page = |cursor: Option<&str>| {
            let cursor = cursor.map(|cursor| ("cursor", cursor));
            let query: Vec<(&str, &str)> = [("limit", "500")].into_iter().chain(cursor).collect();
            self.get(&["api", "v2", what], &query).long()
        };
        let next = |answer: &Value| word(&answer["additional_data"], "next_cursor").map(str::to_owned);
        VENDOR.list(ctx, "data", page, next).await
    }
}
