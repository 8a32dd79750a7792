//! Who leads are: found wherever their row stands, by any part, in pages; and every trace of one that is erased gone.

use std::time::Duration;

use leadlined::{
    domain::{
        delivery::{LeadState, Transition},
        fanout::Fate,
        ids::{CompanyId, DeliveryId, LeadId},
        lane::LaneId,
        outcome::{Failure, FailureClass, Outcome},
        person,
    },
    store::lead::{keep::Positions, place::LeadPlace},
};

use super::{
    bench::{Bench, dead, ended, retry},
    crowd::crowd,
    matrix::{Arm, arm, check_arms},
};

/// More leads than a search lists before it looks among the newest alone.
const MANY: i64 = 2100;

impl Bench {
    pub(crate) async fn named(&mut self, name: &str) -> LeadId {
        self.somebody(self.company, name, "{}", &Fate::Pending).await
    }

    pub(crate) async fn search(
        &self,
        text: &str,
        company: Option<CompanyId>,
        after: Option<LeadId>,
        limit: i64,
    ) -> Vec<LeadId> {
        let patterns = person::patterns(text).unwrap();
        let after = self.place(after).await;
        let found = self.store.find_leads(company, patterns, after, limit).await.unwrap();
        found.leads.into_iter().map(|lead| lead.id).collect()
    }

    async fn place(&self, lead: Option<LeadId>) -> Option<LeadPlace> {
        match lead {
            Some(lead) => Some(self.store.lead_place(None, &lead.to_string()).await.unwrap()),
            None => None,
        }
    }

    /// Moves who leads are to where the index is, as the tending does.
    pub(crate) async fn move_people(&self) {
        self.sql(
            "WITH gone AS (DELETE FROM lead_recent RETURNING *) INSERT INTO lead_person SELECT * FROM gone",
        )
        .await;
    }

    async fn erased(&self, lead: LeadId) -> leadlined::store::lead::erase::Erased {
        let mut command = self.command().await;
        let erased = command.erase_lead(None, &lead.to_string()).await.unwrap();
        command.commit().await.unwrap();
        erased
    }
}

#[tokio::test]
async fn a_lead_is_found_wherever_its_row_stands_and_once() {
    let mut bench = Bench::new().await;
    let moved = bench.named("Sarah Patel").await;
    bench.move_people().await;
    let recent = bench.named("Sara Patel").await;
    assert_eq!(bench.search("patel", None, None, 10).await, [recent, moved], "the newest first");
    assert_eq!(bench.search("patel", None, None, 1).await, [recent]);
    assert_eq!(bench.search("patel", None, Some(recent), 10).await, [moved]);
    assert_eq!(bench.search("sarah patel", None, None, 10).await, [moved], "all words are meant");
    assert_eq!(bench.search("patel sarah", None, None, 10).await, [moved], "in any order");
}

#[tokio::test]
async fn what_is_searched_is_no_pattern_and_of_one_company_if_it_is_named() {
    let mut bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    bench.integration(other, "mill").await;
    let literal = bench.named("Ann 100%_x").await;
    let near = bench.named("Ann 100 yx").await;
    let theirs = bench.somebody(other, "Ann 100%_x", "{}", &Fate::Pending).await;
    for is_moved in [false, true] {
        if is_moved {
            bench.move_people().await;
        }
        assert_eq!(bench.search("100%_x", None, None, 10).await, [theirs, literal], "{is_moved}");
        assert_eq!(bench.search("100%_x", Some(bench.company), None, 10).await, [literal], "{is_moved}");
        assert_eq!(bench.search("ann", Some(bench.company), None, 10).await, [near, literal], "{is_moved}");
        assert_eq!(bench.search("ann", Some(CompanyId(99)), None, 10).await, [], "{is_moved}");
    }
}

#[tokio::test]
async fn what_many_are_called_is_looked_for_among_the_newest() {
    let mut bench = Bench::new().await;
    let first = bench.named("Common Name").await;
    bench
        .sql(&format!(
            "INSERT INTO lead (company_id, id, uuid, event_id, digest, received_at)
             SELECT l.company_id, lpad(to_hex(n), 32, '0')::uuid, lpad(n::text, 26, '0'), l.event_id, l.digest,
                 now() - (60 + n) * interval '1 second'
             FROM lead l, generate_series(1, {MANY}) n;
             INSERT INTO lead_recent SELECT r.company_id, lpad(to_hex(n), 32, '0')::uuid, r.name, r.email, r.phone, r.folded
             FROM lead_recent r, generate_series(1, {MANY}) n"
        ))
        .await;
    for is_moved in [false, true] {
        if is_moved {
            bench.move_people().await;
        }
        let mut read = Vec::new();
        for _ in 0..3 {
            let page = bench.search("common name", None, read.last().copied(), 2).await;
            assert_eq!(page.len(), 2);
            read.extend(page);
        }
        assert_eq!(read[0], first, "the newest of all");
        assert!(read[1..].is_sorted(), "whatever their uuids are: {read:?}");
        let of = bench.search("common", Some(bench.company), None, 2).await;
        assert_eq!(of, read[..2], "{is_moved}");
    }
}

