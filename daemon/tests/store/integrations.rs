//! Integrations: found, changed, their secrets and credentials, looked at, reset and removed.

use leadlined::{
    domain::{
        fanout::Fate,
        ids::CompanyId,
        integration::EventKind,
        lane::{LaneId, Wait},
    },
    store::{
        integration::{
            LockedIntegration,
            read::IntegrationFilter,
            secret::{SecretEntry, SecretState},
        },
        operator::command::Refusal,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::bench::{Bench, COMMANDS, dead, retry};

impl Bench {
    async fn another(&self, name: &str) -> CompanyId {
        let mut command = self.command().await;
        let plan = leadlined::domain::plan::Plan::Pro;
        let company = command.create_company(None, name, plan, None).await.unwrap().id;
        command.commit().await.unwrap();
        company
    }

    /// Changes the first integration.
    async fn change(
        &self,
        change: impl AsyncFnOnce(&mut leadlined::store::operator::command::Command, LockedIntegration),
    ) {
        let mut command = self.command().await;
        let locked = command.integration("crm").await.unwrap();
        change(&mut command, locked).await;
        command.commit().await.unwrap();
    }

    /// Gives the first integration a secret to begin with.
    async fn signed(&self) {
        let mut command = self.command().await;
        let locked = command.integration("crm").await.unwrap();
        let refusal =
            command.rotate_secret(&locked, &"first".into(), SecretEntry::Now { grace_seconds: 0 }).await;
        assert!(refusal.is_err(), "what signs nothing has no secret to rotate");
        drop(command);
        let sealed = json!({});
        let new = leadlined::store::integration::NewIntegration {
            company: self.company,
            name: "signed",
            connector: "webhook",
            enabled: true,
            config: &sealed,
            shown: &sealed,
            mapping: &sealed,
            events: &[EventKind::Created],
            payload: "v1",
            routing: leadlined::domain::fanout::Routing::All,
            needs_consent: false,
            notices: false,
            secret: Some(&"first".into()),
            credentials: Some(&json!({"token": "old"})),
        };
        let mut command = self.command().await;
        command.create_integration(&new).await.unwrap();
        command.commit().await.unwrap();
    }

    async fn rotate(&self, secret: &str, entry: SecretEntry) -> Result<i32, Refusal> {
        let mut command = self.command().await;
        let locked = command.integration("signed").await.unwrap();
        let version = command.rotate_secret(&locked, &secret.into(), entry).await?;
        command.commit().await?;
        Ok(version)
    }

    async fn secrets(&self) -> SecretState {
        let mut command = self.command().await;
        let locked = command.integration_held("signed").await.unwrap();
        command.secrets(&locked).await.unwrap()
    }

    async fn lane_of(&self, reference: &str) -> LaneId {
        self.store.find_integration(None, reference).await.unwrap()
    }

    /// What signs, newest first.
    async fn signing(&self) -> Vec<(i32, String, bool)> {
        let lane = self.lane_of("signed").await;
        let secrets = self.store.integration(lane).await.unwrap().unwrap().secrets;
        secrets.iter().map(|it| (it.version, it.secret.expose_secret().to_owned(), it.staged)).collect()
    }
}

#[tokio::test]
async fn an_integration_is_found_by_id_by_name_and_by_its_companys_name() {
    let bench = Bench::new().await;
    let other = bench.another("Hill/Mill").await;
    let [named, stroked] = [bench.integration(other, "crm").await, bench.integration(other, "a/b").await];
    let find = async |company, reference: &str| bench.store.find_integration(company, reference).await;
    for (company, reference, expected) in [
        (None, bench.crm.to_string(), bench.crm),
        (Some("The Old Barn"), "crm".to_owned(), bench.crm),
        (None, "Hill/Mill/crm".to_owned(), named),
        (None, format!("{other}/crm"), named),
        (None, "a/b".to_owned(), stroked),
    ] {
        assert_eq!(find(company, &reference).await.unwrap().integration, expected, "{reference}");
    }
    for (company, reference, expected) in [
        (None, "", "name an integration, by its id or its name".to_owned()),
        (None, "none", "no integration \"none\"".to_owned()),
        (None, "a\0", "no integration \"a\\0\"".to_owned()),
        (Some("The Old Barn"), "a/b", "no integration \"a/b\"".to_owned()),
    ] {
        assert_eq!(find(company, reference).await.unwrap_err().to_string(), expected);
    }
    let ambiguous = find(None, "crm").await.unwrap_err().to_string();
    assert!(
        ambiguous.starts_with("several integrations are named \"crm\": use one of the ids "),
        "{ambiguous}"
    );
}

#[tokio::test]
async fn a_name_that_may_mean_two_integrations_is_asked_about() {
    let bench = Bench::new().await;
    let find = async |company, reference: &str| bench.store.find_integration(company, reference).await;
    let mill = bench.another("Mill").await;
    let of_mill = bench.integration(mill, "crm").await;
    // An integration whose own name is what the mill's is called.
    for reference in [format!("{mill}/crm"), "Mill/crm".to_owned()] {
        assert_eq!(find(None, &reference).await.unwrap().integration, of_mill);
        let own = bench.integration(bench.company, &reference).await;
        let refused = find(None, &reference).await.unwrap_err().to_string();
        assert!(
            refused
                .starts_with(&format!("several integrations are named {reference:?}: use one of the ids "))
                && refused.contains(&own.to_string())
                && refused.contains(&of_mill.to_string()),
            "{refused}"
        );
        assert_eq!(find(Some("The Old Barn"), &reference).await.unwrap().integration, own);
        assert_eq!(find(Some("Mill"), &reference).await.unwrap().integration, of_mill);
    }
    // A stroke that may stand in the company's name or in the integration's.
    let hill = bench.another("Mill/East").await;
    let (short, long) = (bench.integration(hill, "hook").await, bench.integration(mill, "East/hook").await);
    let refused = find(None, "Mill/East/hook").await.unwrap_err().to_string();
    assert!(refused.contains(&short.to_string()) && refused.contains(&long.to_string()), "{refused}");
}

#[tokio::test]
async fn a_number_before_a_stroke_is_an_id_before_it_is_a_name() {
    let bench = Bench::new().await;
    let mill = bench.another("Mill").await;
    let of_mill = bench.integration(mill, "hook").await;
    // Made later, and called like the number of the first.
    let number = bench.another(&mill.to_string()).await;
    bench.integration(number, "hook").await;
    let found = bench.store.find_integration(None, &format!("{mill}/hook")).await.unwrap();
    assert_eq!(found, LaneId { company: mill, integration: of_mill });
}

#[tokio::test]
async fn a_change_is_written_sealed_and_raises_versions() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    let before = bench.store.integration(lane).await.unwrap().unwrap();
    bench
        .change(async |command, mut locked| {
            command.name_is_free(locked.company.id, "other").await.unwrap();
            let taken = command.name_is_free(locked.company.id, "crm").await.unwrap_err();
            let expected = format!(
                "company {} has an integration \"crm\" already ({}): choose another name",
                locked.company.id, locked.id
            );
            assert_eq!(taken.to_string(), expected);
            locked.name = "renamed".to_owned();
            locked.config = json!({"url": "https://crm.example/s3cr3t"});
            locked.shown = json!({"url": "https://crm.example/…"});
            command.write_integration(&locked).await.unwrap();
            assert_eq!(command.integration_view(locked.lane()).await.unwrap().name, "renamed");
        })
        .await;
    let after = bench.store.integration(lane).await.unwrap().unwrap();
    assert_eq!((&*after.name, after.version), ("renamed", before.version + 1));
    assert_eq!(after.config["url"], "https://crm.example/s3cr3t");
    assert!(bench.holds("(SELECT position('s3cr3t'::bytea IN sealed_config) = 0 FROM integration)").await);
    let view = bench.store.integration_view("renamed").await.unwrap();
    assert_eq!(view.config["url"], "https://crm.example/…", "what is shown is shortened");
    let marks = bench.store.integration_marks().await.unwrap();
    assert_eq!(marks.iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [lane]);
}

#[tokio::test]
async fn all_integrations_of_a_company_are_locked_by_name() {
    let bench = Bench::new().await;
    bench.integration(bench.company, "a").await;
    let mut command = bench.command().await;
    let company = command.company("The Old Barn").await.unwrap();
    let names: Vec<_> =
        command.integrations_of(&company).await.unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["a", "crm"]);
    assert_eq!(command.integration_of(&company, "crm").await.unwrap().id, bench.crm);
    assert!(command.integration_of(&company, "none").await.is_err());
}

