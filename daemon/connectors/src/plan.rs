//! Plans: what all calls of a push are made from. Each is kept with its delivery as an object of JSON whose numbers keep
//! their text, and comes back on every repeat.

use std::borrow::Cow;

use serde_json::Value;

use super::crm;
use leadline_domain::{json::Json, moment::Moment};

/// A part of a plan.
pub(super) trait PlanPart: Sized {
    fn kept(&self) -> Json;
    /// None if it is not what was kept.
    fn read(kept: &Json) -> Option<Self>;
}

macro_rules! part {
    ($type:ty, $kept:expr, $read:expr) => {
        impl PlanPart for $type {
            fn kept(&self) -> Json {
                let kept: fn(&Self) -> Json = $kept;
                kept(self)
            }

            fn read(kept: &Json) -> Option<Self> {
                let read: fn(&Json) -> Option<Self> = $read;
                read(kept)
            }
        }
    };
}

part!(Json, Self::clone, |kept| Some(kept.clone()));
part!(Value, |own| Json::from(own), |kept| Some(crm::value(kept)));
part!(String, |own| Json::string(own), |kept| kept.as_str().map(Cow::into_owned));
part!(bool, |own| Json::Bool(*own), |kept| Some(*kept == Json::Bool(true)));
part!(i64, |own| Json::integer((*own).into()), |kept| kept.as_integer()?.try_into().ok());
// To the second.
part!(Moment, |own| i64::kept(&own.as_seconds()), |kept| i64::read(kept).map(Moment::from_seconds));

impl<T: PlanPart> PlanPart for Option<T> {
    fn kept(&self) -> Json {
        self.as_ref().map_or(Json::Null, PlanPart::kept)
    }

    fn read(kept: &Json) -> Option<Self> {
        if kept.is_null() { Some(None) } else { T::read(kept).map(Some) }
    }
}

impl<T: PlanPart> PlanPart for Vec<T> {
    fn kept(&self) -> Json {
        Json::Array(self.iter().map(PlanPart::kept).collect())
    }

    fn read(kept: &Json) -> Option<Self> {
        match kept {
            Json::Array(parts) => parts.iter().map(PlanPart::read).collect(),
            _ => Some(Self::new()),
        }
    }
}

/// Makes a struct of parts a plan.
macro_rules! plan {
    ($(#[$about:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $part_vis:vis $part:ident: $type:ty,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[$doc])* $part_vis $part: $type,)+
        }

        impl $name {
            /// As it is kept.
            $vis fn bytes(&self) -> bytes::Bytes {
                let parts = [$((stringify!($part), $crate::plan::PlanPart::kept(&self.$part)),)+];
                $crate::crm::kept(leadline_domain::json::Json::object(parts))
            }

            /// What was rendered for this delivery.
            $vis fn read(push: &$crate::Push<'_>, ctx: &mut $crate::Conversation<'_>) -> $crate::Result<Self> {
                let plan = $crate::crm::rendered(push, ctx)?;
                let read = |name: &str| plan.get(name).unwrap_or(&leadline_domain::json::Json::Null);
                let parts = || Some(Self { $($part: $crate::plan::PlanPart::read(read(stringify!($part)))?,)+ });
                parts().ok_or_else(|| $crate::crm::unread_plan(ctx))
            }
        }
    };
}

pub(super) use plan;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use leadline_domain::json::Json;
    use serde_json::json;

    use crate::{ALL, testkit};

    /// What the plan of each connector that has one consists of.
    const PLANS: [(&str, &str); 11] = [
        ("activecampaign", "contact fields note"),
        ("airtable", "performUpsert records typecast"),
        ("brevo", "email attributes event"),
        ("dynamics", LEAD_PLAN),
        ("google_sheets", "id cells new"),
        ("hubspot", "email properties new half note deal company notes"),
        ("klaviyo", "profile event"),
        ("mailchimp", "hash member note"),
        ("pipedrive", "email lead employer organization since phone person is_made_name deal new note"),
        ("salesforce", LEAD_PLAN),
        ("zoho", LEAD_PLAN),
    ];
    const LEAD_PLAN: &str = "email lead create update has_made_name has_new title note notes";

    #[test]
    fn a_plan_that_has_something_else_has_another_shape() {
        for connector in ALL {
            let manifest = connector.manifest();
            let config = json!({"api_url": "https://a.api-us1.com", "environment_url": "https://a.crm4.dynamics.com",
                "list_id": "1", "list_ids": "1", "base_id": "app1", "table": "tbl2", "tenant_id": "a.example",
                "spreadsheet_id": "1abcdefghijklmnopqrstuvwxyz0123456789", "sheet": "Leads"});
            let known = |key: &String| manifest.fields.iter().any(|field| field.name == key.as_str());
            let config =
                config.as_object().unwrap().clone().into_iter().filter(|(key, _)| known(key)).collect();
            let integration = testkit::integration(manifest.name, config, json!({}), json!({}));
            let mut event = testkit::lead();
            event["lead"]["gdpr_consent"] = json!(true);
            let body = Bytes::from(event.to_string());
            let plan = connector.prepare(&integration, "Leadline").ok().filter(|_| manifest.checks_mapping);
            let plan = plan.map(|ready| ready.render(&testkit::push(&body)).unwrap().unwrap());
            let parts = plan.map(|plan| match Json::parse(&plan) {
                Ok(Json::Object(members)) => {
                    members.iter().map(|(name, _)| name.decode().into_owned()).collect::<Vec<_>>().join(" ")
                }
                other => panic!("{}: {other:?}", manifest.name),
            });
            let known = PLANS.iter().find(|(name, _)| *name == manifest.name).map(|(_, parts)| *parts);
            assert_eq!(
                parts.as_deref(),
                known,
                "{}: raise `SHAPE` in crm.rs if what was kept reads otherwise now, then correct this",
                manifest.name
            );
        }
    }
}
