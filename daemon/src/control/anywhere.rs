//! Looking through what the newest leads say, which no index has: bounded in leads, bytes and time, and beside the async
//! workers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use leadline_proto::v1;
use tokio::time::timeout;
use tonic::{Request, Response};

use super::{Control, Reply, check, convert::time, lead::behind, mutate};
use crate::{
    compute::ComputeError,
    domain::{
        anywhere::{Sought, TextMatch},
        ids::{CompanyId, LeadId},
    },
    store::{
        Store,
        lead::{anywhere::LeadBody, place::LeadPlace},
        operator::command::Refusal,
    },
};

/// How many leads one answer looks through at most, and how many bytes of what they say.
const LEADS_MAX: usize = 5000;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The same of what is read at once.
const PAGE: usize = 500;
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// No page is begun later than that.
const TIME_MAX: Duration = Duration::from_secs(1);
/// How many such searches a daemon does at a time; one of them for each caller and company, as
/// many may call as one user, so that nobody stops another's.
pub(super) const AT_ONCE: usize = 2;
/// How long one waits for those before it.
const ROOM_WAIT: Duration = Duration::from_secs(3);
/// Whose threads a search through all companies takes.
const ALL: CompanyId = CompanyId(0);

impl Control {
    pub(super) async fn find_anywhere(
        &self,
        request: Request<v1::FindLeadsAnywhereRequest>,
    ) -> Reply<v1::FindLeadsAnywhereResponse> {
        let caller = mutate::caller(&request)?;
        if caller.masked {
            Err(for_eyes_that_see_people())?;
        }
        let identity = caller.identity;
        let request = request.into_inner();
        let (limit, token) = check::page(request.page_size, &request.page_token)?;
        let sought = Sought::read(&request.text).map_err(|error| Refusal::Invalid(error.to_string()))?;
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let after = behind(&self.store, check::optional(&request.company), token).await?;
        let room = self.searches.take((identity, company.unwrap_or(ALL)), 1);
        let _room = timeout(ROOM_WAIT, room).await.map_err(|_| others_search())?;
        let store = self.store.for_lists().await;
        let mut search = AnywhereSearch {
            sought: Arc::new(sought),
            company,
            limit: usize::try_from(limit).unwrap_or_default(),
            after,
            searched: 0,
            bytes: 0,
            found: Vec::new(),
            is_through: false,
        };
        search.run(self, &store).await?;
        Ok(Response::new(search.answer(&store, &self.store).await?))
    }
}

/// A search under way.
struct AnywhereSearch {
    sought: Arc<Sought>,
    company: Option<CompanyId>,
    /// How many leads are answered at most.
    limit: usize,
    /// The lead that was looked through last.
    after: Option<LeadPlace>,
    searched: usize,
    bytes: usize,
    found: Vec<(LeadPlace, TextMatch)>,
    /// Whether there is none further back.
    is_through: bool,
}

impl AnywhereSearch {
    async fn run(&mut self, control: &Control, store: &Store) -> Result<(), Refusal> {
        let begun = Instant::now();
        while self.searched < LEADS_MAX
            && self.bytes < BYTES_MAX
            && self.found.len() < self.limit
            && (self.searched == 0 || begun.elapsed() < TIME_MAX)
        {
            let size = PAGE.min(LEADS_MAX - self.searched);
            let page = store.lead_bodies(self.company, self.after, size as i64, PAGE_BYTES as i64).await?;
            match page {
                Some(page) if page.is_empty() => {
                    self.is_through = true;
                    break;
                }
                Some(page) => self.look_through(page, control).await?,
                None if self.searched == 0 => return Err(too_busy()),
                None => break,
            }
        }
        Ok(())
    }

    async fn look_through(&mut self, page: Vec<LeadBody>, control: &Control) -> Result<(), Refusal> {
        let (sought, room) = (Arc::clone(&self.sought), self.limit - self.found.len());
        let work = move || Looked::at(&sought, &page, room);
        let looked = control.compute.run(self.company.unwrap_or(ALL), work).await.map_err(not_done)?;
        self.searched += looked.leads;
        self.bytes += looked.bytes;
        self.after = looked.last.or(self.after);
        self.found.extend(looked.found);
        Ok(())
    }

