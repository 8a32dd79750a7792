//! What an operator did, as one would say it: `updated HubSpot: url https://a → https://b, mapping`.

use leadline_proto::v1;
use serde_json::{Map, Value};

/// How many of the changes a sentence names.
const CHANGES_MAX: usize = 3;
/// How much of a value it quotes.
const VALUE_MAX: usize = 40;

/// What was done to what, without who did it.
pub(crate) fn done(line: &v1::AuditLine) -> String {
    let (verb, object) = verb_and_object(line);
    format!("{verb} {object}")
}

/// What was done, and to what with what changed of it.
pub(crate) fn verb_and_object(line: &v1::AuditLine) -> (String, String) {
    let verb = match verb(line) {
        Some(verb) => verb.to_owned(),
        // A newer daemon's.
        None => format!("did {} on", line.action),
    };
    let changes = times(line).unwrap_or_else(|| changes(&line.before, &line.after));
    let changes = if changes.is_empty() { changes } else { format!(": {changes}") };
    let end = if is_cut_off(line) { " (cut off)" } else { "" };
    (verb, object(line) + &changes + end)
}

/// Whether it was not done to its end.
fn is_cut_off(line: &v1::AuditLine) -> bool {
    serde_json::from_str::<Value>(&line.after).is_ok_and(|after| after["cut_off"] == true)
}

/// The verb of an act; none for one that this console does not know.
fn verb(line: &v1::AuditLine) -> Option<&'static str> {
    Some(match (line.action.as_str(), kind(line)) {
        ("PushLeads", "job") => "began a push:",
        ("RetryDeliveries", "job") => "began a retry:",
        // What the smaller plan has no room for.
        ("SetPlan", "integration") => "disabled",
        ("SnoozeFailure", _) if matches!(line.after.as_str(), "" | "null") => "ended the snooze of",
        ("RotateSecret", _) if line.after.contains("staged_secret_version") => "staged a secret of",
        (method, _) => return verb_of(method),
    })
}

/// What kind of thing the target is.
fn kind(line: &v1::AuditLine) -> &str {
    line.target.rsplit_once(' ').map_or("", |(kind, _)| kind)
}

fn verb_of(method: &str) -> Option<&'static str> {
    Some(match method {
        "AskFlowsAgain" => "asked the flows again for",
        "CancelJob" => "cancelled",
        "CheckIntegration" => "checked the mapping of",
        "CutOver" => "cut over the secret of",
        "DisableIntegration" => "disabled",
        "EnableIntegration" => "enabled",
        "EraseLead" | "ErasePerson" => "erased",
        "ExportPerson" => "exported",
        "ForgetLeads" => "erased the old leads of",
        "HoldDeliveries" => "held",
        "ImportLeads" => "imported",
        "Mend" => "mended the queue of",
        "PushLeads" => "pushed",
        "ReadLead" => "read",
        "ReleaseDeliveries" => "released",
        "ResetIntegration" => "reset",
        "ResumeJob" => "resumed",
        "RetryDeliveries" => "retried",
        "Reveal" => "revealed",
        "RevokeIntakeKey" | "RevokeToken" => "revoked",
        "RevokeSecret" => "revoked a secret of",
        "RotateSecret" => "rotated the secret of",
        "SetCredentials" => "gave new credentials to be tried for",
        "SetPlan" => "changed the plan of",
        "SkipDeliveries" => "skipped",
        "SnoozeFailure" => "snoozed",
        "TestIntegration" => "tested",
        "UnskipDeliveries" => "undid the skip of",
        method if method.starts_with("Create") => "created",
        method if method.starts_with("Update") => "updated",
        method if method.starts_with("Delete") => "deleted",
        _ => return None,
    })
}

/// The target by its name, if it has one. An integration and a company need no word for what they are.
fn object(line: &v1::AuditLine) -> String {
    match (&*line.target_name, kind(line)) {
        ("", _) => line.target.clone(),
        (name, "integration" | "company") => name.to_owned(),
        (name, kind) => format!("{kind} {name}"),
    }
}

/// How often it was done in the hour that a line stands for; none for what has a line each time.
fn times(line: &v1::AuditLine) -> Option<String> {
    let after: Value = serde_json::from_str(&line.after).ok().filter(|_| line.action == "ReadLead")?;
    let times = after.get("times")?.as_u64()?;
    Some(if times == 1 { "once".to_owned() } else { format!("{times} times within the hour") })
}

/// What is other than it was, of what stands on both sides.
fn changes(before: &str, after: &str) -> String {
    let sides = (serde_json::from_str(before), serde_json::from_str(after));
    let (Ok(Value::Object(before)), Ok(Value::Object(after))) = sides else { return String::new() };
    let mut found = Vec::new();
    for (key, new) in &after {
        match (before.get(key), new) {
            // Not there before, or as it was.
            (None, _) => {}
            (Some(old), new) if old == new => {}
            // A setting is known by its own name; the parts of a mapping are not.
            (Some(Value::Object(old)), Value::Object(new)) if key == "config" => {
                compare(old, new, &mut found)
            }
            (Some(old), new) => found.push(change(key, old, new)),
        }
    }
    let rest = found.len().saturating_sub(CHANGES_MAX);
    found.truncate(CHANGES_MAX);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    found.join(", ") + &more
}

