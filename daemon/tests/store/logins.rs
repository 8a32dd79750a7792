//! Logins with a refresh token: the newest is kept and used once, by all who log in alike.

use leadlined::{
    domain::{ids::IntegrationId, lane::LaneId, plan::Plan},
    store::integration::refresh::{LoginGiven, LoginHash},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::bench::{Bench, wait_for_lock};

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

    async fn begin_login(&self, lane: LaneId, login: &LoginHash) -> Option<(String, String)> {
        let turn = self.store.begin_refresh(lane, login, &own(login)).await.unwrap()?;
        let token = turn.token.map(|token| token.expose_secret().to_owned());
        Some((turn.refresh.expose_secret().to_owned(), token.unwrap_or_default()))
    }

    /// Ends the turn that began last.
    async fn end_login(&self, lane: LaneId, login: &LoginHash, given: Option<&LoginGiven>) {
        let turns = "SELECT turn FROM login WHERE id = $1";
        let id = uuid::Uuid::from_slice(&login[..16]).unwrap();
        let number = sqlx::query_scalar(turns).bind(id).fetch_one(&self.pool).await.unwrap();
        self.end_turn(lane, login, number, given).await;
    }

    async fn end_turn(&self, lane: LaneId, login: &LoginHash, number: i64, given: Option<&LoginGiven>) {
        self.store.end_refresh(lane, login, &own(login), number, given).await.unwrap();
    }

    /// Whoever logs in does so for longer than the turn lasts.
    async fn let_turns_run_out(&self) {
        let past = "refreshing_until = now() - interval '1 second'";
        self.sql(&format!(
            "UPDATE login SET {past}; UPDATE integration SET {past} WHERE refreshing_until > now()"
        ))
        .await;
    }

    /// A login that is good.
    async fn log_in(&self, lane: LaneId, login: &LoginHash, given: &LoginGiven) {
        self.begin_login(lane, login).await.unwrap();
        self.end_login(lane, login, Some(given)).await;
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
    assert_eq!(bench.begin_login(lane, &LOGIN).await, newest("own 7", ""));
    assert_eq!(bench.begin_login(lane, &LOGIN).await, None, "another daemon logs in");
    bench.end_login(lane, &LOGIN, Some(&given("newer", 1))).await;
    assert_eq!(bench.begin_login(lane, &LOGIN).await, newest("newer", "token 1"));
    bench.end_login(lane, &LOGIN, None).await;
    assert_eq!(
        bench.begin_login(lane, &TRIED).await,
        newest("own 8", ""),
        "each stands for its own credentials"
    );
    assert_eq!(bench.begin_login(lane, &LOGIN).await, newest("newer", "token 1"), "and waits for no other");
    assert_eq!(bench.begin_login(lane, &LOGIN).await, None);
    bench.let_turns_run_out().await;
    assert_eq!(
        bench.begin_login(lane, &LOGIN).await,
        newest("newer", "token 1"),
        "the dead keep nobody away"
    );
    let gone = LaneId::new(bench.company, IntegrationId::generate());
    assert_eq!(bench.begin_login(gone, &[9; 32]).await, None);
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
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("own 7", ""));
    assert_eq!(bench.begin_login(twin, &LOGIN).await, None, "one at a time, whichever of them");
    bench.end_login(one, &LOGIN, Some(&given("second", 1))).await;

    // One that has never logged in finds what another got; a login that failed changes none of it.
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(twin, &LOGIN, None).await;
    bench.log_in(twin, &LOGIN, &given("third", 2)).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("third", "token 2"));
    bench.end_login(one, &LOGIN, Some(&LoginGiven { refresh: None, token: "token 3".into() })).await;
    assert_eq!(
        bench.begin_login(far, &LOGIN).await,
        newest("third", "token 3"),
        "companies may share an account"
    );
    bench.end_login(far, &LOGIN, Some(&given("fourth", 4))).await;

    // So does one that came when the only one was deleted that had a token.
    let fourth = bench.sibling("fourth").await;
    for lane in [one, twin, far] {
        bench.delete(lane).await;
    }
    bench.join(fourth, &LOGIN).await;
    assert_eq!(bench.begin_login(fourth, &LOGIN).await, newest("fourth", "token 4"));
    bench.end_login(fourth, &LOGIN, None).await;
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
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(twin, &LOGIN, None).await;
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
    assert_eq!(bench.begin_login(one, &TRIED).await, newest("own 8", ""), "no token of others is theirs");
    bench.end_login(one, &TRIED, Some(&given("tried", 2))).await;
    bench.log_in(twin, &LOGIN, &given("second", 3)).await;
    assert_eq!(bench.begin_login(one, &TRIED).await, newest("tried", "token 2"));
    bench.end_login(one, &TRIED, Some(&given("tried again", 4))).await;

    // They were not taken in the end.
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("second", "token 3"));
    bench.end_login(one, &LOGIN, Some(&given("third", 5))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("third", "token 5"));
    bench.end_login(twin, &LOGIN, None).await;

    // Nor are those lost that were in use for a while.
    bench.join(one, &TRIED).await;
    bench.log_in(one, &TRIED, &given("in use", 6)).await;
    bench.log_in(twin, &LOGIN, &given("fourth", 7)).await;
    bench.join(one, &LOGIN).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("fourth", "token 7"));
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
    assert_eq!(bench.begin_login(twin, &[1; 32]).await, newest("own 1", ""), "it had more than are kept");
    assert_eq!(
        bench.begin_login(twin, &[2; 32]).await,
        newest("given 2", ""),
        "one that was connected since"
    );
    bench.end_login(twin, &[2; 32], Some(&given("second", 2))).await;
    assert_eq!(bench.begin_login(one, &[2; 32]).await, newest("second", "token 2"));
    bench.end_login(one, &[2; 32], Some(&given("third", 3))).await;

    // As long as it lives it may log in again. Another login with this token leaves here what it would.
    let old = async |refresh: &str| {
        let turn = bench.store.begin_refresh(one, &[9; 32], &own(&[2; 32])).await.unwrap().unwrap();
        let given = given(refresh, 9);
        bench.store.end_refresh(one, &[9; 32], &own(&[2; 32]), turn.number, Some(&given)).await.unwrap();
    };
    old("passed over").await;
    assert_eq!(bench.begin_login(one, &[2; 32]).await, newest("third", "token 3"));
    assert!(
        bench.holds("(SELECT refreshing_until > now() FROM integration WHERE name = 'crm')").await,
        "it waits"
    );
    bench.end_login(one, &[2; 32], None).await;
    old("fourth").await;
    bench.sql("UPDATE integration SET refreshing_until = NULL WHERE name = 'crm'").await;
    assert_eq!(bench.begin_login(one, &[2; 32]).await, newest("fourth", ""));
    bench.end_login(one, &[2; 32], None).await;
    assert_eq!(bench.begin_login(twin, &[2; 32]).await, newest("fourth", ""));
    bench.end_login(twin, &[2; 32], None).await;
    bench
        .sql("UPDATE integration SET refreshing_until = now() + interval '1 minute' WHERE name = 'crm'")
        .await;
    assert_eq!(bench.begin_login(one, &[2; 32]).await, None, "it logs in");
    let kept = "(SELECT position('given'::bytea IN sealed_refresh) = 0 FROM integration WHERE name = 'crm')";
    assert!(bench.holds(kept).await, "they are sealed");
}

