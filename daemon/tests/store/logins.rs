//! Logins with a refresh token: the newest is kept and used once, by all who log in alike.

use std::sync::Mutex;

use leadlined::{
    domain::{
        ids::IntegrationId,
        lane::LaneId,
        outcome::{Failure, FailureClass, Outcome},
        plan::Plan,
    },
    store::{
        Error,
        integration::refresh::{LoginGiven, LoginStart},
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use super::bench::{Bench, wait_for_lock};
use steps::{LOGIN, TRIED, given, newest, own};

mod steps;

#[tokio::test]
async fn one_daemon_at_a_time_logs_in_with_the_newest_token() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    bench.join(lane, &LOGIN).await;
    assert_eq!(bench.begin_login(lane, &LOGIN).await, newest("own 7", ""));
    assert_eq!(bench.begin_login(lane, &LOGIN).await, None, "another daemon logs in");
    bench.end_login(&LOGIN, Some(&given("newer", 1))).await;
    assert_eq!(bench.begin_login(lane, &LOGIN).await, newest("newer", "token 1"));
    bench.end_login(&LOGIN, None).await;
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
    assert!(matches!(bench.ask_for_turn(gone, &[9; 32]).await.unwrap().0, LoginStart::Gone));
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
    bench.end_login(&LOGIN, Some(&given("second", 1))).await;

    // One that has never logged in finds what another got; a login that failed changes none of it.
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(&LOGIN, None).await;
    bench.log_in(twin, &LOGIN, &given("third", 2)).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("third", "token 2"));
    bench.end_login(&LOGIN, Some(&LoginGiven { refresh: None, token: "token 3".into() })).await;
    assert_eq!(
        bench.begin_login(far, &LOGIN).await,
        newest("third", "token 3"),
        "companies may share an account"
    );
    bench.end_login(&LOGIN, Some(&given("fourth", 4))).await;

    // So does one that came when the only one was deleted that had a token.
    let fourth = bench.sibling("fourth").await;
    for lane in [one, twin, far] {
        bench.delete(lane).await;
    }
    bench.join(fourth, &LOGIN).await;
    assert_eq!(bench.begin_login(fourth, &LOGIN).await, newest("fourth", "token 4"));
    bench.end_login(&LOGIN, None).await;
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
    bench.wait_days(29).await;
    assert_eq!((bench.count("integration").await, bench.count("login").await), (1, 2));
    bench.wait_days(31).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(&LOGIN, None).await;
    assert_eq!(bench.count("login").await, 1, "what was only tried");
    bench.delete(twin).await;
    bench.wait_days(31).await;
    assert_eq!(bench.count("login").await, 0);
}

#[tokio::test]
async fn credentials_that_are_taken_bring_their_login_and_leave_that_of_the_ones_before() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    // Set up on a Friday; the first lead comes long after that, and nothing was loaded meanwhile.
    bench.log_in(lane, &TRIED, &given("second", 1)).await;
    bench.try_credentials(lane, Some(&TRIED), Outcome::Delivered).await;
    bench.wait_days(31).await;
    assert_eq!(bench.begin_login(lane, &TRIED).await, newest("second", "token 1"));
    bench.end_login(&TRIED, None).await;
    let refused = Outcome::Failed(Failure::new(FailureClass::Credentials, "no such token"));
    bench.try_credentials(lane, None, refused).await;
    bench.wait_days(31).await;
    assert_eq!(bench.count("login").await, 1, "those that are not taken change nothing");

    // Others without a refresh token take their place; whoever puts them back within a while finds their newest token.
    bench.try_credentials(lane, None, Outcome::Delivered).await;
    bench.store.finish_deletions().await.unwrap();
    assert_eq!(bench.begin_login(lane, &TRIED).await, newest("second", "token 1"));
    bench.end_login(&TRIED, None).await;
    bench.wait_days(31).await;
    assert_eq!(bench.count("login").await, 0);
}

#[tokio::test]
async fn a_load_of_an_earlier_version_takes_no_join_back() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    bench.join(lane, &LOGIN).await;
    bench.sql("UPDATE integration SET version = 2").await;
    let joined = async |login: u8| {
        let id = uuid::Uuid::from_bytes([login; 16]);
        bench.holds(&format!("(SELECT login = '{id}' FROM integration)")).await
    };
    bench.store.join_login(lane, 2, &TRIED, &own(&TRIED)).await.unwrap();
    bench.join(lane, &LOGIN).await;
    assert!(joined(8).await, "it was loaded before");
    bench.begin_login(lane, &LOGIN).await.unwrap();
    bench.end_login(&LOGIN, None).await;
    assert!(joined(8).await, "so was the push that logs in");

    // A join that somebody kept it from is made up for by whoever logs in, if not only to try credentials.
    bench.sql("UPDATE integration SET version = 1").await;
    bench.begin_login(lane, &LOGIN).await.unwrap();
    assert!(joined(7).await);
    bench.begin_login(lane, &TRIED).await.unwrap();
    assert!(joined(7).await);
}

