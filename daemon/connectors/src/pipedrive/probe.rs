//! Looks at a Pipedrive account: whose token it is, whether pipeline and stage exist, and the mapped fields.

use super::{Compiled, VENDOR, config::is_custom};
use crate::prelude::*;

/// Names that we make something of, whatever the account calls its own.
const OURS: [&str; 5] = ["person.name", "person.email", "person.phone", "deal.value", "deal.currency"];

/// Whose persons and deals are, by the user's number.
const OWNERS: [&str; 2] = ["person.owner_id", "deal.owner_id"];

pub(super) async fn look(ready: &Compiled, ctx: &mut Conversation<'_>) -> Result<()> {
    let me = VENDOR.json(ctx, ready.get_first(&["users", "me"], &[])).await?;
    let me = &me["data"];
    ctx.found.account = me["company_name"].as_str().map(|company| {
        let user = me["name"].as_str().unwrap_or("unnamed");
        format!("{company} (as {user}, {})", me["default_currency"].as_str().unwrap_or("no currency"))
    });
    for (key, what, wanted) in [
        ("pipeline_id", "pipelines", ready.config.pipeline_id),
        ("stage_id", "stages", ready.config.stage_id),
    ] {
        let Some(wanted) = wanted else { continue };
        let list = ready.all(what, ctx).await?;
        if !each(&list).any(|one| one["id"].as_i64() == Some(wanted.0)) {
            let told = |one: &Value| format!("{} ({})", one["id"], word(one, "name").unwrap_or("unnamed"));
            let there = each(&list).map(told).collect::<Vec<_>>().join(", ");
            let finding = format!("{key}: there is no {} among the {what}: {there}", wanted.0);
            ctx.found.findings.push(finding);
        }
    }
    let misplaced = ready.sought(ctx).await?.err();
    ctx.found.findings.extend(misplaced.map(|wrong| wrong.0));
    let mut fields = Vec::new();
    for (of, what) in [("person", "personFields"), ("deal", "dealFields")] {
        let list = ready.all(what, ctx).await?;
        fields.extend(each(&list).filter_map(|one| field(of, one)));
    }
    if let Some(name) = ready.lead_field().map(|field| format!("deal.{field}")) {
        match fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.is_ours = true,
            None => ctx.found.findings.push(format!("lead_field: there is no field {name}")),
        }
    }
    fields.extend(
        OURS.into_iter()
            .chain(OWNERS)
            .map(|name| TargetField { is_ours: true, ..TargetField::new(name, "", Takes::Any) }),
    );
    if schema::names_owner(&ready.mapping, &OWNERS) {
        let users = VENDOR.json(ctx, ready.get_first(&["users"], &[])).await;
        let users = users.map(|users| schema::choices(&users["data"], "id", "name"));
        ctx.found.findings.extend(schema::owned_by(&mut fields, &OWNERS, users));
    }
    ctx.found.findings.extend(schema::findings(&ready.mapping, "field", &fields));
    ctx.found.targets = fields;
    Ok(())
}

/// A field of persons or deals. Its key and name are told under other names by each version.
fn field(of: &str, field: &Value) -> Option<TargetField> {
    let key = word(field, "field_code").or_else(|| word(field, "key"))?;
    let label = word(field, "field_name").or_else(|| word(field, "name"));
    let kind = word(field, "field_type").unwrap_or_default();
    let takes = match kind {
        "int" | "double" | "monetary" => Takes::Number,
        "date" => Takes::Date,
        // Its options are told by their numbers.
        "enum" if field["options"].is_array() => Takes::Choice,
        "enum" | "set" => Takes::Nothing,
        _ => Takes::Any,
    };
    let target = TargetField::new(format!("{of}.{key}"), kind, takes).labelled(label);
    let target = target.choosing(&field["options"], "id", "label");
    Some(TargetField { is_ours: !is_custom(key), ..target })
}
