//! What the connectors that speak of people, deals and notes share: the mapped fields, the lead told to a person, texts
//! cut to a vendor's limits, and the search for the nearest existing name.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use super::{Conversation, Moment, Push, Result, config::Problem, written, written::has_members};
pub use crate::told::{html_note, plain};
use leadline_domain::{
    fanout::has_consent,
    json::Json,
    mapping::{Mapping, Rule},
    names,
    outcome::{Failure, FailureClass},
    template::Context,
};
pub use leadline_domain::{
    names::{half as half_name, is_made as is_made_name, is_part_of},
    texts::{cut, cut_bytes, escape_html, text, units},
    told::{YOUNG_COLUMNS, columns},
};

/// What is known of a person, in the order of [`person_mapping`].
const PERSON: &str = "lead.profile.first_name lead.profile.last_name lead.email lead.phone \
    lead.profile.company lead.profile.position lead.profile.website";

/// Where a person goes by default: the targets of first and last name, email, phone, company, position and website, blank
/// where the vendor has none.
pub fn person_mapping(targets: [&str; 7]) -> Value {
    PERSON.split(' ').zip(targets).filter(|(_, target)| !target.is_empty()).collect()
}

/// Reads the operator's mapping, laid over a connector's own field by field.
pub fn read_mapping(own: &Value, operators: &Value) -> Result<Mapping, Vec<Problem>> {
    let laid = match operators {
        Value::Null => own.clone(),
        Value::Object(members) => {
            let mut laid = own.as_object().cloned().unwrap_or_default();
            laid.extend(members.clone());
            Value::Object(laid)
        }
        other => other.clone(),
    };
    Mapping::parse(&laid).map_err(|problems| Problem::all("mapping", problems))
}

/// What is wrong with the mapping of a connector that finds people by their address, which goes to this target.
#[must_use]
pub fn moved_email(mapping: &Mapping, target: &str) -> Option<Problem> {
    let is_key = |rule: &&Rule| {
        rule.field == "lead.email" && rule.to.as_deref() == Some(target) && !rule.is_computed()
    };
    if mapping.rules().iter().any(|rule| is_key(&rule)) {
        return None;
    }
    let problem = format!(
        "lead.email: goes to {target} as it is, for leads are found by it; take lead.email out of the mapping"
    );
    Some(Problem::at("mapping", problem))
}

/// What is wrong with the mapping of a connector that cannot tell which records are new.
#[must_use]
pub fn untold_new(mapping: &Mapping) -> Option<Problem> {
    let rule = mapping.rules().iter().find(|rule| rule.is_for_new())?;
    let problem =
        format!("{}: \"new\" must go: this connector cannot tell which records are new", rule.field);
    Some(Problem::at("mapping", problem))
}

/// A failure of the mapping: nothing was sent.
pub fn unrenderable(error: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Mapping, error)
}

/// The event, if the lead agreed to be written to.
pub fn consented(vendor: &str, push: &Push<'_>) -> Result<Json> {
    let event = event(push)?;
    if has_consent(&event) {
        return Ok(event);
    }
    let error = format!("{vendor} was not called: the lead gave no consent");
    Err(Failure::new(FailureClass::Rejected, error))
}

/// The address of a lead, which its person is found by: trimmed and in lower case.
pub fn email(vendor: &str, event: &Json) -> Result<String> {
    let email = event.at("lead.email").map(text).unwrap_or_default().trim().to_lowercase();
    if email.is_empty() {
        let error = format!("{vendor} was not called: the lead has no email");
        return Err(Failure::new(FailureClass::Rejected, error));
    }
    Ok(email)
}

/// The shape of plans, and under which each says it. Whoever changes what a plan has, or how it says that, raises it: what
/// another version kept is rendered anew then. A test in `plan` looks at the parts of each.
const SHAPE: i128 = FIRST_SHAPE;
/// What says none. Older daemons, which may work beside this one, know no member for it.
const FIRST_SHAPE: i128 = 1;
const SHAPE_KEY: &str = "shape";

/// A plan as it is kept with its delivery.
#[must_use]
pub fn kept(mut plan: Json) -> Bytes {
    if SHAPE != FIRST_SHAPE {
        plan.insert(0, SHAPE_KEY, Json::integer(SHAPE));
    }
    plan.to_bytes()
}

