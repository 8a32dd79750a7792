//! The configuration of a custom CRM, read and compiled.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::auth::Auth;
use crate::{
    Push, config, crm,
    webhook::{
        headers::{self, HeaderTemplate},
        url::UrlTemplate,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    brand::Brand,
    fields::covers,
    ids::CompanyId,
    integration::EventKind,
    json::Json,
    lead::sample,
    mapping::Mapping,
    nearest::nearest,
    outcome::Failure,
    template::{Context, Place, Template},
};

/// What stands in `update_path` for the id that the CRM gave, as it looks once it is in a URL.
pub(super) const ID_IN_PATH: &str = "%7Bid%7D";
const METHODS: [&str; 3] = ["POST", "PUT", "PATCH"];

/// What a custom CRM is configured to get.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) method: Method,
    pub(super) target: UrlTemplate,
    /// Where updates go once the CRM's id is known.
    pub(super) update: Option<(Method, UrlTemplate)>,
    pub(super) find: Option<Find>,
    pub(super) test: Option<UrlTemplate>,
    pub(super) headers: Vec<HeaderTemplate>,
    pub(super) body: Body,
    pub(super) auth: Auth,
    pub(super) success: Option<Rule>,
    /// Where an answer has the CRM's id.
    pub(super) id: Option<String>,
    /// Where an answer has the reason of a refusal.
    pub(super) error: Option<String>,
    /// A conflict says that the lead is there already.
    pub(super) conflict_is_ok: bool,
}

/// How a lead is looked up that may be there already.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) target: UrlTemplate,
    pub(super) id: String,
}

/// What an answer must say to be a success.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) pointer: String,
    /// None: anything but null.
    pub(super) equals: Option<Value>,
}

/// What the body is.
#[derive(Debug)]
pub(super) enum Body {
    /// The canonical event.
    Event,
    /// The mapped fields alone, each at its path.
    Mapped(Mapping),
    Template(Template),
}

impl Settings {
    /// Reads a configuration; says everything that is wrong with it. Kinds of values are checked before, and a value
    /// of the wrong kind counts as absent here.
    pub(super) fn read(config: &Value, mapping: &Value, brand: &Brand) -> Result<Self, Vec<String>> {
        let mut read = Reader { config, problems: Vec::new() };
        let method = read.method("method", "POST");
        let target = read.url("path");
        let update = read.url("update_path");
        let update_method = read.method("update_method", "PUT");
        let test = read.url("test_path");
        let find = (read.url("find_path"), read.pointer("find_pointer"));
        let headers = headers::read(config.get("headers"), brand);
        let headers = read.keep_all(headers).unwrap_or_default();
        let body = read.body(mapping);
        let auth = Auth::read(config);
        let auth = read.keep_all(auth);
        let (id, error, success) =
            (read.pointer("id_pointer"), read.pointer("error_pointer"), read.success());
        let conflict_is_ok = read.word("conflict", "reject", &["reject", "ok"]) == "ok";
        let find = match find {
            (Some(target), Some(id)) => Some(Find { target, id }),
            (None, None) => None,
            _ => read.wrong("find_path and find_pointer belong together: set both or neither"),
        };
        if update.is_some() && id.is_none() && find.is_none() {
            read.problems.push(
                "update_path needs the CRM's id: set id_pointer, or find_path and find_pointer".to_owned(),
            );
        }
        let Some((target, auth)) = target.zip(auth).filter(|_| read.problems.is_empty()) else {
            return Err(read.problems);
        };
        let update = update.map(|target| (update_method, target));
        Ok(Self {
            method,
            target,
            update,
            find,
            test,
            headers,
            body,
            auth,
            success,
            id,
            error,
            conflict_is_ok,
        })
    }

    /// What is wrong that shows only when it is used.
    pub(super) fn try_out(&self, egress: &EgressPolicy) -> Vec<String> {
        let event = sample(CompanyId(1), "The Old Barn");
        let context = Context::new(&event, EventKind::Test, "01J8H6KQH4YG3XR8RWM6T6XFQE");
        let update = self.update.as_ref().map(|(_, target)| target);
        let find = self.find.as_ref().map(|find| &find.target);
        let targets = [Some(&self.target), update, find, self.test.as_ref()].into_iter().flatten();
        let mut problems = Vec::new();
        for target in targets {
            let address = egress.check(target.base()).map_err(|problem| format!("path: {problem}"));
            problems.extend(address.err());
            problems.extend(target.render(&context).err().map(|problem| problem.replace("url:", "path:")));
        }
        if let Some(url) = self.auth.token_url() {
            problems.extend(egress.check(url).err().map(|problem| format!("token_url: {problem}")));
        }
        problems
    }

