//! Keeps credentials out of what is kept of an answer: some targets quote the URL or the header they were called with.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, header};
use secrecy::ExposeSecret;
use url::{Url, form_urlencoded};

use crate::{
    connectors::{Call, MailLogin, Request, Response},
    domain::outcome::{Failure, Outcome},
};

/// What is shorter may stand in an answer by chance.
const SECRET_MIN: usize = 8;
/// A word of the language may be long; a credential without digits and capitals is longer still.
const WORD_MAX: usize = 15;
/// So short may be what a hidden path consists of.
const SEGMENT_MIN: usize = 5;
/// Words that stand in every hidden path, and in the sentences of those who answer.
const PATH_WORDS: [&str; 5] = ["catch", "hooks", "services", "silent", "webhook"];
/// A shorter beginning of a credential tells nothing of it.
const TORN_MIN: usize = 4;

/// What a login's form says in secret.
const SECRET_FIELDS: [&str; 4] = ["client_secret", "refresh_token", "assertion", "password"];

/// What stands in these is never a credential, whoever set them.
const PLAIN_HEADERS: [HeaderName; 2] = [header::ACCEPT, header::CONTENT_TYPE];

/// How else a target may write a text: as JSON with slashes escaped or not, in ASCII alone, and as HTML.
fn escaped(text: &str) -> [String; 4] {
    let json = serde_json::Value::from(text).to_string();
    let json = json.trim_matches('"').to_owned();
    let mut ascii = String::new();
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
            _ => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    [json.replace('/', "\\/"), json, ascii, html]
}

/// The credentials of one call.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What a call carries and never shows: secret headers, and the parts of its URL that are shortened.
    pub(super) fn of(call: &Call) -> Self {
        let request = match call {
            Call::Http(request) => request,
            Call::Mail(mail) => return Self::of_mail(mail.login.as_ref()),
        };
        let headers =
            request.headers.iter().filter(|header| header.secret && !PLAIN_HEADERS.contains(&header.name));
        let headers = headers.filter_map(|header| header.value.to_str().ok());
        // `Bearer` and the like stand in front.
        let headers = headers.flat_map(|value| [Some(value), value.rsplit(' ').next()]).flatten();
        let form = form_urlencoded::parse(if request.is_secret { &request.body } else { b"" });
        let form =
            form.filter(|(key, _)| SECRET_FIELDS.contains(&&**key)).map(|(_, value)| value.into_owned());
        let headers: Vec<&str> = headers.collect();
        // A target quotes the password itself, not as it stands in the header.
        let passwords = headers.iter().filter_map(|value| password(value));
        let headers = headers.iter().map(|value| (*value).to_owned());
        let mut secrets: Vec<String> =
            headers.chain(passwords).chain(hidden_values(request)).chain(form).collect();
        secrets.retain(|secret| secret.len() >= SECRET_MIN);
        secrets.extend(hidden_path(request));
        let escaped: Vec<String> = secrets.iter().flat_map(|secret| escaped(secret)).collect();
        secrets.extend(escaped);
        // The longest first: one may be part of another.
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self(secrets)
    }

    /// The credentials of several calls: a later answer may quote what an earlier call carried.
    pub(super) fn of_all<'a>(calls: impl Iterator<Item = &'a Call>) -> Self {
        let mut secrets: Vec<String> = calls.flat_map(|call| Self::of(call).0).collect();
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self(secrets)
    }

    /// A text without them.
    pub(super) fn scrub_text(&self, text: &str) -> String {
        self.scrubbed(text).into_owned()
    }

    /// A server may quote the secret, or the command in which it came.
    fn of_mail(login: Option<&MailLogin>) -> Self {
        let Some(login) = login else { return Self::default() };
        let (name, secret) = (&login.username, login.secret.expose_secret());
        let reported = if login.is_token {
            format!("user={name}\x01auth=Bearer {secret}\x01\x01")
        } else {
            format!("\0{name}\0{secret}")
        };
        let mut secrets = vec![STANDARD.encode(reported), STANDARD.encode(secret), secret.to_owned()];
        secrets.retain(|secret| secret.len() >= SECRET_MIN);
        Self(secrets)
    }

    /// The outcome without them.
    pub(super) fn scrub_outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(failure) => Outcome::Failed(self.scrub_failure(failure)),
            Outcome::Delivered => Outcome::Delivered,
        }
    }

    /// The failure without them.
    pub(super) fn scrub_failure(&self, mut failure: Failure) -> Failure {
        if let Cow::Owned(clean) = self.scrubbed(&failure.error) {
            failure.error = clean;
        }
        self.scrub_torn(&mut failure.error);
        failure
    }

    /// Takes them out of an answer.
    pub(super) fn scrub(&self, response: &mut Response) {
        if self.0.is_empty() {
            return;
        }
        for (_, value) in &mut response.headers {
            if let Cow::Owned(clean) = self.scrubbed(value) {
                *value = clean;
            }
        }
        if let Cow::Owned(clean) = self.scrubbed(&String::from_utf8_lossy(&response.body)) {
            response.body = Bytes::from(clean);
        }
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

    /// An error is cut before it comes here, maybe within a credential: then its beginning goes too.
    fn scrub_torn(&self, error: &mut String) {
        if !error.contains('…') {
            return;
        }
        for secret in &self.0 {
            for end in (TORN_MIN..secret.len()).rev().filter(|end| secret.is_char_boundary(*end)) {
                let torn = format!("{}…", &secret[..end]);
                if error.contains(&torn) {
                    *error = error.replace(&torn, "••••…");
                }
            }
        }
    }
}

