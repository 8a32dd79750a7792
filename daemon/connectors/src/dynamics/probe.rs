//! Looks at an environment: what its organization is called, and the mapped and required columns of its leads.

use super::{
    Compiled, VENDOR,
    config::{Config, NAMES},
};
use crate::{config::is_default, prelude::*};
use leadline_domain::schema::FieldChoice;

/// Where the columns of leads are told.
const COLUMNS: &str = "EntityDefinitions(LogicalName='lead')/Attributes";

/// What every new lead is given, mapped or not.
const OURS: [&str; 3] = [NAMES.last, "subject", "leadsourcecode"];

/// Whose a lead is, by the user's id.
const OWNER: [&str; 1] = [NAMES.owner.0];

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    if kind != ProbeKind::Mapping {
        let organizations = VENDOR.json(ctx, ready.query("organizations", &[("$select", "name")])).await?;
        ctx.found.account = word(&organizations["value"][0], "name").map(str::to_owned);
    }
    let wanted = "LogicalName,DisplayName,AttributeType,IsValidForCreate,IsValidForUpdate,RequiredLevel";
    let schema = VENDOR.json(ctx, ready.query(COLUMNS, &[("$select", wanted)])).await?;
    // Pushes do without the choices, and a user may see columns alone.
    let path = format!("{COLUMNS}/Microsoft.Dynamics.CRM.PicklistAttributeMetadata");
    let sets = "OptionSet($select=Options),GlobalOptionSet($select=Options)";
    let look = ready.query(&path, &[("$select", "LogicalName"), ("$expand", sets)]).long();
    let choices = VENDOR.listed(ctx, look, "value").await.unwrap_or_default();
    let key = ready.settings.alternate_key.as_ref().map(|key| key.0.as_str());
    ctx.found.targets = each(&schema["value"]).filter_map(|one| column(one, key, &choices)).collect();
    if schema::names_owner(&ready.mapping, &OWNER) {
        let active = [("$select", "systemuserid,fullname"), ("$filter", "isdisabled eq false")];
        let page = |rest: Option<&str>| match rest {
            Some(rest) => ready.rest_of("systemusers", rest),
            None => ready.query("systemusers", &active),
        };
        let users = VENDOR.list(ctx, "value", page, rest_of).await;
        let users = users.map(|users| schema::choices(&users, "systemuserid", "fullname"));
        ctx.found.findings.extend(schema::owned_by(&mut ctx.found.targets, &OWNER, users));
    }
    ctx.found.findings.extend(schema::findings(&ready.mapping, "column", &ctx.found.targets));
    if let Some(key) = key.filter(|key| !ctx.found.targets.iter().any(|target| target.name == *key)) {
        ctx.found.findings.push(format!("alternate_key: leads have no column {key}"));
    }
    let source = [ready.settings.lead_source.0.to_string()];
    let named = [("lead_source", "leadsourcecode", &source[..])];
    ctx.found.findings.extend(schema::unknown_choices(&ctx.found.targets, &named, is_default::<Config>));
    if let Some(campaign) = &ready.settings.campaign_id {
        let look = ready.query(&format!("campaigns({})", campaign.0), &[("$select", "name")]);
        VENDOR.named(ctx, ProbeKind::Mapping, "campaign_id", look).await?;
    }
    Ok(())
}

/// The query of the page that follows, out of the link to it: calls go where the settings say, never where an answer does.
fn rest_of(answer: &Value) -> Option<String> {
    let (_, query) = word(answer, "@odata.nextLink")?.split_once('?')?;
    Some(query.to_owned())
}

/// What a choice column offers, of its own or together with other columns: numbers, each with what people read.
fn options(column: &Value) -> Vec<FieldChoice> {
    let sets = ["OptionSet", "GlobalOptionSet"].into_iter().flat_map(|set| each(&column[set]["Options"]));
    let label = |option: &Value| word(&option["Label"]["UserLocalizedLabel"], "Label").map(str::to_owned);
    let choice = |option: &Value| {
        let value = Some(&option["Value"]).filter(|value| value.is_number())?.clone();
        Some(FieldChoice { label: label(option).unwrap_or_else(|| value.to_string()), value })
    };
    sets.filter_map(choice).collect()
}

fn column(column: &Value, key: Option<&str>, choices: &[Value]) -> Option<TargetField> {
    let (name, kind) = (word(column, "LogicalName")?, word(column, "AttributeType").unwrap_or_default());
    let choices = choices.iter().find(|one| one["LogicalName"] == name).map(options).unwrap_or_default();
    let takes = match kind {
        "Picklist" if !choices.is_empty() => Takes::Choice,
        "Integer" | "BigInt" | "Decimal" | "Double" | "Money" => Takes::Number,
        "Boolean" => Takes::Truth,
        "DateTime" => Takes::Day,
        // They take references, or numbers that are told nowhere here.
        "Picklist" | "State" | "Status" | "Lookup" | "Owner" | "Customer" | "Virtual" => Takes::Nothing,
        _ => Takes::Text,
    };
    let may = |right: &str| column[right] != false;
    let target = TargetField::new(name, kind, takes)
        .labelled(word(&column["DisplayName"]["UserLocalizedLabel"], "Label"))
        .fixed(!may("IsValidForCreate") || !may("IsValidForUpdate"), "Dynamics sets it by itself");
    Some(TargetField {
        is_ours: OURS.contains(&name) || key == Some(name),
        choices,
        is_required: column["RequiredLevel"]["Value"] == "ApplicationRequired" && may("IsValidForCreate"),
        ..target
    })
}
