//! Looks at an organization: what it is called, whether Leads may be made, and the mapped and required fields.

use http::Method;
use serde_json::Value;

use super::{Ready, VENDOR};
use crate::{
    Conversation, Found,
    config::Flag,
    crm,
    field_kind::{Kind, kind_brought},
};
use leadline_domain::{
    integration::ProbeKind,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// What every new Lead is given, mapped or not.
const OURS: [&str; 4] = ["LastName", "Company", "LeadSource", "Description"];

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    if kind != ProbeKind::Mapping {
        let soql = "SELECT Name, IsSandbox FROM Organization LIMIT 1";
        found.account = match VENDOR.json(ctx, ready.query(soql)).await {
            Ok(records) => organization(&records),
            // Pushes do not need to know its name.
            Err(failure) if failure.class == FailureClass::Rejected => None,
            Err(failure) => return Err(failure),
        };
    }
    let lead = VENDOR.json(ctx, ready.object(Method::GET, &["Lead", "describe"])).await?;
    if lead["createable"] == false || lead["updateable"] == false {
        let error = "salesforce INSUFFICIENT_ACCESS this user may not create and edit Leads";
        return Err(Failure::new(FailureClass::Credentials, error));
    }
    found.findings = findings(&ready.mapping, ready.external(), &lead);
    if ready.config.tasks == Flag::Yes {
        let task = VENDOR.json(ctx, ready.object(Method::GET, &["Task"])).await;
        if task.is_ok_and(|task| task["objectDescribe"]["createable"] == false) {
            let finding =
                "tasks: this user may not create Tasks, which keep the enquiries of people who have a Lead";
            found.findings.push(finding.to_owned());
        }
    }
    Ok(())
}

fn organization(found: &Value) -> Option<String> {
    let record = &found["records"][0];
    let name = record["Name"].as_str()?;
    Some(if record["IsSandbox"] == true { format!("{name} (sandbox)") } else { name.to_owned() })
}

fn findings(mapping: &Mapping, external: Option<&str>, lead: &Value) -> Vec<String> {
    let fields: Vec<&Value> = lead["fields"].as_array().into_iter().flatten().collect();
    let named = |name: &str| fields.iter().copied().find(|field| field["name"] == name);
    let names: Vec<String> =
        fields.iter().filter_map(|field| field["name"].as_str().map(str::to_owned)).collect();
    let mut findings = crm::unknown_targets(mapping, "field", &names);
    for rule in mapping.rules() {
        let Some(target) = rule.to.as_deref() else { continue };
        let Some(field) = named(target) else { continue };
        if field["createable"] == false || field["updateable"] == false {
            findings.push(format!("{}: this user may not write {target}", rule.field));
        } else if let Some(kind) = kind_brought(rule) {
            let wanted = field["type"].as_str().unwrap_or_default();
            findings.extend(mismatch(&rule.field, kind, target, wanted));
        }
    }
    if let Some(external) = external {
        match named(external) {
            None => findings.push(format!("external_id_field: Lead has no field {external}")),
            Some(field) if field["externalId"] == false => {
                findings.push(format!("external_id_field: {external} is not marked as an external id"));
            }
            Some(_) => {}
        }
    }
    let is_given = |name: &str| {
        OURS.contains(&name)
            || external == Some(name)
            || mapping.rules().iter().any(|rule| rule.to.as_deref() == Some(name))
    };
    for field in fields {
        let is_needed = field["nillable"] == false
            && field["defaultedOnCreate"] == false
            && field["createable"] == true
            && field["type"] != "boolean";
        if let Some(name) = field["name"].as_str().filter(|name| is_needed && !is_given(name)) {
            findings.push(format!("{name} is required for Leads, and nothing is mapped to it"));
        }
    }
    findings
}

fn mismatch(field: &str, kind: Kind, target: &str, wanted: &str) -> Option<String> {
    let fits = match wanted {
        "int" | "double" | "currency" | "percent" => kind == Kind::Number,
        "boolean" => kind == Kind::Truth,
        "date" => kind == Kind::Date,
        "datetime" => kind == Kind::Time,
        "reference" => false,
        // Text is taken from text alone: a number as JSON is refused.
        _ => !matches!(kind, Kind::Number | Kind::Truth | Kind::Whole),
    };
    (!fits).then(|| format!("{field}: {target} holds a {wanted}, and this is {kind}"))
}
