//! The rotation of the master key, step by step: whom it waits for, what is sealed while it turns, and what it seals anew.

use std::{path::PathBuf, sync::Arc};

use leadlined::{
    domain::lane::LaneId,
    postgres::setup,
    secrets::{
        Sealer,
        master_key::{self, Fingerprint},
    },
    store::{
        Error, Store, WakeUps,
        integration::refresh::{LoginGiven, LoginHash, LoginStart},
        key_rotation::{self, HeldUp, KeysInUse, MissingKey, RotationStep},
        sealed::{self, ResealError},
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

use super::bench::{self, Bench, add_integration, wait_for_lock};

/// A key file with a next key, and a store on the database of a bench whose file still lacks it.
struct Rotation {
    bench: Bench,
    store: Store,
    /// The file of the store, and the one to copy to it.
    file: PathBuf,
    newer: PathBuf,
    old: Fingerprint,
    next: Fingerprint,
    _folder: TempDir,
}

impl Rotation {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let folder = tempfile::tempdir().unwrap();
        let [file, newer] = ["master.key", "newer.key"].map(|name| folder.path().join(name));
        for copy in [&file, &newer] {
            std::fs::copy(bench::master_key().await, copy).unwrap();
        }
        let ring = master_key::load(&newer).unwrap().unwrap();
        let old = ring.newest_fingerprint();
        let ring = ring.with_new();
        master_key::replace(&newer, &ring).unwrap();
        let sealer = setup::unseal(&bench.pool, &file).await.unwrap();
        let store = Store::new(bench.pool.clone(), sealer, Arc::new(WakeUps::new().0));
        Self { bench, store, file, newer, old, next: ring.newest_fingerprint(), _folder: folder }
    }

    async fn keys(&self) -> KeysInUse {
        key_rotation::keys_in_use(&self.bench.pool).await.unwrap()
    }

    async fn turn(&self) -> RotationStep {
        key_rotation::turn(&self.bench.pool, &self.next).await.unwrap()
    }

    /// Whom the turn waits for.
    async fn held_up(&self) -> Vec<HeldUp> {
        match self.turn().await {
            RotationStep::HeldUp(held_up) => held_up,
            other => panic!("{other:?}"),
        }
    }

    async fn finish(&self) -> RotationStep {
        key_rotation::finish(&self.bench.pool, &self.next).await.unwrap()
    }

    /// What rotates: it has both keys.
    fn sealer(&self) -> Sealer {
        Sealer::new(&self.newer, &master_key::load(&self.newer).unwrap().unwrap())
    }

    /// Turned, with no daemon in the way.
    async fn turned() -> Self {
        let rotation = Self::new().await;
        rotation.turn_alone().await;
        rotation
    }

    async fn turn_alone(&self) {
        self.bench.store.leave(self.bench.daemon).await.unwrap();
        key_rotation::stage(&self.bench.pool, &self.next).await.unwrap();
        assert_eq!(self.turn().await, RotationStep::Done);
    }

    /// Begins a login of an integration: its number, and its refresh token.
    async fn begin_login(&self, lane: LaneId, login: &LoginHash) -> (i64, String) {
        let none = |_: &SecretString| None::<()>;
        let start = self.store.begin_refresh(lane, Some(1), login, &"own".into(), &none).await.unwrap();
        let LoginStart::Begun(turn) = start else { panic!("{start:?}") };
        (turn.number, turn.refresh.expose_secret().to_owned())
    }

    /// Ends it with success.
    async fn end_login(&self, login: &LoginHash, number: i64) -> Result<(), Error> {
        let given = LoginGiven { refresh: Some("newest".into()), token: "token".into() };
        self.store.end_refresh(login, number, Some(&given)).await
    }

    async fn reseal(&self) -> Vec<u64> {
        let mut batches = Vec::new();
        sealed::reseal(&self.bench.pool, &self.sealer(), &self.next, |count| batches.push(count))
            .await
            .unwrap();
        batches
    }
}

#[tokio::test]
async fn the_next_key_seals_once_every_daemon_that_lives_can_open_with_it() {
    let rotation = Rotation::new().await;
    let Rotation { bench, store, old, next, .. } = &rotation;
    let (old, next) = (*old, *next);
    let other = store.enroll(600.0).await.unwrap();
    let dead = store.enroll(-1.0).await.unwrap();
    assert_eq!(rotation.keys().await, KeysInUse { sealing: old, next: None, previous: None });
    key_rotation::stage(&bench.pool, &[7; 32]).await.unwrap();
    key_rotation::stage(&bench.pool, &next).await.unwrap();
    assert_eq!(rotation.keys().await, KeysInUse { sealing: old, next: Some(next), previous: None });
    let held_up = rotation.held_up().await;
    assert_eq!(held_up.iter().map(|one| one.daemon).collect::<Vec<_>>(), [bench.daemon, other], "not {dead}");
    assert_eq!(held_up[1].version, env!("CARGO_PKG_VERSION"));
    assert!(held_up[1].key_file.ends_with(&rotation.file.display().to_string()), "{held_up:?}");

    let keys = store.beat(other, 600.0).await.unwrap().keys;
    assert_eq!(keys.next, Some(next));
    assert!(matches!(store.follow_keys(&keys), Err(MissingKey::Next { .. })));
    std::fs::copy(&rotation.newer, &rotation.file).unwrap();
    assert!(store.follow_keys(&keys).unwrap());
    assert_eq!(rotation.held_up().await.len(), 2, "it has not said so yet");
    store.beat(other, 600.0).await.unwrap();
    assert_eq!(rotation.held_up().await.iter().map(|one| one.daemon).collect::<Vec<_>>(), [bench.daemon]);
    bench.sql(&format!("UPDATE daemon SET lease_until = now() WHERE id = {}", bench.daemon)).await;
    assert_eq!(rotation.turn().await, RotationStep::Done);
    let turned = KeysInUse { sealing: next, next: None, previous: Some(old) };
    assert_eq!(rotation.keys().await, turned);
    assert_eq!(store.beat(other, 600.0).await.unwrap().keys, turned);

    // The one that was taken for dead comes back: it can open nothing new, and says where the key belongs.
    assert!(matches!(bench.store.follow_keys(&turned), Err(MissingKey::InUse { source: None, .. })));
    let refused = setup::unseal(&bench.pool, &bench::master_key().await).await.unwrap_err().to_string();
    assert!(refused.contains("sealed with another master key"), "{refused}");
    let only_new = rotation.file.with_extension("new");
    std::fs::copy(&rotation.newer, &only_new).unwrap();
    let newest = master_key::load(&only_new).unwrap().unwrap().only(&next).unwrap();
    master_key::replace(&only_new, &newest).unwrap();
    let refused = setup::unseal(&bench.pool, &only_new).await.unwrap_err().to_string();
    assert!(refused.contains("does not hold the one before"), "{refused}");
    assert_eq!(rotation.reseal().await, [1]);
    assert_eq!(rotation.finish().await, RotationStep::Done);
    setup::unseal(&bench.pool, &only_new).await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_begins_while_the_key_turns_is_seen_or_sees_it() {
    let rotation = Rotation::new().await;
    let Rotation { bench, store, next, .. } = &rotation;
    bench.store.leave(bench.daemon).await.unwrap();
    key_rotation::stage(&bench.pool, next).await.unwrap();
    // It is about to write its row, and has not yet.
    let mut begins = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM installation FOR KEY SHARE").execute(&mut *begins).await.unwrap();
    let begun = async {
        wait_for_lock(&bench.pool).await;
        let insert = "INSERT INTO daemon (lease_until) VALUES (now() + interval '1 hour')";
        sqlx::query(insert).execute(&mut *begins).await.unwrap();
        begins.commit().await.unwrap();
    };
    let (held_up, ()) = tokio::join!(rotation.held_up(), begun);
    assert_eq!(held_up.len(), 1, "it was seen");
    bench.sql("DELETE FROM daemon").await;

    let mut turns = bench.pool.begin().await.unwrap();
    for turn in [
        "SELECT FROM installation FOR UPDATE",
        "UPDATE installation SET key_fingerprint = next_fingerprint, next_fingerprint = NULL",
    ] {
        sqlx::query(turn).execute(&mut *turns).await.unwrap();
    }
    let turned = async {
        wait_for_lock(&bench.pool).await;
        turns.commit().await.unwrap();
    };
    let (begun, ()) = tokio::join!(store.enroll(600.0), turned);
    assert_eq!(store.beat(begun.unwrap(), 600.0).await.unwrap().keys.sealing, *next, "it sees the new one");
}

#[tokio::test]
async fn what_a_command_seals_is_committed_before_the_key_turns_or_sealed_with_the_next() {
    let rotation = Rotation::new().await;
    let Rotation { bench, store, next, .. } = &rotation;
    bench.store.leave(bench.daemon).await.unwrap();
    let mut early = bench.command().await;
    add_integration(&mut early, bench.company, "early").await;
    key_rotation::stage(&bench.pool, next).await.unwrap();
    let committed = async {
        wait_for_lock(&bench.pool).await;
        early.commit().await.unwrap();
    };
    let (turned, ()) = tokio::join!(rotation.turn(), committed);
    assert_eq!(turned, RotationStep::Done);
    assert_eq!(rotation.finish().await, RotationStep::Left(2), "the first and the early one");
    assert_eq!(rotation.reseal().await, [2]);

    // A daemon that slept through all of that fetches the key when it seals.
    std::fs::copy(&rotation.newer, &rotation.file).unwrap();
    let mut late = store.batch(&bench::call()).await.unwrap();
    let id = add_integration(&mut late, bench.company, "late").await;
    late.commit().await.unwrap();
    assert_eq!(rotation.finish().await, RotationStep::Done, "nothing came under the old key");
    let lane = leadlined::domain::lane::LaneId::new(bench.company, id);
    assert!(store.integration(lane).await.unwrap().is_some());
    assert!(bench.store.integration(lane).await.is_err(), "the old key does not open it");
    assert_eq!(rotation.keys().await, KeysInUse { sealing: *next, next: None, previous: None });
}

#[tokio::test]
async fn everything_is_sealed_anew_a_few_at_a_time_and_nobody_is_waited_for() {
    let rotation = Rotation::turned().await;
    let bench = &rotation.bench;
    // As many again, each sealed for its own place.
    let old = Sealer::new(&rotation.file, &master_key::load(&rotation.file).unwrap().unwrap());
    let company = bench.company.0;
    for n in 0..249 {
        let id = leadlined::domain::ids::IntegrationId::generate();
        let place = leadlined::secrets::AdditionalData {
            company,
            table: "integration",
            row: id.to_string(),
            column: "sealed_config",
        };
        sqlx::query(
            "INSERT INTO integration (company_id, id, name, connector, enabled, config, sealed_config, mapping, events,
                                      payload, routing, notices, needs_consent)
             SELECT company_id, $1, $2, connector, enabled, config, $3, mapping, events, payload, routing, notices,
                    needs_consent FROM integration WHERE name = 'crm'",
        )
        .bind(id.uuid())
        .bind(format!("crm {n}"))
        .bind(old.seal(&rotation.old, &place, b"{}").unwrap())
        .execute(&bench.pool)
        .await
        .unwrap();
    }
    let mut somebody = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM integration WHERE name = 'crm 7' FOR UPDATE")
        .execute(&mut *somebody)
        .await
        .unwrap();
    assert_eq!(rotation.reseal().await, [100, 100, 49]);
    assert_eq!(rotation.finish().await, RotationStep::Left(1), "one is held by somebody");
    somebody.rollback().await.unwrap();
    assert_eq!(rotation.reseal().await, [1]);
    assert_eq!(rotation.finish().await, RotationStep::Done);
    assert_eq!(rotation.reseal().await, [0; 0]);
    let opening = Store::new(bench.pool.clone(), rotation.sealer(), Arc::new(WakeUps::new().0));
    assert!(opening.integration(bench.lane()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_value_that_does_not_open_is_named_and_stays() {
    let rotation = Rotation::turned().await;
    let bench = &rotation.bench;
    bench.sql("UPDATE integration SET sealed_config = overlay(sealed_config PLACING '\\x00' FROM 40)").await;
    let error = sealed::reseal(&bench.pool, &rotation.sealer(), &rotation.next, |_| {}).await.unwrap_err();
    assert!(matches!(error, ResealError::Unopened(..)), "{error}");
    let (company, id) = (bench.company, bench.crm);
    assert_eq!(
        error.to_string(),
        format!(
            "integration/{company}/{id}/sealed_config does not open with any key of the file: give that secret again, \
             or delete what it belongs to, then run this again"
        )
    );
    assert_eq!(rotation.finish().await, RotationStep::Left(1));
    assert_eq!(rotation.keys().await.previous, Some(rotation.old), "the old key is still needed");
    assert!(sealed::columns().contains(&"integration.sealed_config".to_owned()));
}

#[tokio::test]
async fn a_login_that_does_not_open_is_named_if_somebody_has_it_and_given_up_if_not() {
    let rotation = Rotation::new().await;
    let bench = &rotation.bench;
    let twin = LaneId::new(bench.company, bench.integration(bench.company, "twin").await);
    for (lane, login) in [(bench.lane(), [7; 32]), (twin, [8; 32])] {
        let (number, _) = rotation.begin_login(lane, &login).await;
        rotation.end_login(&login, number).await.unwrap();
    }
    rotation.turn_alone().await;
    let (broken, intact) = (uuid::Uuid::from_bytes([7; 16]), uuid::Uuid::from_bytes([8; 16]));
    bench
        .sql(&format!(
            "UPDATE login SET sealed_token = substr(sealed_token, 1, length(sealed_token) - 1);
             UPDATE login SET sealed_refresh = substr(sealed_refresh, 1, length(sealed_refresh) - 1)
             WHERE id = '{broken}'"
        ))
        .await;
    let error = sealed::reseal(&bench.pool, &rotation.sealer(), &rotation.next, |_| {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "login/0/{broken}/sealed_refresh, the login of {}/crm, does not open with any key of the file: give that \
             secret again, or delete what it belongs to, then run this again",
            bench.company
        )
    );
    bench.sql("UPDATE integration SET login = NULL WHERE name = 'crm'").await;
    rotation.reseal().await;
    assert_eq!(rotation.finish().await, RotationStep::Done);
    let kept = "login WHERE sealed_refresh IS NOT NULL OR sealed_token IS NOT NULL";
    assert_eq!(bench.count(kept).await, 1);
    assert_eq!(bench.count(&format!("login WHERE id = '{intact}' AND sealed_token IS NULL")).await, 1);
    std::fs::copy(&rotation.newer, &rotation.file).unwrap();
    rotation.store.follow_keys(&rotation.keys().await).unwrap();
    assert_eq!(rotation.begin_login(twin, &[8; 32]).await.1, "newest");
}

#[tokio::test]
async fn what_a_login_gave_while_the_key_turned_is_kept_once_the_file_has_it() {
    let rotation = Rotation::new().await;
    let (lane, login) = (rotation.bench.lane(), [7; 32]);
    let (number, _) = rotation.begin_login(lane, &login).await;
    rotation.turn_alone().await;
    assert!(matches!(rotation.end_login(&login, number).await, Err(Error::MasterKey(_))));
    std::fs::copy(&rotation.newer, &rotation.file).unwrap();
    rotation.end_login(&login, number).await.unwrap();
    assert_eq!(rotation.begin_login(lane, &login).await.1, "newest");
}

#[tokio::test]
async fn a_rotation_does_not_end_while_a_daemon_lives_that_knows_of_none() {
    let rotation = Rotation::turned().await;
    let bench = &rotation.bench;
    assert_eq!(rotation.reseal().await, [1]);
    // Of an older version: it hung while the key turned, and seals with the key that it has.
    bench.sql("INSERT INTO daemon (lease_until, version) VALUES (now() + interval '1 hour', 'older')").await;
    assert!(
        matches!(rotation.finish().await, RotationStep::HeldUp(held_up) if held_up[0].version == "older")
    );
    assert_eq!(rotation.keys().await.previous, Some(rotation.old));
    bench.sql("DELETE FROM daemon WHERE version = 'older'").await;
    assert_eq!(rotation.finish().await, RotationStep::Done);
}

#[tokio::test]
async fn a_rotation_whose_key_is_not_the_one_asked_for_neither_turns_nor_ends() {
    let rotation = Rotation::new().await;
    let bench = &rotation.bench;
    bench.store.leave(bench.daemon).await.unwrap();
    key_rotation::stage(&bench.pool, &rotation.next).await.unwrap();
    let other = [7; 32];
    key_rotation::stage(&bench.pool, &other).await.unwrap();
    assert_eq!(
        (rotation.turn().await, rotation.finish().await),
        (RotationStep::Overtaken, RotationStep::Overtaken)
    );
    let unchanged = KeysInUse { sealing: rotation.old, next: Some(other), previous: None };
    assert_eq!(rotation.keys().await, unchanged);
}

#[tokio::test]
async fn one_rotates_at_a_time() {
    let bench = Bench::new().await;
    let first = key_rotation::exclude_others(&bench.pool).await.unwrap();
    assert!(first.is_some());
    assert!(
        key_rotation::exclude_others(&bench.pool).await.unwrap().is_none(),
        "it waits for a while, and says so"
    );
    // A command that was killed is gone as soon as the server has noticed.
    let killed = async {
        wait_for_lock(&bench.pool).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(key_rotation::exclude_others(&bench.pool), killed);
    assert!(second.unwrap().is_some());
}
