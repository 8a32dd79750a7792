//! How much of the intake anybody may have at once: a key, a company, a client's address. None may have all of it, so
//! that a flood of one leaves room for the others.

use std::net::IpAddr;

use http::StatusCode;

use super::problem::ProblemDetails;
use crate::{
    domain::ids::{CompanyId, KeyId},
    shares::{Share, Shares},
};

/// The most requests that are worked on at once; as many connections are taken at the most.
pub(super) const REQUESTS: usize = 1024;
/// What one company has of them, with all of its keys, and one client's address.
pub(super) const REQUESTS_OF_ONE: usize = REQUESTS / 2;
/// What one key has of them.
const REQUESTS_OF_KEY: usize = REQUESTS / 4;
/// The most batches at once: they may last for hours.
const BATCHES: usize = 128;
const BATCHES_OF_COMPANY: usize = BATCHES / 4;
const BATCHES_OF_KEY: usize = BATCHES / 8;
/// The most bytes of bodies that are in memory at once. What they are read into takes up to four times as much.
const BYTES: usize = 64 * 1024 * 1024;
const BYTES_OF_COMPANY: usize = BYTES / 4;
/// So many lines of batches are worked on at once, whatever the number of batches: single leads must find room too.
const LINES: usize = 256;
const LINES_OF_COMPANY: usize = LINES / 2;

/// What is taken, and by whom.
#[derive(Debug)]
pub(super) struct Places {
    clients: Shares<IpAddr>,
    companies: Shares<CompanyId>,
    keys: Shares<KeyId>,
    batches: Shares<CompanyId>,
    batches_of_keys: Shares<KeyId>,
    bytes: Shares<CompanyId>,
    lines: Shares<CompanyId>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            clients: Shares::new(REQUESTS, REQUESTS_OF_ONE),
            companies: Shares::new(REQUESTS, REQUESTS_OF_ONE),
            keys: Shares::new(REQUESTS, REQUESTS_OF_KEY),
            batches: Shares::new(BATCHES, BATCHES_OF_COMPANY),
            batches_of_keys: Shares::new(BATCHES, BATCHES_OF_KEY),
            bytes: Shares::new(BYTES, BYTES_OF_COMPANY),
            lines: Shares::new(LINES, LINES_OF_COMPANY),
        }
    }
}

/// The place of a request whose key is known.
#[derive(Debug)]
pub(super) struct RequestPlace {
    _held: [Share; 2],
}

/// The memory that a body takes while it is read and worked on.
#[derive(Debug)]
pub(super) struct Room<'a> {
    places: &'a Places,
    company: CompanyId,
    taken: Option<Share>,
}

impl Places {
    /// A place for a request of a client, before anything is known of its key.
    pub(super) fn client(&self, client: IpAddr) -> Result<Share, ProblemDetails> {
        self.clients.try_take(client, 1).ok_or_else(|| crowded("this address", REQUESTS_OF_ONE, "requests"))
    }

    /// A place for a lead that came with a key.
    pub(super) fn request(&self, key: KeyId, company: CompanyId) -> Result<RequestPlace, ProblemDetails> {
        let key = self.keys.try_take(key, 1);
        let key = key.ok_or_else(|| crowded("this intake key", REQUESTS_OF_KEY, "requests"))?;
        let company = self.companies.try_take(company, 1);
        let company = company.ok_or_else(|| crowded("this company", REQUESTS_OF_ONE, "requests"))?;
        Ok(RequestPlace { _held: [key, company] })
    }

    /// A place for a batch.
    pub(super) fn batch(&self, key: KeyId, company: CompanyId) -> Result<RequestPlace, ProblemDetails> {
        let key = self.batches_of_keys.try_take(key, 1);
        let key = key.ok_or_else(|| crowded("this intake key", BATCHES_OF_KEY, "batches"))?;
        let company = self.batches.try_take(company, 1);
        let company = company.ok_or_else(|| crowded("this company", BATCHES_OF_COMPANY, "batches"))?;
        Ok(RequestPlace { _held: [key, company] })
    }

    /// Memory for a body of a company.
    pub(super) fn room(&self, company: CompanyId) -> Room<'_> {
        Room { places: self, company, taken: None }
    }

    /// Waits until there is room for a line of a batch: a batch is slowed where single leads are refused.
    pub(super) async fn line(&self, company: CompanyId, bytes: usize) -> Option<[Share; 2]> {
        let bytes = u32::try_from(bytes.clamp(1, BYTES_OF_COMPANY)).ok()?;
        let memory = self.bytes.take(company, bytes).await?;
        Some([memory, self.lines.take(company, 1).await?])
    }
}

impl Room<'_> {
    /// Takes room for more bytes, or says that there is none.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ProblemDetails> {
        let wanted =
            u32::try_from(bytes).ok().and_then(|bytes| self.places.bytes.try_take(self.company, bytes));
        let more = wanted.ok_or_else(|| {
            ProblemDetails::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "more bytes of leads come in at once than there is room for: send this lead again after Retry-After \
                 seconds",
            )
        })?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

fn crowded(whose: &str, most: usize, what: &str) -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "{whose} has as many {what} under way as may be, {most}, or all places are taken: send this one again \
             after Retry-After seconds"
        ),
    )
}
