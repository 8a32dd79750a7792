//! A look at the spreadsheet that pushes no lead: whether it is there, takes writing, and has the columns.

use super::{Compiled, VENDOR, push};
use crate::prelude::*;
use leadline_domain::nearest::unknown;

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    let fields = [("fields", "properties.title,sheets.properties.title")];
    let whole = VENDOR.json(ctx, ready.request(Method::GET, "").query(&fields)).await?;
    let titles = each(&whole["sheets"]).filter_map(|sheet| word(&sheet["properties"], "title"));
    let titles: Vec<&str> = titles.collect();
    if !titles.contains(&ready.sheet.as_str()) {
        let problem = unknown("sheet", &ready.sheet, titles.iter().copied());
        return Err(Failure::new(FailureClass::Rejected, format!("{}: {problem}", VENDOR.name)));
    }
    ctx.found.account =
        Some(format!("{}, sheet {}", word(&whole["properties"], "title").unwrap_or("?"), ready.sheet));
    if kind != ProbeKind::Mapping {
        // A null leaves the cell as it is, but who may only look is refused.
        let nothing = json!({ "values": [[Value::Null]] });
        VENDOR.good(ctx, ready.write(&ready.range("A1"), &nothing)).await?;
    }
    let header = push::read_head(ready, None, ctx).await?.header;
    if !header.is_empty() {
        let named = header.iter().filter(|name| !name.is_empty());
        ctx.found.targets = named.map(|name| TargetField::new(name, "", Takes::Scalar)).collect();
        ctx.found.findings = findings(ready, &header);
    }
    Ok(())
}

/// What the header lacks. An empty sheet gets its header with the first lead.
fn findings(ready: &Compiled, header: &[String]) -> Vec<String> {
    let named = header.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let doubled = named.filter(|(at, name)| header[..*at].contains(name));
    let told =
        doubled.map(|(_, name)| format!("the header has column {name} twice; the first is written to"));
    schema::unknown_targets(&ready.mapping, "column", header).into_iter().chain(told).collect()
}