    /// The body for a push.
    pub(super) fn body(&self, push: &Push<'_>) -> Result<Bytes, Failure> {
        match &self.body {
            Body::Event => Ok(push.body.clone()),
            Body::Mapped(mapping) => {
                let event = crm::event(push)?;
                let mut body = Json::Object(Vec::new());
                for (path, value) in crm::fields(mapping, &event, push)? {
                    body.set_at(&path, value);
                }
                Ok(body.to_bytes())
            }
            Body::Template(template) => {
                let event = crm::event(push)?;
                let text = template.render(&Context::new(&event, push.event, push.id));
                text.map(Bytes::from).map_err(|error| crm::unrenderable(format!("body: {error}")))
            }
        }
    }

    /// What the body is called.
    pub(super) fn content_type(&self) -> &'static str {
        match &self.body {
            Body::Template(template) if template.place() == Place::Text => "text/plain; charset=utf-8",
            _ => "application/json",
        }
    }
}

/// Reads keys one by one and gathers what is wrong.
struct Reader<'a> {
    config: &'a Value,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn wrong<T>(&mut self, problem: impl Into<String>) -> Option<T> {
        self.problems.push(problem.into());
        None
    }

    fn keep_all<T>(&mut self, read: Result<T, Vec<String>>) -> Option<T> {
        read.map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn word<'w>(&mut self, key: &str, or: &'w str, words: &[&'w str]) -> &'w str {
        let Some(word) = config::text(self.config, key) else { return or };
        if let Some(known) = words.iter().find(|known| **known == word) {
            return known;
        }
        let meant = nearest(word, words.iter().copied());
        let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        self.problems.push(format!("{key} {word} is not one of {}{hint}", words.join(", ")));
        or
    }

    fn method(&mut self, key: &str, or: &'static str) -> Method {
        Method::try_from(self.word(key, or, &METHODS)).unwrap_or(Method::POST)
    }

    /// A path behind `base_url`, or a whole URL.
    fn url(&mut self, key: &str) -> Option<UrlTemplate> {
        let source = config::text(self.config, key)?.trim();
        let has_base = config::text(self.config, "base_url").is_some();
        if has_base && !source.contains("://") && !source.starts_with('/') {
            return self.wrong(format!("{key} must begin with /, as /leads"));
        }
        let mut target = json!({"url": source, "base_url": self.config.get("base_url")});
        if key == "path" {
            target["query"] = self.config.get("query").cloned().unwrap_or(Value::Null);
        }
        match UrlTemplate::read(&target) {
            Ok(url) => Some(url),
            Err(problems) => {
                // What is wrong with `base_url` is said once, by the check of the common keys.
                let own = problems.into_iter().filter(|problem| !problem.starts_with("base_url"));
                self.problems.extend(own.map(|problem| problem.replacen("url:", &format!("{key}:"), 1)));
                None
            }
        }
    }

    fn pointer(&mut self, key: &str) -> Option<String> {
        let pointer = config::text(self.config, key)?.trim();
        if pointer.starts_with('/') {
            return Some(pointer.to_owned());
        }
        self.wrong(format!("{key} must be a JSON pointer, as /data/id"))
    }

    fn success(&mut self) -> Option<Rule> {
        let rule = self.config.get("success")?.as_object()?;
        let is_known = rule.keys().all(|key| matches!(key.as_str(), "pointer" | "equals"));
        match rule.get("pointer").and_then(Value::as_str) {
            Some(pointer) if is_known && pointer.starts_with('/') => {
                Some(Rule { pointer: pointer.to_owned(), equals: rule.get("equals").cloned() })
            }
            _ => self.wrong("success must be {\"pointer\": \"/status\", \"equals\": \"ok\"}; without equals, what stands there must not be null"),
        }
    }

    fn body(&mut self, mapping: &Value) -> Body {
        let read = Mapping::parse(mapping);
        let mapping = self.keep_all(read).unwrap_or_default();
        let Some(source) = config::text(self.config, "body") else {
            let paths: Vec<&str> = mapping.rules().iter().filter_map(|rule| rule.to.as_deref()).collect();
            for path in &paths {
                if path.split('.').any(str::is_empty) {
                    self.problems.push(format!("mapping: the path {path:?} has an empty step"));
                } else if let Some(outer) = paths.iter().find(|outer| *outer != path && covers(outer, path)) {
                    self.problems
                        .push(format!("mapping: {path} lies within {outer}, where another field goes"));
                }
            }
            return if mapping.is_empty() { Body::Event } else { Body::Mapped(mapping) };
        };
        if !mapping.is_empty() {
            self.problems.push("body and a mapping are both there; use one of them".to_owned());
        }
        match Template::compile_body(source) {
            Ok(template) => Body::Template(template),
            Err(problem) => {
                self.problems.push(format!("body: {problem}"));
                Body::Event
            }
        }
    }
}
