//! Looks at an account: who the key is, which list it is, and the custom fields that the mapping names.

use super::{Compiled, VENDOR, config};
use crate::prelude::*;

/// Fields of which several options may be chosen.
const SEVERAL: Terms = "listbox multiselect checkbox";

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    let host = ready.url.host_str().unwrap_or_default();
    let mut user = Value::Null;
    if kind != ProbeKind::Mapping {
        user = VENDOR.json(ctx, ready.get(&["users", "me"], &[])).await?;
        ctx.found.account = Some(host.to_owned());
    }
    let list = VENDOR.named(ctx, kind, "list_id", ready.get(&["lists", &ready.list], &[])).await?;
    if let (Some(account), Some(list)) = (&mut ctx.found.account, word(&list["list"], "name")) {
        *account = format!("{host}, list {list} (as {})", word(&user["user"], "username").unwrap_or("?"));
    }
    let fields = ready.fields(ctx).await?;
    let custom = fields.iter().filter_map(|field| custom(&ready.mapping, field));
    ctx.found.targets = config::OWN.map(own).into_iter().chain(custom).collect();
    ctx.found.findings.extend(schema::findings(&ready.mapping, "custom field", &ctx.found.targets));
    Ok(())
}

/// A custom field, which mappings call by its tag, in any spelling, or by its number.
fn custom(mapping: &Mapping, field: &Value) -> Option<TargetField> {
    let (tag, id) = (word(field, "perstag")?, word(field, "id"));
    let kind = word(field, "type").unwrap_or_default();
    let takes = match kind {
        "date" => Takes::Date,
        "datetime" => Takes::Time,
        // A value that is no option is kept all the same, and shown nowhere.
        "dropdown" | "radio" => Takes::Choice,
        several if named(SEVERAL, several) => Takes::Choice,
        _ => Takes::Scalar,
    };
    let spelled = mapping.targets().map(|(_, name)| name);
    let spelled = spelled.filter(|name| tag.eq_ignore_ascii_case(name.trim_matches('%')));
    let aliases = spelled.chain(id).map(str::to_owned).collect();
    let target = TargetField::new(tag, kind, takes).labelled(word(field, "title"));
    let mut target = target.choosing(&field["options"], "value", "label");
    // Where several may be chosen, options stand between bars.
    for choice in target.choices.iter_mut().filter(|_| named(SEVERAL, kind)) {
        choice.value = json!(format!("||{}||", choice.value.as_str().unwrap_or_default()));
    }
    Some(TargetField { aliases, ..target })
}

fn own(name: &str) -> TargetField {
    TargetField { is_ours: true, ..TargetField::new(name, "", Takes::Any) }
}
