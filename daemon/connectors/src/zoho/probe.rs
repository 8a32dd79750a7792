//! Looks at an organization: what it is called, and the mapped and required fields of its Leads.

use super::{
    Compiled, VENDOR,
    config::{Config, NAMES},
};
use crate::{config::is_default, prelude::*};

/// What every new Lead is given, mapped or not.
const OURS: [&str; 2] = [NAMES.last, "Lead_Source"];

/// Whose a Lead is, by the user's id.
const OWNER: [&str; 1] = [NAMES.owner.0];

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    if kind != ProbeKind::Mapping {
        ctx.found.account = match VENDOR.json(ctx, ready.get(&["org"], &[])).await {
            Ok(org) => word(&org["org"][0], "company_name").map(str::to_owned),
            // Pushes do not need to know its name, and a token may do without that scope.
            Err(failure) if failure.error.contains(super::error::NO_SCOPE) => None,
            Err(failure) => return Err(failure),
        };
        // Each push begins so.
        ready.search("nobody@example.com", ctx).await?;
    }
    if !ready.settings.tags.0.is_empty()
        && let Err(failure) = VENDOR.json(ctx, ready.get(&["settings", "tags"], &[("module", "Leads")])).await
    {
        let finding = format!("tags: they take the scope ZohoCRM.settings.tags.ALL: {}", failure.error);
        ctx.found.findings.push(finding);
    }
    if let Some(rule) = &ready.settings.assignment_rule {
        let path = ["settings", "automation", "assignment_rules"];
        let rules = VENDOR.listed(ctx, ready.get(&path, &[("module", "Leads")]), "assignment_rules").await;
        if rules.is_ok_and(|rules| !rules.iter().any(|one| one["id"] == rule.0)) {
            ctx.found.findings.push(format!("assignment_rule: Leads have no rule {}", rule.0));
        }
    }
    let schema = VENDOR.json(ctx, ready.get(&["settings", "fields"], &[("module", "Leads")])).await;
    match schema {
        Ok(schema) => {
            ctx.found.targets = schema["fields"].as_array().into_iter().flatten().filter_map(field).collect();
            if schema::names_owner(&ready.mapping, &OWNER) {
                let page = |page: Option<&str>| {
                    let page = page.unwrap_or("1");
                    ready.get(&["users"], &[("type", "ActiveUsers"), ("per_page", "200"), ("page", page)])
                };
                let users = VENDOR.list(ctx, "users", page, next_page).await;
                let users = users.map(|users| schema::choices(&users, "id", "full_name"));
                ctx.found.findings.extend(schema::owned_by(&mut ctx.found.targets, &OWNER, users));
            }
            ctx.found.findings.extend(schema::findings(&ready.mapping, "field", &ctx.found.targets));
            let config = &ready.settings;
            let named = [
                ("lead_source", "Lead_Source", std::slice::from_ref(&config.lead_source)),
                ("reopen_status", "Lead_Status", config.reopen_status.as_slice()),
                ("closed_statuses", "Lead_Status", &config.closed_statuses.0),
            ];
            let targets = &ctx.found.targets;
            ctx.found.findings.extend(schema::unknown_choices(targets, &named, is_default::<Config>));
        }
        Err(failure) if failure.class == FailureClass::Credentials && kind != ProbeKind::Mapping => {
            ctx.found.findings.push(format!("the mapping was not checked: {}", failure.error));
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn next_page(answer: &Value) -> Option<String> {
    let info = &answer["info"];
    let page = info["page"].as_u64().filter(|_| info["more_records"] == true)?;
    Some(page.saturating_add(1).to_string())
}

fn field(field: &Value) -> Option<TargetField> {
    let (name, kind) = (word(field, "api_name")?, word(field, "data_type").unwrap_or_default());
    let takes = match kind {
        "integer" | "bigint" | "double" | "currency" => Takes::Number,
        "boolean" => Takes::Truth,
        "date" => Takes::Date,
        "datetime" => Takes::Time,
        "picklist" => Takes::Choice,
        "lookup" | "ownerlookup" | "multiselectpicklist" | "subform" => Takes::Nothing,
        _ => Takes::Text,
    };
    let may = |operation: &str| field["operation_type"][operation] != false;
    let is_fixed = field["read_only"] == true || field["field_read_only"] == true;
    let target = TargetField::new(name, kind, takes)
        .labelled(word(field, "field_label"))
        .choosing(&field["pick_list_values"], "actual_value", "display_value")
        .fixed(
            is_fixed || !may("api_create") || !may("api_update"),
            "Zoho takes no value for it from this user",
        );
    Some(TargetField {
        is_ours: OURS.contains(&name),
        is_required: field["system_mandatory"] == true,
        ..target
    })
}
