//! What the console remembers from one run to the next: where one was, and how each list was looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where one was. Nothing of a lead is in it but what was typed into a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SavedSession {
    /// The number of the screen, from 1.
    pub screen: u8,
    /// The only company that was looked at.
    pub company: Option<(i64, String)>,
    /// By the name of the screen.
    pub lists: BTreeMap<String, Remembered>,
}

/// How a list was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Remembered {
    pub filter: String,
    /// The key of a column, and whether its order is turned round.
    pub sort: Option<(String, bool)>,
    pub bad_only: bool,
    /// Cards or not, where there is a choice.
    pub cards: Option<bool>,
}