#[tokio::test]
async fn an_update_changes_by_what_a_lead_is_found() {
    let mut bench = Bench::new().await;
    for is_moved in [false, true] {
        let lead = bench.named("Sarah Patel").await;
        if is_moved {
            bench.move_people().await;
        }
        let mut event = bench
            .event(bench.company, lead, leadlined::domain::integration::EventKind::Updated, &Fate::Pending)
            .await;
        event.person.name = "Sarah Hill".to_owned();
        bench.store.accept_again(&event).await.unwrap();
        assert_eq!(bench.search("sarah hill", None, None, 1).await, [lead], "{is_moved}");
        assert!(!bench.search("patel", None, None, 10).await.contains(&lead), "{is_moved}");
        assert_eq!(bench.count(&format!("person WHERE lead_id = '{}'", lead.uuid())).await, 1, "{is_moved}");
    }
}

/// What restricts a list of leads.
#[derive(Default)]
struct LeadFilter {
    company: Option<String>,
    state: Option<LeadState>,
    after: Option<LeadPlace>,
}

#[derive(sqlx::FromRow)]
struct Known {
    id: uuid::Uuid,
    company_id: i64,
    delivered: i64,
    open: i64,
}

#[tokio::test]
async fn each_restriction_of_leads_restricts_alone_and_with_each_other() {
    let crowd = crowd().await;
    let sql = "SELECT l.id, l.company_id, count(*) FILTER (WHERE d.state = 'delivered') AS delivered,
                   count(*) FILTER (WHERE d.state IN ('pending', 'held', 'dead')) AS open
               FROM lead l LEFT JOIN delivery d ON d.lead_id = l.id GROUP BY l.company_id, l.id
               ORDER BY l.received_at DESC, l.company_id DESC, l.id DESC";
    // One that is delivered here and not there.
    crowd.bench.sql("UPDATE delivery SET state = 'dead' WHERE id = (SELECT id FROM delivery WHERE state = 'delivered' ORDER BY id LIMIT 1)").await;
    crowd
        .bench
        .sql("UPDATE lead SET received_at = received_at - interval '1 s' * get_byte(uuid_send(id), 15)")
        .await;
    let rows: Vec<Known> = sqlx::query_as(sql).fetch_all(&crowd.bench.pool).await.unwrap();
    let mut arms: Vec<Arm<LeadFilter, Known>> = Vec::new();
    for company in [crowd.bench.company, crowd.other_company] {
        arms.push(arm(
            "company",
            company,
            move |filter: &mut LeadFilter| filter.company = Some(company.to_string()),
            move |row: &Known| row.company_id == company.0,
        ));
    }
    for state in LeadState::ALL {
        arms.push(arm(
            "state",
            state,
            move |filter: &mut LeadFilter| filter.state = Some(state),
            move |row: &Known| match state {
                LeadState::Unsynced => row.delivered == 0,
                LeadState::Pushed => row.delivered > 0 && row.open > 0,
                LeadState::Complete => row.delivered > 0 && row.open == 0,
            },
        ));
    }
    // In no order of their uuids.
    let third = rows.len() / 3;
    let behind: Vec<_> = rows[third + 1..].iter().map(|row| row.id).collect();
    let after = crowd.bench.place(Some(rows[third].id.into())).await.unwrap();
    arms.push(arm(
        "after",
        after,
        move |filter: &mut LeadFilter| filter.after = Some(after),
        move |row: &Known| behind.contains(&row.id),
    ));
    let list = async |filter: LeadFilter| {
        let leads = crowd.bench.store.lead_views(filter.company.as_deref(), filter.state, filter.after, 100);
        leads.await.unwrap().rows.into_iter().map(|lead| lead.id.uuid()).collect::<Vec<_>>()
    };
    check_arms(&arms, &rows, |row| row.id, list).await;
}

