//! Secrets that are made here: signing secrets, intake keys and tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::domain::{ids::CompanyId, signing};

/// A new signing secret.
pub(super) fn new_signing_secret() -> SecretString {
    signing::secret_of(&random()).into()
}

/// A new intake key or token, as it is shown once and as it is kept.
pub(super) struct NewKey {
    pub(super) text: String,
    pub(super) prefix: String,
    pub(super) hash: [u8; 32],
}

/// A new intake key of a company.
pub(super) fn new_intake_key(company: CompanyId) -> NewKey {
    let text = format!("llk_{company}_{}", URL_SAFE_NO_PAD.encode(random()));
    let random_from = text.len() - 43;
    NewKey { prefix: text[..random_from + 4].to_owned(), hash: Sha256::digest(&text).into(), text }
}

/// A new token of the control API.
pub(super) fn new_token() -> NewKey {
    let text = format!("llt_{}", URL_SAFE_NO_PAD.encode(random()));
    NewKey { prefix: text[..8].to_owned(), hash: Sha256::digest(&text).into(), text }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn signing_secrets_are_made_fit_to_sign() {
        let made = new_signing_secret();
        assert_eq!(signing::check_secret(made.expose_secret()), Ok(()));
        assert_ne!(made.expose_secret(), new_signing_secret().expose_secret());
    }

    #[test]
    fn an_intake_key_names_its_company() {
        let key = new_intake_key(CompanyId(7));
        assert!(key.text.starts_with("llk_7_") && key.text.len() == 6 + 43);
        assert_eq!(key.prefix, key.text[..10]);
        assert_eq!(key.hash[..], Sha256::digest(&key.text)[..]);
        let token = new_token();
        assert!(token.text.starts_with("llt_") && token.text.len() == 4 + 43);
        assert_eq!((&token.text[..8], &token.hash[..]), (&*token.prefix, &Sha256::digest(&token.text)[..]));
    }
}
