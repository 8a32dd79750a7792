//! Logins with a refresh token: the newest is kept and used once, by all who log in alike.

use leadlined::{
    domain::{ids::IntegrationId, lane::LaneId, plan::Plan},
    store::integration::refresh::{LoginGiven, LoginHash},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::bench::Bench;

const LOGIN: LoginHash = [7; 32];
/// The one that is tried meanwhile.
const TRIED: LoginHash = [8; 32];

/// What a login gave.
fn given(refresh: &str, token: usize) -> LoginGiven {
    LoginGiven { refresh: Some(refresh.into()), token: format!("token {token}").into() }
}

/// What a login begins with: its refresh token, and what there is for calls.
fn newest(refresh: &str, token: &str) -> Option<(String, String)> {
    Some((refresh.to_owned(), token.to_owned()))
}

/// The token that the credentials of a login hold.
fn own(login: &LoginHash) -> SecretString {
    format!("own {}", login[0]).into()
}

impl Bench {
    /// Another integration of the company.
    async fn sibling(&self, name: &str) -> LaneId {
        LaneId::new(self.company, self.integration(self.company, name).await)
    }

    /// An integration is loaded with these credentials.
    async fn join(&self, lane: LaneId, login: &LoginHash) {
        self.store.join_login(lane, login, &own(login)).await.unwrap();
    }

    async fn begin(&self, lane: LaneId, login: &LoginHash) -> Option<(String, String)> {
        let turn = self.store.begin_refresh(lane, login, &own(login)).await.unwrap()?;
        let token = turn.token.map(|token| token.expose_secret().to_owned());
        Some((turn.refresh.expose_secret().to_owned(), token.unwrap_or_default()))
    }

    async fn end(&self, lane: LaneId, login: &LoginHash, given: Option<&LoginGiven>) {
        self.store.end_refresh(lane, login, &own(login), given).await.unwrap();
    }

    /// A login that is good.
    async fn log_in(&self, lane: LaneId, login: &LoginHash, given: &LoginGiven) {
        self.begin(lane, login).await.unwrap();
        self.end(lane, login, Some(given)).await;
    }

    async fn delete(&self, lane: LaneId) {
        let mut command = self.command().await;
        let integration = command.integration(&lane.integration.to_string()).await.unwrap();
        command.delete_integration(&integration).await.unwrap();
        command.commit().await.unwrap();
    }
}

#[tokio::test]
async fn one_daemon_at_a_time_logs_in_with_the_newest_token() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    bench.join(lane, &LOGIN).await;
    assert_eq!(bench.begin(lane, &LOGIN).await, newest("own 7", ""));
    assert_eq!(bench.begin(lane, &LOGIN).await, None, "another daemon logs in");
    bench.end(lane, &LOGIN, Some(&given("newer", 1))).await;
    assert_eq!(bench.begin(lane, &LOGIN).await, newest("newer", "token 1"));
    bench.end(lane, &LOGIN, None).await;
    assert_eq!(bench.begin(lane, &TRIED).await, newest("own 8", ""), "each stands for its own credentials");
    assert_eq!(bench.begin(lane, &LOGIN).await, newest("newer", "token 1"), "and waits for no other");
    assert_eq!(bench.begin(lane, &LOGIN).await, None);
    let died = "refreshing_until = now() - interval '1 second'";
    bench.sql(&format!("UPDATE login SET {died}; UPDATE integration SET {died}")).await;
    assert_eq!(bench.begin(lane, &LOGIN).await, newest("newer", "token 1"), "the dead keep nobody away");
    let gone = LaneId::new(bench.company, IntegrationId::generate());
    assert_eq!(bench.begin(gone, &[9; 32]).await, None);
    assert_eq!(bench.count("login").await, 2);
}

