//! Logins with a refresh token: the newest is kept and used once, by all who log in alike.

use leadlined::{
    domain::{ids::IntegrationId, lane::LaneId, plan::Plan},
    store::integration::refresh::LoginGiven,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::bench::Bench;

/// What a login gave.
fn given(refresh: &str, token: usize) -> LoginGiven {
    LoginGiven { refresh: Some(refresh.into()), token: format!("token {token}").into() }
}

#[tokio::test]
async fn one_daemon_at_a_time_logs_in_with_the_newest_token() {
    let bench = Bench::new().await;
    let (lane, own) = (bench.lane(), SecretString::from("own"));
    let begin = async |own: &SecretString, login: u8| {
        let turn = bench.store.begin_refresh(lane, &[login; 32], own).await.unwrap();
        turn.map(|turn| turn.refresh.expose_secret().to_owned())
    };
    assert_eq!(begin(&own, 1).await.as_deref(), Some("own"));
    assert_eq!(begin(&own, 1).await, None, "another daemon logs in");
    bench.store.end_refresh(lane, &[1; 32], &own, Some(&given("newer", 1))).await.unwrap();
    assert_eq!(begin(&own, 1).await.as_deref(), Some("newer"));
    bench.store.end_refresh(lane, &[1; 32], &own, None).await.unwrap();
    let tried = SecretString::from("tried");
    assert_eq!(begin(&tried, 2).await.as_deref(), Some("tried"), "each stands for its own credentials");
    bench.sql("UPDATE integration SET refreshing_until = now() - interval '1 second'").await;
    assert_eq!(begin(&own, 1).await.as_deref(), Some("newer"), "a daemon that died keeps nobody away");
}

#[tokio::test]
async fn the_newest_logins_of_a_few_credentials_are_kept() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    let own = |n: u8| SecretString::from(format!("own {n}"));
    let login = |n: u8| [n; 32];
    for n in 0..5 {
        bench.store.begin_refresh(lane, &login(n), &own(n)).await.unwrap().unwrap();
        let given = LoginGiven { refresh: Some(format!("given {n}").into()), token: "t".into() };
        bench.store.end_refresh(lane, &login(n), &own(n), Some(&given)).await.unwrap();
    }
    for (n, expected) in [(0, "own 0"), (1, "given 1"), (4, "given 4")] {
        let turn = bench.store.begin_refresh(lane, &login(n), &own(n)).await.unwrap().unwrap();
        assert_eq!(turn.refresh.expose_secret(), expected);
        bench.store.end_refresh(lane, &login(n), &own(n), None).await.unwrap();
    }
    let kept = "(SELECT position('given'::bytea IN sealed_refresh) = 0 FROM integration)";
    assert!(bench.holds(kept).await, "they are sealed");
    let gone = LaneId::new(bench.company, IntegrationId::generate());
    assert!(bench.store.begin_refresh(gone, &login(0), &own(0)).await.unwrap().is_none());
}

