//! Plans: what all calls of a push are made from. Each is kept with its delivery as an object of JSON whose numbers keep
//! their text, and comes back on every repeat.

use std::borrow::Cow;

use serde_json::Value;

use super::crm;
use leadline_domain::json::Json;

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
                leadline_domain::json::Json::object(parts).to_bytes()
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