#[tokio::test]
async fn a_token_that_is_good_still_is_used_without_a_turn() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    bench.log_in(one, &LOGIN, &given("second", 1)).await;
    let rows = "SELECT format('%s %s', xmin, turn) FROM login";
    let row = async || sqlx::query_scalar::<_, String>(rows).fetch_one(&bench.pool).await.unwrap();
    let before = row().await;
    let read = |token: &SecretString| Some(token.expose_secret().to_owned());
    let start = bench.store.begin_refresh(twin, Some(1), &LOGIN, &own(&LOGIN), &read).await.unwrap();
    assert!(matches!(start, LoginStart::Given(token) if token == "token 1"));
    assert_eq!(row().await, before, "nothing is written");

    // Another login ends after it was read first.
    let calls = Mutex::new(0);
    let read = |token: &SecretString| {
        *calls.lock().unwrap() += 1;
        (*calls.lock().unwrap() > 1).then(|| token.expose_secret().to_owned())
    };
    let start = bench.store.begin_refresh(twin, Some(1), &LOGIN, &own(&LOGIN), &read).await.unwrap();
    assert!(matches!(start, LoginStart::Given(token) if token == "token 1"));
    assert!(bench.holds("(SELECT turn = 1 AND refreshing_until < clock_timestamp() FROM login)").await);

    // Where credentials are tried that nobody has had for long, their login is there still when they are taken.
    bench.sql("UPDATE integration SET login = NULL").await;
    bench.sql("UPDATE login SET refreshing_until = now() - interval '31 days'").await;
    let read = |token: &SecretString| Some(token.expose_secret().to_owned());
    let start = bench.store.begin_refresh(twin, None, &LOGIN, &own(&LOGIN), &read).await.unwrap();
    assert!(matches!(start, LoginStart::Given(token) if token == "token 1"));
    bench.store.finish_deletions().await.unwrap();
    assert_eq!(bench.count("login").await, 1);
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
    bench.end_login(&TRIED, Some(&given("tried", 2))).await;
    bench.log_in(twin, &LOGIN, &given("second", 3)).await;
    assert_eq!(bench.begin_login(one, &TRIED).await, newest("tried", "token 2"));
    bench.end_login(&TRIED, Some(&given("tried again", 4))).await;

    // They were not taken in the end.
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("second", "token 3"));
    bench.end_login(&LOGIN, Some(&given("third", 5))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("third", "token 5"));
    bench.end_login(&LOGIN, None).await;

    // Nor are those lost that were in use for a while.
    bench.join(one, &TRIED).await;
    bench.log_in(one, &TRIED, &given("in use", 6)).await;
    bench.log_in(twin, &LOGIN, &given("fourth", 7)).await;
    bench.join(one, &LOGIN).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("fourth", "token 7"));
}

