//! How the control API is written: the rules that lints of `.proto` files know, and a few of the house.

use std::{collections::BTreeMap, path::Path};

use leadline_tests::proto::{Enum, Field, Rpc, Value, protos};

use super::{check, files, product};

/// What an rpc may begin with: one that is called otherwise says what it does in a word of its own.
const VERBS: [&str; 27] = [
    "Ask", "Await", "Cancel", "Check", "Create", "Cut", "Delete", "Disable", "Enable", "Erase", "Explain",
    "Export", "Find", "Get", "Hold", "Import", "List", "Preview", "Push", "Release", "Reset", "Resume",
    "Retry", "Reveal", "Revoke", "Rotate", "Set",
];
const MORE_VERBS: [&str; 8] = ["Skip", "Snooze", "Test", "Trace", "Unskip", "Update", "Watch", "Who"];

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    let is_small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_small)
}

/// `DeliveryState` as its values begin: `DELIVERY_STATE_`.
fn prefix(name: &str) -> String {
    let letters = name.char_indices().flat_map(|(at, letter)| {
        let gap = (at > 0 && letter.is_ascii_uppercase()).then_some('_');
        gap.into_iter().chain([letter.to_ascii_uppercase()])
    });
    letters.chain(['_']).collect()
}

#[test]
fn every_rpc_has_a_request_and_a_response_of_its_own() {
    let (mut findings, mut uses) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    for proto in protos() {
        for service in &proto.services {
            if !is_pascal(&service.name) || !service.name.ends_with("Service") {
                findings.push(format!("{}: service {} is no …Service", proto.path, service.name));
            }
            for rpc in &service.rpcs {
                let Rpc { name, request, response, .. } = rpc;
                if *request != format!("{name}Request") || *response != format!("{name}Response") {
                    findings.push(format!("{}: {name} takes {request} and answers {response}", proto.path));
                }
                let verb = name
                    .chars()
                    .next()
                    .into_iter()
                    .chain(name.chars().skip(1).take_while(|c| c.is_lowercase()));
                let verb: String = verb.collect();
                if !VERBS.iter().chain(&MORE_VERBS).any(|known| *known == verb) || !is_pascal(name) {
                    findings.push(format!("{}: {name} begins with no verb", proto.path));
                }
                for message in [request, response] {
                    uses.entry(message.clone()).or_default().push(name.clone());
                }
            }
        }
    }
    let shared = uses.iter().filter(|(_, rpcs)| rpcs.len() > 1);
    findings.extend(shared.map(|(message, rpcs)| format!("{message} serves {}", rpcs.join(" and "))));
    let all: Vec<_> = protos().into_iter().flat_map(|proto| proto.messages).collect();
    let ends =
        |name: &str| name.ends_with("Request") && !name.starts_with("Preview") || name.ends_with("Response");
    let unused = all.iter().filter(|message| ends(&message.name) && !uses.contains_key(&message.name));
    findings.extend(unused.map(|message| format!("{} serves no rpc", message.name)));
    check("an rpc takes <Rpc>Request and answers <Rpc>Response", &findings);
}

/// A service is about the noun in its name; its calls name that noun, or a part of it.
#[test]
fn rpcs_say_what_they_do_where_their_noun_is() {
    let mut findings = Vec::new();
    for proto in protos() {
        let file = Path::new(&proto.path).file_stem().unwrap().to_string_lossy().into_owned();
        let services: Vec<_> = proto.services.iter().map(|service| service.name.clone()).collect();
        let own = services.first().map(|name| name.trim_end_matches("Service").to_lowercase());
        if own.is_some_and(|own| own != file) {
            findings.push(format!("{}: {} stands in another's file", proto.path, services.join(", ")));
        }
        for rpc in proto.services.iter().flat_map(|service| &service.rpcs) {
            let is_plain =
                ["Create", "Get", "List", "Update", "Delete", "Enable", "Disable", "Set", "Revoke", "Cancel"]
                    .iter()
                    .any(|verb| rpc.name.starts_with(verb));
            if !is_plain && rpc.comment.is_empty() {
                findings
                    .push(format!("{}: {} is not told by its name: say what it does", proto.path, rpc.name));
            }
        }
    }
    check("calls stand where their noun is, and say what they do", &findings);
}

