//! Who may call what, as the `.proto` files say it beside each method and field. Read once; what has no rule is refused.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use leadline_proto::v1::{Personal, Reference, Role};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};

const PACKAGE: &str = "leadline.control.v1";

/// What clients ask of any daemon before they know its API: whether it is well, and what it speaks.
const STANDARD: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The descriptors carry no such option: they are not those of this build.
#[derive(Debug, thiserror::Error)]
#[error("the control API's descriptors are damaged: build it anew")]
pub struct Damaged;

/// The rules of every method, by its path.
#[derive(Debug)]
pub(super) struct Rules {
    methods: HashMap<String, Method>,
    options: Options,
}

/// A method of ours.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: String,
    /// Unspecified: nobody may call it.
    pub(super) role: Role,
    /// It is about all companies at once.
    pub(super) spans_companies: bool,
    /// Its answer tells of people, whatever is masked in it.
    pub(super) tells_of_people: bool,
    /// Whether a field of its request needs a higher role than it does.
    pub(super) has_finer_needs: bool,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
}

#[derive(Debug)]
struct Options {
    role: ExtensionDescriptor,
    spans: ExtensionDescriptor,
    refers_to: ExtensionDescriptor,
    needs: ExtensionDescriptor,
    personal: ExtensionDescriptor,
    forced: ExtensionDescriptor,
    tells_of_people: ExtensionDescriptor,
    not_if_masked: ExtensionDescriptor,
}

/// What holds for a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum AccessRule<'a> {
    /// A method of ours.
    Method(&'a Method),
    /// Health or reflection: for whoever may call anything.
    Standard,
}

impl Rules {
    /// The rules of this build, read once for all daemons of a process.
    pub(super) fn shared() -> Result<Arc<Self>, Damaged> {
        static SHARED: OnceLock<Arc<Rules>> = OnceLock::new();
        if let Some(shared) = SHARED.get() {
            return Ok(Arc::clone(shared));
        }
        let rules = Arc::new(Self::read()?);
        Ok(Arc::clone(SHARED.get_or_init(|| rules)))
    }

    /// Reads the rules from the descriptors of this build.
    fn read() -> Result<Self, Damaged> {
        let pool = DescriptorPool::decode(leadline_proto::DESCRIPTORS).map_err(|_| Damaged)?;
        let option = |name: &str| pool.get_extension_by_name(&format!("{PACKAGE}.{name}")).ok_or(Damaged);
        let options = Options {
            role: option("role")?,
            spans: option("spans_companies")?,
            refers_to: option("refers_to")?,
            needs: option("needs")?,
            personal: option("personal")?,
            forced: option("forced_for_viewers")?,
            tells_of_people: option("tells_of_people")?,
            not_if_masked: option("not_if_masked")?,
        };
        let mut rules = Self { methods: HashMap::new(), options };
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let said = method.options();
            let rule = Method {
                name: method.name().to_owned(),
                role: Role::try_from(number(&said, &rules.options.role)).unwrap_or_default(),
                spans_companies: is_set(&said, &rules.options.spans),
                tells_of_people: is_set(&said, &rules.options.tells_of_people),
                has_finer_needs: method.input().fields().any(|field| rules.needs(&field).is_some()),
                input: method.input(),
                output: method.output(),
            };
            rules.methods.insert(path, rule);
        }
        Ok(rules)
    }

    /// What holds for a path; none for what is no method.
    pub(super) fn of(&self, path: &str) -> Option<AccessRule<'_>> {
        if STANDARD.iter().any(|standard| path.starts_with(standard)) {
            return Some(AccessRule::Standard);
        }
        self.methods.get(path).map(AccessRule::Method)
    }

    /// A message of ours.
    pub(super) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.options.role.parent_pool().get_message_by_name(&format!("{PACKAGE}.{name}"))
    }

    /// Every method of ours, by name.
    pub(super) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }

    /// What a field of a request names.
    pub(super) fn reference(&self, field: &FieldDescriptor) -> Option<Reference> {
        let reference = Reference::try_from(number(&field.options(), &self.options.refers_to));
        reference.ok().filter(|reference| *reference != Reference::Unspecified)
    }

    /// The role that whoever sets this field needs, where that is higher than the method's.
    pub(super) fn needs(&self, field: &FieldDescriptor) -> Option<Role> {
        // A role that this program does not know is more than anybody has been given.
        let role = Role::try_from(number(&field.options(), &self.options.needs)).unwrap_or(Role::Admin);
        (role != Role::Unspecified).then_some(role)
    }

    /// What of a person may stand in a field of an answer.
    pub(super) fn personal(&self, field: &FieldDescriptor) -> Option<Personal> {
        // What this program does not know how to mask is masked whole.
        let personal = number(&field.options(), &self.options.personal);
        let personal = Personal::try_from(personal).unwrap_or(Personal::Value);
        (personal != Personal::Unspecified).then_some(personal)
    }

    /// Whether whoever sees people masked may not set this field of a request: by it they would find what is masked.
    pub(super) fn is_not_for_masked(&self, field: &FieldDescriptor) -> bool {
        is_set(&field.options(), &self.options.not_if_masked)
    }

    /// Whether a flag of a request is always set for whoever sees people masked.
    pub(super) fn is_forced(&self, field: &FieldDescriptor) -> bool {
        matches!(field.kind(), Kind::Bool) && is_set(&field.options(), &self.options.forced)
    }
}

