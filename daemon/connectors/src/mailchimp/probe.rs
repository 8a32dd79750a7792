//! Looks at an audience: whose it is, and its merge fields against what is mapped to them.

use http::Method;
use serde_json::Value;

use super::{
    Ready, VENDOR, error,
    plan::{Member, NAMES},
};
use crate::{Conversation, Found, vendor::word};
use leadline_domain::{
    integration::ProbeKind,
    outcome::Failure,
    schema::{self, FieldChoice, Takes, TargetField},
};

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
    let query = "count=1000&fields=merge_fields.tag,merge_fields.name,merge_fields.type,merge_fields.options";
    let schema = VENDOR.json(ctx, get(&["lists", &ready.list, "merge-fields"], query)).await?;
    found.targets = schema["merge_fields"].as_array().into_iter().flatten().filter_map(merge_field).collect();
    found.findings = findings(&ready.member, &schema, &mut found.targets);
    Ok(())
}

fn merge_field(field: &Value) -> Option<TargetField> {
    let kind = word(field, "type").unwrap_or_default();
    let takes = match kind {
        "number" => Takes::Number,
        "date" => Takes::Date,
        // A day without a year is what no lead has, and an address is an object, which no mapping makes.
        "birthday" | "address" => Takes::Nothing,
        _ => Takes::Any,
    };
    let mut target = TargetField::new(word(field, "tag")?, kind, takes).labelled(word(field, "name"));
    let choices = field["options"]["choices"].as_array().into_iter().flatten().filter_map(Value::as_str);
    target.choices = choices.map(|word| FieldChoice { value: word.into(), label: word.to_owned() }).collect();
    Some(target)
}

/// What is wrong with the mapping, given the audience's merge fields.
fn findings(member: &Member, schema: &Value, targets: &mut [TargetField]) -> Vec<String> {
    let mut findings = schema::findings(&member.mapping, "merge field", targets);
    for name in NAMES.iter().filter(|_| member.splits_name) {
        match targets.iter_mut().find(|target| target.name == *name) {
            Some(target) => target.is_ours = true,
            None => findings.push(format!(
                "lead.name: the audience has no merge field {name}; map lead.name to one that it has, or to null"
            )),
        }
    }
    let us = schema["merge_fields"].as_array().into_iter().flatten();
    let us =
        us.filter(|field| word(field, "type") == Some("phone") && field["options"]["phone_format"] == "US");
    let us: Vec<&str> = us.filter_map(|field| word(field, "tag")).collect();
    for (rule, target) in member.mapping.targets().filter(|(_, target)| us.contains(target)) {
        findings.push(format!(
            "{}: merge field {target} takes numbers of the US only and refuses all others; set its phone format to international",
            rule.field
        ));
    }
    findings
}