/// The values of the query that are not shown, both as they stand in the URL and as they are meant.
fn hidden_values(request: &Request) -> Vec<String> {
    let meant = |url: &Url| url.query_pairs().map(|(_, value)| value.into_owned()).collect::<Vec<_>>();
    let shown = Url::parse(&request.shown_url).map(|url| meant(&url)).unwrap_or_default();
    let raw = request.url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let raw = raw.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    let hidden = meant(&request.url).into_iter().zip(raw).filter(|(value, _)| !shown.contains(value));
    hidden.filter(|(value, _)| looks_secret(value)).flat_map(|(value, raw)| [value, raw]).collect()
}

/// Whether a value of a query may be a credential: `mode=redirect` is none, and the answer speaks of it.
fn looks_secret(value: &str) -> bool {
    let is_word = value.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '_'));
    value.len() > WORD_MAX || !is_word
}

/// The path and its segments, where the path is not shown: then each may be a credential.
fn hidden_path(request: &Request) -> Vec<String> {
    let path = request.url.path();
    if path == "/" || request.shown_url.contains(path) {
        return Vec::new();
    }
    let segments = path.split('/').filter(|part| part.len() >= SEGMENT_MIN && !PATH_WORDS.contains(part));
    let whole = [path, path.trim_end_matches('/')].into_iter().filter(|path| path.len() >= SEGMENT_MIN);
    whole.chain(segments).map(str::to_owned).collect()
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
    use crate::domain::outcome::{Failure, FailureClass};

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
        let mut response = Response {
            status: 404,
            headers: vec![("x-echo".to_owned(), "token-1234567890".to_owned())],
            body: Bytes::from_static(
                b"no POST secret-path for sarah@example.com with sk_live_12345 and Bearer token-1234567890 abc",
            ),
            truncated: false,
        };
        secrets.scrub(&mut response);
        assert_eq!(response.body, "no POST •••• for sarah@example.com with •••• and •••• abc");
        assert_eq!(response.headers[0].1, "••••");
        let failure = Failure::new(FailureClass::Rejected, "404: /webhook/secret-path");
        let Outcome::Failed(failure) = secrets.scrub_outcome(Outcome::Failed(failure)) else { panic!() };
        assert_eq!(failure.error, "404: ••••");
    }

    #[test]
    fn a_hidden_path_is_secret_as_a_whole_and_in_its_parts() {
        let hook = "https://hooks.zapier.com/hooks/catch/123456/abcdef/";
        let mut request = Request::new(Method::POST, hook.parse().unwrap());
        request.shown_url = "https://hooks.zapier.com/…cdef".to_owned();
        let secrets = Secrets::of(&request.into());
        for (quoted, kept) in [
            ("no hook at /hooks/catch/123456/abcdef/", "no hook at ••••"),
            ("no hook at /hooks/catch/123456/abcdef?", "no hook at ••••?"),
            ("hook abcdef of 123456 does not catch", "hook •••• of •••• does not catch"),
            (r#"{"path":"\/hooks\/catch\/123456\/abcdef\/"}"#, r#"{"path":"••••"}"#),
        ] {
            assert_eq!(secrets.scrubbed(quoted), kept);
        }
    }

    #[test]
    fn a_query_is_secret_as_it_stands_in_the_url_and_as_it_is_meant() {
        let url = "https://crm.example.com/leads?page=20260912&&key=a%2Bb%2Fc%3Dd%2B%2B";
        let mut request = Request::new(Method::POST, url.parse().unwrap());
        request.shown_url = "https://crm.example.com/leads?page=20260912&key=…".to_owned();
        let secrets = Secrets::of(&request.into());
        for quoted in ["a%2Bb%2Fc%3Dd%2B%2B", "a+b/c=d++", r"a+b\/c=d++"] {
            assert_eq!(secrets.scrubbed(&format!("page=20260912&key={quoted}")), "page=20260912&key=••••");
        }
    }

    #[test]
    fn words_in_a_query_are_no_credentials() {
        let url =
            "https://crm.example.com/leads?m=ok&mode=redirect&key=correcthorsebatterystaple&token=Abcdefgh";
        let mut request = Request::new(Method::POST, url.parse().unwrap());
        request.shown_url = "https://crm.example.com/leads?m=…&mode=…&key=…&token=…".to_owned();
        let secrets = Secrets::of(&request.into());
        for (quoted, kept) in [
            ("302: ok, a redirect is not followed", "302: ok, a redirect is not followed"),
            ("no correcthorsebatterystaple here", "no •••• here"),
            ("no Abcdefgh here", "no •••• here"),
        ] {
            assert_eq!(secrets.scrubbed(quoted), kept);
        }
    }

    #[test]
    fn what_is_cut_within_a_credential_keeps_nothing_of_it() {
        let secrets = Secrets::of(&call());
        for (error, kept) in [
            ("401: bad key sk_live_12…", "401: bad key ••••…"),
            ("401: bad key sk_l… (twice)", "401: bad key ••••… (twice)"),
            ("401: Bearer token-1234…", "401: ••••…"),
            ("404: /webhook/secret-pa…", "404: ••••…"),
            ("401: bad key…", "401: bad key…"),
        ] {
            let failure = Failure::new(FailureClass::Rejected, error);
            let Outcome::Failed(failure) = secrets.scrub_outcome(Outcome::Failed(failure)) else { panic!() };
            assert_eq!(failure.error, kept);
        }
    }

    #[test]
    fn what_a_mail_server_quotes_of_a_login_is_not_kept() {
        for (is_token, command) in [
            (true, "AUTH XOAUTH2 dXNlcj1ib3gBYXV0aD1CZWFyZXIgaHVzaC1odXNoAQE="),
            (false, "AUTH PLAIN AGJveABodXNoLWh1c2g="),
            (false, "aHVzaC1odXNo"),
            (false, "hush-hush"),
        ] {
            let login = MailLogin { username: "box".to_owned(), secret: "hush-hush".into(), is_token };
            let failure = Failure::new(FailureClass::Credentials, format!("500 {command}: what?"));
            let scrubbed = Secrets::of_mail(Some(&login)).scrub_outcome(Outcome::Failed(failure));
            let Outcome::Failed(failure) = scrubbed else { panic!() };
            let bare = command.rsplit_once(' ').map_or(String::new(), |(verb, _)| format!("{verb} "));
            assert_eq!(failure.error, format!("500 {bare}••••: what?"));
        }
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
        let mut response =
            Response { status: 200, headers: Vec::new(), body: body.clone(), truncated: false };
        Secrets::of(&call()).scrub(&mut response);
        assert_eq!(response.body, body);
    }
}
