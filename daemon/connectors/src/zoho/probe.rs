//! Looks at an organization: what it is called, and the mapped and required fields of its Leads.

use serde_json::Value;

use super::{Ready, VENDOR, config::NAMES};
use crate::{
    Conversation, Found, crm,
    field_kind::{EVENT_TYPES, Kind, kind_brought},
    vendor::word,
};
use leadline_domain::{
    integration::ProbeKind,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// What every new Lead is given, mapped or not.
const OURS: [&str; 2] = [NAMES.last, "Lead_Source"];

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    if kind != ProbeKind::Mapping {
        found.account = match VENDOR.json(ctx, ready.get(&["org"], &[])).await {
            Ok(org) => word(&org["org"][0], "company_name").map(str::to_owned),
            // Pushes do not need to know its name, and a token may do without that scope.
            Err(failure) if failure.error.contains("OAUTH_SCOPE_MISMATCH") => None,
            Err(failure) => return Err(failure),
        };
    }
    let schema = VENDOR.json(ctx, ready.get(&["settings", "fields"], &[("module", "Leads")])).await;
    match schema {
        Ok(schema) => found.findings = findings(&ready.mapping, &schema["fields"]),
        Err(failure) if failure.class == FailureClass::Credentials && kind != ProbeKind::Mapping => {
            found.findings = vec![format!("the mapping was not checked: {}", failure.error)];
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn findings(mapping: &Mapping, fields: &Value) -> Vec<String> {
    let fields: Vec<&Value> = fields.as_array().into_iter().flatten().collect();
    let named = |name: &str| fields.iter().copied().find(|field| word(field, "api_name") == Some(name));
    let names: Vec<String> =
        fields.iter().filter_map(|field| word(field, "api_name").map(str::to_owned)).collect();
    let mut findings = crm::unknown_targets(mapping, "field", &names);
    for rule in mapping.rules() {
        let Some((target, field)) = rule.to.as_deref().and_then(|target| Some((target, named(target)?)))
        else {
            continue;
        };
        if field["read_only"] == true || field["field_read_only"] == true {
            findings.push(format!("{}: this user may not write {target}", rule.field));
        } else if let Some(kind) = kind_brought(rule) {
            findings.extend(mismatch(&rule.field, kind, target, field));
        }
    }
    let is_given = |name: &str| {
        OURS.contains(&name) || mapping.rules().iter().any(|rule| rule.to.as_deref() == Some(name))
    };
    for field in fields.iter().filter(|field| field["system_mandatory"] == true) {
        if let Some(name) = word(field, "api_name").filter(|name| !is_given(name)) {
            findings.push(format!("{name} is required for Leads, and nothing is mapped to it"));
        }
    }
    findings
}

fn mismatch(field: &str, kind: Kind, target: &str, schema: &Value) -> Option<String> {
    let wanted = word(schema, "data_type").unwrap_or_default();
    if wanted == "picklist" && field == "lead.event_type" {
        let values: Vec<&str> = schema["pick_list_values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| word(value, "actual_value"))
            .collect();
        let missing: Vec<&str> = EVENT_TYPES.into_iter().filter(|kind| !values.contains(kind)).collect();
        return (!missing.is_empty())
            .then(|| format!("{field}: {target} has no option {}", missing.join(", ")));
    }
    let fits = match wanted {
        "integer" | "bigint" | "double" | "currency" => kind == Kind::Number,
        "boolean" => kind == Kind::Truth,
        "date" => kind == Kind::Date,
        "datetime" => kind == Kind::Time,
        "lookup" | "ownerlookup" | "multiselectpicklist" | "subform" => false,
        // Text is taken from text alone: a number as JSON is refused.
        _ => !matches!(kind, Kind::Number | Kind::Truth | Kind::Whole),
    };
    (!fits).then(|| format!("{field}: {target} holds a {wanted}, and this is {kind}"))
}
