//! A look at whether every delivery stands where its state says, and the mending of those that do not.
//!
//! Nothing should ever be found. A pending delivery in no list would wait for ever, and a row of `undelivered` whose
//! delivery arrived would be counted for ever; so both are looked for all the time, a few thousand rows at a time.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::{
        delivery::State,
        ids::{CompanyId, DeliveryId},
    },
    store::{
        Error, Store,
        operator::command::{Command, Mutation, Refusal},
        queue::undelivered,
    },
};

/// So many deliveries are looked at in one step.
const BATCH: i64 = 5000;
/// So many are mended in one transaction: their lines are locked meanwhile.
const MENDED_AT_ONCE: usize = 10;

/// How far the look has come: the last delivery, and the last row of `undelivered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    delivery: (i64, Uuid),
    undelivered: (i64, Uuid, Uuid),
}

/// What one step found and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Pending deliveries that stood in neither the queue, a claim nor a line: they are due.
    pub stranded: u64,
    /// Held and dead deliveries that no list told of.
    pub missing: u64,
    /// Rows of `undelivered` whose delivery is not held or dead, or otherwise than they say.
    pub ghosts: u64,
    /// Lanes that counted another number of dead deliveries than there are.
    pub miscounted: u64,
    /// Where the next step goes on; none once all was looked at.
    pub next: Option<Position>,
}

impl Mended {
    /// How much was wrong.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.stranded + self.missing + self.ghosts + self.miscounted
    }
}

/// A delivery that does not stand where its state says.
struct Misplaced {
    company: CompanyId,
    id: Uuid,
    state: State,
}

/// What a scan of some deliveries found, and the last one that it looked at.
struct Scan {
    wrong: Vec<Misplaced>,
    last: Option<(i64, Uuid)>,
}

/// Scans so many deliveries behind a position.
async fn scan(
    executor: impl sqlx::PgExecutor<'_>,
    after: (i64, Uuid),
    count: i64,
) -> Result<Scan, sqlx::Error> {
    let rows = sqlx::query_file!("src/store/queue/stranded.sql", after.0, after.1, count);
    let mut scan = Scan { wrong: Vec::new(), last: None };
    for row in rows.fetch_all(executor).await? {
        match row.state {
            None => scan.last = Some((row.company_id, row.id)),
            // A state of a newer daemon is that daemon's to look at.
            Some(state) => scan.wrong.extend(State::parse(&state).map(|state| Misplaced {
                company: CompanyId(row.company_id),
                id: row.id,
                state,
            })),
        }
    }
    Ok(scan)
}

impl Store {
    /// Looks at the next deliveries behind a position, and mends what does not stand where its state says.
    pub async fn mend(&self, after: Position) -> Result<Mended, Error> {
        let mut mended = Mended::default();
        let mut next = after;
        let last = self.mend_deliveries(after.delivery, &mut mended).await?;
        next.delivery = last.unwrap_or(after.delivery);
        let last_listed = self.mend_listed(after.undelivered, &mut mended).await?;
        next.undelivered = last_listed.unwrap_or(after.undelivered);
        if last.is_some() || last_listed.is_some() {
            mended.next = Some(next);
        } else {
            mended.miscounted = self.recount().await?;
        }
        Ok(mended)
    }

    async fn mend_deliveries(
        &self,
        after: (i64, Uuid),
        mended: &mut Mended,
    ) -> Result<Option<(i64, Uuid)>, Error> {
        let scan = scan(&self.pool, after, BATCH).await?;
        let mut wrong: BTreeMap<CompanyId, Vec<Uuid>> = BTreeMap::new();
        for found in scan.wrong {
            wrong.entry(found.company).or_default().push(found.id);
        }
        for (company, ids) in &wrong {
            for ids in ids.chunks(MENDED_AT_ONCE) {
                let mut command = self.mending().await?;
                let (stranded, missing) = command.mend(*company, ids).await.map_err(Refusal::into_store)?;
                command.commit().await.map_err(Refusal::into_store)?;
                mended.stranded += stranded;
                mended.missing += missing;
            }
        }
        Ok(scan.last)
    }

    /// Looks at the next rows of `undelivered`, and removes those that say what is not.
    async fn mend_listed(
        &self,
        after: (i64, Uuid, Uuid),
        mended: &mut Mended,
    ) -> Result<Option<(i64, Uuid, Uuid)>, Error> {
        let rows = sqlx::query!(
            r#"SELECT u.company_id, u.integration_id, u.delivery_id, d.state IS DISTINCT FROM u.state AS "is_ghost!"
               FROM (SELECT * FROM undelivered WHERE (company_id, integration_id, delivery_id) > ($1, $2, $3)
                     ORDER BY company_id, integration_id, delivery_id LIMIT $4) u
               LEFT JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id
               ORDER BY u.company_id, u.integration_id, u.delivery_id"#,
            after.0,
            after.1,
            after.2,
            BATCH,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut ghosts: BTreeMap<CompanyId, (Vec<Uuid>, Vec<Uuid>)> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.is_ghost) {
            let (integrations, ids) = ghosts.entry(CompanyId(row.company_id)).or_default();
            integrations.push(row.integration_id);
            ids.push(row.delivery_id);
        }
        for (company, (integrations, ids)) in ghosts {
            let mut command = self.mending().await?;
            let gone = command.forget_ghosts(company, &integrations, &ids).await;
            mended.ghosts += gone.map_err(Refusal::into_store)?;
            command.commit().await.map_err(Refusal::into_store)?;
        }
        Ok(rows.last().map(|row| (row.company_id, row.integration_id, row.delivery_id)))
    }