#[tokio::test]
async fn a_login_that_ends_late_ends_no_other_turn_and_takes_no_newer_token_back() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    for lane in [one, twin] {
        bench.join(lane, &LOGIN).await;
    }
    // A daemon stands still in its turn, until another one's has begun.
    let overtake = async || {
        bench.begin_login(one, &LOGIN).await.unwrap();
        bench.let_turns_run_out().await;
        bench.begin_login(twin, &LOGIN).await.unwrap();
    };
    overtake().await;
    let late = 1;
    bench.end_turn(one, &LOGIN, late, None).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, None, "the other still logs in");

    // The token that the late one was given is the only one, if the other was refused with the one before.
    bench.end_turn(one, &LOGIN, late, Some(&given("second", 1))).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, None);
    bench.end_login(twin, &LOGIN, None).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(twin, &LOGIN, None).await;

    // If it was not, the other has the newest. So has whoever came since, where an answer was lost and a turn is ended again.
    overtake().await;
    let (late, last) = (4, 5);
    bench.end_turn(twin, &LOGIN, last, Some(&given("third", 2))).await;
    bench.end_turn(one, &LOGIN, late, Some(&given("late", 3))).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("third", "token 2"));
    bench.end_turn(twin, &LOGIN, last, Some(&given("third", 2))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, None);
    bench.end_login(one, &LOGIN, Some(&given("fourth", 4))).await;
    bench.end_turn(twin, &LOGIN, last, Some(&given("third", 2))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("fourth", "token 4"));
}

#[tokio::test]
async fn of_two_that_log_in_alike_at_once_one_does() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    // The first has begun, and is about to say so.
    let mut first = bench.pool.begin().await.unwrap();
    let begins = "INSERT INTO login (id, turn, refreshing_until) VALUES ($1, 1, now() + interval '1 minute')";
    sqlx::query(begins).bind(uuid::Uuid::from_bytes([7; 16])).execute(&mut *first).await.unwrap();
    let says = async {
        wait_for_lock(&bench.pool).await;
        first.commit().await.unwrap();
    };
    let (begun, ()) = tokio::join!(bench.begin_login(twin, &LOGIN), says);
    assert_eq!(begun, None);
    bench.end_turn(one, &LOGIN, 1, Some(&given("second", 1))).await;
    // It ends, and whoever waits for that goes on with what it gave.
    bench.begin_login(one, &LOGIN).await.unwrap();
    let mut ends = bench.pool.begin().await.unwrap();
    sqlx::query("UPDATE login SET refreshing_until = now()").execute(&mut *ends).await.unwrap();
    let says = async {
        wait_for_lock(&bench.pool).await;
        ends.commit().await.unwrap();
    };
    let (begun, ()) = tokio::join!(bench.begin_login(twin, &LOGIN), says);
    assert_eq!(begun, newest("second", "token 1"));
}

#[tokio::test]
async fn a_row_that_somebody_holds_or_nobody_can_read_costs_no_other_its_token() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    for lane in [one, twin] {
        bench.join(lane, &LOGIN).await;
    }
    bench.begin_login(one, &LOGIN).await.unwrap();
    let mut holder = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM integration FOR UPDATE").execute(&mut *holder).await.unwrap();
    bench.end_login(one, &LOGIN, Some(&given("second", 1))).await;
    bench.join(twin, &TRIED).await;
    holder.commit().await.unwrap();
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(twin, &LOGIN, Some(&given("third", 2))).await;

    bench
        .sql("UPDATE integration SET sealed_refresh = '\\x00'; UPDATE login SET sealed_token = '\\x00'")
        .await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("third", ""), "it logs in");
    bench.end_login(twin, &LOGIN, Some(&given("fourth", 3))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("fourth", "token 3"));
    bench.end_login(twin, &LOGIN, None).await;
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
