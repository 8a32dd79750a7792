//! The configuration of a custom CRM, read and compiled.

use serde_json::Map;

use super::{
    auth::Auth,
    config::{Config, Conflict, Pointer, Rule},
};
use crate::prelude::*;
use crate::webhook::{
    UrlSource,
    headers::{self, HeaderTemplate},
    url::UrlTemplate,
};
use leadline_domain::{
    brand::Brand,
    fields::covers,
    template::{Context, Place, Template},
};

/// What stands in `update_path` for the id that the CRM gave, as it looks once it is in a URL.
pub(super) const ID_IN_PATH: &str = "%7Bid%7D";

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
    /// Compiles a configuration; says everything that is wrong with it. A path that is missing is told of by the check
    /// of all keys.
    pub(super) fn read(
        config: &Config,
        common: &Common,
        mapping: Mapping,
        brand: &Brand,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let none = Map::new();
        let base = common.base();
        let mut url = |key, source: Option<&UrlSource>, query| {
            let source = source.map(|source| source.0.as_str()).filter(|source| !source.is_empty())?;
            read_url(key, source, query, base).map_err(|wrong| problems.extend(wrong)).ok()
        };
        let target = url("path", Some(&config.path), &config.query.0);
        let update = url("update_path", config.update_path.as_ref(), &none);
        let test = url("test_path", config.test_path.as_ref(), &none);
        let find = url("find_path", config.find_path.as_ref(), &none);
        let headers = headers::read(&config.headers, brand).map_err(|wrong| problems.extend(wrong)).ok();
        let body = read_body(config, mapping, &mut problems);
        let auth = Auth::read(config).map_err(|wrong| problems.push(wrong)).ok();
        let text = |pointer: &Option<Pointer>| pointer.as_ref().map(|pointer| pointer.0.clone());
        let id = text(&config.id_pointer);
        let find = match (find, text(&config.find_pointer)) {
            (Some(target), Some(id)) => Some(Find { target, id }),
            (None, None) => None,
            _ => {
                let problem = "find_path and find_pointer belong together: set both or neither";
                problems.push(Problem::at("find_path", problem));
                None
            }
        };
        if update.is_some() && id.is_none() && find.is_none() {
            let problem = "update_path needs the CRM's id: set id_pointer, or find_path and find_pointer";
            problems.push(Problem::at("update_path", problem));
        }
        let (Some(target), Some(auth), Some(headers), true) = (target, auth, headers, problems.is_empty())
        else {
            return Err(problems);
        };
        Ok(Self {
            method: config.method.to_method(),
            target,
            update: update.map(|target| (config.update_method.to_method(), target)),
            find,
            test,
            headers,
            body,
            auth,
            success: config.success.clone(),
            id,
            error: text(&config.error_pointer),
            conflict_is_ok: config.conflict == Conflict::Ok,
        })
    }

    /// What is wrong that shows only when it is used.
    pub(super) fn try_out(&self, egress: &EgressPolicy) -> Vec<Problem> {
        let update = self.update.as_ref().map(|(_, target)| target);
        let find = self.find.as_ref().map(|find| &find.target);
        let targets = [Some(&self.target), update, find, self.test.as_ref()].into_iter().flatten();
        targets.flat_map(|target| target.try_out(egress)).collect()
    }

    /// The body for a push. An update by PATCH leaves out what the lead does not say; what a PUT leaves out may be emptied.
    pub(super) fn body(&self, push: &Push<'_>) -> Result<Bytes> {
        let is_patch = self.update.as_ref().is_some_and(|(method, _)| method == Method::PATCH)
            && push.event == EventKind::Updated;
        match &self.body {
            Body::Event => Ok(push.body.clone()),
            Body::Mapped(mapping) => {
                let event = crm::event(push)?;
                let mut body = Json::Object(Vec::new());
                let mut lesser = crm::lesser_name(mapping, &event, push);
                lesser.retain(|_| is_patch);
                let fields = crm::fields(mapping, &event, push)?.into_iter();
                for (path, value) in fields.filter(|(path, _)| !lesser.contains(&path.as_str())) {
                    body.set_at(&path, value);
                }
                Ok(body.to_bytes())
            }
            Body::Template(template) => {
                let event = crm::event(push)?;
                let text = template.render(&Context::new(&event, push.event, push.id));
                let text = text.map_err(|error| crm::unrenderable(format!("body: {error}")))?;
                match Json::parse(text.as_bytes()) {
                    Ok(body) if is_patch && template.place() == Place::JsonBody => {
                        let name = event.at("lead.name").filter(|_| crm::is_lesser_name(&event, push));
                        let said = body.said(name.map(crm::text).as_deref());
                        Ok(said.unwrap_or(Json::Object(Vec::new())).to_bytes())
                    }
                    _ => Ok(text.into()),
                }
            }
        }
    }

    /// What the body is called.
    pub(super) fn content_type(&self) -> &'static str {
        match &self.body {
            Body::Template(template) if template.place() == Place::Text => "text/plain; charset=utf-8",
            // It was declared by a header of the operator's, which goes before ours.
            _ => "application/json",
        }
    }
}

/// A path behind `base_url`, or a whole URL.
fn read_url(
    key: &'static str,
    source: &str,
    query: &Map<String, Value>,
    base: Option<&Url>,
) -> Result<UrlTemplate, Vec<Problem>> {
    if base.is_some() && !source.contains("://") && !source.starts_with('/') {
        return Err(vec![Problem::of(key, "must begin with /, as /leads")]);
    }
    UrlTemplate::read(key, source, query, base)
}

fn read_body(config: &Config, mapping: Mapping, problems: &mut Vec<Problem>) -> Body {
    let declared = headers::content_type(&config.headers);
    let Some(source) = &config.body else {
        let paths: Vec<&str> = mapping.rules().iter().filter_map(|rule| rule.to.as_deref()).collect();
        for path in &paths {
            if path.split('.').any(str::is_empty) {
                problems.push(Problem::of("mapping", format_args!("the path {path:?} has an empty step")));
            } else if let Some(outer) = paths.iter().find(|outer| *outer != path && covers(outer, path)) {
                let problem = format!("{path} lies within {outer}, where another field goes");
                problems.push(Problem::of("mapping", problem));
            }
        }
        return if mapping.is_empty() { Body::Event } else { Body::Mapped(mapping) };
    };
    if !mapping.is_empty() {
        problems.push(Problem::at("body", "body and a mapping are both there; use one of them"));
    }
    match Template::compile_body(&source.0, declared.as_deref()) {
        Ok(template) => Body::Template(template),
        Err(problem) => {
            problems.push(Problem::of("body", problem));
            Body::Event
        }
    }
}