    /// What was found, without what was erased meanwhile: `lists` knows what the leads are, `current` what is left now.
    async fn answer(self, lists: &Store, current: &Store) -> Result<v1::FindLeadsAnywhereResponse, Refusal> {
        let ids: Vec<(CompanyId, LeadId)> =
            self.found.iter().map(|(place, _)| (place.company, place.lead)).collect();
        let (leads, kept) = if ids.is_empty() {
            Default::default()
        } else {
            (lists.leads_by_ids_of(&ids).await?, current.not_erased(&ids).await?)
        };
        let mut leads: HashMap<_, _> = leads
            .into_iter()
            .map(|lead| ((lead.company, lead.id), v1::Lead::from(lead)))
            .filter(|(id, _)| kept.contains(id))
            .collect();
        let matches = self.found.into_iter().filter_map(|(place, said)| {
            let lead = leads.remove(&(place.company, place.lead))?;
            Some(v1::LeadMatch { lead: Some(lead), pointer: said.pointer, value: said.value })
        });
        let matches = matches.collect();
        let after = self.after.filter(|_| !self.is_through);
        Ok(v1::FindLeadsAnywhereResponse {
            matches,
            next_page_token: after.map(|place| place.to_string()).unwrap_or_default(),
            searched: u32::try_from(self.searched).unwrap_or(u32::MAX),
            searched_back_to: self.after.filter(|_| self.searched > 0).map(|place| time(place.received_at)),
        })
    }
}

/// What came of looking through leads.
#[derive(Default)]
struct Looked {
    leads: usize,
    bytes: usize,
    last: Option<LeadPlace>,
    found: Vec<(LeadPlace, TextMatch)>,
}

impl Looked {
    /// Goes through leads until so many say it.
    fn at(sought: &Sought, page: &[LeadBody], room: usize) -> Self {
        let mut looked = Self::default();
        for lead in page {
            looked.leads += 1;
            looked.last = Some(lead.place);
            let Some(body) = &lead.body else { continue };
            looked.bytes += body.len();
            // Events are JSON since they were taken in.
            if let Ok(Some(place)) = sought.find(body) {
                looked.found.push((lead.place, place));
                if looked.found.len() >= room {
                    break;
                }
            }
        }
        looked
    }
}

/// A search by parts would become a directory of people.
fn for_eyes_that_see_people() -> Refusal {
    Refusal::Invalid(
        "text: people are masked for you, and what leads say names them: find one by a whole e-mail address, phone \
         number or uuid"
            .to_owned(),
    )
}

fn others_search() -> Refusal {
    Refusal::State("others look through what leads say: try again in a moment".to_owned())
}

fn too_busy() -> Refusal {
    Refusal::State(
        "the database is too busy to look through what leads say: try again in a moment".to_owned(),
    )
}

fn not_done(error: ComputeError) -> Refusal {
    Refusal::State(format!("what leads say could not be looked through: {error}"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn lead(minute: i64, body: Option<&str>) -> LeadBody {
        let place = LeadPlace {
            received_at: Timestamp::from_second(60 * minute).unwrap(),
            company: CompanyId(7),
            lead: LeadId::generate(),
        };
        LeadBody { place, body: body.map(|body| body.as_bytes().to_vec()) }
    }

    #[test]
    fn leads_are_gone_through_until_enough_say_it() {
        let sought = Sought::read("tent").unwrap();
        let says = r#"{"lead":{"message":"a tent"}}"#;
        let page = [
            lead(5, Some(says)),
            lead(4, None),
            lead(3, Some("no JSON: tent")),
            lead(2, Some(says)),
            lead(1, Some(says)),
        ];
        let looked = Looked::at(&sought, &page, 2);
        assert_eq!(
            looked.found.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
            [page[0].place, page[3].place]
        );
        assert_eq!(
            (looked.leads, looked.last),
            (4, Some(page[3].place)),
            "what is behind is for the next page"
        );
        assert_eq!(looked.bytes, 2 * says.len() + "no JSON: tent".len());
        let all = Looked::at(&sought, &page, 10);
        assert_eq!((all.leads, all.found.len(), all.last), (5, 3, Some(page[4].place)));
    }

    #[test]
    fn what_cannot_be_done_says_so() {
        assert_eq!(others_search().to_string(), "others look through what leads say: try again in a moment");
        assert_eq!(
            too_busy().to_string(),
            "the database is too busy to look through what leads say: try again in a moment"
        );
        assert_eq!(
            not_done(ComputeError::Busy).to_string(),
            "what leads say could not be looked through: no thread was free within 10 s"
        );
    }
}
