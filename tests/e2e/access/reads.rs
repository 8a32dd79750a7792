//! Everything that somebody may read by the control API, made from its descriptors: a call that comes later is asked, too.

use std::collections::BTreeMap;

use leadline_proto::v1::Role;
use leadline_tests::request_id;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MethodDescriptor, Value};

use super::{
    Wire,
    walk::{call, methods, path, pool, references, set_below, ways},
};

/// Calls that are there to tell of a person, or to take leads in.
const NO_READS: [&str; 3] = ["ExportPerson", "ImportLeads", "Reveal"];

/// Of so many things a list is asked; a look is asked of each.
const LISTED: usize = 2;

/// What calls may be asked about: `ids` has what there is of a kind of thing, `texts` what a field of a name is filled with.
pub(crate) struct Subjects<'a> {
    pub(crate) ids: BTreeMap<&'static str, Vec<String>>,
    pub(crate) texts: Vec<(&'static str, &'a str)>,
}

/// What every call answers that changes nothing: those without a request id, of a watch the first answer, and those that
/// only say what they would do. Each is asked with nothing named, with each of the things or, if it is a list, with some of
/// them, and with all of its flags set.
/// By the calls' names; those that answered nothing but refusals are not there.
pub(crate) async fn everything_read(wire: &Wire, asked: &Subjects<'_>) -> BTreeMap<String, Vec<String>> {
    read(wire, asked, &[""]).await
}

/// The same of the calls in whose names one of these words is.
pub(crate) async fn read(wire: &Wire, asked: &Subjects<'_>, words: &[&str]) -> BTreeMap<String, Vec<String>> {
    let is_meant = |method: &&MethodDescriptor| words.iter().any(|word| method.name().contains(word));
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for method in methods().iter().filter(|method| is_read(method)).filter(is_meant) {
        for request in requests(method, asked) {
            // What names nothing, or two things that do not go together, is refused by some.
            let Ok(answer) = call(wire, path(method), request.encode_to_vec()).await else { continue };
            let answer = String::from_utf8_lossy(&answer).into_owned();
            told.entry(method.name().to_owned()).or_default().push(answer);
        }
    }
    told
}

fn is_read(method: &MethodDescriptor) -> bool {
    let has = |name: &str| method.input().get_field_by_name(name).is_some();
    !NO_READS.contains(&method.name()) && (!has("request_id") || has("dry_run"))
}

/// Whether a call tells of many things at once, whatever it is asked about: a third of a kind would show nothing new.
fn is_list(method: &MethodDescriptor) -> bool {
    ["List", "Watch", "Find"].iter().any(|word| method.name().starts_with(word))
        || method.input().get_field_by_name("dry_run").is_some()
}

/// What a call is asked.
fn requests(method: &MethodDescriptor, asked: &Subjects<'_>) -> Vec<DynamicMessage> {
    let pool = pool();
    let refers_to = pool.get_extension_by_name("leadline.control.v1.refers_to").unwrap();
    let kinds = pool.get_enum_by_name("leadline.control.v1.Reference").unwrap();
    let most = if is_list(method) { LISTED } else { usize::MAX };
    let mut requests = vec![DynamicMessage::new(method.input())];
    for way in references(&method.input(), &refers_to, &mut Vec::new()) {
        let number = way.last().unwrap().options().get_extension(&refers_to).as_enum_number().unwrap();
        let kind = kinds.get_value(number).unwrap().name().replace("REFERENCE_", "");
        for id in asked.ids.get(&*kind).into_iter().flatten().take(most) {
            let mut request = DynamicMessage::new(method.input());
            set_below(&mut request, &way, Value::String(id.clone()));
            requests.push(request);
        }
    }
    let texts = asked.texts.iter().filter_map(|(name, text)| {
        method.input().get_field_by_name(name).map(|field| (field, Value::String((*text).to_owned())))
    });
    for (field, value) in texts {
        let mut named = requests.clone();
        named.iter_mut().for_each(|request| request.set_field(&field, value.clone()));
        requests.extend(named);
    }
    let flags: Vec<_> = method.input().fields().filter(|field| matches!(field.kind(), Kind::Bool)).collect();
    let mut flagged = if flags.is_empty() { Vec::new() } else { requests.clone() };
    flagged
        .iter_mut()
        .for_each(|request| flags.iter().for_each(|it| request.set_field(it, Value::Bool(true))));
    requests.extend(flagged);
    for request in &mut requests {
        for (name, value) in [("request_id", Value::String(request_id())), ("dry_run", Value::Bool(true))] {
            if method.input().get_field_by_name(name).is_some() {
                request.set_field_by_name(name, value);
            }
        }
    }
    requests
}

/// The names of the calls that a role may make and that change nothing.
pub(crate) fn reads_of(role: Role) -> Vec<String> {
    let option = pool().get_extension_by_name("leadline.control.v1.role").unwrap();
    let may = |method: &&MethodDescriptor| {
        let needed = method.options().get_extension(&option).as_enum_number().unwrap_or_default();
        needed <= i32::from(role) && is_read(method)
    };
    methods().iter().filter(may).map(|method| method.name().to_owned()).collect()
}

/// Each call by which somebody could look for what names people, with a field that does so filled.
pub(crate) fn searches(text: &str) -> Vec<(MethodDescriptor, Vec<u8>)> {
    let option = pool().get_extension_by_name("leadline.control.v1.not_if_masked").unwrap();
    let mut found = Vec::new();
    for method in methods() {
        for way in ways(
            &method.input(),
            &|field| field.options().get_extension(&option).as_bool() == Some(true),
            &mut Vec::new(),
        ) {
            let mut request = DynamicMessage::new(method.input());
            set_below(&mut request, &way, Value::String(text.to_owned()));
            found.push((method.clone(), request.encode_to_vec()));
        }
    }
    found
}
