//! Updates of known leads: what replaces what, and where each of them stands in the line of its lead. All integrations
//! at once, because a company may have hundreds.

use std::collections::{HashMap, HashSet};

use sqlx::PgTransaction;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{LaneKind, Reason, State},
        fanout::{Arrival, Fate},
        integration::EventKind,
        lane::LaneId,
        moment::Moment,
    },
    store::{
        DueHint, Error,
        lead::{
            event::replace_event,
            intake::{AcceptedDelivery, NewDelivery, NewEvent},
            person::rewrite,
        },
        queue::{hold::in_flight, undelivered},
        shown::Shown,
        state,
    },
};

/// A delivery that is not final.
struct OpenDelivery {
    id: Uuid,
    /// One that only a newer daemon knows stays where it is, and updates wait behind it.
    event: Shown<EventKind>,
    state: State,
    successor_id: Option<Uuid>,
    created_at: jiff::Timestamp,
}

/// A delivery of an update, as it is written.
struct Added<'a> {
    delivery: &'a NewDelivery,
    kind: EventKind,
    /// The earlier one that it waits for.
    predecessor: Option<Uuid>,
    reason: Option<Reason>,
}

impl Added<'_> {
    const fn state(&self) -> State {
        self.delivery.fate.state()
    }

    fn is_due(&self) -> bool {
        self.delivery.fate == Fate::Pending && self.predecessor.is_none()
    }
}

/// Writes what a locked lead has become, with a delivery for each integration that it comes to. Each waits behind an
/// earlier event of the lead that is not final at the same integration, and takes the place of an update that waits
/// there or is held.
pub(in crate::store) async fn write_update(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
) -> Result<(Vec<AcceptedDelivery>, Vec<DueHint>), Error> {
    // All locks first: whoever brings a lead of this uuid waits for a row of it that is changed, not for one that is locked.
    let lines = lock_lines(tx, update).await?;
    let kept_away = kept_away(tx, update).await?;
    let held = lines.values().flatten().filter(|row| row.state == State::Held);
    let running = in_flight(tx, &held.map(|row| row.id).collect::<Vec<_>>()).await?;
    let (mut added, mut replaced) = (Vec::with_capacity(update.deliveries.len()), Vec::new());
    for delivery in &update.deliveries {
        let integration = delivery.integration.uuid();
        let Some(kind) = kind_at(delivery, kept_away.contains(&integration)) else { continue };
        let (gone, predecessor) =
            lines.get(&integration).map_or((Vec::new(), None), |line| place(line, &running));
        replaced.extend(gone.into_iter().map(|id| (id, delivery)));
        let reason = match &delivery.fate {
            Fate::Pending => predecessor.map(|id| Reason::WaitsFor(id.into())),
            other => other.reason().cloned(),
        };
        added.push(Added { delivery, kind, predecessor, reason });
    }
    if !replaced.is_empty() {
        let lanes: Vec<Uuid> = replaced.iter().map(|(_, by)| by.integration.uuid()).collect();
        undelivered::lock_counts(tx, update.company, &lanes).await?;
    }
    replace_event(tx, update).await?;
    let folded = update.person.folded(&update.uuid);
    rewrite(tx, update.company, update.lead, &update.person, &folded).await?;
    if !replaced.is_empty() {
        supersede(tx, update, &replaced).await?;
    }
    let now = add(tx, update, &added).await?;
    let hints = added.iter().filter(|one| one.is_due()).map(|one| DueHint {
        lane: LaneId::new(update.company, one.delivery.integration),
        kind: LaneKind::First,
        due_at: now,
    });
    let hints = hints.collect();
    let answers = added.into_iter().map(|one| AcceptedDelivery {
        integration: one.delivery.integration,
        id: one.delivery.id,
        state: one.state().into(),
        reason: one.reason.map(|reason| reason.text()),
    });
    Ok((answers.collect(), hints))
}

