//! What a save replaced, so that it can be put back: a mapping, settings, the condition of a flow.

use serde_json::{Map, Value};

use super::{Integration, Mutation};

/// Puts back what a save replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// The change that this comes to as things are.
    pub change: Mutation,
    pub brings: Stood,
    /// What it takes the place of, and nothing else: what somebody else saved since must not be lost.
    pub replaces: Stood,
}

/// What a save came to: what stood there just before it, and what stands there since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub before: Stood,
    pub after: Stood,
}

/// What stands somewhere, or stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stood {
    Mapping {
        integration: String,
        json: String,
    },
    /// The settings that were changed, each as it stood; null where it was left out.
    Settings {
        integration: String,
        name: Option<String>,
        config: Map<String, Value>,
    },
    When {
        flow: String,
        when: String,
    },
}

/// A JSON object; an empty one for what is none.
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

impl Stood {
    /// This mapping of an integration.
    pub fn mapping(integration: &str, json: &str) -> Self {
        Self::Mapping { integration: integration.to_owned(), json: json.to_owned() }
    }

    /// This condition of a flow.
    pub fn when(flow: &str, when: &str) -> Self {
        Self::When { flow: flow.to_owned(), when: when.to_owned() }
    }

    /// The same of an integration as it is now: its mapping, or the same settings.
    pub fn now(&self, it: &Integration) -> Self {
        match self {
            Self::Mapping { integration, .. } => Self::mapping(integration, &it.mapping),
            Self::Settings { integration, name, config } => {
                let now = object(&it.config);
                let value = |key: &String| (key.clone(), now.get(key).cloned().unwrap_or_default());
                Self::Settings {
                    integration: integration.clone(),
                    name: name.as_ref().map(|_| it.name.clone()),
                    config: config.keys().map(value).collect(),
                }
            }
            Self::When { .. } => self.clone(),
        }
    }

    /// The integration that it is of, if it is of one.
    pub fn integration(&self) -> Option<&str> {
        match self {
            Self::Mapping { integration, .. } | Self::Settings { integration, .. } => Some(integration),
            Self::When { .. } => None,
        }
    }

