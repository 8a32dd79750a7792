//! Leads from files: columns and paths become canonical fields, texts become what the field holds.

use serde_json::Value;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{
    fields::{self, FIELDS, Shape},
    ids::{CompanyId, LeadId},
    json::Json,
    lead::Problem,
    nearest::unknown,
};

/// Fields that hold whole numbers.
const INTEGERS: [&str; 8] = [
    "lead.guest_count",
    "lead.profile.score",
    "quote.subtotal_pence",
    "quote.rules_pence",
    "quote.vat_pence",
    "quote.total_pence",
    "location.id",
    "company.id",
];
/// Fields that hold truth values, and the words for them.
const BOOLEANS: [&str; 1] = ["lead.gdpr_consent"];
const YES: [&str; 5] = ["true", "yes", "y", "1", "on"];
const NO: [&str; 5] = ["false", "no", "n", "0", "off"];
/// Where a column that is called `email` or `first_name` may stand.
const PLACES: [&str; 3] = ["", "lead.", "lead.profile."];

/// How the lines of a file become events.
#[derive(Debug)]
pub struct Import {
    /// Lines are rows: only what is mapped stands in the event.
    is_rows: bool,
    /// From the column or path, to the field; none leaves it out.
    rules: Vec<(String, Option<&'static str>)>,
    /// What every line has that brings none of its own.
    set: Vec<(&'static str, Json)>,
}

impl Import {
    /// Reads how to import; says everything that is wrong with it. Without columns, lines are events.
    pub fn read(map: &Value, set: &Value, columns: &[String]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let is_rows = !columns.is_empty();
        let mut rules = Vec::new();
        for (from, to) in map.as_object().into_iter().flatten() {
            let is_known = !is_rows || columns.contains(from);
            if !is_known {
                problems
                    .push(format!("map: {}", unknown("column", from, columns.iter().map(String::as_str))));
            }
            match read_target(to) {
                Ok(to) if is_known => rules.push((from.clone(), to)),
                Ok(_) => {}
                Err(problem) => problems.push(format!("map: {from}: {problem}")),
            }
        }
        for column in columns.iter().filter(|column| map.get(column.as_str()).is_none()).cloned() {
            match field_called(&column) {
                Some(field) => rules.push((column, Some(field))),
                None => problems.push(format!(
                    "column {column:?} is called like no field: add it to the map, with null to leave it out"
                )),
            }
        }
        for (index, (from, to)) in rules.iter().enumerate() {
            if let Some((twin, _)) = rules[..index].iter().find(|(_, other)| to.is_some() && other == to) {
                let field = to.unwrap_or_default();
                problems.push(format!("map: {twin} and {from} both go to {field}; give each its own"));
            }
        }
        let mut given = Vec::new();
        for (field, value) in set.as_object().into_iter().flatten() {
            match find(field) {
                Ok(name) => {
                    given.push((name, typed(name, Json::from(value)).unwrap_or_else(|_| Json::from(value))))
                }
                Err(problem) => problems.push(format!("set: {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self { is_rows, rules, set: given }) } else { Err(problems) }
    }

    /// The event of a line, and the uuid it gets if it brings none: made of its content, so that importing a file again
    /// changes nothing.
    pub fn event(&self, company: CompanyId, line: &[u8]) -> Result<(Json, LeadId), Vec<Problem>> {
        let mut line = Json::parse(line).map_err(|error| vec![problem("", error.to_string())])?;
        if !matches!(line, Json::Object(_)) {
            return Err(vec![problem("", "must be an object".to_owned())]);
        }
        let mut problems = Vec::new();
        let mut moved = Vec::new();
        for (from, to) in &self.rules {
            let value = if self.is_rows { line.get(from).cloned() } else { line.take_at(from) };
            let (Some(value), Some(to)) = (value, to) else { continue };
            let is_blank = self.is_rows && value.as_str().is_some_and(|text| text.trim().is_empty());
            if is_blank {
                continue;
            }
            match typed(to, value) {
                Ok(value) => moved.push((*to, value)),
                Err(detail) => problems
                    .push(problem(&format!("/{}", from.replace('~', "~0").replace('/', "~1")), detail)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut event = if self.is_rows { Json::Object(Vec::new()) } else { line };
        for (field, value) in moved {
            event.set_at(field, value);
        }
        for (field, value) in &self.set {
            if event.at(field).is_none() {
                event.set_at(field, value.clone());
            }
        }
        call_by_names(&mut event);
        let id = id_of(company, &event);
        Ok((event, id))
    }
}

fn problem(pointer: &str, detail: String) -> Problem {
    Problem { pointer: pointer.to_owned(), detail }
}

fn read_target(to: &Value) -> Result<Option<&'static str>, String> {
    match to {
        Value::Null => Ok(None),
        Value::String(name) => find(name).map(Some),
        _ => Err("must be the name of a field, or null to leave it out".to_owned()),
    }
}

/// A field that a value can be put into.
fn find(name: &str) -> Result<&'static str, String> {
    match fields::find(name) {
        Some(field)
            if matches!(field.shape, Shape::Leaf(_)) && !matches!(field.name, "event" | "version") =>
        {
            Ok(field.name)
        }
        Some(_) => Err(format!("{name} cannot be imported; name a field in it, as lead.email")),
        None => Err(unknown("field", name, FIELDS.iter().map(|field| field.name))),
    }
}

/// The field that a column is called like, whatever its case and its spaces.
fn field_called(column: &str) -> Option<&'static str> {
    let name = column.trim().to_lowercase().replace([' ', '-'], "_").replace("e_mail", "email");
    let names = PLACES.iter().map(|place| format!("{place}{name}"));
    let found = names.filter_map(|name| find(&name).ok()).next();
    // `company` alone is the venue's to know, not the file's: a lead's employer is `lead.profile.company`.
    found.filter(|field| !field.starts_with("company."))
}

/// A text as what the field holds.
fn typed(field: &str, value: Json) -> Result<Json, String> {
    let Some(text) = value.as_str().map(|text| text.trim().to_owned()) else { return Ok(value) };
    if INTEGERS.contains(&field) {
        return match text.parse::<i64>() {
            Ok(number) => Ok(Json::integer(number.into())),
            Err(_) => Err(format!("must be a whole number for {field}")),
        };
    }
    if BOOLEANS.contains(&field) {
        let word = text.to_lowercase();
        return match (YES.contains(&&*word), NO.contains(&&*word)) {
            (true, _) => Ok(Json::Bool(true)),
            (_, true) => Ok(Json::Bool(false)),
            _ => Err(format!("must be yes or no for {field}")),
        };
    }
    Ok(value)
}

/// A lead without a name is called by its first and last name.
fn call_by_names(event: &mut Json) {
    if event.at("lead.name").is_some() {
        return;
    }
    let part = |path| event.at(path).and_then(Json::as_str).map(|part| part.trim().to_owned());
    let parts = [part("lead.profile.first_name"), part("lead.profile.last_name")];
    let name: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if !name.is_empty() {
        event.set_at("lead.name", Json::string(&name.join(" ")));
    }
}

/// Its time is 1970: such a lead stands behind all that came in by themselves.
fn id_of(company: CompanyId, event: &Json) -> LeadId {
    let mut hasher = Sha256::new();
    hasher.update(company.0.to_be_bytes());
    hasher.update(event.digest_without(&["event"]));
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&hash[..10]);
    Ulid::from_bytes(bytes).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_become_events() {
        let map = json!({"Wedding day": "lead.event_date", "Notes": null, "Guests": "lead.guest_count"});
        let set = json!({"lead.event_type": "wedding", "lead.gdpr_consent": "yes"});
        let names =
            columns(&["E-Mail", "First name", "last_name", "Wedding day", "Notes", "Guests", "GDPR consent"]);
        let import = Import::read(&map, &set, &names).unwrap();
        let row = r#"{"E-Mail":"a@b.c","First name":"Ann","last_name":"Lee","Wedding day":"2026-09-12","Notes":"x","Guests":" 80 ","GDPR consent":""}"#;
        let (event, id) = import.event(CompanyId(7), row.as_bytes()).unwrap();
        assert_eq!(
            event.to_string(),
            r#"{"lead":{"event_date":"2026-09-12","guest_count":80,"email":"a@b.c","profile":{"first_name":"Ann","last_name":"Lee"},"event_type":"wedding","gdpr_consent":true,"name":"Ann Lee"}}"#
        );
        assert_eq!(
            import.event(CompanyId(7), row.as_bytes()).unwrap().1,
            id,
            "the same line is the same lead"
        );
        assert_ne!(import.event(CompanyId(8), row.as_bytes()).unwrap().1, id);
        let wrong = row.replace("80", "many").replace("consent\":\"", "consent\":\"perhaps");
        let problems = import.event(CompanyId(7), wrong.as_bytes()).unwrap_err();
        let told: Vec<_> = problems.iter().map(|it| format!("{} {}", it.pointer, it.detail)).collect();
        assert_eq!(
            told,
            [
                "/Guests must be a whole number for lead.guest_count",
                "/GDPR consent must be yes or no for lead.gdpr_consent"
            ]
        );
    }

    #[test]
    fn events_keep_what_is_not_mapped() {
        let import = Import::read(&json!({"person.mail": "lead.email", "x": null}), &json!({}), &[]).unwrap();
        let line = r#"{"lead":{"name":"Ann","n":1.10},"person":{"mail":"a@b.c"},"x":1}"#;
        let (event, _) = import.event(CompanyId(7), line.as_bytes()).unwrap();
        assert_eq!(event.to_string(), r#"{"lead":{"name":"Ann","n":1.10,"email":"a@b.c"},"person":{}}"#);
        let plain = Import::read(&Value::Null, &Value::Null, &[]).unwrap();
        assert_eq!(plain.event(CompanyId(7), line.as_bytes()).unwrap().0.to_string(), line);
        assert_eq!(plain.event(CompanyId(7), b"5").unwrap_err()[0].detail, "must be an object");
        assert!(plain.event(CompanyId(7), b"{").is_err());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let map = json!({"Mail": "lead.emial", "Nme": "lead.name", "Day": 5, "Tel": "lead.phone"});
        let set = json!({"lead.utm": {}, "lead.event_typ": "wedding"});
        let names = columns(&["Mail", "Name", "Day", "Tel", "Phone", "Budget"]);
        assert_eq!(
            Import::read(&map, &set, &names).unwrap_err(),
            [
                "map: Mail: unknown field lead.emial; did you mean lead.email?",
                "map: unknown column Nme; did you mean Name?",
                "map: Day: must be the name of a field, or null to leave it out",
                "column \"Budget\" is called like no field: add it to the map, with null to leave it out",
                "map: Tel and Phone both go to lead.phone; give each its own",
                "set: lead.utm cannot be imported; name a field in it, as lead.email",
                "set: unknown field lead.event_typ; did you mean lead.event_type?",
            ]
        );
    }
}