#[tokio::test]
async fn errors_that_quote_an_erased_lead_go_and_others_stay() {
    let mut bench = Bench::new().await;
    let (lane, other) = (bench.lane(), bench.add_company("The Mill").await);
    let theirs = bench.integration(other, "theirs").await;
    let quoted = "no owner for \"Ann\"";
    let ann = bench.named("Ann").await;
    bench.push_in(lane, &retry(), quoted).await;
    bench.sql("DELETE FROM due").await;
    bench.named("Bob").await;
    bench.push_in(lane, &dead(), "no owner for Bob").await;
    // What was told quotes an error as it stands within JSON.
    bench
        .sql(&format!(
            r#"UPDATE integration_stat SET breaker_error = 'no owner for "Ann"', last_error_at = now(),
                   last_error = coalesce(last_error, '');
               INSERT INTO notice (company_id, id, integration_id, kind, body)
               SELECT company_id, gen_random_uuid(), id, 'k', convert_to('{{"last_error": "no owner for \"Ann\""}}', 'UTF8')
               FROM integration;
               UPDATE integration_stat SET last_error = 'no owner for "Ann"' WHERE integration_id = '{}'"#,
            theirs.uuid()
        ))
        .await;
    let erased = bench.erased(ann).await;
    assert_eq!((erased.deliveries, erased.attempts, erased.running), (1, 1, 0));
    let own = format!("integration_id = '{}'", bench.crm.uuid());
    assert_eq!(bench.count(&format!("integration_stat WHERE {own} AND last_error = 'no owner for Bob' AND breaker_error = 'erased'")).await, 1);
    assert_eq!(
        bench
            .count(&format!(
                "notice WHERE {own} AND convert_from(body, 'UTF8') = '{{\"last_error\": \"erased\"}}'"
            ))
            .await,
        1
    );
    let others =
        format!("integration_stat WHERE integration_id = '{}' AND last_error LIKE '%Ann%'", theirs.uuid());
    assert_eq!(bench.count(&others).await, 1, "another company's words are its own");
    assert_eq!(bench.count("notice WHERE convert_from(body, 'UTF8') LIKE '%Ann%'").await, 1);
    assert_eq!(bench.count("attempt WHERE error = 'erased'").await, 1);
    assert_eq!(bench.count("attempt WHERE error = 'no owner for Bob'").await, 1);
}

#[tokio::test]
async fn an_error_whose_attempt_is_no_longer_kept_goes_with_any_lead_of_its_lane() {
    for (ago, is_gone) in [("29 days", false), ("31 days", true)] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await.id;
        bench
            .sql(&format!("UPDATE integration_stat SET last_error = 'old', breaker_error = 'older', last_error_at = now() - interval '{ago}'"))
            .await;
        bench.erased(lead).await;
        let gone = "integration_stat WHERE last_error = 'erased' AND breaker_error = 'erased'";
        assert_eq!(bench.count(gone).await, i64::from(is_gone), "{ago}");
    }
}

#[tokio::test]
async fn everything_that_is_kept_of_a_lead_goes_with_it() {
    let mut bench = Bench::new().await;
    let body = r#"{"lead": {"name": "Ann Archer", "email": "ann@example.com"}}"#;
    let lead = bench.somebody(bench.company, "Ann Archer", body, &Fate::Pending).await;
    let lane = bench.lane();
    bench.push_in(lane, &Transition::Delivered, "").await;
    bench
        .sql(
            r#"UPDATE attempt SET url = 'https://crm.example/ann', request_headers = '[["to","ann"]]',
                 response_headers = '[["to","ann"]]', response_body = 'ann', request_body = 'ann', status_code = 200,
                 calls = '[{"url": "ann"}]', note = 'ann';
             UPDATE delivery SET body = 'ann', progress = '"ann"';
             INSERT INTO vendor_id (company_id, integration_id, lead_id, ids)
             SELECT company_id, integration_id, lead_id, '{"contact": "ann"}' FROM delivery;
             INSERT INTO saved_lead (company_id, email_hash, lead_id)
             SELECT company_id, decode(repeat('09', 32), 'hex'), lead_id FROM delivery"#,
        )
        .await;
    for _ in 0..2 {
        // Once more does no harm.
        let erased = bench.erased(lead).await;
        assert_eq!((erased.skipped, erased.deliveries, erased.attempts), (0, 1, 1));
        let left = "(SELECT EXISTS (SELECT FROM attempt a WHERE a::text LIKE '%ann%' OR a::text LIKE '%616e6e%')
            OR EXISTS (SELECT FROM delivery d WHERE d::text LIKE '%ann%' OR d::text LIKE '%616e6e%')
            OR EXISTS (SELECT FROM event e WHERE convert_from(e.body, 'UTF8') ILIKE '%ann%')
            OR EXISTS (SELECT FROM person) OR EXISTS (SELECT FROM vendor_id) OR EXISTS (SELECT FROM saved_lead))";
        assert!(!bench.holds(left).await);
        assert_eq!(
            bench.stands(DeliveryId::from(bench.only("delivery").await)).await,
            ("delivered".into(), Some("erased".into()))
        );
        assert!(bench.holds("(SELECT erased_at IS NOT NULL FROM lead)").await);
    }
    assert_eq!((bench.count("lead").await, bench.count("attempt").await), (1, 1), "rows and counts stay");
    // Others are as they were.
    assert!(bench.store.consents(bench.company, lead).await.is_ok_and(|consents| !consents));
}

