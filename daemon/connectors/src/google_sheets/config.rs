//! What an integration is told: which sheet, which columns, and the service account that writes there.

use super::{LOGIN, NAME};
use crate::prelude::*;

const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets";
/// An assertion lasts for an hour at most.
const ASSERTION_SECONDS: i64 = 3600;

settings! {
    /// The sheet that gets the rows.
    pub(crate) struct Config {
        /// The spreadsheet's id, or its address: https://docs.google.com/spreadsheets/d/…
        spreadsheet_id: Spreadsheet,
        /// The name on the tab of the sheet that gets the rows
        sheet: String,
        /// How many calls a minute the service account may make: more where Google raised its quota
        calls_per_minute: Int<1, 10_000> = 60,
    }
}

settings! {
    /// A service account, as its key file has it.
    #[allow(dead_code, reason = "a key file is taken as it is, with what is not used")]
    pub(crate) struct Credentials {
        /// The service account's address, ….iam.gserviceaccount.com
        client_email: Required<String>,
        /// The service account's private key, in PEM
        private_key: Required<PrivateKey>,
        /// Which of the service account's keys it is
        private_key_id: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        r#type: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        project_id: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        client_id: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        auth_uri: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        token_uri: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        auth_provider_x509_cert_url: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        client_x509_cert_url: Option<String>,
        /// Not used: part of the key file, which can be given as it is
        universe_domain: Option<String>,
    }
}

parsed! {
    /// The id of a spreadsheet, which becomes part of a path.
    #[derive(Default)]
    pub(crate) struct Spreadsheet(String) = spreadsheet
}

/// The id alone, out of an address too.
fn spreadsheet(text: &str) -> Result<String, Problem> {
    let after = text.split_once("/spreadsheets/d/").map(|(_, rest)| rest.split(['/', '?', '#']).next());
    let id = after.flatten().unwrap_or(text);
    if id.len() >= 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Ok(id.to_owned());
    }
    Err(Problem::new("must be the id between /d/ and /edit in the spreadsheet's address, or that address"))
}

/// A key that can sign.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "SecretString")]
pub(crate) struct PrivateKey(SecretString);

impl TryFrom<SecretString> for PrivateKey {
    type Error = Problem;

    fn try_from(key: SecretString) -> Result<Self, Problem> {
        oauth::check_key(&key)?;
        Ok(Self(key))
    }
}

impl Setting for PrivateKey {
    const SECRET: bool = true;
}

/// A service account: a user of Google's without a person.
#[derive(Debug)]
pub(super) struct Account {
    email: String,
    key: SecretString,
    key_id: Option<String>,
}

impl Account {
    pub(super) fn of(given: Credentials) -> Option<Self> {
        let (email, key) = given.client_email.0.zip(given.private_key.0)?;
        Some(Self { email, key: key.0, key_id: given.private_key_id })
    }

    /// The call that gets a token.
    pub(super) fn log_in(&self, base: &Url, now: Moment) -> Result<Request> {
        let claims = json!({ "iss": self.email, "scope": SCOPE, "aud": format!("{LOGIN}/token"),
            "iat": now.as_seconds(), "exp": now.as_seconds() + ASSERTION_SECONDS });
        let assertion = oauth::assertion(&self.key, self.key_id.clone(), &claims)
            .map_err(|problem| Failure::new(FailureClass::Credentials, format!("{NAME}: {problem}")))?;
        let request = Request::at(Method::POST, base, &["token"]);
        Ok(request.secret_form(&[("grant_type", oauth::JWT_BEARER), ("assertion", &assertion)]))
    }
}
