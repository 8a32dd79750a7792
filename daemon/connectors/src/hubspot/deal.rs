//! The deal of a new lead: made once, and put where the settings say, as people read it. What sales makes of it then is
//! theirs: no push moves or changes it.

use super::{Compiled, NAME, VENDOR, plan::Plan, push::Thing};
use crate::prelude::*;
use crate::stages::{Spot, StageProblem, sought};

/// Under which it is kept that a lead's creation was to make a deal.
const DUE: &str = "_deal_due";
/// The property that says in which currency a deal's amount is.
pub(super) const CURRENCY: &str = "deal_currency_code";

/// The pipeline and the stage that new deals stand in, by name or id.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pipeline: Option<String>,
    pub(super) stage: Option<String>,
}

impl Place {
    /// Whether deals are made at all.
    pub(super) fn is_set(&self) -> bool {
        self.pipeline.is_some() || self.stage.is_some()
    }
}

/// What is in use of pipelines or stages, in the order in which people see it.
fn in_use(listed: &Value) -> Vec<&Value> {
    let mut used: Vec<&Value> = each(listed).filter(|one| one["archived"] != true).collect();
    used.sort_by_key(|one| one["displayOrder"].as_i64());
    used
}

fn spot(told: &Value) -> Option<Spot> {
    let stages = in_use(&told["stages"]).into_iter().filter_map(spot).collect();
    Spot::of(told, "label", stages)
}

/// The words in its description by which a lead's deal is found, whichever delivery made it. A uuid says the same in any case.
pub(super) fn of_lead(event: &Json) -> Option<String> {
    event.at("lead.uuid").map(|uuid| format!("of lead {}", crm::text(uuid).to_uppercase()))
}

impl Compiled {
    /// Where deals are to stand.
    pub(super) async fn sought(
        &self,
        ctx: &mut Conversation<'_>,
    ) -> Result<Result<[String; 2], StageProblem>> {
        let path = ["crm", "pipelines", &self.version, "deals"];
        let pipelines = VENDOR.listed(ctx, self.request(Method::GET, &path).long(), "results").await?;
        let pipelines: Vec<Spot> = in_use(&pipelines.into()).into_iter().filter_map(spot).collect();
        let wanted = [self.place.pipeline.as_deref(), self.place.stage.as_deref()];
        Ok(sought(&pipelines, ["deal_pipeline", "deal_stage"], wanted).and_then(|(pipeline, stage)| {
            let stage = stage.or(pipeline.stages.first());
            let none = || StageProblem(format!("deal_pipeline: {} has no stage", pipeline.name));
            let stage = stage.ok_or_else(none)?;
            Ok([pipeline.id.clone(), stage.id.clone()])
        }))
    }

    /// Keeps that a lead's creation is to make a deal: where it dies before, the update that takes its place makes it.
    pub(super) async fn owe_deal(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) {
        if push.event != EventKind::Updated && !plan.deal.is_null() && ctx.id(DUE).is_none() {
            ctx.keep(&[(DUE, push.id)]).await;
        }
    }

    /// The one deal of a lead, made with its creation; false if its contact is gone. Whatever becomes of it, it is not
    /// made again.
    pub(super) async fn deal(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        contact: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        if plan.deal.is_null() || !self.place.is_set() || ctx.id(DUE).is_none() {
            return Ok(true);
        }
        // Any delivery of the lead may have made it, also one that is dead.
        let same: Vec<String> = push.same.iter().cloned().chain(of_lead(&crm::event(push)?)).collect();
        let push = &Push { same: &same, ..*push };
        // Before the settings are asked, which may be other ones by now.
        if self.is_made(push, &Thing::deal(&plan.deal), contact, ctx).await? {
            return Ok(true);
        }
        let [pipeline, stage] = self.sought(ctx).await?.map_err(|wrong| wrong.refused(NAME))?;
        let mut properties = plan.deal.clone();
        properties["pipeline"] = json!(pipeline);
        properties["dealstage"] = json!(stage);
        match self.make(&Thing::deal(&properties), contact, ctx).await {
            Err(failure) if failure.error.contains(CURRENCY) && !properties[CURRENCY].is_null() => {
                // The account does without this currency: an amount alone would be taken for one in its own.
                let amount = format!("{} {}", plan.deal["amount"], plan.deal[CURRENCY]).replace('"', "");
                ctx.note(format!(
                    "the deal has no amount, as the account does not have its currency: {amount}"
                ));
                for property in ["amount", CURRENCY] {
                    properties.as_object_mut().and_then(|properties| properties.remove(property));
                }
                self.make(&Thing::deal(&properties), contact, ctx).await
            }
            made => made,
        }
    }
}
