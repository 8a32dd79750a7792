//! What stands around whatever a situation is about, as on a working day: five companies with forty integrations, two of
//! them called HubSpot, hundreds of leads that arrived, and one form that has failed for long. More died there than of
//! most situations, so that what a test is about is nowhere the first row.

use std::{collections::BTreeMap, future::pending, ops::Range, thread};

use leadline_fakes::vendor::Quota;
use leadline_tests::{Database, Setting};
use tokio::{
    runtime,
    sync::{OnceCell, oneshot},
};

use super::*;

/// The webhooks of a company that has few of them, and of one that has many.
const FEW: [&str; 3] = ["calendar", "mailing", "warehouse"];
const MANY: [&str; 15] = [
    "accounts",
    "archive",
    "backup",
    "calendar",
    "catering",
    "florist",
    "mailing",
    "partner",
    "planner",
    "reports",
    "reviews",
    "sheet",
    "sms",
    "tasting",
    "warehouse",
];
/// One of so many webhooks of a company is older than its leads.
const OLD: usize = 5;
/// The companies. Those with many webhooks have a HubSpot, too.
const COMPANIES: [Company; 5] = [
    company(7, "The Old Barn", 496, &FEW),
    company(8, "Mill House", 30, &MANY),
    company(9, "Harbour Loft", 45, &MANY),
    company(10, "Orchard Marquee", 60, &FEW),
    Company { plan: v1::Plan::Starter, ..company(11, "Rosewood Hall", 10, &["mailing"]) },
];
/// Refuses every lead, and has since it was made.
const CLOSED: (i64, &str) = (9, "archive");
/// Switched off by somebody.
const DISABLED: (i64, &str) = (8, "sms");
const CRM_TOKEN: &str = "pat-eu1-crowd";

struct Company {
    id: i64,
    name: &'static str,
    plan: v1::Plan,
    leads: usize,
    webhooks: &'static [&'static str],
}

const fn company(id: i64, name: &'static str, leads: usize, webhooks: &'static [&'static str]) -> Company {
    Company { id, name, plan: v1::Plan::Pro, leads, webhooks }
}

/// A database with all of it, and the keys of the companies.
struct Crowd {
    database: Database,
    keys: BTreeMap<i64, String>,
}

/// Where its leads go, for as long as anybody plays among them.
struct Receivers {
    open: Receiver,
    closed: Receiver,
    crm: Fake<Hubspot>,
}

/// Made once, by a daemon that takes the leads in and pushes them. Each test plays on a copy.
static CROWD: OnceCell<Crowd> = OnceCell::const_new();

/// A scene of company 7 in the middle of it.
pub(super) async fn crowd() -> Setting {
    let crowd = CROWD.get_or_init(gathered).await;
    let daemon = Daemon::start_on(&crowd.database.copy().await).await;
    Scene::set().daemon(daemon).key(&crowd.keys[&7])
}

/// The key of another company.
pub(super) async fn key_of(company: i64) -> &'static str {
    &CROWD.get_or_init(gathered).await.keys[&company]
}

/// The numbers of a company's leads.
pub(super) fn leads_of(company: i64) -> Range<usize> {
    let company = COMPANIES.into_iter().find(|it| it.id == company).unwrap();
    let first = usize::try_from(company.id).unwrap() * 1000;
    first..first + company.leads
}

/// Gathers it on a thread of its own, which keeps the receivers: the test that came first ends before others do.
async fn gathered() -> Crowd {
    let (tell, told) = oneshot::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (crowd, _receivers) = gather().await;
            assert!(tell.send(crowd).is_ok(), "a test waits for it");
            pending::<()>().await;
        });
    });
    told.await.expect("the thread says why it could not")
}

async fn gather() -> (Crowd, Receivers) {
    let receivers = receivers().await;
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let mut keys = BTreeMap::new();
    for company in COMPANIES {
        let key = operator.company_called(company.id, company.name, company.plan).await;
        if company.webhooks.len() == MANY.len() {
            hubspot(&operator, &receivers.crm, company.id, CRM_TOKEN, Value::Null).await;
        }
        let (old, young) = company.webhooks.split_at(company.webhooks.len().div_ceil(OLD));
        receivers.get(&operator, company.id, old).await;
        post_all(&daemon, &key, leads_of(company.id)).await;
        receivers.get(&operator, company.id, young).await;
        keys.insert(company.id, key);
    }
    let pool = daemon.database().pool().await;
    wait_until("all of it is pushed, and what died is counted", async || {
        let settled = "SELECT NOT EXISTS (SELECT FROM delivery WHERE state = 'pending')
            AND NOT EXISTS (SELECT FROM undelivered WHERE cause_id IS NULL)";
        sqlx::query_scalar(settled).fetch_one(&pool).await.unwrap()
    })
    .await;
    let integration = format!("{}/{}", DISABLED.0, DISABLED.1);
    let disable = v1::DisableIntegrationRequest { request_id: request_id(), integration };
    operator.integrations().disable_integration(disable).await.unwrap();
    // A database that somebody is connected to cannot be copied.
    pool.close().await;
    let database = daemon.database().clone();
    daemon.stop().await;
    (Crowd { database, keys }, receivers)
}

impl Receivers {
    /// Webhooks of a company that lead here.
    async fn get(&self, operator: &Operator, company: i64, webhooks: &[&str]) {
        for webhook in webhooks {
            let receiver = if (company, *webhook) == CLOSED { &self.closed } else { &self.open };
            operator.webhook(company, webhook, &receiver.url(&format!("/{webhook}")), json!({})).await;
        }
    }
}

async fn receivers() -> Receivers {
    let refusal = json!({ "error": "this archive is closed" }).to_string();
    let crm = Fake::start(Hubspot::default()).await.unwrap();
    crm.with(|crm| {
        let scopes = crm.keys.remove(TOKEN).unwrap();
        crm.keys.insert(CRM_TOKEN.to_owned(), scopes);
        crm.quota = Quota::unlimited();
    });
    Receivers {
        open: Receiver::start(Behaviour::Good).await.unwrap(),
        closed: Receiver::start(Behaviour::RefuseAll(422, refusal)).await.unwrap(),
        crm,
    }
}
