//! The keys of a custom CRM's configuration and credentials.

use crate::ConfigField;

/// The configuration.
pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "path",
        "text",
        "Where leads go, a template: a path behind base_url, as /leads, or a whole URL",
    ),
    ConfigField::optional("method", "text", "POST", "POST, PUT or PATCH"),
    ConfigField::optional("query", "object", "", "Query values, a template each"),
    ConfigField::optional(
        "headers",
        "object",
        "",
        "Headers of your own: a template each, or {\"value\": template, \"public\": true} if it is no secret",
    ),
    ConfigField::optional(
        "body",
        "text",
        "",
        "A template for the body; blank sends the mapped fields, or the whole event if nothing is mapped",
    ),
    ConfigField::optional(
        "auth",
        "text",
        "none",
        "none, bearer, basic, header, query or client_credentials; says what the credentials are",
    ),
    ConfigField::optional(
        "auth_name",
        "text",
        "X-Api-Key or api_key",
        "The name of the header or query value that carries the key",
    ),
    ConfigField::optional("token_url", "text", "", "Where tokens are got with auth client_credentials"),
    ConfigField::optional("token_auth", "text", "form", "How the client is named there: form or basic"),
    ConfigField::optional("scope", "text", "", "The scope to ask for there"),
    ConfigField::optional("audience", "text", "", "The audience to ask for there"),
    ConfigField::optional(
        "success",
        "object",
        "",
        "What an answer must say: {\"pointer\": \"/status\", \"equals\": \"ok\"}; without it, 2xx is enough",
    ),
    ConfigField::optional(
        "conflict",
        "text",
        "reject",
        "What 409 means: reject, or ok if it says that the lead is there already",
    ),
    ConfigField::optional(
        "id_pointer",
        "text",
        "",
        "Where the answer has the CRM's id of the lead, as /data/id",
    ),
    ConfigField::optional(
        "error_pointer",
        "text",
        "",
        "Where the answer says why it refuses, as /error/message",
    ),
    ConfigField::optional(
        "update_path",
        "text",
        "",
        "Where updates go once the id is known, as /leads/{id}; blank for the same path",
    ),
    ConfigField::optional("update_method", "text", "PUT", "POST, PUT or PATCH"),
    ConfigField::optional(
        "find_path",
        "text",
        "",
        "A GET that finds a lead which may be there already, as /leads?ref={{ lead.uuid }}",
    ),
    ConfigField::optional("find_pointer", "text", "", "Where its answer has the id, as /items/0/id"),
    ConfigField::optional("test_path", "text", "", "A GET without effect that needs the login, for tests"),
];

/// Which of them are needed, `auth` says.
pub(super) const CREDENTIALS: &[ConfigField] = &[
    ConfigField::optional("token", "text", "", "With auth bearer"),
    ConfigField::optional("username", "text", "", "With auth basic"),
    ConfigField::optional("password", "text", "", "With auth basic"),
    ConfigField::optional("key", "text", "", "With auth header or query"),
    ConfigField::optional("client_id", "text", "", "With auth client_credentials"),
    ConfigField::optional("client_secret", "text", "", "With auth client_credentials"),
];
