//! Messages for people through a hook whose URL is the credential: what the connectors to chats share.

use http::Method;
use secrecy::SecretString;
use url::Url;

use super::{Push, Request, Result, Setup, TypedConnector, config::no_credentials, crm, hook_url, summary};
use leadline_domain::mapping::Mapping;

/// A channel that is ready for messages.
#[derive(Debug)]
pub(super) struct Chat {
    mapping: Mapping,
    url: Option<Url>,
    /// What the credential is called.
    key: &'static str,
}

/// What is to be told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) headline: String,
    /// A line each, those of one value set in.
    pub(super) text: String,
    /// Where the proposal is, if that is a web address.
    pub(super) proposal: Option<Url>,
}

impl Chat {
    pub(super) fn of<T: TypedConnector>(
        setup: Setup<'_, T>,
        key: &'static str,
        url: fn(T::Credentials) -> Option<SecretString>,
    ) -> Result<Self> {
        let url = url(setup.credentials).map(|url| hook_url::read(key, &url));
        let url = url.transpose().map_err(crm::unrenderable)?;
        let url = url.map(|url| hook_url::rebased(url, &setup.common));
        Ok(Self { mapping: setup.mapping, url, key })
    }

    /// What a push tells, about a lead or in a notice, in a text that fits.
    pub(super) fn told(&self, push: &Push<'_>, fits: fn(&str) -> bool) -> Result<Told> {
        let event = crm::event(push)?;
        let proposal = event.at("quote.proposal_url").and_then(|url| Url::parse(&crm::text(url)).ok());
        Ok(Told {
            headline: summary::headline(&event, push),
            text: summary::body(&self.mapping, &event, push, fits)?,
            proposal: proposal.filter(|url| matches!(url.scheme(), "https" | "http")),
        })
    }

    pub(super) fn url(&self) -> Result<&Url> {
        self.url.as_ref().ok_or_else(|| no_credentials(self.key))
    }
}

/// A call to a hook, of which no more is shown than tells two apart.
pub(super) fn request(method: Method, url: Url) -> Request {
    let shown_url = hook_url::shown(&url);
    Request { shown_url, ..Request::new(method, url) }
}

/// How a chat's characters are escaped, and how many one takes at most then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escape {
    pub(super) escaped: fn(&str) -> String,
    pub(super) growth: usize,
}

/// A text escaped, cut so that it fits afterwards too.
pub(super) fn fitting(text: &str, max: usize, escape: Escape) -> String {
    let mut room = max;
    loop {
        let escaped = (escape.escaped)(&crm::cut(text, room));
        let excess = crm::units(&escaped).saturating_sub(max);
        if excess == 0 {
            return escaped;
        }
        room = room.min(crm::units(text)).saturating_sub(excess.div_ceil(escape.growth));
    }
}
