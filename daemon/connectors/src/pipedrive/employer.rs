//! The organization that a lead's employer becomes, found by its name or made. Pipedrive has no unique names, so pushes
//! for one employer wait for each other.

use super::{Compiled, VENDOR, plan::Plan, push::fitting};
use crate::prelude::*;

/// The shortest text that the search takes, in characters.
const TERM_MIN: usize = 2;

impl Compiled {
    /// The organization of this lead's person and deal, if it is to have one.
    pub(super) async fn employer(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> FoundId {
        let Some(name) = plan.employer.as_deref().filter(|name| name.chars().count() >= TERM_MIN) else {
            return Ok(None);
        };
        // Sales may have taken a person out of it: an update does not put them back.
        if push.event == EventKind::Updated && ctx.id("person").is_some() {
            return Ok(None);
        }
        if let Some(id) = ctx.id("organization") {
            return Ok(Some(id));
        }
        ctx.lock_person(&format!("organization {}", name.to_lowercase())).await;
        let id = match self.find_employer(push, name, ctx).await? {
            Some(id) => id,
            None => {
                let body = Json::object([("name", Json::string(name))]);
                self.made(self.create("organizations", &body), ctx).await?
            }
        };
        ctx.keep(&[("organization", &id)]).await;
        Ok(Some(id))
    }

    async fn find_employer(&self, push: &Push<'_>, name: &str, ctx: &mut Conversation<'_>) -> FoundId {
        let query = [("term", name), ("fields", "name"), ("exact_match", "true")];
        let search = self.get(&["api", "v2", "organizations", "search"], &query);
        let found = VENDOR.listed(ctx, search, "data/items").await?;
        if let Some(id) = oldest(found.iter().map(|item| &item["item"]), name) {
            return Ok(Some(id));
        }
        if !(push.is_repeat || ctx.recently_pushed) {
            return Ok(None);
        }
        // The search lags behind what an earlier attempt or another push has just made.
        let newest = fitting(ctx, |limit| self.newest("organizations", None, limit)).await?;
        Ok(oldest(VENDOR.entries(&newest, "data", ctx.now)?.iter(), name))
    }
}

/// The oldest organization of this name.
fn oldest<'a>(organizations: impl Iterator<Item = &'a Value>, name: &str) -> Option<String> {
    let is_it = |one: &&Value| {
        let own = one["name"].as_str().unwrap_or_default();
        own.trim().to_lowercase() == name.to_lowercase() && one["is_deleted"] != true
    };
    let oldest = organizations.filter(is_it).min_by_key(|one| one["id"].as_u64());
    oldest.and_then(|one| id_of(&one["id"]))
}