    /// Counts the dead of every lane anew. Answers how many lanes had another count.
    async fn recount(&self) -> Result<u64, Error> {
        let lanes = sqlx::query!(
            "SELECT s.company_id, s.integration_id FROM integration_stat s
             JOIN integration i ON i.company_id = s.company_id AND i.id = s.integration_id AND i.deleted_at IS NULL
             WHERE s.dead <> (SELECT count(*) FROM undelivered u WHERE u.company_id = s.company_id
                 AND u.integration_id = s.integration_id AND u.state = 'dead')"
        )
        .fetch_all(&self.pool)
        .await?;
        let mut miscounted = 0;
        for lane in lanes {
            let (company, lane) = (CompanyId(lane.company_id), [lane.integration_id]);
            let mut tx = self.begin_aside().await?;
            // Locked first: the count of the next statement is that of now.
            undelivered::lock_counts(&mut tx, company, &lane).await?;
            miscounted += undelivered::recount(&mut tx, company, lane[0]).await?;
            tx.commit().await?;
        }
        Ok(miscounted)
    }

    async fn mending(&self) -> Result<Command, Error> {
        let call = Mutation {
            operator: "leadline".to_owned(),
            method: "Mend",
            request_id: String::new(),
            fingerprint: [0; 32],
        };
        self.batch_aside(&call).await
    }
}

impl Command {
    /// Puts deliveries where their states say, if they still do not stand there. Answers how many were stranded, and how
    /// many were missing from `undelivered`.
    async fn mend(&mut self, company: CompanyId, ids: &[Uuid]) -> Result<(u64, u64), Refusal> {
        let line = self.lock_line(company, ids).await?;
        let lanes = line.lanes();
        undelivered::lock_counts(&mut self.tx, company, &lanes).await?;
        let mut wrong = Vec::with_capacity(ids.len());
        for id in ids {
            // The very look that found it, at this one alone.
            let before = Uuid::from_u128(id.as_u128().saturating_sub(1));
            let scan = scan(&mut *self.tx, (company.0, before), 1).await?;
            wrong.extend(scan.wrong.into_iter().filter(|found| (found.company, found.id) == (company, *id)));
        }
        let those = |state: State| -> Vec<Uuid> {
            wrong.iter().filter(|found| found.state == state).map(|found| found.id).collect()
        };
        let (stranded, held, dead) = (those(State::Pending), those(State::Held), those(State::Dead));
        self.line_up(company, &stranded).await?;
        undelivered::add_held(&mut self.tx, company, &held).await?;
        undelivered::add_dead(&mut self.tx, self.store.sweep, company, &dead).await?;
        for id in wrong.iter().map(|found| DeliveryId::from(found.id)) {
            tracing::error!(event = "delivery_stranded", company = company.0, delivery = %id, "a delivery stood in no list; it is put where it belongs");
        }
        self.touch_all(company, &lanes);
        Ok((stranded.len() as u64, (held.len() + dead.len()) as u64))
    }

    /// Removes rows of `undelivered` that say what is not. Answers how many there were.
    async fn forget_ghosts(
        &mut self,
        company: CompanyId,
        integrations: &[Uuid],
        ids: &[Uuid],
    ) -> Result<u64, Refusal> {
        let mut lanes = integrations.to_vec();
        lanes.sort_unstable();
        lanes.dedup();
        self.lock_line(company, ids).await?;
        undelivered::lock_counts(&mut self.tx, company, &lanes).await?;
        let ghosts = sqlx::query_scalar!(
            "SELECT u.delivery_id FROM undelivered u
             LEFT JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id
             WHERE u.company_id = $1 AND u.integration_id = ANY($2) AND u.delivery_id = ANY($3)
               AND d.state IS DISTINCT FROM u.state",
            company.0,
            &lanes,
            ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        undelivered::forget(&mut self.tx, company, &lanes, &ghosts).await?;
        for id in ghosts.iter().copied().map(DeliveryId::from) {
            tracing::error!(event = "delivery_list_wrong", company = company.0, delivery = %id, "a list told of a delivery what is not; it is put right");
        }
        self.touch_all(company, &lanes);
        Ok(ghosts.len() as u64)
    }
}