/// What was rendered for this push, as a tree. What it left out is noted.
pub fn rendered(push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<Json> {
    let rendered = push.rendered.map(Bytes::as_ref).unwrap_or_default();
    let mut plan = Json::parse(rendered).map_err(|_| unread_plan(ctx))?;
    if plan.take_at(SHAPE_KEY).map_or(Some(FIRST_SHAPE), |shape| shape.as_integer()) != Some(SHAPE) {
        return Err(unread_plan(ctx));
    }
    if let Some(Json::Array(notes)) = plan.get(NOTES) {
        notes.iter().for_each(|note| ctx.note(text(note)));
    }
    Ok(plan)
}

/// The failure where what was rendered earlier cannot be read: the runtime has it rendered anew.
pub fn unread_plan(ctx: &mut Conversation<'_>) -> Failure {
    ctx.is_unread = true;
    unrenderable("what was rendered earlier cannot be read")
}

/// A time as vendors read it, to the second: `2026-11-21T12:00:00Z`.
#[must_use]
pub fn utc(at: Moment) -> String {
    jiff::Timestamp::from(Moment::from_seconds(at.as_seconds())).to_string()
}

/// The event of a push, as a tree.
pub fn event(push: &Push<'_>) -> Result<Json> {
    Json::parse(push.body).map_err(|error| unrenderable(format!("the event cannot be read: {error}")))
}

/// The target's fields with their values, in the order of the mapping. What the lead does not have is left out; null is
/// what a rule wants emptied.
pub fn fields(mapping: &Mapping, event: &Json, push: &Push<'_>) -> Result<Vec<(String, Json)>> {
    let context = Context::new(event, push.event, push.id);
    let mut fields = Vec::new();
    for (rule, target) in mapping.targets() {
        let value =
            rule.value_to_keep(&context).map_err(|error| unrenderable(format!("{}: {error}", rule.field)))?;
        fields.extend(value.map(|value| (target.to_owned(), value)));
    }
    Ok(fields)
}

/// A JSON tree of ours as one that requests are built from; numbers keep their text.
#[must_use]
pub fn value(json: &Json) -> Value {
    serde_json::from_slice(&json.to_bytes()).unwrap_or(Value::Null)
}

/// Under which prints of the words are kept that a lead was called by, where they were several.
const WORDS: &str = "_name";

fn name_prints(event: &Json) -> Vec<String> {
    names::words(event).map(|word| written::print(WORDS, &Json::string(&word))).collect()
}

/// Whether the name says less than what was written of the lead, half of a whole one or none: it goes nowhere over that.
pub fn is_lesser_name(event: &Json, push: &Push<'_>) -> bool {
    let whole = push.ids.get(WORDS).map_or("", String::as_str);
    is_made_name(event) || matches!(&name_prints(event)[..], [word] if whole.contains(word))
}

/// Where such a name goes; nowhere, if this one is none.
pub fn lesser_name<'a>(mapping: &'a Mapping, event: &Json, push: &Push<'_>) -> Vec<&'a str> {
    if is_lesser_name(event, push) { names::targets(mapping) } else { Vec::new() }
}

/// Keeps what [`is_lesser_name`] goes by.
pub async fn keep_name(push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
    let words = name_prints(&event(push)?);
    if words.len() > 1 {
        ctx.keep(&[(WORDS, &words.concat())]).await;
    }
    Ok(())
}

/// What of a plan not every record gets: one that is made for the lead, and one that has no name.
pub const NEW: &str = "new";
const HALF: &str = "half";
/// What of a lead's texts a plan leaves out.
pub const NOTES: &str = "notes";
const EXTRAS: [&str; 3] = [NEW, HALF, NOTES];

/// The fields of a person, by target. First and last name come from the lead's name where it has none of its own; a name
/// that was made from the address names nobody.
pub fn person_fields(mapping: &Mapping, event: &Json, push: &Push<'_>) -> Result<Vec<(String, Json)>> {
    let mut fields = fields(mapping, event, push)?;
    if is_made_name(event) {
        fields.retain(|(name, _)| !names::targets(mapping).contains(&name.as_str()));
    } else {
        names::add_to(&mut fields, mapping, event);
    }
    Ok(fields)
}

/// How a text is cut to a length.
pub type Cut = fn(&str, usize) -> Cow<'_, str>;

/// The same, each as it is `written`, apart by who gets it: what every record does, and as an extra what one does that is
/// made for the lead, or that has no name where the lead says half of one, with null for the half that it does not say.
/// Whatever is cut is noted beside these.
pub fn person(
    mapping: &Mapping,
    event: &Json,
    push: &Push<'_>,
    (max, cut): (usize, Cut),
    written: impl Fn(&str, &Json) -> Option<Json>,
) -> Result<(Json, [Json; 3])> {
    let mut parts = [(); 3].map(|()| Json::Object(Vec::new()));
    let mut notes = Vec::new();
    let half = half_name(mapping, event);
    for (target, value) in person_fields(mapping, event, push)? {
        let is_half = half.contains(&target.as_str());
        let part = if mapping.is_for_new(&target) { 1 } else { usize::from(is_half) * 2 };
        let Some(value) = written(&target, &value) else { continue };
        parts[part].insert(usize::MAX, &target, fit(&target, value, (max, cut), &mut notes));
    }
    let [fields, new, mut said] = parts;
    let is_said = has_members(&said);
    for target in half.into_iter().filter(|target| is_said && !mapping.is_for_new(target)) {
        let value = said.get(target).cloned().unwrap_or(Json::Null);
        said.insert(usize::MAX, target, value);
    }
    Ok((fields, [new, said, Json::Array(notes)]))
}

/// A value as it fits: a text that is longer is cut, which is noted.
pub fn fit(field: &str, value: Json, (max, cut): (usize, Cut), notes: &mut Vec<Json>) -> Json {
    let fit = value.as_str().and_then(|whole| match cut(&whole, max) {
        Cow::Owned(fit) => Some(fit),
        Cow::Borrowed(_) => None,
    });
    let Some(fit) = fit else { return value };
    notes.push(Json::string(&was_cut(field, max)));
    Json::string(&fit)
}

/// What is noted of a text that its field does not take whole.
pub fn was_cut(field: &str, max: usize) -> String {
    format!("{field} was cut to {max} characters")
}

/// Puts into a plan what not every record gets, as far as there is such, and what was cut.
pub fn put_extras(plan: &mut Json, extras: [Json; 3]) {
    for (name, part) in EXTRAS.into_iter().zip(extras) {
        if has_members(&part) || matches!(&part, Json::Array(notes) if !notes.is_empty()) {
            plan.insert(usize::MAX, name, part);
        }
    }
}

/// Whether a plan has anything that not every record gets.
pub fn has_extras(plan: &Json) -> bool {
    plan.get(NEW).or(plan.get(HALF)).is_some()
}

/// Takes out of a plan what not every record gets, and returns it as far as this one does: all that is `new` where none is
/// there, and `half` of a name where that has none at all, as far as it was `read`.
pub fn take_extras(plan: &mut Json, there: Option<&Value>, read: fn(&str) -> bool) -> Vec<(String, Json)> {
    let part = |name: &str| match plan.take_at(name) {
        Some(Json::Object(members)) => members,
        _ => Vec::new(),
    };
    let [new, half] = [NEW, HALF].map(part);
    let says = |there: &Value, name: &str| there[name].as_str().is_some_and(|own| !own.trim().is_empty());
    let may_say = |name: &str| there.is_some_and(|there| !read(name) || says(there, name));
    let has_name = half.iter().any(|(name, _)| may_say(&name.decode()));
    let new = new.into_iter().filter(|_| there.is_none());
    let half = half.into_iter().filter(|(_, value)| !has_name && !value.is_null());
    new.chain(half).map(|(name, value)| (name.decode().into_owned(), value)).collect()
}

/// What a deal is called: `Wedding – Sarah Patel – 2026-09-12`, within so many UTF-16 units.
#[must_use]
pub fn deal_title(event: &Json, max: usize) -> String {
    let at = |path: &str| event.at(path).map(text).unwrap_or_default();
    let kind = at("lead.event_type").replace('_', " ");
    let mut kind = kind.chars();
    let kind: String = kind.next().into_iter().flat_map(char::to_uppercase).chain(kind).collect();
    // A long name must not push out the date.
    let name = cut(&at("lead.name"), max - 60).into_owned();
    let parts = [kind, name, at("lead.event_date")].into_iter().filter(|part| !part.trim().is_empty());
    cut(&parts.collect::<Vec<_>>().join(" – "), max).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_of_a_name_is_for_who_is_new_or_has_none() {
        let mapping = json!({"lead.profile.first_name": "first", "lead.profile.last_name": "last", "lead.phone":
            {"to": "tel", "new": true}, "lead.name": "whole"});
        let mapping = Mapping::parse(&mapping).unwrap();
        let nobody = json!({"first": null, "last": " ", "whole": ""});
        let named = json!({"first": "", "last": "Patel", "whole": ""});
        for (lead, fields, new, there) in [
            (r#""name":"Sarah""#, r#"{}"#, "first whole tel", "first whole"),
            (
                r#""name":"Sarah Patel""#,
                r#"{"whole":"Sarah Patel","first":"Sarah","last":"Patel"}"#,
                "tel",
                "",
            ),
            (
                r#""name":"Patel","profile":{"first_name":"Sarah"}"#,
                r#"{"first":"Sarah"}"#,
                "whole tel",
                "whole",
            ),
            (r#""name":"a@b.c","email":"a@b.c""#, r#"{}"#, "tel", ""),
        ] {
            let body = Bytes::from(format!(r#"{{"lead":{{{lead},"phone":"+441"}}}}"#));
            let event = Json::parse(&body).unwrap();
            let written = |_: &str, value: &Json| Some(value.clone());
            let push = crate::testkit::push(&body);
            let (own, extras) = person(&mapping, &event, &push, (99, cut), written).unwrap();
            let mut plan = Json::object([("fields", own.clone())]);
            put_extras(&mut plan, extras);
            assert_eq!(own.digest(), Json::parse(fields.as_bytes()).unwrap().digest(), "{lead}: {own}");
            let taken = |there| {
                let taken = take_extras(&mut plan.clone(), there, |_| true).into_iter();
                let mut names: Vec<String> = taken.map(|(name, _)| name).collect();
                names.sort_by_key(|name| ["first", "whole", "tel"].iter().position(|own| own == name));
                names.join(" ")
            };
            assert_eq!([taken(None), taken(Some(&nobody)), taken(Some(&named))], [new, there, ""], "{lead}");
        }
    }
}
