//! Looks at an audience: whose it is, and its merge fields against what is mapped to them.

use super::{Compiled, VENDOR, error, plan::Member};
use crate::prelude::*;
use leadline_domain::schema::FieldChoice;

/// So many categories of groups are read; a conversation has a few calls beside them.
const CATEGORIES_MAX: usize = 20;

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    let login = needed(&ready.login, "api_key")?;
    let get = |segments: &[&str], query: &str| login.request(Method::GET, segments, query);
    if kind != ProbeKind::Mapping {
        let user = VENDOR.json(ctx, get(&[""], "fields=account_name,login_id")).await?;
        let name = word(&user, "account_name").unwrap_or("?").to_owned();
        ctx.found.account = Some(name.clone());
        let list = get(&["lists", &ready.list], "fields=id,name,stats.member_count");
        ctx.found.account = Some(error::account(&name, &VENDOR.json(ctx, list).await?));
    }
    let query = "count=1000&fields=merge_fields.tag,merge_fields.name,merge_fields.type,merge_fields.options";
    let schema = VENDOR.json(ctx, get(&["lists", &ready.list, "merge-fields"], query)).await?;
    ctx.found.targets = each(&schema["merge_fields"]).filter_map(merge_field).collect();
    ctx.found.findings = findings(&ready.member, &schema, &ctx.found.targets);
    if !ready.member.groups.is_empty() {
        let groups = groups(ready, ctx).await?;
        ctx.found.findings.extend(unknown_ids("groups", "group", &ready.member.groups, &groups));
    }
    if !ready.member.permissions.is_empty() {
        let query = "count=1&fields=members.marketing_permissions";
        let members = VENDOR.json(ctx, get(&["lists", &ready.list, "members"], query)).await?;
        // Nothing but its members tells what an audience asks.
        if let Some(asked) = members["members"][0]["marketing_permissions"].as_array() {
            let asked = asked.iter().filter_map(|one| named(one, "marketing_permission_id", "text"));
            let (what, wanted) = ("marketing permission", &ready.member.permissions);
            let unknown = unknown_ids("marketing_permissions", what, wanted, &asked.collect::<Vec<_>>());
            ctx.found.findings.extend(unknown);
        }
    }
    Ok(())
}

/// Every group of the audience: its id, and what people read.
async fn groups(ready: &Compiled, ctx: &mut Conversation<'_>) -> Result<Vec<(String, String)>> {
    let login = needed(&ready.login, "api_key")?;
    let path = ["lists", &ready.list, "interest-categories"];
    let query = "count=100&fields=categories.id,categories.title";
    let categories = VENDOR.json(ctx, login.request(Method::GET, &path, query)).await?;
    let categories = each(&categories["categories"]).filter_map(|one| named(one, "id", "title"));
    let mut groups = Vec::new();
    for (id, title) in categories.take(CATEGORIES_MAX) {
        let path = ["lists", &ready.list, "interest-categories", &id, "interests"];
        let query = "count=100&fields=interests.id,interests.name";
        let own = VENDOR.json(ctx, login.request(Method::GET, &path, query)).await?;
        let own = each(&own["interests"]).filter_map(|one| named(one, "id", "name"));
        groups.extend(own.map(|(id, name)| (id, format!("{title}: {name}"))));
    }
    Ok(groups)
}

fn named(one: &Value, id: &str, name: &str) -> Option<(String, String)> {
    Some((word(one, id)?.to_owned(), word(one, name).unwrap_or("?").to_owned()))
}

/// Which ids of a setting are not there, with those that are: people see their names alone.
fn unknown_ids(key: &str, what: &str, wanted: &[String], there: &[(String, String)]) -> Vec<String> {
    let missing = wanted.iter().filter(|id| !there.iter().any(|(own, _)| own == *id));
    let own: Vec<String> = there.iter().map(|(id, name)| format!("{id} ({name})")).collect();
    let own = if own.is_empty() { "none".to_owned() } else { own.join(", ") };
    missing.map(|id| format!("{key}: the audience has no {what} {id}; it has {own}")).collect()
}

fn merge_field(field: &Value) -> Option<TargetField> {
    let kind = word(field, "type").unwrap_or_default();
    let takes = match kind {
        "number" => Takes::Number,
        "date" => Takes::Date,
        "dropdown" | "radio" => Takes::Choice,
        // A day without a year is what no lead has, and an address is an object, which no mapping makes.
        "birthday" | "address" => Takes::Nothing,
        _ => Takes::Any,
    };
    let mut target = TargetField::new(word(field, "tag")?, kind, takes).labelled(word(field, "name"));
    let choices = each(&field["options"]["choices"]).filter_map(Value::as_str);
    target.choices = choices.map(|word| FieldChoice { value: word.into(), label: word.to_owned() }).collect();
    Some(target)
}

/// What is wrong with the mapping, given the audience's merge fields.
fn findings(member: &Member, schema: &Value, targets: &[TargetField]) -> Vec<String> {
    let mut findings = schema::findings(&member.mapping, "merge field", targets);
    let is_us =
        |field: &&Value| word(field, "type") == Some("phone") && field["options"]["phone_format"] == "US";
    let us = each(&schema["merge_fields"]).filter(is_us);
    let us: Vec<&str> = us.filter_map(|field| word(field, "tag")).collect();
    for (rule, target) in member.mapping.targets().filter(|(_, target)| us.contains(target)) {
        findings.push(format!(
            "{}: merge field {target} takes numbers of the US only and refuses all others; set its phone format to international",
            rule.field
        ));
    }
    findings
}