#[tokio::test]
async fn integrations_that_log_in_alike_have_the_newest_token_whoever_got_it() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    let mut command = bench.command().await;
    let other = command.create_company(None, "The Mill", Plan::Pro, None).await.unwrap().id;
    command.commit().await.unwrap();
    let far = LaneId::new(other, bench.integration(other, "far").await);
    for lane in [one, twin, far] {
        bench.join(lane, &LOGIN).await;
    }
    assert_eq!(bench.begin(one, &LOGIN).await, newest("own 7", ""));
    assert_eq!(bench.begin(twin, &LOGIN).await, None, "one at a time, whichever of them");
    bench.end(one, &LOGIN, Some(&given("second", 1))).await;

    // One that has never logged in finds what another got; a login that failed changes none of it.
    assert_eq!(bench.begin(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end(twin, &LOGIN, None).await;
    bench.log_in(twin, &LOGIN, &given("third", 2)).await;
    assert_eq!(bench.begin(one, &LOGIN).await, newest("third", "token 2"));
    bench.end(one, &LOGIN, Some(&LoginGiven { refresh: None, token: "token 3".into() })).await;
    assert_eq!(bench.begin(far, &LOGIN).await, newest("third", "token 3"), "companies may share an account");
    bench.end(far, &LOGIN, Some(&given("fourth", 4))).await;

    // So does one that came when the only one was deleted that had a token.
    let fourth = bench.sibling("fourth").await;
    for lane in [one, twin, far] {
        bench.delete(lane).await;
    }
    bench.join(fourth, &LOGIN).await;
    assert_eq!(bench.begin(fourth, &LOGIN).await, newest("fourth", "token 4"));
    bench.end(fourth, &LOGIN, None).await;
    let plain = "position('fourth'::bytea IN sealed_refresh) + position('token'::bytea IN sealed_token)";
    assert!(bench.holds(&format!("(SELECT {plain} = 0 FROM login)")).await, "they are sealed");
}

#[tokio::test]
async fn a_login_that_no_integration_has_is_forgotten() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    for lane in [one, twin] {
        bench.join(lane, &LOGIN).await;
    }
    bench.log_in(one, &LOGIN, &given("second", 1)).await;
    bench.log_in(one, &TRIED, &given("tried", 1)).await;
    bench.delete(one).await;
    bench.store.finish_deletions().await.unwrap();
    assert_eq!((bench.count("integration").await, bench.count("login").await), (1, 2));
    bench.sql("UPDATE login SET refreshing_until = now() - interval '25 hours'").await;
    bench.store.finish_deletions().await.unwrap();
    assert_eq!(bench.begin(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end(twin, &LOGIN, None).await;
    assert_eq!(bench.count("login").await, 1, "what was only tried");
    bench.delete(twin).await;
    bench.sql("UPDATE login SET refreshing_until = now() - interval '25 hours'").await;
    bench.store.finish_deletions().await.unwrap();
    assert_eq!(bench.count("login").await, 0);
}

#[tokio::test]
async fn credentials_that_are_tried_and_put_back_find_what_their_own_logins_gave() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    for lane in [one, twin] {
        bench.join(lane, &LOGIN).await;
    }
    bench.log_in(one, &LOGIN, &given("first", 1)).await;
    assert_eq!(bench.begin(one, &TRIED).await, newest("own 8", ""), "no token of others is theirs");
    bench.end(one, &TRIED, Some(&given("tried", 2))).await;
    bench.log_in(twin, &LOGIN, &given("second", 3)).await;
    assert_eq!(bench.begin(one, &TRIED).await, newest("tried", "token 2"));
    bench.end(one, &TRIED, Some(&given("tried again", 4))).await;

    // They were not taken in the end.
    assert_eq!(bench.begin(one, &LOGIN).await, newest("second", "token 3"));
    bench.end(one, &LOGIN, Some(&given("third", 5))).await;
    assert_eq!(bench.begin(twin, &LOGIN).await, newest("third", "token 5"));
    bench.end(twin, &LOGIN, None).await;

    // Nor are those lost that were in use for a while.
    bench.join(one, &TRIED).await;
    bench.log_in(one, &TRIED, &given("in use", 6)).await;
    bench.log_in(twin, &LOGIN, &given("fourth", 7)).await;
    bench.join(one, &LOGIN).await;
    assert_eq!(bench.begin(one, &LOGIN).await, newest("fourth", "token 7"));
}

#[tokio::test]
async fn what_a_daemon_that_knows_of_no_table_of_logins_was_given_is_found() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    // It keeps what the logins of a few credentials gave with the integration.
    for n in 1..=5 {
        bench.log_in(one, &[n; 32], &given(&format!("given {n}"), 1)).await;
    }
    bench.sql("DELETE FROM login; UPDATE integration SET refreshing_until = NULL").await;
    assert_eq!(bench.store.unjoined_logins().await.unwrap(), [one]);
    bench.join(one, &[1; 32]).await;
    bench.join(one, &[2; 32]).await;
    bench.join(twin, &[2; 32]).await;
    assert!(bench.store.unjoined_logins().await.unwrap().is_empty());
    assert_eq!(bench.begin(twin, &[1; 32]).await, newest("own 1", ""), "it had more than are kept");
    assert_eq!(bench.begin(twin, &[2; 32]).await, newest("given 2", ""), "one that was connected since");
    bench.end(twin, &[2; 32], Some(&given("second", 2))).await;
    assert_eq!(bench.begin(one, &[2; 32]).await, newest("second", "token 2"));
    bench.end(one, &[2; 32], Some(&given("third", 3))).await;

    // As long as it lives it may log in again. Another login with this token leaves here what it would.
    let old = async |refresh: &str| {
        bench.store.begin_refresh(one, &[9; 32], &own(&[2; 32])).await.unwrap().unwrap();
        bench.store.end_refresh(one, &[9; 32], &own(&[2; 32]), Some(&given(refresh, 9))).await.unwrap();
    };
    old("passed over").await;
    assert_eq!(bench.begin(one, &[2; 32]).await, newest("third", "token 3"));
    assert!(
        bench.holds("(SELECT refreshing_until > now() FROM integration WHERE name = 'crm')").await,
        "it waits"
    );
    bench.end(one, &[2; 32], None).await;
    old("fourth").await;
    bench.sql("UPDATE integration SET refreshing_until = NULL WHERE name = 'crm'").await;
    assert_eq!(bench.begin(one, &[2; 32]).await, newest("fourth", ""));
    bench.end(one, &[2; 32], None).await;
    assert_eq!(bench.begin(twin, &[2; 32]).await, newest("fourth", ""));
    bench.end(twin, &[2; 32], None).await;
    bench
        .sql("UPDATE integration SET refreshing_until = now() + interval '1 minute' WHERE name = 'crm'")
        .await;
    assert_eq!(bench.begin(one, &[2; 32]).await, None, "it logs in");
    let kept = "(SELECT position('given'::bytea IN sealed_refresh) = 0 FROM integration WHERE name = 'crm')";
    assert!(bench.holds(kept).await, "they are sealed");
}

