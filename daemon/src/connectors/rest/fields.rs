//! The keys of a custom CRM's configuration and credentials.

use crate::connectors::ConfigField;

const fn optional(name: &'static str, default: &'static str, help: &'static str) -> ConfigField {
    ConfigField { name, kind: "text", required: false, default, help }
}

/// The configuration.
pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField {
        name: "path",
        kind: "text",
        required: true,
        default: "",
        help: "Where leads go, a template: a path behind base_url, as /leads, or a whole URL",
    },
    optional("method", "POST", "POST, PUT or PATCH"),
    ConfigField { kind: "object", ..optional("query", "", "Query values, a template each") },
    ConfigField {
        kind: "object",
        ..optional(
            "headers",
            "",
            "Headers of your own: a template each, or {\"value\": template, \"public\": true} if it is no secret",
        )
    },
    optional(
        "body",
        "",
        "A template for the body; blank sends the mapped fields, or the whole event if nothing is mapped",
    ),
    optional(
        "auth",
        "none",
        "none, bearer, basic, header, query or client_credentials; says what the credentials are",
    ),
    optional(
        "auth_name",
        "X-Api-Key or api_key",
        "The name of the header or query value that carries the key",
    ),
    optional("token_url", "", "Where tokens are got with auth client_credentials"),
    optional("token_auth", "form", "How the client is named there: form or basic"),
    optional("scope", "", "The scope to ask for there"),
    optional("audience", "", "The audience to ask for there"),
    ConfigField {
        kind: "object",
        ..optional(
            "success",
            "",
            "What an answer must say: {\"pointer\": \"/status\", \"equals\": \"ok\"}; without it, 2xx is enough",
        )
    },
    optional("conflict", "reject", "What 409 means: reject, or ok if it says that the lead is there already"),
    optional("id_pointer", "", "Where the answer has the CRM's id of the lead, as /data/id"),
    optional("error_pointer", "", "Where the answer says why it refuses, as /error/message"),
    optional(
        "update_path",
        "",
        "Where updates go once the id is known, as /leads/{id}; blank for the same path",
    ),
    optional("update_method", "PUT", "POST, PUT or PATCH"),
    optional(
        "find_path",
        "",
        "A GET that finds a lead which may be there already, as /leads?ref={{ lead.uuid }}",
    ),
    optional("find_pointer", "", "Where its answer has the id, as /items/0/id"),
    optional("test_path", "", "A GET without effect that needs the login, for tests"),
];

/// Which of them are needed, `auth` says.
pub(super) const CREDENTIALS: &[ConfigField] = &[
    optional("token", "", "With auth bearer"),
    optional("username", "", "With auth basic"),
    optional("password", "", "With auth basic"),
    optional("key", "", "With auth header or query"),
    optional("client_id", "", "With auth client_credentials"),
    optional("client_secret", "", "With auth client_credentials"),
];
