//! What connectors are written with: a file in a connector's folder begins with `use crate::prelude::*`, and imports by name
//! what is particular to it.

pub(crate) use std::time::Duration;

pub(crate) use async_trait::async_trait;
pub(crate) use bytes::Bytes;
pub(crate) use http::{HeaderName, HeaderValue, Method, header};
pub(crate) use secrecy::{ExposeSecret as _, SecretString};
pub(crate) use serde_json::{Value, json};
pub(crate) use url::Url;

pub(crate) use crate::{
    Abilities, Answer, Conversation, Given, Ids, Login, Manifest, Pace, Prepared, Problem, Push, Record,
    Request, Response, Result, SITE, Setup, Token, TypedConnector,
    config::{
        BaseUrl, Common, Exact, Few, Flag, Int, List, Numbers, Required, Setting, Word as _, fit, needed,
        parsed, settings, words,
    },
    crm, hook_url, named_as, oauth, reading, summary,
    vendor::{
        self, Classes, Flaw, FoundId, Terms, Vendor, class_of, each, id_of, named, unread, unreadable,
        without_refused, word,
    },
    written::{self, Written},
};
pub(crate) use leadline_domain::{
    address::EgressPolicy,
    integration::{EventKind, ProbeKind},
    json::Json,
    mapping::Mapping,
    moment::Moment,
    outcome::{Failure, FailureClass},
    schema::{self, Takes, TargetField},
};