    /// Whether both say the same, however it is written.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mapping { json, .. }, Self::Mapping { json: other, .. }) => object(json) == object(other),
            (Self::When { when, .. }, Self::When { when: other, .. }) => when.trim() == other.trim(),
            _ => self == other,
        }
    }

    /// The change that makes it stand; settings that were not changed stay as they are by now.
    pub fn change(&self, now: Option<&Integration>) -> Mutation {
        match self.clone() {
            Self::Mapping { integration, json } => Mutation::Mapping { integration, json },
            Self::When { flow, when } => Mutation::FlowWhen { flow, when },
            Self::Settings { integration, name, config } => {
                let mut whole = now.map(|it| object(&it.config)).unwrap_or_default();
                for (key, value) in &config {
                    match value {
                        Value::Null => whole.remove(key),
                        value => whole.insert(key.clone(), value.clone()),
                    };
                }
                let config = (!config.is_empty()).then(|| Value::Object(whole).to_string());
                Mutation::Settings { integration, name, config }
            }
        }
    }

    /// What it is, in a line.
    pub fn sentence(&self) -> String {
        match self {
            Self::Mapping { json, .. } => Value::Object(object(json)).to_string(),
            Self::When { when, .. } => when.clone(),
            Self::Settings { name, config, .. } => {
                let name = name.iter().map(|name| format!("name {name}"));
                let value = |(key, value): (&String, &Value)| match value {
                    Value::Null => format!("no {key}"),
                    Value::String(text) => format!("{key} {text}"),
                    value => format!("{key} {value}"),
                };
                name.chain(config.iter().map(value)).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// What a save replaces of a condition that stands so; none where it is the same, which leaves nothing to put back.
pub fn replaced_when(flow: &str, when: &str, now: &str) -> Option<Stood> {
    let stood = Stood::when(flow, now);
    (!stood.is_same(&Stood::when(flow, when))).then_some(stood)
}

/// The same of an integration as it is now; none where it has no way back either. What is secret is shown shortened only,
/// so that nobody here knows what it was.
pub fn replaced(mutation: &Mutation, it: &Integration) -> Option<Stood> {
    match mutation {
        Mutation::Mapping { integration, json } => {
            let stood = Stood::mapping(integration, &it.mapping);
            (!stood.is_same(&Stood::mapping(integration, json))).then_some(stood)
        }
        Mutation::Settings { integration, name, config } => {
            let (before, after) = (object(&it.config), config.as_deref().map(object));
            let keys = after.iter().flat_map(|after| before.keys().chain(after.keys()));
            let value = |of: &Map<String, Value>, key: &String| of.get(key).cloned().unwrap_or_default();
            let changed =
                |key: &&String| after.as_ref().is_some_and(|after| value(&before, key) != value(after, key));
            let config: Map<String, Value> =
                keys.filter(changed).map(|key| (key.clone(), value(&before, key))).collect();
            let is_whole = !config.values().any(|value| value.to_string().contains('…'));
            let name = name.as_ref().filter(|new| **new != it.name).map(|_| it.name.clone());
            let is_any = name.is_some() || !config.is_empty();
            (is_whole && is_any).then(|| Stood::Settings { integration: integration.clone(), name, config })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixtures;

    fn of(config: &str) -> Integration {
        Integration { config: config.to_owned(), ..fixtures::hubspot() }
    }

    fn settings(config: &str) -> Mutation {
        Mutation::Settings { integration: "01I1".to_owned(), name: None, config: Some(config.to_owned()) }
    }

    #[test]
    fn what_was_changed_is_put_back_and_nothing_else() {
        let before = of(r#"{"url":"https://a.example/","retries":2}"#);
        let stood =
            replaced(&settings(r#"{"url":"https://b.example/","rate":5,"retries":2}"#), &before).unwrap();
        assert_eq!(stood.sentence(), "url https://a.example/, no rate");
        // Somebody else has changed something else meanwhile.
        let now = of(r#"{"url":"https://b.example/","rate":5,"retries":9}"#);
        let Mutation::Settings { name: None, config: Some(config), .. } = stood.change(Some(&now)) else {
            panic!("{stood:?}")
        };
        assert_eq!(object(&config), object(r#"{"url":"https://a.example/","retries":9}"#));
    }

    #[test]
    fn what_is_shown_shortened_has_no_way_back() {
        let before = of(r#"{"headers":{"authorization":"Bear…"},"retries":2}"#);
        let after = r#"{"headers":{"authorization":"Bearer 2"},"retries":2}"#;
        assert_eq!(replaced(&settings(after), &before), None);
        let after = r#"{"headers":{"authorization":"Bear…"},"retries":3}"#;
        assert_eq!(replaced(&settings(after), &before).unwrap().sentence(), "retries 2");
    }

    #[test]
    fn what_stands_there_already_replaces_nothing() {
        let it = of(r#"{"url":"https://a.example/","retries":2}"#);
        let mapping =
            |json: &str| Mutation::Mapping { integration: "01I1".to_owned(), json: json.to_owned() };
        assert_eq!(replaced(&mapping(r#"{ "lead.budget": "budget" }"#), &it), None);
        assert!(replaced(&mapping("{}"), &it).is_some());
        assert_eq!(replaced(&settings(r#"{"retries":2,"url":"https://a.example/"}"#), &it), None);
        let named = |name: &str| Mutation::Settings {
            integration: "01I1".to_owned(),
            name: Some(name.to_owned()),
            config: None,
        };
        assert_eq!(replaced(&named(&it.name), &it), None);
        assert_eq!(replaced(&named("other"), &it).unwrap().sentence(), format!("name {}", it.name));
        assert_eq!(replaced_when("01F1", "true", " true "), None);
        assert_eq!(replaced_when("01F1", "true", "false").unwrap().sentence(), "false");
    }

    #[test]
    fn json_is_the_same_however_it_is_written() {
        let mapping = |json: &str| Stood::mapping("01I1", json);
        assert!(mapping("{\"a\": \"b\", \"c\": 1}").is_same(&mapping("{\"c\":1,\"a\":\"b\"}")));
        assert!(mapping("").is_same(&mapping("{}")));
        assert!(!mapping("{\"a\":\"b\"}").is_same(&mapping("{\"a\":\"c\"}")));
    }
}