impl Bench {
    /// The id of the only row of a table.
    async fn only(&self, table: &str) -> uuid::Uuid {
        let sql = sqlx::AssertSqlSafe(format!("SELECT id FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn a_push_under_way_is_cleaned_up_behind_once_it_has_ended() {
    let mut bench = Bench::new().await;
    let lead = bench.named("Ann").await;
    let item = bench.claim_one().await;
    assert_eq!(bench.erased(lead).await.running, 1);
    assert_eq!(bench.store.finish_erasures().await.unwrap(), 1, "it runs still");
    let mut end = ended(&item, &dead());
    end.result.outcome = Outcome::Failed(Failure::new(FailureClass::Rejected, "no owner for Ann"));
    end.result.body = Some(b"Ann".as_slice().into());
    bench.store.finish(bench.daemon, &[end], &[item.claim]).await.unwrap();
    assert_eq!(bench.count("attempt WHERE error LIKE '%Ann%'").await, 1);
    assert_eq!(bench.store.finish_erasures().await.unwrap(), 0);
    assert_eq!(bench.count("attempt WHERE error LIKE '%Ann%'").await, 0);
    assert_eq!(bench.count("integration_stat WHERE last_error LIKE '%Ann%'").await, 0);
    assert_eq!((bench.count("delivery WHERE body IS NOT NULL").await, bench.count("erasure").await), (0, 0));
    assert_eq!(bench.stands(item.delivery).await, ("skipped".into(), Some("erased".into())));
}

#[tokio::test]
async fn leads_go_after_their_span_company_by_company_and_are_looked_at_once() {
    let mut bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    let mill = LaneId::new(other, bench.integration(other, "mill").await);
    let crm = bench.lane();
    let mut done = Vec::new();
    for lane in [crm, mill] {
        for _ in 0..2 {
            done.push(bench.somebody(lane.company, "Done", "{}", &Fate::Pending).await);
            bench.push_in(lane, &Transition::Delivered, "").await;
        }
    }
    let dead_one = bench.named("Dead").await;
    bench.push_in(crm, &dead(), "no").await;
    let kept_away = bench
        .somebody(
            bench.company,
            "Kept Away",
            "{}",
            &Fate::Skipped(leadlined::domain::delivery::Reason::NoFlow),
        )
        .await;
    let store = bench.store.clone().keeping(Duration::from_secs(86_400), Some(Duration::ZERO));
    let mut positions = Positions::default();
    // Ids tell when an event was made: the next millisecond is behind it.
    let mut erased = 0;
    while erased < 5 {
        erased += store.forget_leads(&mut positions).await.unwrap();
    }
    let gone: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM lead WHERE erased_at IS NOT NULL ORDER BY id")
            .fetch_all(&bench.pool)
            .await
            .unwrap();
    done.push(kept_away);
    assert_eq!(gone, done.iter().map(|lead| lead.uuid()).collect::<Vec<_>>());
    // One that somebody still has to act on is not looked at again in this life, and is in the next.
    bench.sql("UPDATE delivery SET state = 'skipped', reason_code = 'no_flow' WHERE state = 'dead'; DELETE FROM undelivered").await;
    assert_eq!(store.forget_leads(&mut positions).await.unwrap(), 0);
    assert_eq!(store.forget_leads(&mut Positions::default()).await.unwrap(), 1);
    assert_eq!(
        bench.count(&format!("lead WHERE id = '{}' AND erased_at IS NOT NULL", dead_one.uuid())).await,
        1
    );
    let audited: i64 =
        sqlx::query_scalar("SELECT sum((after ->> 'erased')::int) FROM audit WHERE action = 'ForgetLeads'")
            .fetch_one(&bench.pool)
            .await
            .unwrap();
    assert_eq!(audited, 6);
}
