//! What a custom CRM is configured with.

use serde::{Deserialize, Deserializer};

use crate::config::{SettingKind, Statuses};
use crate::webhook::{Members, UrlSource};
use crate::{oauth::TokenUrl, prelude::*};

settings! {
    /// The calls that bring a lead to a CRM of somebody's own.
    pub(crate) struct Config {
        /// Where leads go, a template: a path behind base_url, as /leads, or a whole URL
        path: UrlSource,
        /// POST, PUT or PATCH
        method: Method = "POST",
        /// Query values, a template each
        query: Members,
        /// Headers of your own: a template each, or {"value": template, "public": true} if it is no secret
        headers: Members,
        /// A template for the body; blank sends the mapped fields, or the whole event if nothing is mapped
        body: Option<Exact<String>>,
        /// none, bearer, basic, header, query or client_credentials; says what the credentials are
        auth: AuthKind = "none",
        /// The name of the header or query value that carries the key; X-Api-Key or api_key without it
        auth_name: Option<String>,
        /// Where tokens are got with auth client_credentials
        token_url: Option<TokenUrl>,
        /// How the client is named there: form or basic
        token_auth: TokenAuth = "form",
        /// The scope to ask for there
        scope: Option<String>,
        /// The audience to ask for there
        audience: Option<String>,
        /// What an answer must say: {"pointer": "/status", "equals": "ok"}; without it, 2xx is enough. {"statuses": ["2xx", 302]} names the statuses
        success: Option<Rule>,
        /// What 409 means: reject, or ok if it says that the lead is there already
        conflict: Conflict = "reject",
        /// Where the answer has the CRM's id of the lead, as /data/id
        id_pointer: Option<Pointer>,
        /// Where the answer says why it refuses, as /error/message
        error_pointer: Option<Pointer>,
        /// Where updates go once the id is known, as /leads/{id}; blank for the same path
        update_path: Option<UrlSource>,
        /// PATCH leaves what an update does not say as it is, PUT takes the place of the record, POST is as your CRM has it
        update_method: Method = "PATCH",
        /// A GET that finds a lead which may be there already, as /leads?ref={{ lead.uuid }}
        find_path: Option<UrlSource>,
        /// Where its answer has the id, as /items/0/id
        find_pointer: Option<Pointer>,
        /// A GET without effect that needs the login, for tests
        test_path: Option<UrlSource>,
    }
}

settings! {
    /// What we log in with; which of it is needed, `auth` says.
    pub(crate) struct Credentials {
        /// With auth bearer
        token: Option<SecretString>,
        /// With auth basic
        username: Option<SecretString>,
        /// With auth basic
        password: Option<SecretString>,
        /// With auth header or query
        key: Option<SecretString>,
        /// With auth client_credentials
        client_id: Option<SecretString>,
        /// With auth client_credentials
        client_secret: Option<SecretString>,
    }
}

words! {
    /// How a lead is sent.
    pub(crate) enum Method { Post = "POST", Put = "PUT", Patch = "PATCH" }
}

words! {
    /// The way in.
    pub(crate) enum AuthKind {
        None = "none",
        Bearer = "bearer",
        Basic = "basic",
        Header = "header",
        Query = "query",
        ClientCredentials = "client_credentials",
    }
}

words! {
    /// Where the client is named that asks for a token.
    pub(crate) enum TokenAuth { Form = "form", Basic = "basic" }
}

words! {
    /// What 409 means.
    pub(crate) enum Conflict { Reject = "reject", Ok = "ok" }
}

parsed! {
    /// Where something stands in an answer.
    pub(crate) struct Pointer(String) = pointer
}

fn pointer(text: &str) -> Result<String, Problem> {
    fit(text.to_owned(), text.starts_with('/'), "must be a JSON pointer, as /data/id")
}

/// What an answer must say to be a success.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Rule {
    /// Which statuses are taken for a success; none for 2xx.
    pub(super) statuses: Option<Statuses>,
    pub(super) pointer: Option<String>,
    /// None: anything but null.
    pub(super) equals: Option<Value>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    statuses: Option<Statuses>,
    #[serde(default)]
    pointer: Option<String>,
    #[serde(default, deserialize_with = "present")]
    equals: Option<Value>,
}

/// What is there, be it null.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl TryFrom<Value> for Rule {
    type Error = Problem;

    fn try_from(value: Value) -> Result<Self, Problem> {
        const SHAPE: &str = r#"must be {"pointer": "/status", "equals": "ok"}; without equals, what stands there must not be null; {"statuses": ["2xx", 302]} names statuses"#;
        let written: Written = serde_json::from_value(value).map_err(|_| Problem::new(SHAPE))?;
        let is_path = written.pointer.as_ref().map(|pointer| pointer.starts_with('/'));
        let says_something =
            is_path.unwrap_or_else(|| written.statuses.is_some() && written.equals.is_none());
        if !says_something {
            return Err(Problem::new(SHAPE));
        }
        Ok(Self { statuses: written.statuses, pointer: written.pointer, equals: written.equals })
    }
}

impl Setting for Rule {
    const KIND: SettingKind = SettingKind::Object;
}
