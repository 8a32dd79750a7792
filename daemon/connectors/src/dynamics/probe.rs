//! Looks at an environment: what its organization is called, and the mapped and required columns of its leads.

use serde_json::Value;

use super::{Ready, VENDOR, config::NAMES};
use crate::{
    Conversation, Found, crm,
    field_kind::{Kind, kind_brought},
    vendor::word,
};
use leadline_domain::{integration::ProbeKind, mapping::Mapping, outcome::Failure};

/// What every new lead is given, mapped or not.
const OURS: [&str; 3] = [NAMES.last, "subject", "leadsourcecode"];

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    if kind != ProbeKind::Mapping {
        let organizations = VENDOR.json(ctx, ready.query("organizations", &[("$select", "name")])).await?;
        found.account = word(&organizations["value"][0], "name").map(str::to_owned);
    }
    let wanted = "LogicalName,AttributeType,IsValidForCreate,IsValidForUpdate,RequiredLevel";
    let path = "EntityDefinitions(LogicalName='lead')/Attributes";
    let schema = VENDOR.json(ctx, ready.query(path, &[("$select", wanted)])).await?;
    let key = ready.settings.alternate_key.as_ref().map(|key| key.0.as_str());
    found.findings = findings(&ready.mapping, key, &schema["value"]);
    Ok(())
}

fn findings(mapping: &Mapping, key: Option<&str>, columns: &Value) -> Vec<String> {
    let columns: Vec<&Value> = columns.as_array().into_iter().flatten().collect();
    let named = |name: &str| columns.iter().copied().find(|column| word(column, "LogicalName") == Some(name));
    let names: Vec<String> =
        columns.iter().filter_map(|column| word(column, "LogicalName").map(str::to_owned)).collect();
    let mut findings = crm::unknown_targets(mapping, "column", &names);
    for rule in mapping.rules() {
        let Some((target, column)) = rule.to.as_deref().and_then(|target| Some((target, named(target)?)))
        else {
            continue;
        };
        if column["IsValidForCreate"] == false || column["IsValidForUpdate"] == false {
            findings.push(format!("{}: {target} cannot be written", rule.field));
        } else if let Some(kind) = kind_brought(rule) {
            let wanted = word(column, "AttributeType").unwrap_or_default();
            findings.extend(mismatch(&rule.field, kind, target, wanted));
        }
    }
    if let Some(key) = key.filter(|key| named(key).is_none()) {
        findings.push(format!("alternate_key: leads have no column {key}"));
    }
    let is_given = |name: &str| {
        OURS.contains(&name)
            || key == Some(name)
            || mapping.rules().iter().any(|rule| rule.to.as_deref() == Some(name))
    };
    let is_required = |column: &&&Value| {
        column["RequiredLevel"]["Value"] == "ApplicationRequired" && column["IsValidForCreate"] == true
    };
    for name in columns.iter().filter(is_required).filter_map(|column| word(column, "LogicalName")) {
        if !is_given(name) {
            findings.push(format!("{name} is required for leads, and nothing is mapped to it"));
        }
    }
    findings
}

fn mismatch(field: &str, kind: Kind, target: &str, wanted: &str) -> Option<String> {
    let fits = match wanted {
        "Integer" | "BigInt" | "Decimal" | "Double" | "Money" => kind == Kind::Number,
        "Boolean" => kind == Kind::Truth,
        "DateTime" => matches!(kind, Kind::Date | Kind::Time),
        // They take numbers or references, which no lead has.
        "Picklist" | "State" | "Status" | "Lookup" | "Owner" | "Customer" | "Virtual" => false,
        // Text is taken from text alone: a number as JSON is refused.
        _ => !matches!(kind, Kind::Number | Kind::Truth | Kind::Whole),
    };
    (!fits).then(|| format!("{field}: {target} holds a {wanted}, and this is {kind}"))
}
