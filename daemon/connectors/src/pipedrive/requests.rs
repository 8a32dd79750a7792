//! The calls to Pipedrive. Persons and deals have moved to the second version of its API, notes and users have not.

use super::{Compiled, NEWEST, TokenLogin};
use crate::prelude::*;

impl Compiled {
    fn request(&self, method: Method, path: &[&str]) -> Request {
        let request = Request::at(method, &self.base, path);
        match &self.login {
            Some(TokenLogin::Token(token)) => {
                request.secret_header(HeaderName::from_static("x-api-token"), token.expose_secret())
            }
            _ => request,
        }
    }

    pub(super) fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        let request = self.request(Method::GET, path);
        if query.is_empty() { request } else { request.query(query) }
    }

    /// A read of the API's first version, whose path depends on the host.
    pub(super) fn get_first(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        self.get(&self.first(path), query)
    }

    fn first<'a>(&self, path: &[&'a str]) -> Vec<&'a str> {
        // An app's login directs its calls to the company's own host.
        let is_shared = !self.is_app() && self.base.host_str() == Some("api.pipedrive.com");
        let start: &[&str] = if is_shared { &["v1"] } else { &["api", "v1"] };
        start.iter().chain(path).copied().collect()
    }

    pub(super) fn create(&self, what: &str, body: &Json) -> Request {
        self.request(Method::POST, &["api", "v2", what]).json(body.to_bytes())
    }

    pub(super) fn patch(&self, what: &str, id: &str, body: &Json) -> Request {
        self.request(Method::PATCH, &["api", "v2", what, id]).json(body.to_bytes())
    }

    /// The newest records as they are, not as the search knows them.
    pub(super) fn newest(&self, what: &str, person: Option<&str>, limit: &str) -> Request {
        let mut query = vec![("sort_by", "add_time"), ("sort_direction", "desc"), ("limit", limit)];
        query.extend(person.map(|person| ("person_id", person)));
        query.extend(self.lead_field().map(|field| ("custom_fields", field)));
        self.get(&["api", "v2", what], &query)
    }

    /// The newest notes of a deal or a person, which may be long.
    pub(super) fn notes(&self, of: &str, id: &str) -> Request {
        self.get_first(&["notes"], &[(of, id), ("sort", "add_time DESC"), ("limit", NEWEST[0])]).long()
    }

    pub(super) fn write_note(&self, content: &str, of: &str, id: &str) -> Request {
        let mut body = Json::object([("content", Json::string(content))]);
        body.set_at(of, number(id));
        self.request(Method::POST, &self.first(&["notes"])).json(body.to_bytes())
    }
}

/// Ids are numbers there, and are kept as text here.
pub(super) fn number(id: &str) -> Json {
    id.parse().map_or_else(|_| Json::string(id), Json::integer)
}