#[tokio::test]
async fn a_row_that_somebody_holds_or_nobody_can_read_costs_no_other_its_token() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    for lane in [one, twin] {
        bench.join(lane, &LOGIN).await;
    }
    bench.begin(one, &LOGIN).await.unwrap();
    let mut holder = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM integration FOR UPDATE").execute(&mut *holder).await.unwrap();
    bench.end(one, &LOGIN, Some(&given("second", 1))).await;
    bench.join(twin, &TRIED).await;
    holder.commit().await.unwrap();
    assert_eq!(bench.begin(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end(twin, &LOGIN, Some(&given("third", 2))).await;

    bench
        .sql("UPDATE integration SET sealed_refresh = '\\x00'; UPDATE login SET sealed_token = '\\x00'")
        .await;
    assert_eq!(bench.begin(twin, &LOGIN).await, newest("third", ""), "it logs in");
    bench.end(twin, &LOGIN, Some(&given("fourth", 3))).await;
    assert_eq!(bench.begin(twin, &LOGIN).await, newest("fourth", "token 3"));
    bench.end(twin, &LOGIN, None).await;
    // What is not known to be the newest is not used.
    bench.sql("UPDATE login SET sealed_refresh = '\\x00'").await;
    assert!(bench.store.begin_refresh(twin, &LOGIN, &own(&LOGIN)).await.is_err());
    bench.sql("DELETE FROM login; UPDATE integration SET sealed_refresh = '\\x00', login = NULL").await;
    bench.join(twin, &LOGIN).await;
    assert!(
        bench.holds("(SELECT bool_and(login IS NULL) FROM integration)").await,
        "whoever logs in is told"
    );
    assert!(bench.store.begin_refresh(twin, &LOGIN, &own(&LOGIN)).await.is_err());
}
