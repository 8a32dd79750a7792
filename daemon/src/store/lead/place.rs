//! Where leads stand in lists: the newest first, by when they were received. Senders give them any uuid, and companies
//! may have the same one, so a place is all three.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, LeadId},
    store::{Store, operator::command::Refusal},
};

/// The place of a lead, which tokens of pages carry: a page behind it is the same whatever came in since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadPlace {
    pub received_at: Timestamp,
    pub company: CompanyId,
    pub lead: LeadId,
}

/// A text that is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the place of a lead")]
pub struct NotPlace;

impl LeadPlace {
    /// The place before all leads.
    #[must_use]
    pub fn first() -> Self {
        Self { received_at: Timestamp::MAX, company: CompanyId(i64::MAX), lead: LeadId::from(Uuid::max()) }
    }
}

impl fmt::Display for LeadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.received_at.as_microsecond(), self.company, self.lead)
    }
}

impl FromStr for LeadPlace {
    type Err = NotPlace;

    fn from_str(text: &str) -> Result<Self, NotPlace> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(NotPlace);
        let received_at = part()?.parse().map_err(|_| NotPlace)?;
        let received_at = Timestamp::from_microsecond(received_at).map_err(|_| NotPlace)?;
        let company: i64 = part()?.parse().map_err(|_| NotPlace)?;
        let lead = part()?.parse().map_err(|_| NotPlace)?;
        Ok(Self { received_at, company: CompanyId(company), lead })
    }
}

impl Store {
    /// Where a lead stands.
    pub async fn lead_place(&self, company: Option<&str>, uuid: &str) -> Result<LeadPlace, Refusal> {
        let (company, lead) = self.find_lead(company, uuid).await?;
        let received_at = sqlx::query_scalar!(
            "SELECT received_at FROM lead WHERE company_id = $1 AND id = $2",
            company.0,
            lead.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(LeadPlace { received_at: received_at.to_jiff(), company, lead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let place = LeadPlace {
            received_at: Timestamp::from_microsecond(1_796_054_400_123_456).unwrap(),
            company: CompanyId(7),
            lead: LeadId::generate(),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!(NotPlace.to_string(), "not the place of a lead");
        for bad in
            ["", "1", "1.7", "1.7.x", "x.7.01J8H6KQH4YG3XR8RWM6T6XFQE", "1..01J8H6KQH4YG3XR8RWM6T6XFQE"]
        {
            assert_eq!(bad.parse::<LeadPlace>(), Err(NotPlace), "{bad}");
        }
    }
}
