//! Looks at an organization: what it is called, whether Leads may be made, and the mapped and required fields.

use super::{Compiled, VENDOR, config::Config, quoted};
use crate::{config::is_default, prelude::*};
use leadline_domain::schema::FieldChoice;

/// What every new Lead is given, mapped or not.
const OURS: [&str; 4] = ["LastName", "Company", "LeadSource", "Description"];

/// Whose a Lead is.
const OWNER: [&str; 1] = ["OwnerId"];

/// Those of the users and queues that a mapping names.
async fn owners(ready: &Compiled, ctx: &mut Conversation<'_>) -> Result<Vec<FieldChoice>> {
    let named = ready.mapping.targets().filter(|(_, target)| OWNER.contains(target));
    let named = named.flat_map(|(rule, _)| rule.fixed_values()).filter_map(Value::as_str);
    let ids: Vec<String> = named.map(|id| format!("'{}'", quoted(id))).collect();
    let mut owners = Vec::new();
    for (object, which) in [("User", "IsActive = true"), ("Group", "Type = 'Queue'")] {
        let soql = format!("SELECT Id, Name FROM {object} WHERE {which} AND Id IN ({})", ids.join(", "));
        if !ids.is_empty() {
            let found = VENDOR.json(ctx, ready.query(&soql)).await?;
            owners.extend(schema::choices(&found["records"], "Id", "Name"));
        }
    }
    // Salesforce answers with the long form of an id; who has the short one means the same.
    let short =
        owners.iter().filter_map(|one| Some((one.value.as_str()?.get(..15)?.to_owned(), one.label.clone())));
    let short: Vec<FieldChoice> = short.map(|(id, label)| FieldChoice { value: id.into(), label }).collect();
    owners.extend(short);
    Ok(owners)
}

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    if kind != ProbeKind::Mapping {
        let soql = "SELECT Name, IsSandbox FROM Organization LIMIT 1";
        ctx.found.account = match VENDOR.json(ctx, ready.query(soql)).await {
            Ok(records) => organization(&records),
            // Pushes do not need to know its name.
            Err(failure) if failure.class == FailureClass::Rejected => None,
            Err(failure) => return Err(failure),
        };
    }
    let lead = VENDOR.json(ctx, ready.object(Method::GET, &["Lead", "describe"])).await?;
    if lead["createable"] == false || lead["updateable"] == false {
        let error = "salesforce INSUFFICIENT_ACCESS this user may not create and edit Leads";
        return Err(Failure::new(FailureClass::Credentials, error));
    }
    ctx.found.targets = each(&lead["fields"]).filter_map(|one| field(one, ready.external())).collect();
    if schema::names_owner(&ready.mapping, &OWNER) {
        let users = owners(ready, ctx).await;
        ctx.found.findings.extend(schema::owned_by(&mut ctx.found.targets, &OWNER, users));
    }
    ctx.found.findings.extend(schema::findings(&ready.mapping, "field", &ctx.found.targets));
    let config = &ready.config;
    let named = [
        ("lead_source", "LeadSource", std::slice::from_ref(&config.lead_source)),
        ("reopen_status", "Status", config.reopen_status.as_slice()),
        ("closed_statuses", "Status", &config.closed_statuses.0),
    ];
    ctx.found.findings.extend(schema::unknown_choices(&ctx.found.targets, &named, is_default::<Config>));
    let rule = config.assignment_rule.as_ref().and_then(|rule| rule.0.to_str().ok());
    if let Some(rule) = rule.filter(|rule| rule.starts_with("01Q")) {
        // Salesforce answers with the long form of an id, whichever was asked for.
        let soql = format!("SELECT Id FROM AssignmentRule WHERE SobjectType = 'Lead' AND Id = '{rule}'");
        if VENDOR.listed(ctx, ready.query(&soql), "records").await.is_ok_and(|found| found.is_empty()) {
            ctx.found.findings.push(format!("assignment_rule: Leads have no rule {rule}"));
        }
    }
    ctx.found.findings.extend(ready.external().and_then(|external| external_finding(external, &lead)));
    if let Some(campaign) = &ready.config.campaign_id {
        let finding = campaign_finding(ready, &campaign.0, ctx).await;
        ctx.found.findings.extend(finding);
    }
    if ready.config.tasks == Flag::Yes {
        let task = VENDOR.json(ctx, ready.object(Method::GET, &["Task"])).await;
        if task.is_ok_and(|task| task["objectDescribe"]["createable"] == false) {
            let finding =
                "tasks: this user may not create Tasks, which keep the enquiries of people who have a Lead";
            ctx.found.findings.push(finding.to_owned());
        }
    }
    Ok(())
}

/// What is wrong with the campaign that Leads become members of.
async fn campaign_finding(ready: &Compiled, campaign: &str, ctx: &mut Conversation<'_>) -> Option<String> {
    let soql = format!("SELECT Label FROM CampaignMemberStatus WHERE CampaignId = '{}'", quoted(campaign));
    let statuses = match VENDOR.json(ctx, ready.query(&soql)).await {
        Ok(statuses) => schema::choices(&statuses["records"], "Label", "Label"),
        Err(failure) => return Some(format!("campaign_id: cannot be read: {}", failure.error)),
    };
    // Every campaign has two at least.
    if statuses.is_empty() {
        return Some(format!("campaign_id: there is no campaign {campaign} that this user may see"));
    }
    let wanted = ready.config.campaign_status.as_deref()?;
    let labels: Vec<&str> = statuses.iter().map(|status| status.label.as_str()).collect();
    let is_there = labels.iter().any(|label| label.eq_ignore_ascii_case(wanted));
    (!is_there).then(|| {
        format!("campaign_status: the campaign has no {wanted} among its own: {}", labels.join(", "))
    })
}

fn organization(found: &Value) -> Option<String> {
    let record = &found["records"][0];
    let name = record["Name"].as_str()?;
    Some(if record["IsSandbox"] == true { format!("{name} (sandbox)") } else { name.to_owned() })
}

fn field(field: &Value, external: Option<&str>) -> Option<TargetField> {
    let (name, kind) = (word(field, "name")?, word(field, "type").unwrap_or_default());
    let takes = match kind {
        "int" | "double" | "currency" | "percent" => Takes::Number,
        "boolean" => Takes::Truth,
        "date" => Takes::Date,
        "datetime" => Takes::Time,
        "picklist" if field["restrictedPicklist"] == true => Takes::Choice,
        "reference" => Takes::Nothing,
        _ => Takes::Text,
    };
    let is_fixed = field["createable"] == false || field["updateable"] == false;
    let target = TargetField::new(name, kind, takes)
        .labelled(word(field, "label"))
        .choosing(&field["picklistValues"], "value", "label")
        .fixed(is_fixed, "this user may not");
    let is_needed = field["nillable"] == false && field["defaultedOnCreate"] == false;
    Some(TargetField {
        is_ours: OURS.contains(&name) || external == Some(name),
        is_required: is_needed && field["createable"] == true && kind != "boolean",
        ..target
    })
}

/// What is wrong with the field that Leads are found by.
fn external_finding(external: &str, lead: &Value) -> Option<String> {
    let Some(field) = lead["fields"].as_array()?.iter().find(|field| field["name"] == external) else {
        return Some(format!("external_id_field: Lead has no field {external}"));
    };
    let is_marked = field["externalId"] != false;
    (!is_marked).then(|| format!("external_id_field: {external} is not marked as an external id"))
}
