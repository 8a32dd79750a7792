//! Keeps credentials out of what is kept of an answer: some targets quote the URL or the header they were called with.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use url::{Url, form_urlencoded};

use crate::{
    connectors::{Call, Response},
    domain::outcome::Outcome,
};

/// What is shorter may stand in an answer by chance.
const SECRET_MIN: usize = 8;

/// What a login's form says in secret.
const SECRET_FIELDS: [&str; 4] = ["client_secret", "refresh_token", "assertion", "password"];

/// The credentials of one call.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What a call carries and never shows: secret headers, and the parts of its URL that are shortened.
    pub(super) fn of(call: &Call) -> Self {
        let Call::Http(request) = call else { return Self::default() };
        let headers = request.headers.iter().filter(|header| header.secret);
        let headers = headers.filter_map(|header| header.value.to_str().ok());
        // `Bearer` and the like stand in front.
        let headers = headers.flat_map(|value| [Some(value), value.rsplit(' ').next()]).flatten();
        let segments = request.url.path_segments().into_iter().flatten();
        let pairs: Vec<_> = request.url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        // What is shown is encoded; what is compared is not.
        let shown: Vec<String> = Url::parse(&request.shown_url)
            .map(|url| url.query_pairs().map(|(_, value)| value.into_owned()).collect())
            .unwrap_or_default();
        let is_shown = |part: &String| request.shown_url.contains(part) || shown.contains(part);
        let parts = segments.map(ToOwned::to_owned).chain(pairs).filter(|part| !is_shown(part));
        let form = form_urlencoded::parse(if request.is_secret { &request.body } else { b"" });
        let form =
            form.filter(|(key, _)| SECRET_FIELDS.contains(&&**key)).map(|(_, value)| value.into_owned());
        let headers: Vec<&str> = headers.collect();
        // A target quotes the password itself, not as it stands in the header.
        let passwords = headers.iter().filter_map(|value| password(value));
        let headers = headers.iter().map(|value| (*value).to_owned());
        let mut secrets: Vec<String> = headers.chain(passwords).chain(parts).chain(form).collect();
        secrets.retain(|secret| secret.len() >= SECRET_MIN);
        // The longest first: one may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The outcome without them.
    pub(super) fn scrub_outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(mut failure) => {
                if let Cow::Owned(clean) = self.scrubbed(&failure.error) {
                    failure.error = clean;
                }
                Outcome::Failed(failure)
            }
            Outcome::Delivered => Outcome::Delivered,
        }
    }

    /// The answer without them.
    pub(super) fn scrub(&self, mut response: Response) -> Response {
        if self.0.is_empty() {
            return response;
        }
        for (_, value) in &mut response.headers {
            if let Cow::Owned(clean) = self.scrubbed(value) {
                *value = clean;
            }
        }
        if let Cow::Owned(clean) = self.scrubbed(&String::from_utf8_lossy(&response.body)) {
            response.body = Bytes::from(clean);
        }
        response
    }

    fn scrubbed<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for secret in &self.0 {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), "••••"));
            }
        }
        clean
    }
}

/// The password of a `Basic` login.
fn password(value: &str) -> Option<String> {
    let login = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    String::from_utf8(login).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Method, header};

    use super::*;
    use crate::{
        connectors::Request,
        domain::outcome::{Failure, FailureClass},
    };

    fn call() -> Call {
        let url =
            "https://n8n.example.com/webhook/secret-path?key=sk_live_12345&page=2&who=sarah%40example.com";
        let mut request = Request::new(Method::POST, url.parse().unwrap())
            .secret_header(header::AUTHORIZATION, "Bearer token-1234567890")
            .secret_header(HeaderName::from_static("x-short"), "abc");
        request.shown_url =
            "https://n8n.example.com/webhook/…?key=sk_l…&page=2&who=sarah@example.com".to_owned();
        request.into()
    }

    #[test]
    fn what_a_target_quotes_of_our_credentials_is_not_kept() {
        let secrets = Secrets::of(&call());
        let response = Response {
            status: 404,
            headers: vec![("x-echo".to_owned(), "token-1234567890".to_owned())],
            body: Bytes::from_static(
                b"no POST secret-path for sarah@example.com with sk_live_12345 and Bearer token-1234567890 abc",
            ),
            truncated: false,
        };
        let response = secrets.scrub(response);
        assert_eq!(response.body, "no POST •••• for sarah@example.com with •••• and •••• abc");
        assert_eq!(response.headers[0].1, "••••");
        let failure = Failure::new(FailureClass::Rejected, "404: /webhook/secret-path");
        let Outcome::Failed(failure) = secrets.scrub_outcome(Outcome::Failed(failure)) else { panic!() };
        assert_eq!(failure.error, "404: /webhook/••••");
    }

    #[test]
    fn what_is_shown_anyway_is_no_secret_and_a_login_keeps_its_own() {
        let search = "https://crm.example.com/search?term=sarah%40example.com";
        let request = Request::new(Method::GET, search.parse().unwrap());
        assert!(Secrets::of(&request.into()).0.is_empty());
        let login = Request::new(Method::POST, "https://crm.example.com/token".parse().unwrap())
            .secret_form(&[("grant_type", "client_credentials"), ("client_secret", "hush-hush-hush")]);
        assert_eq!(Secrets::of(&login.into()).0, ["hush-hush-hush"]);
        let basic = Request::new(Method::GET, "https://crm.example.com/".parse().unwrap())
            .secret_header(header::AUTHORIZATION, "Basic YW55Omh1c2gtaHVzaA==");
        assert!(Secrets::of(&basic.into()).0.contains(&"hush-hush".to_owned()));
    }

    #[test]
    fn what_quotes_nothing_stays_as_it_came() {
        let body = Bytes::from_static(b"\xff\xfe raw");
        let response = Response { status: 200, headers: Vec::new(), body: body.clone(), truncated: false };
        assert_eq!(Secrets::of(&call()).scrub(response).body, body);
    }
}