/// The settings of a configuration, of which any may be left out.
fn compare(before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Vec<String>) {
    for (key, new) in after {
        let old = before.get(key).unwrap_or(&Value::Null);
        if old != new {
            found.push(change(key, old, new));
        }
    }
    let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
    found.extend(gone.map(|(key, old)| change(key, old, &Value::Null)));
}

fn change(key: &str, old: &Value, new: &Value) -> String {
    match (short(old), short(new)) {
        (Some(old), Some(new)) => format!("{key} {old} → {new}"),
        _ => key.to_owned(),
    }
}

/// A value that a line has room for.
fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(is_so) => (if *is_so { "yes" } else { "no" }).to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Object(_) => return None,
    };
    (text.chars().count() <= VALUE_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(action: &str, target: &str, name: &str) -> v1::AuditLine {
        v1::AuditLine {
            action: action.into(),
            target: target.into(),
            target_name: name.into(),
            ..Default::default()
        }
    }

    #[test]
    fn an_act_that_was_cut_off_says_so() {
        let told = |after: Value| {
            let line = line("ImportLeads", "400 lines", "");
            done(&v1::AuditLine { after: after.to_string(), ..line })
        };
        assert_eq!(told(json!({ "accepted": 400, "cut_off": true })), "imported 400 lines (cut off)");
        for whole in [json!({ "accepted": 400 }), json!({ "cut_off": false }), Value::Null] {
            assert_eq!(told(whole), "imported 400 lines");
        }
    }

    #[test]
    fn an_act_is_said_with_the_names_of_what_it_was_done_to() {
        let said = |action, target, name| done(&line(action, target, name));
        assert_eq!(said("CreateIntegration", "integration 01M8", "HubSpot"), "created HubSpot");
        assert_eq!(said("SetPlan", "company 7", "The Barn"), "changed the plan of The Barn");
        assert_eq!(said("UpdateFlow", "flow 01M8", "Weddings"), "updated flow Weddings");
        assert_eq!(said("RevokeIntakeKey", "intake key 01M8", ""), "revoked intake key 01M8");
        assert_eq!(said("SkipDeliveries", "12 deliveries", ""), "skipped 12 deliveries");
        assert_eq!(said("SetPlan", "integration 01M8", "hook"), "disabled hook");
        assert_eq!(said("RetryDeliveries", "job 01M8", ""), "began a retry: job 01M8");
        assert_eq!(said("SnoozeFailure", "cause 7", ""), "ended the snooze of cause 7");
        assert_eq!(
            said("ReadLead", "lead 01M8", ""),
            "read lead 01M8",
            "of a daemon that has a line for each"
        );
        assert_eq!(said("ExportPerson", "lead 01M8", ""), "exported lead 01M8");
        for (times, told) in [(1, "once"), (12, "12 times within the hour")] {
            let mut read = line("ReadLead", "lead 01M8", "");
            read.after = json!({"times": times, "first_at": "2026-11-30T10:00:00Z"}).to_string();
            assert_eq!(done(&read), format!("read lead 01M8: {told}"));
        }
        assert_eq!(said("FoldLead", "lead x", ""), "did FoldLead on lead x", "a newer daemon's");
    }

    #[test]
    fn a_change_is_told_with_old_and_new_where_a_line_has_room() {
        let before = json!({"name": "HubSpot", "enabled": true, "mapping": {"a": "b"},
            "config": {"url": "https://a.example", "concurrency": 4, "x": 1, "body": "b"}});
        let after = json!({"name": "HubSpot", "enabled": true, "mapping": {"a": "c"},
            "config": {"url": "https://b.example", "concurrency": 8, "body": "b".repeat(50)}});
        let mut told = line("UpdateIntegration", "integration 01M8", "HubSpot");
        (told.before, told.after) = (before.to_string(), after.to_string());
        assert_eq!(
            done(&told),
            "updated HubSpot: mapping, url https://a.example → https://b.example, concurrency 4 → 8 and 2 more"
        );
        told.before.clear();
        assert_eq!(done(&told), "updated HubSpot", "nothing to compare with");
        let mut staged = line("RotateSecret", "integration 01M8", "HubSpot");
        (staged.before, staged.after) =
            (r#"{"secret_version": 1}"#.into(), r#"{"staged_secret_version": 2, "hold": true}"#.into());
        assert_eq!(done(&staged), "staged a secret of HubSpot");
        let mut deleted = line("DeleteIntegration", "integration 01M8", "HubSpot");
        (deleted.before, deleted.after) = (r#"{"name": "HubSpot"}"#.into(), r#"{"attempts": 40}"#.into());
        assert_eq!(done(&deleted), "deleted HubSpot");
        (told.before, told.after) = ("{\"quiet_hours\": null}".into(), "{\"quiet_hours\": true}".into());
        assert_eq!(done(&told), "updated HubSpot: quiet_hours none → yes");
    }
}