#[tokio::test]
async fn a_secret_is_rotated_with_a_grace_that_ends() {
    let bench = Bench::new().await;
    bench.signed().await;
    let now = |grace_seconds| SecretEntry::Now { grace_seconds };
    let same = bench.rotate("first", now(60)).await.unwrap_err();
    assert_eq!(same.to_string(), "this is the secret that signs already: bring another one");
    assert_eq!(bench.rotate("second", now(60)).await.unwrap(), 2);
    let state = bench.secrets().await;
    assert_eq!((state.current, state.staged, state.grace), (Some(2), None, Some(1)));
    let both = [(2, "second".to_owned(), false), (1, "first".to_owned(), false)];
    assert_eq!(bench.signing().await, both, "both sign for a while");
    let mut command = bench.command().await;
    let locked = command.integration("signed").await.unwrap();
    command.end_grace(&locked).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.signing().await, both[..1]);
    assert_eq!(bench.rotate("third", now(0)).await.unwrap(), 3);
    assert_eq!(bench.signing().await.len(), 1, "without a grace the one before is gone");
}

#[tokio::test]
async fn a_staged_secret_waits_for_its_cut_over_or_is_forgotten_for_good() {
    let bench = Bench::new().await;
    bench.signed().await;
    let lane = bench.lane_of("signed").await;
    let is_open = async || bench.store.integration(lane).await.unwrap().unwrap().enabled;
    assert_eq!(bench.rotate("second", SecretEntry::Staged { hold: true }).await.unwrap(), 2);
    assert!(!is_open().await, "nothing is pushed until then");
    assert_eq!(bench.secrets().await.staged, Some(2));
    let mut command = bench.command().await;
    let locked = command.integration("signed").await.unwrap();
    command.cancel_staged(&locked).await.unwrap();
    command.commit().await.unwrap();
    assert!(is_open().await && bench.secrets().await.staged.is_none());
    assert_eq!(
        bench.rotate("third", SecretEntry::Staged { hold: false }).await.unwrap(),
        3,
        "never the same number"
    );
    assert!(is_open().await);
    let mut command = bench.command().await;
    let locked = command.integration("signed").await.unwrap();
    command.cut_over(&locked).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.signing().await, [(3, "third".to_owned(), false)]);
}