fn number(said: &DynamicMessage, option: &ExtensionDescriptor) -> i32 {
    said.get_extension(option).as_enum_number().unwrap_or_default()
}

fn is_set(said: &DynamicMessage, option: &ExtensionDescriptor) -> bool {
    said.get_extension(option).as_bool().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of fields that name things: each says whose.
    const NAMES: [&str; 12] = [
        "attempt",
        "company",
        "delivery",
        "flow",
        "form",
        "id",
        "ids",
        "integration",
        "job",
        "job_id",
        "key",
        "token",
    ];

    #[test]
    fn every_method_has_a_role_and_every_reference_says_what_it_names() {
        let rules = Rules::read().unwrap();
        assert!(rules.methods().count() > 60);
        let mut findings = Vec::new();
        for method in rules.methods() {
            if method.role == Role::Unspecified {
                findings.push(format!("{} has no role", method.name));
            }
            // `CreateCompany` brings an id, it names none.
            let mut open = vec![method.input.clone()];
            while let Some(message) = open.pop().filter(|_| method.name != "CreateCompany") {
                for field in message.fields() {
                    // The key of an import is a column.
                    let is_column = field.full_name() == "leadline.control.v1.ImportStart.key";
                    if NAMES.contains(&field.name()) && !is_column && rules.reference(&field).is_none() {
                        findings.push(format!("{} names something unsaid", field.full_name()));
                    }
                    if let Kind::Message(inner) = field.kind() {
                        open.push(inner);
                    }
                }
            }
        }
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The fields below a list of messages, or a map, that name something: of requests only single messages are narrowed.
    fn unreached(
        rules: &Rules,
        message: &MessageDescriptor,
        is_below: bool,
        path: &mut Vec<String>,
    ) -> Vec<String> {
        if path.iter().any(|name| name == message.full_name()) {
            return Vec::new();
        }
        path.push(message.full_name().to_owned());
        let mut found = Vec::new();
        for field in message.fields() {
            if is_below && rules.reference(&field).is_some() {
                found.push(field.full_name().to_owned());
            }
            if let Kind::Message(inner) = field.kind() {
                found.extend(unreached(rules, &inner, is_below || field.is_list() || field.is_map(), path));
            }
        }
        path.pop();
        found
    }

    #[test]
    fn nothing_is_named_where_a_request_is_not_narrowed() {
        let rules = Rules::read().unwrap();
        let found = |is_below| -> Vec<String> {
            let inputs = rules.methods().map(|method| &method.input);
            inputs.flat_map(|input| unreached(&rules, input, is_below, &mut Vec::new())).collect()
        };
        assert!(found(false).is_empty(), "narrow these lists, too: {:?}", found(false));
        let filters = "leadline.control.v1.DeliveryFilter.integration";
        assert!(found(true).iter().any(|name| name == filters), "that is how one would be found");
    }

    #[test]
    fn whatever_reaches_all_companies_can_be_narrowed_or_says_that_it_spans_them() {
        let rules = Rules::read().unwrap();
        let names_a_thing =
            |message: &MessageDescriptor| message.fields().any(|field| rules.reference(&field).is_some());
        let inner = |message: &MessageDescriptor| {
            let fields: Vec<_> = message.fields().collect();
            fields.into_iter().any(|field| match field.kind() {
                Kind::Message(inner) => names_a_thing(&inner),
                _ => false,
            })
        };
        // What is the same for everybody.
        const OPEN: [&str; 2] = ["ListConnectors", "WhoAmI"];
        for method in rules.methods().filter(|method| !OPEN.contains(&&*method.name)) {
            let is_narrow = names_a_thing(&method.input) || inner(&method.input);
            assert!(method.spans_companies || is_narrow, "{} reaches all companies", method.name);
        }
    }

    #[test]
    fn health_and_reflection_have_a_rule_and_what_is_unknown_has_none() {
        let rules = Rules::read().unwrap();
        assert!(matches!(rules.of("/grpc.health.v1.Health/Check"), Some(AccessRule::Standard)));
        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        assert!(matches!(rules.of(reflection), Some(AccessRule::Standard)));
        let reveal = rules.of("/leadline.control.v1.LeadService/Reveal");
        assert!(matches!(reveal, Some(AccessRule::Method(method)) if method.role == Role::Operator));
        assert!(rules.of("/leadline.control.v1.LeadService/Nothing").is_none());
        assert_eq!(Damaged.to_string(), "the control API's descriptors are damaged: build it anew");
    }
}
