//! Looks at an account: whose it is, which list it is, and what is odd about the mapping.

use super::{Compiled, VENDOR, config};
use crate::prelude::*;

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    if kind != ProbeKind::Mapping {
        let wanted = [("fields[account]", "contact_information.organization_name")];
        let account = VENDOR.json(ctx, ready.get(&["accounts"], &wanted)).await?;
        let name = &account["data"][0]["attributes"]["contact_information"]["organization_name"];
        ctx.found.account = Some(name.as_str().unwrap_or("?").to_owned());
    }
    let wanted = [("fields[list]", "name,opt_in_process")];
    let list =
        VENDOR.named(ctx, kind, "list_id", ready.get(&["lists", &ready.settings.list_id], &wanted)).await?;
    let list = &list["data"]["attributes"];
    let opt_in = match list["opt_in_process"].as_str() {
        Some("single_opt_in") => " (subscribes at once)",
        Some("double_opt_in") => " (asks for confirmation)",
        _ => "",
    };
    if let Some(name) = &mut ctx.found.account {
        *name = format!("{name}, list {}{opt_in}", list["name"].as_str().unwrap_or("?"));
    }
    // An account's properties come to be when they are first written, so there is no list of them to compare with.
    ctx.found.findings.extend(config::slips(&ready.mapping));
    Ok(())
}