#[tokio::test]
async fn one_daemon_at_a_time_logs_in_with_the_newest_token() {
    let bench = Bench::new().await;
    let (lane, own) = (bench.lane(), SecretString::from("own"));
    let begin = async |own: &SecretString| {
        let token = bench.store.begin_refresh(lane, own).await.unwrap();
        token.map(|token| token.expose_secret().to_owned())
    };
    assert_eq!(begin(&own).await.as_deref(), Some("own"));
    assert_eq!(begin(&own).await, None, "another daemon logs in");
    bench.store.end_refresh(lane, &own, Some(&"newer".into())).await.unwrap();
    assert_eq!(begin(&own).await.as_deref(), Some("newer"));
    bench.store.end_refresh(lane, &own, None).await.unwrap();
    let tried = SecretString::from("tried");
    assert_eq!(begin(&tried).await.as_deref(), Some("tried"), "each stands for its own credentials");
    bench.sql("UPDATE integration SET refreshing_until = now() - interval '1 second'").await;
    assert_eq!(begin(&own).await.as_deref(), Some("newer"), "a daemon that died keeps nobody away");
}

#[tokio::test]
async fn a_reset_forgets_what_was_counted_and_waited_for() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&dead()).await;
    bench
        .sql(
            "UPDATE integration SET throttled_until = now() + interval '1 hour';
             UPDATE integration_stat SET breaker_until = now() + interval '1 hour', streak = 5, trips = 1",
        )
        .await;
    let mut command = bench.command().await;
    let (lane, lifted) = command.reset_integration("crm").await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(
        (lane, lifted.failure_count, lifted.last_error.as_deref()),
        (bench.lane(), 1, Some("out of order"))
    );
    let now = jiff::Timestamp::now();
    assert!(
        lifted.throttled_until.is_some_and(|at| at > now) && lifted.breaker_until.is_some_and(|at| at > now)
    );
    let health = bench.store.integration_view("crm").await.unwrap().health;
    assert_eq!((health.failure_count, health.streak, health.last_error), (0, 0, None));
    assert_eq!((health.throttled_until, health.lane.holds.breaker_until), (None, None));
    assert_eq!(health.dead, 1, "who died is dead still");
}