/// The integrations that flows, or the want of consent, have kept the lead away from until now.
async fn kept_away(tx: &mut PgTransaction<'_>, update: &NewEvent) -> Result<HashSet<Uuid>, Error> {
    let asked = update.deliveries.iter().filter(|delivery| delivery.arrival != Arrival::AsIs);
    let asked: Vec<Uuid> = asked.map(|delivery| delivery.integration.uuid()).collect();
    let kept = sqlx::query_scalar!(
        "SELECT integration_id FROM delivery
         WHERE company_id = $1 AND lead_id = $2 AND integration_id = ANY($3) AND event = 'lead.created'
         GROUP BY integration_id HAVING bool_and(state = 'skipped' AND reason_code = ANY($4))",
        update.company.0,
        update.lead.uuid(),
        &asked,
        &Reason::KEPT_AWAY as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(kept.into_iter().collect())
}

/// Under which event an update comes to an integration; none if it does not come there at all.
const fn kind_at(delivery: &NewDelivery, is_kept_away: bool) -> Option<EventKind> {
    match (delivery.arrival, &delivery.fate) {
        // It stays where it was, and the row that says so is there.
        (Arrival::OnlyCreated, Fate::Skipped(_)) => None,
        (Arrival::OnlyCreated, _) if !is_kept_away => None,
        (Arrival::Created | Arrival::OnlyCreated, Fate::Pending | Fate::Held(_)) if is_kept_away => {
            Some(EventKind::Created)
        }
        _ => Some(EventKind::Updated),
    }
}

/// What the lead has open at each integration. The locks make a finish that is under way wait, and then see the
/// successors that are linked.
async fn lock_lines(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
) -> Result<HashMap<Uuid, Vec<OpenDelivery>>, Error> {
    let integrations: Vec<Uuid> =
        update.deliveries.iter().map(|delivery| delivery.integration.uuid()).collect();
    let open = sqlx::query!(
        "SELECT id, integration_id, event, state, successor_id, created_at FROM delivery
         WHERE company_id = $1 AND lead_id = $2 AND integration_id = ANY($3) AND state IN ('pending', 'held')
         ORDER BY id FOR UPDATE",
        update.company.0,
        update.lead.uuid(),
        &integrations,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut lines: HashMap<Uuid, Vec<OpenDelivery>> = HashMap::new();
    for row in open {
        lines.entry(row.integration_id).or_default().push(OpenDelivery {
            id: row.id,
            event: Shown::read(&row.event, EventKind::parse),
            state: state(&row.state)?,
            successor_id: row.successor_id,
            created_at: row.created_at.to_jiff(),
        });
    }
    Ok(lines)
}

/// What an update replaces of a line, and the last of the rest, for which it waits. What of it is held while its push
/// runs is named beside.
fn place(line: &[OpenDelivery], running: &HashSet<Uuid>) -> (Vec<Uuid>, Option<Uuid>) {
    let waits = |id: Uuid| line.iter().any(|other| other.successor_id == Some(id));
    // Behind an update an operator's push may wait, which nobody would hand on if that update went.
    let leads_on = |row: &OpenDelivery| {
        line.iter().any(|other| row.successor_id == Some(other.id) && other.event != EventKind::Updated)
    };
    // A push that was held in flight ends all the same, and what comes later must not overtake it.
    let stands = |row: &OpenDelivery| row.state == State::Held && !running.contains(&row.id) || waits(row.id);
    let is_replaced = |row: &&OpenDelivery| row.event == EventKind::Updated && stands(row) && !leads_on(row);
    let (replaced, kept): (Vec<_>, Vec<_>) = line.iter().partition(is_replaced);
    // The line, not their age, says who is last: one that was rendered anew stands where the one stood that it replaced.
    let is_last = |row: &&&OpenDelivery| !kept.iter().any(|other| row.successor_id == Some(other.id));
    let last = kept.iter().filter(is_last).max_by_key(|row| (row.created_at, row.id));
    (replaced.iter().map(|row| row.id).collect(), last.map(|row| row.id))
}

/// Skips what an update replaces: pairs of the old delivery and the new one.
async fn supersede(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
    replaced: &[(Uuid, &NewDelivery)],
) -> Result<(), Error> {
    let ids: Vec<Uuid> = replaced.iter().map(|pair| pair.0).collect();
    let by: Vec<String> = replaced.iter().map(|pair| pair.1.id.to_string()).collect();
    let integrations: Vec<Uuid> = replaced.iter().map(|pair| pair.1.integration.uuid()).collect();
    sqlx::query!(
        "WITH unlinked AS (
             UPDATE delivery SET successor_id = NULL
             WHERE company_id = $1 AND lead_id = $5 AND integration_id = ANY($4) AND successor_id = ANY($2)
                 AND id <> ALL($2)
         )
         UPDATE delivery d
         SET state = 'skipped', reason_code = 'superseded', reason_detail = to_jsonb(r.by), finished_at = now(), due_at = NULL,
             successor_id = NULL
         FROM unnest($2::uuid[], $3::text[]) r(id, by) WHERE d.company_id = $1 AND d.id = r.id AND d.id = ANY($2)",
        update.company.0,
        &ids,
        &by,
        &integrations,
        update.lead.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    undelivered::forget(tx, update.company, &integrations, &ids).await
}

/// Writes the deliveries of an update. Answers the time.
async fn add(tx: &mut PgTransaction<'_>, update: &NewEvent, added: &[Added<'_>]) -> Result<Moment, Error> {
    let ids: Vec<Uuid> = added.iter().map(|one| one.delivery.id.uuid()).collect();
    let integrations: Vec<Uuid> = added.iter().map(|one| one.delivery.integration.uuid()).collect();
    let kinds: Vec<&str> = added.iter().map(|one| one.kind.as_str()).collect();
    let states: Vec<&str> = added.iter().map(|one| one.state().as_str()).collect();
    let codes: Vec<Option<String>> = added.iter().map(|one| one.reason.as_ref().map(Reason::code)).collect();
    let details: Vec<Option<String>> =
        added.iter().map(|one| one.reason.as_ref().and_then(Reason::detail_text)).collect();
    let due: Vec<bool> = added.iter().map(Added::is_due).collect();
    let predecessors: Vec<Option<Uuid>> = added.iter().map(|one| one.predecessor).collect();
    let now = sqlx::query_file_scalar!(
        "src/store/queue/update.sql",
        update.company.0,
        update.lead.uuid(),
        update.event.uuid(),
        &ids,
        &integrations,
        &kinds as &[&str],
        &states as &[&str],
        &codes as &[Option<String>],
        &due,
        &predecessors as &[Option<Uuid>],
        &details as &[Option<String>],
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(now.to_jiff().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nth delivery of a line: its event (`created`, `updated` or a newer one), its state, and who waits for it.
    fn open(n: u128, event: &str, state: &str, successor: Option<u128>) -> OpenDelivery {
        OpenDelivery {
            id: Uuid::from_u128(n),
            event: Shown::read(&format!("lead.{event}"), EventKind::parse),
            state: State::parse(state).unwrap(),
            successor_id: successor.map(Uuid::from_u128),
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_update_takes_the_place_of_those_that_wait_and_stands_last() {
        type Line = Vec<OpenDelivery>;
        let cases: [(&str, Line, &[u128], Option<u128>); 9] = [
            ("nothing is open", vec![], &[], None),
            ("behind the creation", vec![open(1, "created", "pending", None)], &[], Some(1)),
            (
                "in the place of one that waits",
                vec![open(1, "created", "pending", Some(2)), open(2, "updated", "pending", None)],
                &[2],
                Some(1),
            ),
            ("one that is pushed stays", vec![open(2, "updated", "pending", None)], &[], Some(2)),
            (
                "as one does that was held while it is pushed",
                vec![open(9, "updated", "held", None)],
                &[],
                Some(9),
            ),
            ("one that is held does not", vec![open(2, "updated", "held", None)], &[2], None),
            (
                "one that an operator's push waits for stays",
                vec![
                    open(1, "created", "pending", Some(2)),
                    open(2, "updated", "pending", Some(3)),
                    open(3, "created", "pending", None),
                ],
                &[],
                Some(3),
            ),
            (
                "what a newer daemon has made stays, and so does what leads on to it",
                vec![
                    open(1, "created", "pending", Some(2)),
                    open(2, "updated", "pending", Some(3)),
                    open(3, "merged", "held", None),
                ],
                &[],
                Some(3),
            ),
            (
                "the last of the line is not the youngest",
                vec![open(3, "created", "pending", None), open(4, "created", "pending", Some(3))],
                &[],
                Some(3),
            ),
        ];
        let running = HashSet::from([Uuid::from_u128(9)]);
        for (what, line, replaced, last) in cases {
            let ids = replaced.iter().copied().map(Uuid::from_u128).collect();
            assert_eq!(place(&line, &running), (ids, last.map(Uuid::from_u128)), "{what}");
        }
    }
}
