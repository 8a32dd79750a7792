//! Looks at a Pipedrive account: whose token it is, whether pipeline and stage exist, and the mapped fields.

use serde_json::Value;

use super::{Ready, VENDOR};
use crate::{
    Conversation, Found, crm,
    field_kind::{Kind, kind_brought},
};
use leadline_domain::{mapping::Mapping, outcome::Failure};

/// Names that we make something of, whatever the account calls its own.
const OURS: [&str; 5] = ["person.name", "person.email", "person.phone", "deal.value", "deal.currency"];

pub(super) async fn look(
    ready: &Ready,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    let me = VENDOR.json(ctx, ready.get_first(&["users", "me"], &[])).await?;
    let me = &me["data"];
    found.account = me["company_name"].as_str().map(|company| {
        let user = me["name"].as_str().unwrap_or("unnamed");
        format!("{company} (as {user}, {})", me["default_currency"].as_str().unwrap_or("no currency"))
    });
    for (key, what, wanted) in [
        ("pipeline_id", "pipelines", ready.config.pipeline_id),
        ("stage_id", "stages", ready.config.stage_id),
    ] {
        let Some(wanted) = wanted else { continue };
        let list = VENDOR.json(ctx, ready.get(&["api", "v2", what], &[("limit", "500")])).await?;
        found.findings.extend(missing(key, what, wanted.0, &list));
    }
    let mut fields = Vec::new();
    for (of, what) in [("person", "personFields"), ("deal", "dealFields")] {
        let list = VENDOR.json(ctx, ready.get(&["api", "v2", what], &[("limit", "500")])).await?;
        fields.extend(list["data"].as_array().into_iter().flatten().filter_map(|field| read(of, field)));
    }
    let lead_field = ready.lead_field().map(|field| format!("deal.{field}"));
    if let Some(field) = lead_field.filter(|wanted| !fields.iter().any(|(name, _)| name == wanted)) {
        found.findings.push(format!("lead_field: there is no field {field}"));
    }
    found.findings.extend(mapped(&ready.mapping, &fields));
    Ok(())
}

fn missing(key: &str, what: &str, wanted: i64, list: &Value) -> Option<String> {
    let there: Vec<String> = list["data"]
        .as_array()?
        .iter()
        .map(|one| format!("{} ({})", one["id"], one["name"].as_str().unwrap_or("unnamed")))
        .collect();
    let is_there = list["data"].as_array()?.iter().any(|one| one["id"].as_i64() == Some(wanted));
    (!is_there).then(|| format!("{key}: there is no {wanted} among the {what}: {}", there.join(", ")))
}

/// A field's name and type. Its key is told under another name by each version.
fn read(of: &str, field: &Value) -> Option<(String, String)> {
    let key = field["field_code"].as_str().or_else(|| field["key"].as_str())?;
    Some((format!("{of}.{key}"), field["field_type"].as_str().unwrap_or_default().to_owned()))
}

fn mapped(mapping: &Mapping, fields: &[(String, String)]) -> Vec<String> {
    let names: Vec<String> =
        fields.iter().map(|(name, _)| name.clone()).chain(OURS.map(str::to_owned)).collect();
    let mut findings = crm::unknown_targets(mapping, "field", &names);
    for (rule, target) in mapping.targets() {
        let Some(kind) = kind_brought(rule) else { continue };
        let Some((_, wanted)) = fields.iter().find(|(name, _)| name == target) else { continue };
        let fits = match wanted.as_str() {
            "int" | "double" | "monetary" => kind == Kind::Number,
            "date" => kind == Kind::Date,
            // Options are told by their number, which a lead does not have.
            "enum" | "set" => false,
            _ => true,
        };
        if !fits {
            findings.push(format!("{}: {target} holds a {wanted}, and this is {kind}", rule.field));
        }
    }
    findings
}
