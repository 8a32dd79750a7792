//! Leads from files: columns and paths become fields, texts become what the field holds.

mod values;

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{
    fields::{self, FIELDS, Shape, covers},
    ids::{CompanyId, LeadId},
    json::Json,
    lead::Problem,
    nearest::{nearest_within, unknown},
};
pub use values::DateOrder;
use values::{cell, typed};

/// Where a column that is called `email` or `first_name` may stand.
const PLACES: [&str; 3] = ["", "lead.", "lead.profile."];
/// Where a sender's own fields may stand.
const OWN_PLACES: [&str; 4] = ["lead.", "quote.", "viewing.", "location."];
/// A name that is so near to a canonical one is a slip.
const SLIP: usize = 2;

/// How an operator wants a file to be imported.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// From a column or path to a field, or null.
    pub map: &'a Value,
    /// From a field to the value of lines that have none.
    pub set: &'a Value,
    /// The heading; empty if lines are events.
    pub columns: &'a [String],
    /// The column or path that tells leads apart; empty if the whole line does.
    pub key: &'a str,
    /// Columns that are called like no field are refused.
    pub strict: bool,
    pub order: Option<DateOrder>,
}

/// A column that is called like no field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnColumn {
    pub column: String,
    /// Where its values go.
    pub field: String,
    /// The canonical field whose name it nearly has.
    pub meant: Option<&'static str>,
}

/// How the lines of a file become events.
#[derive(Debug)]
pub struct Import {
    /// Lines are rows: only what is mapped stands in the event.
    is_rows: bool,
    rules: Vec<Rule>,
    /// What every line has that brings none of its own.
    set: Vec<(String, Json)>,
    key: Option<Key>,
    order: Option<DateOrder>,
    own: Vec<OwnColumn>,
}

/// From the column or path, to the field; none leaves it out.
#[derive(Debug)]
struct Rule {
    from: String,
    to: Option<String>,
}

/// What tells leads apart.
#[derive(Debug)]
struct Key {
    from: String,
    /// An address is the same whatever its case.
    is_email: bool,
}

