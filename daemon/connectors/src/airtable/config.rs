//! What Airtable is configured with.

use crate::prelude::*;

settings! {
    /// The table that gets the records.
    pub(crate) struct Config {
        /// The id of the base, app…: it stands in the address bar when the base is open
        base_id: BaseId,
        /// The table that gets the records: its id, tbl…, which survives renaming, or its name
        table: String,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// A personal access token, pat…, with data.records:read, data.records:write and schema.bases:read, for the base
        token: Required<SecretString>,
    }
}

parsed! {
    /// The id of a base, which becomes part of a path.
    #[derive(Default)]
    pub(crate) struct BaseId(String) = base_id
}

fn base_id(text: &str) -> Result<String, Problem> {
    let is_id = !text.contains(['/', '?', '#', ' ']);
    fit(text.to_owned(), is_id, "must be the id alone, as appAbCdEfGhIjKlMn, not the address")
}