#[tokio::test]
async fn integrations_that_log_in_alike_have_the_newest_token_whoever_got_it() {
    let bench = Bench::new().await;
    let one = bench.lane();
    let twin = LaneId::new(bench.company, bench.integration(bench.company, "twin").await);
    let mut command = bench.command().await;
    let other = command.create_company(None, "The Mill", Plan::Pro, None).await.unwrap().id;
    command.commit().await.unwrap();
    let far = LaneId::new(other, bench.integration(other, "far").await);
    let (login, own) = ([7; 32], SecretString::from("own"));
    let begin = async |lane| {
        let turn = bench.store.begin_refresh(lane, &login, &own).await.unwrap()?;
        let token = turn.token.map(|token| token.expose_secret().to_owned());
        Some((turn.refresh.expose_secret().to_owned(), token.unwrap_or_default()))
    };
    let end = async |lane, given: Option<&LoginGiven>| {
        bench.store.end_refresh(lane, &login, &own, given).await.unwrap();
    };
    let newest = |refresh: &str, token: &str| Some((refresh.to_owned(), token.to_owned()));
    assert_eq!(begin(one).await, newest("own", ""));
    assert_eq!(begin(twin).await, None, "one at a time, whichever of them");
    end(one, Some(&given("second", 1))).await;

    // One that has never logged in finds what another got; a login that failed changes none of it.
    assert_eq!(begin(twin).await, newest("second", "token 1"));
    end(twin, None).await;
    assert_eq!(begin(twin).await, newest("second", "token 1"));
    end(twin, Some(&given("third", 2))).await;
    assert_eq!(begin(one).await, newest("third", "token 2"));
    end(one, Some(&LoginGiven { refresh: None, token: "token 3".into() })).await;
    assert_eq!(begin(far).await, newest("third", "token 3"), "companies may share an account");
    end(far, None).await;

    // Other credentials are tried meanwhile: they are given no token of these, and these are found again.
    let tried = bench.store.begin_refresh(one, &[8; 32], &"tried".into()).await.unwrap().unwrap();
    assert_eq!((tried.refresh.expose_secret(), tried.token.is_none()), ("tried", true));
    bench.store.end_refresh(one, &[8; 32], &"tried".into(), None).await.unwrap();
    let tried = bench.store.begin_refresh(one, &[8; 32], &"tried".into()).await.unwrap().unwrap();
    assert!(tried.token.is_none(), "the token of the others is not theirs");
    bench.store.end_refresh(one, &[8; 32], &"tried".into(), None).await.unwrap();
    assert_eq!(begin(far).await, newest("third", "token 3"));
    end(far, Some(&given("fourth", 4))).await;
    assert_eq!(begin(one).await, newest("fourth", "token 4"));
    let kept = "(SELECT bool_and(position('token'::bytea IN sealed_token) = 0) FROM integration)";
    assert!(bench.holds(kept).await, "they are sealed");
}

#[tokio::test]
async fn a_row_that_somebody_holds_or_nobody_can_read_costs_no_other_its_token() {
    let bench = Bench::new().await;
    let one = bench.lane();
    let twin = LaneId::new(bench.company, bench.integration(bench.company, "twin").await);
    let (login, own) = ([7; 32], SecretString::from("own"));
    let begin = async |lane| {
        let turn = bench.store.begin_refresh(lane, &login, &own).await.unwrap().unwrap();
        let token = turn.token.map(|token| token.expose_secret().to_owned());
        (turn.refresh.expose_secret().to_owned(), token.unwrap_or_default())
    };
    let end = async |lane, given: &LoginGiven| {
        bench.store.end_refresh(lane, &login, &own, Some(given)).await.unwrap();
    };
    for lane in [one, twin] {
        begin(lane).await;
        end(lane, &given("second", 1)).await;
    }
    begin(one).await;
    let mut holder = bench.pool.begin().await.unwrap();
    let hold = format!("SELECT FROM integration WHERE id = '{}' FOR UPDATE", twin.integration.uuid());
    sqlx::query(sqlx::AssertSqlSafe(hold)).execute(&mut *holder).await.unwrap();
    end(one, &given("third", 2)).await;
    holder.commit().await.unwrap();
    assert_eq!(begin(twin).await, ("third".to_owned(), "token 2".to_owned()), "the newest, wherever it is");
    end(twin, &given("fourth", 3)).await;

    let spoil = |column: &str, lane: LaneId| {
        format!("UPDATE integration SET {column} = '\\x00' WHERE id = '{}'", lane.integration.uuid())
    };
    bench.sql(&spoil("sealed_refresh", twin)).await;
    bench.sql(&spoil("sealed_token", one)).await;
    assert_eq!(begin(one).await, ("fourth".to_owned(), String::new()), "it logs in");
    end(one, &given("fifth", 4)).await;
    assert_eq!(begin(twin).await, ("fifth".to_owned(), "token 4".to_owned()));
}