impl Import {
    /// Reads how to import; says everything that is wrong with it.
    pub fn read(wish: &Wish<'_>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut import = Self {
            is_rows: !wish.columns.is_empty(),
            rules: Vec::new(),
            set: Vec::new(),
            key: None,
            order: wish.order,
            own: Vec::new(),
        };
        import.read_map(wish, &mut problems);
        import.read_columns(wish, &mut problems);
        for (index, Rule { from, to }) in import.rules.iter().enumerate() {
            let Some(field) = to else { continue };
            let meets = |other: &String| covers(other, field) || covers(field, other);
            if let Some(twin) = import.rules[..index].iter().find(|rule| rule.to.as_ref().is_some_and(meets))
            {
                problems.push(format!("map: {} and {from} both go to {field}; give each its own", twin.from));
            }
        }
        for (field, value) in wish.set.as_object().into_iter().flatten() {
            match find(field) {
                Ok(name) => {
                    let value = Json::from(value);
                    let value = typed(&name, value.clone(), wish.order).unwrap_or(value);
                    import.set.push((name, value));
                }
                Err(problem) => problems.push(format!("set: {problem}")),
            }
        }
        import.read_key(wish, &mut problems);
        if problems.is_empty() { Ok(import) } else { Err(problems) }
    }

    fn read_map(&mut self, wish: &Wish<'_>, problems: &mut Vec<String>) {
        let columns: HashSet<&str> = wish.columns.iter().map(String::as_str).collect();
        for (from, to) in wish.map.as_object().into_iter().flatten() {
            let is_known = !self.is_rows || columns.contains(from.as_str());
            if !is_known {
                let told = unknown("column", from, wish.columns.iter().map(String::as_str));
                problems.push(format!("map: {told}"));
            }
            let to = match to {
                Value::Null => Ok(None),
                Value::String(name) => find(name).map(Some),
                _ => Err("must be the name of a field, or null to leave it out".to_owned()),
            };
            match to {
                Ok(to) if is_known => self.rules.push(Rule { from: from.clone(), to }),
                Ok(_) => {}
                Err(problem) => problems.push(format!("map: {from}: {problem}")),
            }
        }
    }

    /// Columns that the map does not name go by their own names.
    fn read_columns(&mut self, wish: &Wish<'_>, problems: &mut Vec<String>) {
        for column in wish.columns.iter().filter(|column| wish.map.get(column.as_str()).is_none()) {
            let field = match field_called(column) {
                Some(field) => field.to_owned(),
                None if wish.strict => {
                    problems.push(format!(
                        "column {column:?} is called like no field: add it to the map, with null to leave it out"
                    ));
                    continue;
                }
                None => match own_field(column) {
                    Some(own) => {
                        let field = own.field.clone();
                        self.own.push(own);
                        field
                    }
                    None => {
                        problems.push(format!(
                            "column {column:?} cannot be a field of its own: add it to the map, with null to leave it \
                             out"
                        ));
                        continue;
                    }
                },
            };
            self.rules.push(Rule { from: column.clone(), to: Some(field) });
        }
    }

    fn read_key(&mut self, wish: &Wish<'_>, problems: &mut Vec<String>) {
        if wish.key.is_empty() {
            return;
        }
        if self.is_rows && !wish.columns.iter().any(|column| column == wish.key) {
            let told = unknown("column", wish.key, wish.columns.iter().map(String::as_str));
            problems.push(format!("key: {told}"));
        }
        let goes_to =
            self.rules.iter().find(|rule| rule.from == wish.key).and_then(|rule| rule.to.as_deref());
        let field = goes_to.unwrap_or(wish.key);
        self.key = Some(Key { from: wish.key.to_owned(), is_email: field == "lead.email" });
    }

    /// The columns that are called like no field.
    #[must_use]
    pub fn own_columns(&self) -> &[OwnColumn] {
        &self.own
    }

    /// Whether one column tells leads apart, so that each value may stand in one line only.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The event of a line, and the uuid it gets if it brings none: made of its key or its content, so that importing a
    /// file again makes no second lead.
    pub fn event(&self, company: CompanyId, line: &[u8]) -> Result<(Json, LeadId), Vec<Problem>> {
        let mut line = Json::parse(line).map_err(|error| vec![problem("", error.to_string())])?;
        if !matches!(line, Json::Object(_)) {
            return Err(vec![problem("", "must be an object".to_owned())]);
        }
        let mut problems = Vec::new();
        let key = self.key.as_ref().map(|key| self.key_value(key, &line));
        let key = key.transpose().unwrap_or_else(|wrong| {
            problems.push(wrong);
            None
        });
        let mut moved = Vec::new();
        for Rule { from, to } in &self.rules {
            let value = if self.is_rows { line.get(from).cloned() } else { line.take_at(from) };
            let (Some(value), Some(to)) = (value, to) else { continue };
            match self.value(to, value) {
                Ok(value) => moved.extend(value.map(|value| (to, value))),
                Err(detail) => problems.push(problem(&pointer(from), detail)),
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
        let id = match key {
            Some(key) => id_of(company, key.as_bytes()),
            None => id_of(company, &event.digest_without(&["event"])),
        };
        Ok((event, id))
    }

    /// None for a blank cell.
    fn value(&self, field: &str, value: Json) -> Result<Option<Json>, String> {
        if !self.is_rows {
            return typed(field, value, self.order).map(Some);
        }
        let Some(text) = value.as_str() else { return typed(field, value, self.order).map(Some) };
        match cell(&text)? {
            None => Ok(None),
            Some(text) => typed(field, Json::string(text), self.order).map(Some),
        }
    }

    /// What tells this line's lead from others: the column with its value.
    fn key_value(&self, key: &Key, line: &Json) -> Result<String, Problem> {
        let value = if self.is_rows { line.get(&key.from) } else { line.at(&key.from) };
        let text = match value {
            Some(Json::Number(number)) => Some(number.to_string()),
            value => value.and_then(Json::as_str).map(|text| text.trim().to_owned()),
        };
        match text {
            Some(text) if !text.is_empty() => {
                let text = if key.is_email { text.to_lowercase() } else { text };
                Ok(format!("{}\0{text}", slug(&key.from)))
            }
            _ => {
                let place = if self.is_rows { key.from.clone() } else { key.from.replace('.', "/") };
                Err(problem(
                    &pointer(&place),
                    "is the key and must be text or a number, not blank".to_owned(),
                ))
            }
        }
    }
}

fn problem(pointer: &str, detail: String) -> Problem {
    Problem { pointer: pointer.to_owned(), detail }
}

fn pointer(column: &str) -> String {
    format!("/{}", column.replace('~', "~0").replace('/', "~1"))
}

/// A field that a value can be put into: a canonical one, or one of the sender's own.
fn find(name: &str) -> Result<String, String> {
    match fields::find(name) {
        Some(field)
            if matches!(field.shape, Shape::Leaf(_)) && !matches!(field.name, "event" | "version") =>
        {
            return Ok(name.to_owned());
        }
        Some(_) => return Err(format!("{name} cannot be imported; name a field in it, as lead.email")),
        None => {}
    }
    let is_path =
        OWN_PLACES.iter().any(|place| name.starts_with(place)) && name.split('.').all(|key| !key.is_empty());
    let within =
        FIELDS.iter().find(|field| !matches!(field.shape, Shape::Object) && covers(field.name, name));
    // What stands within a text is no slip of the pen.
    if let Some(field) = within {
        return Err(format!("{name} cannot be: {} is {}", field.name, field.shape.as_str()));
    }
    match canonical_near(name) {
        Some(meant) => Err(format!("unknown field {name}; did you mean {meant}?")),
        None if is_path => Ok(name.to_owned()),
        None => Err(format!("unknown field {name}; name a canonical one, or one of your own as lead.budget")),
    }
}

fn canonical_near(name: &str) -> Option<&'static str> {
    nearest_within(name, SLIP, FIELDS.iter().map(|field| field.name))
}

