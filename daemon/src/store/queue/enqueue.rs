//! New leads on their way into the queue: a flush of them with their events and deliveries, in one statement.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{LaneKind, Reason},
        fanout::Fate,
        lane::LaneId,
        moment::Moment,
    },
    store::{
        DueHint, Error,
        lead::intake::{Flushed, NewEvent},
    },
};

/// As [`Store::accept`], on a connection; whoever commits passes the hints on.
pub(in crate::store) async fn enqueue(
    db: &mut PgConnection,
    events: &[NewEvent],
) -> Result<(Vec<Flushed>, Vec<DueHint>), Error> {
    let e = EventColumns::of(events);
    let d = DeliveryColumns::of(events);
    let rows = sqlx::query_file!(
        "src/store/queue/enqueue.sql",
        &e.company,
        &e.version,
        &e.lead,
        &e.uuid as &[&str],
        &e.digest as &[&[u8]],
        &e.event,
        &e.body as &[&[u8]],
        &d.company,
        &d.lead,
        &d.event,
        &d.id,
        &d.integration,
        &d.state as &[&str],
        &d.reason_code as &[Option<String>],
        &d.reason_detail as &[Option<String>],
        &e.name as &[&str],
        &e.email as &[&str],
        &e.phone as &[&str],
        &e.folded,
        &e.trace as &[Option<Vec<u8>>],
    )
    .fetch_all(db)
    .await?;
    let mut flushed = vec![Flushed::Stale; events.len()];
    let mut hints = Vec::new();
    for row in rows {
        let index = usize::try_from(row.ordinal - 1).map_err(|_| Error::Corrupt("ordinal"))?;
        flushed[index] = match (row.created, row.locked) {
            (true, _) => Flushed::Created,
            (false, true) => Flushed::Locked,
            (false, false) => Flushed::Known,
        };
        if row.created {
            hints.extend(hints_of(&events[index], row.now.to_jiff().into()));
        }
    }
    Ok((flushed, hints))
}

fn hints_of(event: &NewEvent, due_at: Moment) -> impl Iterator<Item = DueHint> + '_ {
    event.deliveries.iter().filter(|delivery| delivery.fate == Fate::Pending).map(move |delivery| DueHint {
        lane: LaneId::new(event.company, delivery.integration),
        kind: LaneKind::First,
        due_at,
    })
}

/// A flush's events, a column each, as `unnest` wants them.
#[derive(Default)]
struct EventColumns<'a> {
    company: Vec<i64>,
    version: Vec<i64>,
    lead: Vec<Uuid>,
    uuid: Vec<&'a str>,
    digest: Vec<&'a [u8]>,
    event: Vec<Uuid>,
    body: Vec<&'a [u8]>,
    name: Vec<&'a str>,
    email: Vec<&'a str>,
    phone: Vec<&'a str>,
    folded: Vec<String>,
    trace: Vec<Option<Vec<u8>>>,
}

impl<'a> EventColumns<'a> {
    fn of(events: &'a [NewEvent]) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.company.push(event.company.0);
            columns.version.push(event.version);
            columns.lead.push(event.lead.uuid());
            columns.uuid.push(&event.uuid);
            columns.digest.push(&event.digest);
            columns.event.push(event.event.uuid());
            columns.body.push(&event.body);
            columns.name.push(&event.person.name);
            columns.email.push(&event.person.email);
            columns.phone.push(&event.person.phone);
            columns.folded.push(event.person.folded(&event.uuid));
            columns.trace.push(event.trace.map(|trace| trace.to_bytes().to_vec()));
        }
        columns
    }
}

/// The deliveries of a flush, a column each.
#[derive(Default)]
struct DeliveryColumns {
    company: Vec<i64>,
    lead: Vec<Uuid>,
    event: Vec<Uuid>,
    id: Vec<Uuid>,
    integration: Vec<Uuid>,
    state: Vec<&'static str>,
    reason_code: Vec<Option<String>>,
    reason_detail: Vec<Option<String>>,
}

impl DeliveryColumns {
    fn of(events: &[NewEvent]) -> Self {
        let mut columns = Self::default();
        for event in events {
            for delivery in &event.deliveries {
                columns.company.push(event.company.0);
                columns.lead.push(event.lead.uuid());
                columns.event.push(event.event.uuid());
                columns.id.push(delivery.id.uuid());
                columns.integration.push(delivery.integration.uuid());
                columns.state.push(delivery.fate.state().as_str());
                let reason = delivery.fate.reason();
                columns.reason_code.push(reason.map(Reason::code));
                columns.reason_detail.push(reason.and_then(Reason::detail_text));
            }
        }
        columns
    }
}
