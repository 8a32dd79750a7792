//! Looks at an account: who the key is, which list it is, and the custom fields that the mapping names.

use serde_json::Value;

use super::{Ready, VENDOR, config};
use crate::{
    Conversation, Found, crm,
    field_kind::{Kind, kind_brought},
    vendor::word,
};
use leadline_domain::{integration::ProbeKind, mapping::Mapping, outcome::Failure};

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    if kind != ProbeKind::Mapping {
        let user = VENDOR.json(ctx, ready.get(&["users", "me"], &[])).await?;
        let user = word(&user["user"], "username").unwrap_or("?").to_owned();
        let host = ready.url.host_str().unwrap_or_default();
        found.account = Some(host.to_owned());
        let list = VENDOR.json(ctx, ready.get(&["lists", &ready.list], &[])).await?;
        let list = word(&list["list"], "name").unwrap_or("?").to_owned();
        found.account = Some(format!("{host}, list {list} (as {user})"));
    }
    found.findings = findings(&ready.mapping, &ready.fields(ctx).await?);
    Ok(())
}

fn findings(mapping: &Mapping, fields: &[Value]) -> Vec<String> {
    let of = |target: &str| {
        let is_it = |field: &&Value| {
            word(field, "id") == Some(target)
                || word(field, "perstag")
                    .is_some_and(|tag| tag.eq_ignore_ascii_case(target.trim_matches('%')))
        };
        fields.iter().find(is_it)
    };
    // Each target as the account spells it, so that only those are unknown that it lacks.
    let targets = mapping.rules().iter().filter_map(|rule| rule.to.as_deref());
    let mut names: Vec<String> = targets.filter(|target| of(target).is_some()).map(str::to_owned).collect();
    names.extend(config::OWN.map(str::to_owned));
    names.extend(fields.iter().filter_map(|field| word(field, "perstag").map(str::to_owned)));
    let mut findings = crm::unknown_targets(mapping, "custom field", &names);
    for (rule, target) in mapping.targets() {
        let Some((field, own)) = of(target).zip(kind_brought(rule)) else { continue };
        let kind = word(field, "type").unwrap_or_default();
        let fits = match kind {
            "date" => own == Kind::Date,
            "datetime" => own == Kind::Time,
            _ => own != Kind::Whole,
        };
        if !fits {
            let tag = word(field, "perstag").unwrap_or_default();
            findings.push(format!("{}: {tag} holds a {kind}, and this is {own}", rule.field));
        }
    }
    findings
}
