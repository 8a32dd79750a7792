//! Looks at an audience: whose it is, and its merge fields against what is mapped to them.

use http::Method;
use serde_json::Value;

use super::{
    Ready, VENDOR, error,
    plan::{Member, NAMES},
};
use crate::{
    Conversation, Found, crm,
    field_kind::{Kind, kind_brought},
    vendor::word,
};
use leadline_domain::{integration::ProbeKind, outcome::Failure};

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    let login = ready.login()?;
    let get = |segments: &[&str], query: &str| login.request(Method::GET, segments, query);
    if kind != ProbeKind::Mapping {
        let user = VENDOR.json(ctx, get(&[""], "fields=account_name,login_id")).await?;
        let name = word(&user, "account_name").unwrap_or("?").to_owned();
        found.account = Some(name.clone());
        let list = get(&["lists", &ready.list], "fields=id,name,stats.member_count");
        found.account = Some(error::account(&name, &VENDOR.json(ctx, list).await?));
    }
    let query = "count=1000&fields=merge_fields.tag,merge_fields.type,merge_fields.options";
    let schema = VENDOR.json(ctx, get(&["lists", &ready.list, "merge-fields"], query)).await?;
    found.findings = findings(&ready.member, &schema);
    Ok(())
}

/// What is wrong with the mapping, given the audience's merge fields.
fn findings(member: &Member, schema: &Value) -> Vec<String> {
    let fields = schema.get("merge_fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let tags: Vec<String> = fields.iter().filter_map(|field| word(field, "tag")).map(str::to_owned).collect();
    let mut findings = crm::unknown_targets(&member.mapping, "merge field", &tags);
    if member.splits_name {
        let missing = NAMES.iter().filter(|name| !tags.iter().any(|tag| tag == *name));
        findings.extend(missing.map(|name| {
            format!("lead.name: the audience has no merge field {name}; map lead.name to one that it has, or to null")
        }));
    }
    for rule in member.mapping.rules() {
        let Some(target) = rule.to.as_deref() else { continue };
        let field = fields.iter().find(|field| word(field, "tag") == Some(target));
        let kind = field.and_then(|field| word(field, "type")).unwrap_or_default();
        let format = field.and_then(|field| word(field.get("options")?, "phone_format"));
        if kind == "phone" && format == Some("US") {
            findings.push(format!(
                "{}: merge field {target} takes numbers of the US only and refuses all others; set its phone format to international",
                rule.field
            ));
        }
        match kind_brought(rule) {
            // It takes an object, which no mapping makes.
            _ if kind == "address" => {
                findings.push(format!(
                    "{}: merge field {target} is of type address, which takes no text",
                    rule.field
                ));
            }
            Some(own) if !fits(kind, own) => {
                findings.push(format!(
                    "{}: merge field {target} is of type {kind}, and this is {own}",
                    rule.field
                ));
            }
            _ => {}
        }
    }
    findings
}

/// Whether a merge field takes a value of this kind.
fn fits(field: &str, own: Kind) -> bool {
    match field {
        "number" => own == Kind::Number,
        "date" => own == Kind::Date,
        // A day without a year is what no lead has.
        "birthday" => false,
        _ => true,
    }
}