/// Calls whose name says another noun than their service's, or none, and why they stand where they do.
const OTHER_NOUNS: [(&str, &str, &str); 11] = [
    ("Company", "SetPlan", "the plan is the company's, and is no thing of its own"),
    ("Integration", "CutOver", "to the integration's staged secret"),
    ("Integration", "RevokeSecret", "the secret is the integration's"),
    ("Integration", "RotateSecret", "the secret is the integration's"),
    ("Integration", "SetCredentials", "the credentials are the integration's"),
    ("IntakeKey", "ListRefusals", "what was refused of the key"),
    ("Lead", "ErasePerson", "all leads of one person"),
    ("Lead", "ExportPerson", "all leads of one person"),
    ("Lead", "GetEvidence", "of what happened to the lead"),
    ("Lead", "Reveal", "the lead whose person is masked"),
    ("Token", "WhoAmI", "what the token that is shown may do"),
];

/// A service is about the noun in its name, and each of its calls names that noun: `CompanyService`, `ListCompanies`.
#[test]
fn rpcs_name_the_noun_of_their_service() {
    let (mut findings, mut unused) = (Vec::new(), OTHER_NOUNS.to_vec());
    for service in protos().iter().flat_map(|proto| &proto.services) {
        let noun = service.name.trim_end_matches("Service");
        // `Companies` holds no `Company`.
        let stem = noun.strip_suffix('y').unwrap_or(noun);
        let endings = if stem == noun { [""; 2] } else { ["y", "ies"] };
        for rpc in &service.rpcs {
            let names_it = endings.iter().any(|end| rpc.name.contains(&format!("{stem}{end}")));
            let excused = unused.iter().position(|(of, name, _)| *of == noun && *name == rpc.name);
            match (names_it, excused) {
                (false, Some(at)) => {
                    unused.remove(at);
                }
                (false, None) => findings.push(format!("{}: {} names no {noun}", service.name, rpc.name)),
                _ => {}
            }
        }
    }
    findings.extend(unused.iter().map(|(noun, name, _)| format!("{noun}: {name} needs no exception")));
    check("a call names the noun of its service, or says why not (OTHER_NOUNS)", &findings);
}

/// What makes a status without a reason.
const BARE: [&str; 20] = [
    "aborted",
    "already_exists",
    "cancelled",
    "data_loss",
    "deadline_exceeded",
    "failed_precondition",
    "internal",
    "invalid_argument",
    "new",
    "not_found",
    "ok",
    "out_of_range",
    "permission_denied",
    "resource_exhausted",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
    "with_details",
    "with_metadata",
];

/// A refusal carries a reason that programs read: `status::told` and `status::refused` give it one, and nothing else makes
/// a status.
#[test]
fn every_refusal_has_a_reason() {
    let mut findings = Vec::new();
    for (path, text) in files("daemon/src/control", ".rs") {
        let is_home = path.ends_with("/status.rs");
        for line in product(&text) {
            let makes = |of: &str| BARE.iter().any(|name| line.contains(&format!("{of}::{name}(")));
            let is_bare = if is_home {
                // There `Self` is a status, too.
                makes("Status") || makes("Self")
            } else {
                makes("Status") || line.contains("Status::with_")
            };
            if is_bare {
                findings.push(format!("{path}: {}", line.trim()));
            }
        }
    }
    check("a status is made by status::told or status::refused, with a reason", &findings);
}

/// Texts of answers in which nothing of a person stands, by what they are called, and why.
const IMPERSONAL: [(&str, &str); 11] = [
    (
        "id action attempt_id cause company_name connector created_by currency cursor daemon_version delivery_id \
         integration_id integration_name job_id key key_id kind lead method next_page_token operator path prefix pushed \
         removed sample_delivery_id target target_name uuid uuids version",
        "ids, and names of things and of operators",
    ),
    (
        "Company Connector ConfigField FailureIntegration Flow Form Header Integration JobIntegration Token .name",
        "so too",
    ),
    ("PushLeadsResponse TestFlowResponse .sample", "uuids of leads"),
    (
        "account allow_origins brand config constants field findings form honeypot lead_url locale map mapping reason_flows \
         redirect rule time_zone warnings when why",
        "what operators set up, and what is found of it; ExplainDelivery masks its own `why`",
    ),
    (
        "advice amount column content_type default_value help meant may_call pointer summary words",
        "our own words",
    ),
    ("Refused.body", "masked when it is stored"),
    ("detail", "our words on a refused post, without its values"),
    ("before after", "the audit is kept for good, so that nothing personal is written there"),
    ("Failure.text", "an error without what differs from lead to lead"),
    ("document", "masked by itself: `mask` is forced"),
    ("signing_secret token", "secrets that are shown once, to admins"),
];
/// Calls that are there to tell who somebody is.
const TELLING: [&str; 2] = ["ExportPersonResponse", "RevealResponse"];