/// The field that a column is called like, whatever its case and its spaces.
fn field_called(column: &str) -> Option<&'static str> {
    let name = column.trim().to_lowercase().replace([' ', '-'], "_").replace("e_mail", "email");
    let names = PLACES.iter().map(|place| format!("{place}{name}"));
    let leaf = |name: String| fields::find(&name).filter(|field| matches!(field.shape, Shape::Leaf(_)));
    let found =
        names.filter_map(leaf).map(|field| field.name).find(|name| !matches!(*name, "event" | "version"));
    // `company` alone is the venue's to know, not the file's: a lead's employer is `lead.profile.company`.
    found.filter(|field| !field.starts_with("company."))
}

/// The field of the sender's own that a column becomes: `Wedding budget` is `lead.wedding_budget`.
fn own_field(column: &str) -> Option<OwnColumn> {
    let name = column.trim();
    let field = format!("lead.{}", slug(name.strip_prefix("lead.").unwrap_or(name)));
    let is_free = field != "lead." && fields::find(&field).is_none();
    is_free.then(|| OwnColumn { column: column.to_owned(), meant: canonical_near(&field), field })
}

/// A name as templates can write it.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
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
fn id_of(company: CompanyId, identity: &[u8]) -> LeadId {
    let mut hasher = Sha256::new();
    hasher.update(company.0.to_be_bytes());
    hasher.update(identity);
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&hash[..10]);
    Ulid::from_bytes(bytes).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(map: &Value, set: &Value, columns: &[String]) -> Result<Import, Vec<String>> {
        Import::read(&Wish { map, set, columns, key: "", strict: true, order: None })
    }

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_become_events() {
        let map = json!({"Wedding day": "lead.event_date", "Notes": null, "Guests": "lead.guest_count"});
        let set = json!({"lead.event_type": "wedding", "lead.gdpr_consent": "yes"});
        let names =
            columns(&["E-Mail", "First name", "last_name", "Wedding day", "Notes", "Guests", "GDPR consent"]);
        let import = read(&map, &set, &names).unwrap();
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
        let import = read(&json!({"person.mail": "lead.email", "x": null}), &json!({}), &[]).unwrap();
        let line = r#"{"lead":{"name":"Ann","n":1.10},"person":{"mail":"a@b.c"},"x":1}"#;
        let (event, _) = import.event(CompanyId(7), line.as_bytes()).unwrap();
        assert_eq!(event.to_string(), r#"{"lead":{"name":"Ann","n":1.10,"email":"a@b.c"},"person":{}}"#);
        let plain = read(&Value::Null, &Value::Null, &[]).unwrap();
        assert_eq!(plain.event(CompanyId(7), line.as_bytes()).unwrap().0.to_string(), line);
        assert_eq!(plain.event(CompanyId(7), b"5").unwrap_err()[0].detail, "must be an object");
        assert!(plain.event(CompanyId(7), b"{").is_err());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let map = json!({"Mail": "lead.emial", "Nme": "lead.name", "Day": 5, "Tel": "lead.phone"});
        let set = json!({"lead.utm": {}, "lead.event_typ": "wedding", "lead.email.x": 1, "budget": 1, "lead..x": 1});
        let names = columns(&["Mail", "Name", "Day", "Tel", "Phone", "Budget"]);
        assert_eq!(
            read(&map, &set, &names).unwrap_err(),
            [
                "map: Mail: unknown field lead.emial; did you mean lead.email?",
                "map: unknown column Nme; did you mean Name?",
                "map: Day: must be the name of a field, or null to leave it out",
                "column \"Budget\" is called like no field: add it to the map, with null to leave it out",
                "map: Tel and Phone both go to lead.phone; give each its own",
                "set: lead.utm cannot be imported; name a field in it, as lead.email",
                "set: unknown field lead.event_typ; did you mean lead.event_type?",
                "set: lead.email.x cannot be: lead.email is text",
                "set: unknown field budget; name a canonical one, or one of your own as lead.budget",
                "set: unknown field lead..x; name a canonical one, or one of your own as lead.budget",
            ]
        );
    }

    #[test]
    fn columns_of_their_own_become_fields_of_the_lead() {
        let names = columns(&["Email", "Wedding budget (£)", "Emial", "lead.table plan", "Größe"]);
        let (map, set) = (json!({}), json!({}));
        let wish = Wish { map: &map, set: &set, columns: &names, key: "", strict: false, order: None };
        let import = Import::read(&wish).unwrap();
        let own: Vec<_> = import.own_columns().iter().map(|own| (&*own.field, own.meant)).collect();
        assert_eq!(
            own,
            [
                ("lead.wedding_budget", None),
                ("lead.emial", Some("lead.email")),
                ("lead.table_plan", None),
                ("lead.größe", None)
            ]
        );
        let row = r##"{"Email":"a@b.c","Wedding budget (£)":"'=1","Größe":"#N/A"}"##;
        let problems = import.event(CompanyId(7), row.as_bytes()).unwrap_err();
        assert_eq!(
            (&*problems[0].pointer, &*problems[0].detail),
            ("/Größe", "is #N/A, an error of the spreadsheet: mend it there, or leave the cell blank")
        );
        let (event, _) = import.event(CompanyId(7), row.replace("#N/A", " ").as_bytes()).unwrap();
        assert_eq!(event.to_string(), r#"{"lead":{"email":"a@b.c","wedding_budget":"=1"}}"#);
        let names = columns(&["UTM", "???", "A b", "a-b"]);
        assert_eq!(
            Import::read(&Wish { columns: &names, ..wish }).unwrap_err(),
            [
                "column \"UTM\" cannot be a field of its own: add it to the map, with null to leave it out",
                "column \"???\" cannot be a field of its own: add it to the map, with null to leave it out",
                "map: A b and a-b both go to lead.a_b; give each its own",
            ]
        );
    }

    #[test]
    fn a_key_tells_leads_apart_whatever_else_the_line_says() {
        let names = columns(&["E-Mail", "Order no", "New"]);
        let (map, set) = (json!({}), json!({}));
        let wish =
            Wish { map: &map, set: &set, columns: &names, key: "Order no", strict: false, order: None };
        let id = |wish: &Wish<'_>, line: &str| {
            Import::read(wish).unwrap().event(CompanyId(7), line.as_bytes()).map(|(_, id)| id)
        };
        let first = id(&wish, r#"{"E-Mail":"a@b.c","Order no":"17"}"#).unwrap();
        assert_eq!(first, id(&wish, r#"{"E-Mail":"x@b.c","Order no":" 17 ","New":"1"}"#).unwrap());
        assert_ne!(first, id(&wish, r#"{"E-Mail":"a@b.c","Order no":"18"}"#).unwrap());
        let blank = id(&wish, r#"{"E-Mail":"a@b.c"}"#).unwrap_err();
        assert_eq!(
            (&*blank[0].pointer, &*blank[0].detail),
            ("/Order no", "is the key and must be text or a number, not blank")
        );
        let by_mail = Wish { key: "E-Mail", ..wish };
        let lower = id(&by_mail, r#"{"E-Mail":"a@b.c"}"#).unwrap();
        assert_eq!(lower, id(&by_mail, r#"{"E-Mail":"A@B.c"}"#).unwrap());
        assert_ne!(lower, first);
        let events = Wish { columns: &[], key: "order.no", ..wish };
        let of_number = id(&events, r#"{"order":{"no":17}}"#).unwrap();
        assert_eq!(of_number, id(&events, r#"{"order":{"no":17},"lead":{}}"#).unwrap());
        assert_eq!(id(&events, r#"{"order":{}}"#).unwrap_err()[0].pointer, "/order~1no");
        let unknown = Import::read(&Wish { key: "Order", ..wish }).unwrap_err();
        assert_eq!(unknown, ["key: unknown column Order"]);
    }
}