#[tokio::test]
async fn what_an_integration_kept_for_itself_is_taken_over_once() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    bench.keep_by_itself(one, &[("own 6", "other"), ("own 7", "second")]).await;
    let kept = "integration WHERE sealed_refresh IS NOT NULL";
    // Credentials that are only tried take nothing away.
    assert_eq!(bench.begin_login(one, &TRIED).await, newest("own 8", ""));
    assert_eq!(bench.count(kept).await, 1);
    bench.join(twin, &LOGIN).await;
    bench.join(one, &LOGIN).await;
    assert_eq!(bench.count(kept).await, 0);
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", ""));
    bench.end_login(&LOGIN, Some(&given("third", 1))).await;
    // What another kept for itself is older, or as good.
    bench.keep_by_itself(twin, &[("own 7", "passed over")]).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("third", "token 1"));
    assert_eq!(bench.count(kept).await, 0);
    assert!(bench.holds("(SELECT bool_and(login IS NOT NULL) FROM integration)").await);
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
    bench.end_turn(&LOGIN, late, None).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, None, "the other still logs in");

    // The token that the late one was given is the only one, if the other was refused with the one before.
    bench.end_turn(&LOGIN, late, Some(&given("second", 1))).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, None);
    bench.end_login(&LOGIN, None).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(&LOGIN, None).await;

    // If it was not, the other has the newest. So has whoever came since, where an answer was lost and a turn is ended again.
    overtake().await;
    let (late, last) = (4, 5);
    bench.end_turn(&LOGIN, last, Some(&given("third", 2))).await;
    bench.end_turn(&LOGIN, late, Some(&given("late", 3))).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("third", "token 2"));
    bench.end_turn(&LOGIN, last, Some(&given("third", 2))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, None);
    bench.end_login(&LOGIN, Some(&given("fourth", 4))).await;
    bench.end_turn(&LOGIN, last, Some(&given("third", 2))).await;
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
    bench.end_turn(&LOGIN, 1, Some(&given("second", 1))).await;
    // So it is where both have seen that nobody logs in.
    let mut first = bench.pool.begin().await.unwrap();
    let begins = "UPDATE login SET turn = 2, refreshing_until = now() + interval '1 minute'";
    sqlx::query(begins).execute(&mut *first).await.unwrap();
    let says = async {
        wait_for_lock(&bench.pool).await;
        first.commit().await.unwrap();
    };
    let (begun, ()) = tokio::join!(bench.begin_login(one, &LOGIN), says);
    assert_eq!(begun, None);
    bench.end_turn(&LOGIN, 2, Some(&given("third", 2))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("third", "token 2"));
}

#[tokio::test]
async fn a_row_that_somebody_holds_keeps_no_login_waiting() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    bench.keep_by_itself(twin, &[("own 8", "eighth"), ("own 7", "seventh")]).await;
    let mut holder = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM integration FOR UPDATE").execute(&mut *holder).await.unwrap();
    bench.join(one, &LOGIN).await;
    assert_eq!(bench.begin_login(one, &LOGIN).await, newest("own 7", ""));
    bench.end_login(&LOGIN, Some(&given("second", 1))).await;
    assert_eq!(bench.begin_login(twin, &TRIED).await, newest("eighth", ""), "it is read all the same");
    assert_eq!(bench.count("integration WHERE login IS NOT NULL").await, 0);
    holder.commit().await.unwrap();
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("second", "token 1"));
    bench.end_login(&LOGIN, None).await;
    assert_eq!(bench.count("integration WHERE login IS NOT NULL").await, 1);

    // That of a login is waited for a moment, and whoever asked comes back.
    let mut holder = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM login FOR UPDATE").execute(&mut *holder).await.unwrap();
    bench.join(one, &LOGIN).await;
    assert!(matches!(bench.ask_for_turn(one, &LOGIN).await, Err(Error::Locked)));
}

#[tokio::test]
async fn what_nobody_can_read_costs_no_other_its_token() {
    let bench = Bench::new().await;
    let (one, twin) = (bench.lane(), bench.sibling("twin").await);
    for lane in [one, twin] {
        bench.join(lane, &LOGIN).await;
    }
    bench.log_in(one, &LOGIN, &given("third", 2)).await;
    bench
        .sql("UPDATE integration SET sealed_refresh = '\\x00'; UPDATE login SET sealed_token = '\\x00'")
        .await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("third", ""), "it logs in");
    bench.end_login(&LOGIN, Some(&given("fourth", 3))).await;
    assert_eq!(bench.begin_login(twin, &LOGIN).await, newest("fourth", "token 3"));
    bench.end_login(&LOGIN, None).await;
    // What is not known to be the newest is not used.
    bench.sql("UPDATE login SET sealed_refresh = '\\x00'").await;
    assert!(bench.ask_for_turn(twin, &LOGIN).await.is_err());
    bench.sql("DELETE FROM login; UPDATE integration SET sealed_refresh = '\\x00', login = NULL").await;
    bench.join(twin, &LOGIN).await;
    assert!(
        bench.holds("(SELECT bool_and(login IS NULL) FROM integration)").await,
        "whoever logs in is told"
    );
    assert!(bench.ask_for_turn(twin, &LOGIN).await.is_err());
    // Credentials that are given now are the newest.
    assert_eq!(bench.begin_login(twin, &TRIED).await, newest("own 8", ""));
    bench.end_login(&TRIED, None).await;
    bench.try_credentials(twin, Some(&TRIED), Outcome::Delivered).await;
    assert_eq!(bench.count("integration WHERE sealed_refresh IS NULL AND login IS NOT NULL").await, 1);
}
