//! What an update has to say. People correct what a lead said; an update that says it once more as it was leaves that to
//! them. What was written of a lead is kept as prints, which tell whether it is said again and not what it was.

use super::{Conversation, Push};
use leadline_domain::{integration::EventKind, json::Json};

/// Under which the prints are kept.
const WRITTEN: &str = "_written";
/// So many digits of a digest tell two values of one field apart.
const PRINT: usize = 12;

/// What was written of a lead to a record that is still the same one.
#[derive(Debug, Default)]
pub(super) struct Written(String);

impl Written {
    /// What an update may leave out; nothing, if anything else is pushed: what is asked for once more is said whole.
    pub(super) fn of(push: &Push<'_>, ctx: &Conversation<'_>) -> Self {
        let is_update = push.event == EventKind::Updated;
        Self(ctx.id(WRITTEN).filter(|_| is_update).unwrap_or_default())
    }

    /// Leaves nothing out where the write makes the record. A second one that failed would leave a record that is no longer
    /// new, without what is for new ones.
    pub(super) fn unless(self, is_made: bool) -> Self {
        if is_made { Self::default() } else { self }
    }

    /// Whether nothing is left out.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members of an object that were not written so.
    pub(super) fn news(&self, fields: &Json) -> Json {
        self.within("", fields)
    }

    fn within(&self, path: &str, fields: &Json) -> Json {
        let Json::Object(members) = fields else { return fields.clone() };
        let mut news = Json::Object(Vec::new());
        for (name, value) in members {
            let name = name.decode();
            let own = format!("{path}{name}");
            match value {
                Json::Object(_) => {
                    let inner = self.within(&format!("{own}."), value);
                    if has_members(&inner) {
                        news.insert(usize::MAX, &name, inner);
                    }
                }
                _ if self.has(&own, value) => {}
                _ => news.insert(usize::MAX, &name, value.clone()),
            }
        }
        news
    }

    fn has(&self, name: &str, value: &Json) -> bool {
        let print = print(name, value);
        self.0.as_bytes().chunks(PRINT).any(|own| own == print.as_bytes())
    }
}

/// Whether an object has any members.
pub(super) fn has_members(fields: &Json) -> bool {
    matches!(fields, Json::Object(members) if !members.is_empty())
}

/// Keeps what a lead was written with. What was refused is said again by the next update, as the target may take it then.
pub(super) async fn keep(fields: &Json, ctx: &mut Conversation<'_>) {
    let mut prints = String::new();
    add_prints("", fields, &ctx.refused, &mut prints);
    ctx.keep(&[(WRITTEN, &prints)]).await;
}

fn add_prints(path: &str, fields: &Json, refused: &[String], prints: &mut String) {
    let Json::Object(members) = fields else { return };
    for (name, value) in members {
        let own = format!("{path}{}", name.decode());
        match value {
            _ if refused.iter().any(|it| own == *it || own.ends_with(&format!(".{it}"))) => {}
            Json::Object(_) => add_prints(&format!("{own}."), value, refused, prints),
            _ => prints.push_str(&print(&own, value)),
        }
    }
}

pub(super) fn print(name: &str, value: &Json) -> String {
    hex::encode(Json::object([(name, value.clone())]).digest()).chars().take(PRINT).collect()
}