#[tokio::test]
async fn a_card_says_what_its_lane_waits_for_and_promises_no_retry_before() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&retry()).await;
    let reported = async || {
        let health = bench.store.integration_view("crm").await.unwrap().health;
        let (wait, until) = health.lane.waits().unzip();
        (wait, until.flatten().is_some(), health.next_retry_at.is_some())
    };
    assert_eq!(reported().await, (None, false, true));
    for ((close, open), wait) in COMMANDS.into_iter().zip([Wait::Disabled, Wait::CutOver, Wait::Paused]) {
        for due_at in ["now() + interval '1 hour'", "now() - interval '1 second'"] {
            bench.sql(&format!("UPDATE due SET due_at = {due_at}; UPDATE {close}")).await;
            assert_eq!(reported().await, (Some(wait), false, false), "{close} {due_at}");
        }
        bench.sql(&format!("UPDATE {open}; UPDATE due SET due_at = now() + interval '1 hour'")).await;
    }
    for (column, table, wait) in [
        ("throttled_until", "integration", Wait::Throttled),
        ("breaker_until", "integration_stat", Wait::Breaker),
    ] {
        bench.sql(&format!("UPDATE {table} SET {column} = now() + interval '1 hour'")).await;
        assert_eq!(reported().await, (Some(wait), true, false), "{column}");
        bench.sql(&format!("UPDATE {table} SET {column} = now() - interval '1 hour'")).await;
        let is_half_open = wait == Wait::Breaker;
        assert_eq!(reported().await, (is_half_open.then_some(wait), false, true), "{column}");
    }
}

#[tokio::test]
async fn cards_are_listed_by_company_and_count_what_was_skipped() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.held().await;
    bench.lead(Fate::Skipped(leadlined::domain::delivery::Reason::NoConsent)).await;
    let other = bench.another("The Mill").await;
    let mill = bench.integration(other, "crm").await;
    let list = async |filter: IntegrationFilter| {
        let views = bench.store.integration_views(&filter).await.unwrap();
        views.into_iter().map(|view| view.id).collect::<Vec<_>>()
    };
    let all = list(IntegrationFilter::default()).await;
    assert!(all.len() == 2 && all[0] > all[1], "the newest first");
    assert_eq!(list(IntegrationFilter { company: Some(other), ..Default::default() }).await, [mill]);
    assert_eq!(
        list(IntegrationFilter { ids: Some(vec![bench.crm]), ..Default::default() }).await,
        [bench.crm]
    );
    assert_eq!(
        list(IntegrationFilter { after: Some(all[0]), limit: Some(5), ..Default::default() }).await,
        all[1..]
    );
    let own = IntegrationFilter { company: Some(bench.company), ..Default::default() };
    let health = bench.store.integration_views(&own).await.unwrap().remove(0).health;
    assert_eq!((health.pending, health.held, health.dead), (1, 1, 0));
    let skipped = bench.store.count_skipped(&[bench.crm, mill]).await.unwrap();
    assert_eq!((skipped[&bench.crm], skipped.get(&mill).copied().unwrap_or_default()), (1, 0));
}

#[tokio::test]
async fn what_goes_with_an_integration_is_counted_and_goes() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&dead()).await;
    bench.held().await;
    let lane = bench.lane();
    let removal = bench.store.removal(lane).await.unwrap();
    assert_eq!((removal.deliveries, removal.attempts), (2, 1));
    bench
        .change(async |command, locked| {
            command.delete_integration(&locked).await.unwrap();
        })
        .await;
    assert!(bench.store.integration(lane).await.unwrap().is_none(), "it is hidden at once");
    assert_eq!(bench.store.finish_deletions().await.unwrap(), 0);
    let left =
        (bench.count("delivery").await, bench.count("attempt").await, bench.count("undelivered").await);
    assert_eq!(left, (0, 0, 0));
    assert_eq!(bench.count("lead").await, 2, "leads stay");
}