/// The answers that `message` is a part of are masked by what its fields say of themselves: each says it, or stands in
/// `IMPERSONAL`.
#[test]
fn every_text_of_an_answer_says_whether_it_is_personal() {
    let messages: BTreeMap<_, _> =
        protos().into_iter().flat_map(|proto| proto.messages).map(|it| (it.name.clone(), it)).collect();
    let mut open: Vec<String> = messages.keys().filter(|name| name.ends_with("Response")).cloned().collect();
    let (mut seen, mut findings) = (Vec::new(), Vec::new());
    let is_excused = |message: &str, field: &str| {
        IMPERSONAL.iter().any(|(names, _)| {
            let shared = names.split_once(" .").filter(|(_, name)| *name == field);
            shared.is_some_and(|(messages, _)| messages.split_whitespace().any(|name| name == message))
                || names.split_whitespace().any(|name| name == field || name == format!("{message}.{field}"))
        })
    };
    while let Some(name) = open.pop() {
        let Some(message) = messages.get(&name).filter(|_| !seen.contains(&name)) else { continue };
        for Field { name: field, kind, is_personal, .. } in &message.fields {
            let is_text = ["string", "bytes"].contains(&kind.as_str());
            if is_text && !is_personal && !is_excused(&name, field) && !TELLING.contains(&&*name) {
                findings.push(format!("{name}.{field}"));
            }
            open.push(kind.clone());
        }
        seen.push(name);
    }
    assert!(seen.len() > 100, "{}", seen.len());
    check("a text of an answer says `personal`, or why not (IMPERSONAL)", &findings);
}

#[test]
fn lists_have_pages() {
    let messages: Vec<_> = protos().into_iter().flat_map(|proto| proto.messages).collect();
    let has = |name: &str, field: &str, kind: &str| {
        let message = messages.iter().find(|message| message.name == name);
        message.is_some_and(|it| it.fields.iter().any(|it| it.name == field && it.kind == kind))
    };
    let mut findings = Vec::new();
    for rpc in protos().iter().flat_map(|proto| &proto.services).flat_map(|service| &service.rpcs) {
        let is_list = ["List", "Find"].iter().any(|verb| rpc.name.starts_with(verb));
        let is_paged = has(&rpc.request, "page_size", "uint32")
            && has(&rpc.request, "page_token", "string")
            && has(&rpc.response, "next_page_token", "string");
        if is_list != is_paged {
            findings.push(rpc.name.clone());
        }
    }
    check("a list takes page_size and page_token and answers next_page_token", &findings);
}

#[test]
fn words_times_and_spans_have_types() {
    let mut findings = Vec::new();
    for proto in protos() {
        for message in &proto.messages {
            if !is_pascal(&message.name) {
                findings.push(format!("{}: message {}", proto.path, message.name));
            }
            for Field { name, kind, comment, .. } in &message.fields {
                let place = format!("{}: {}.{name}", proto.path, message.name);
                if !is_snake(name) {
                    findings.push(format!("{place} is not in snake_case"));
                }
                if kind == "string" && comment.contains(" | ") {
                    findings.push(format!("{place} lists words: make it an enum"));
                }
                let units = ["seconds", "_ms", "_millis", "minutes", "hours", "_days"];
                let is_number = ["uint32", "uint64", "int32", "int64", "double"].contains(&kind.as_str());
                if is_number && units.iter().any(|unit| name.ends_with(unit)) {
                    findings.push(format!("{place} is a span: make it a google.protobuf.Duration"));
                }
                if name.ends_with("_at") && kind != "google.protobuf.Timestamp" {
                    findings.push(format!("{place} is a time: make it a google.protobuf.Timestamp"));
                }
            }
        }
        for Enum { name, values, .. } in &proto.enums {
            let prefix = prefix(name);
            let is_first = |values: &[Value]| {
                values
                    .first()
                    .is_some_and(|one| one.name == format!("{prefix}UNSPECIFIED") && one.number == 0)
            };
            if !is_pascal(name) || !is_first(values) {
                findings.push(format!("{}: {name} begins with {prefix}UNSPECIFIED = 0", proto.path));
            }
            let strange = values.iter().filter(|value| !value.name.starts_with(&prefix));
            findings.extend(strange.map(|value| format!("{}: {} of {name}", proto.path, value.name)));
            let numbers: Vec<_> = values.iter().map(|value| value.number).collect();
            if !numbers.iter().zip(0..).all(|(number, at)| *number == at) {
                findings.push(format!("{}: the numbers of {name} are not in order", proto.path));
            }
        }
    }
    check("fields and enums of the control API", &findings);
}

#[test]
fn values_begin_with_the_name_of_their_enum() {
    assert_eq!(prefix("DeliveryState"), "DELIVERY_STATE_");
}
