//! Backups while the master key is rotated: which keys they need, and that neither waits for the other.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Operator, post_lead, wait_until};
use leadlined::{app, config::Config};
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::{
    key_rotation::{add_secrets, assert_under_one_key, command, keys, private, refusal, start, succeed},
    leads::verify,
    maintenance::directory,
};

/// Two companies with a receiver and a secret each, and a third one with hundreds of versions of its secret.
struct Installation {
    daemon: ChildDaemon,
    receiver: Receiver,
    intake_keys: [String; 2],
    secrets: [String; 2],
}

impl Installation {
    async fn start() -> Self {
        let daemon = ChildDaemon::start_private(&[]).await;
        let operator = Operator::new(daemon.control().await);
        let receiver = Receiver::start(Behaviour::Good).await.unwrap();
        let intake_keys = [operator.company(7).await, operator.company(9).await];
        operator.company(8).await;
        let first = operator.webhook(7, "crm", &receiver.url("/7"), json!({})).await.signing_secret;
        let second = operator.webhook(9, "crm", &receiver.url("/9"), json!({})).await.signing_secret;
        let many = operator.webhook(8, "crm", &receiver.url("/8"), json!({})).await.integration.unwrap().id;
        let pool = private(daemon.dir());
        add_secrets(&pool, &daemon.dir().join("master.key"), &many).await;
        pool.close().await;
        Self { daemon, receiver, intake_keys, secrets: [first, second] }
    }

    fn data(&self) -> String {
        format!("--data-dir={}", self.daemon.dir().display())
    }

    fn key_file(&self) -> PathBuf {
        self.daemon.dir().join("master.key")
    }

    /// A lead of each company arrives, signed with its secret.
    async fn push(&self, intake: SocketAddr) {
        for (path, (intake_key, secret)) in
            ["/7", "/9"].into_iter().zip(self.intake_keys.iter().zip(&self.secrets))
        {
            let before = self.receiver.count();
            let lead = sample_lead(before);
            let url = format!("http://{intake}/v1/leads");
            assert_eq!(post_lead(&url, intake_key, lead.to_string()).await.0, 202);
            let pushed = self.receiver.wait_for(before + 1).await;
            verify(&pushed[before], secret);
            assert_eq!(pushed[before].path, path);
        }
    }
}

/// A data directory in which only a key file stands yet.
fn with_keys(text: &str) -> (TempDir, PathBuf) {
    let home = directory();
    let dir = home.path().join("data");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(dir.join("master.key"), text).unwrap();
    fs::set_permissions(dir.join("master.key"), fs::Permissions::from_mode(0o600)).unwrap();
    (home, dir)
}

fn data_dir(dir: &Path) -> String {
    format!("--data-dir={}", dir.display())
}

async fn left(pool: &PgPool) -> i64 {
    let left = "SELECT count(*) FROM signing_secret, installation
                WHERE previous_fingerprint IS NOT NULL AND substr(sealed, 2, 4) <> substr(key_fingerprint, 1, 4)";
    sqlx::query_scalar(left).fetch_one(pool).await.unwrap()
}

/// A rotation is finished while a dump holds its moment.
async fn a_dump_holds_up_no_rotation(installation: &Installation) {
    let data = installation.data();
    let pool = private(installation.daemon.dir());
    // More than fits into the pipes between the dump and whoever should read it.
    sqlx::query(
        "CREATE TABLE much AS SELECT sha512(n::text::bytea) AS text FROM generate_series(1, 40000) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut backup = command(&[&data, "backup", "-"]).stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the dump has its moment", async || {
        let holds = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'pg_dump' AND relation = 'signing_secret'::regclass AND granted)";
        sqlx::query_scalar(holds).fetch_one(&pool).await.unwrap()
    })
    .await;
    succeed(&[&data]).await;
    assert_under_one_key(&pool).await;
    assert_eq!(backup.try_wait().unwrap(), None, "nobody has read the dump yet");
    installation.push(installation.daemon.intake()).await;

    let (mut dump, mut told) = (Vec::new(), String::new());
    let (mut stdout, mut stderr) = (backup.stdout.take().unwrap(), backup.stderr.take().unwrap());
    let (_, _) = tokio::join!(async { stdout.read_to_end(&mut dump).await.unwrap() }, async {
        stderr.read_to_string(&mut told).await.unwrap()
    });
    assert_eq!(backup.wait().await.unwrap().code(), Some(1));
    let told = told.lines().last().unwrap();
    assert!(told.contains("the master key was rotated meanwhile: back up again"), "{told}");
    sqlx::query("DROP TABLE much").execute(&pool).await.unwrap();
    pool.close().await;

    // Again, it is one of the new key.
    let files = directory();
    let file = files.path().join("leads.backup");
    let file = file.to_str().unwrap();
    let output = command(&[&data, "backup", file]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (_home, dir) = with_keys(&fs::read_to_string(installation.key_file()).unwrap());
    let output = command(&[&data_dir(&dir), "restore", file]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A backup from the middle of a rotation needs both keys and goes on.
async fn a_rotation_holds_up_no_backup(mut installation: Installation) {
    let (data, key_file) = (installation.data(), installation.key_file());
    let old = fs::read_to_string(&key_file).unwrap();
    let pool = private(installation.daemon.dir());
    // As long as somebody holds a value, the rotation stands where all others are sealed anew.
    let mut holding = pool.begin().await.unwrap();
    let hold = "SELECT FROM signing_secret WHERE company_id = 7 FOR UPDATE";
    assert_eq!(sqlx::query(hold).fetch_all(&mut *holding).await.unwrap().len(), 1);
    let (mut rotation, _lines) = start(&[&data]);
    wait_until("one value is left under the old key", async || left(&pool).await == 1).await;
    let files = directory();
    let file = files.path().join("leads.backup");
    let file = file.to_str().unwrap();
    let output = command(&[&data, "backup", file]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rotation.try_wait().unwrap(), None, "it is still half done");
    let both = fs::read_to_string(&key_file).unwrap();
    let new = both.replace(&old, "");
    assert!(keys(&key_file) == 2 && new.len() == old.len(), "the key before and the one after");
    holding.rollback().await.unwrap();
    assert!(rotation.wait().await.unwrap().success(), "the backup has not disturbed it");
    assert_under_one_key(&pool).await;
    pool.close().await;
    installation.push(installation.daemon.intake()).await;
    assert_eq!(installation.daemon.stop().await, Some(0));

    for (text, lacking) in [(&new, "before"), (&old, "after")] {
        let (_home, dir) = with_keys(text);
        let refused = refusal(&[&data_dir(&dir), "restore", file]).await;
        let told = format!(
            "this backup was written while the master key was rotated: {} must hold the key {lacking} the rotation, too, \
             in a line of its own",
            dir.join("master.key").display()
        );
        assert!(refused.contains(&told), "{refused}");
        assert!(!dir.join("postgres").exists(), "nothing was made of it");
    }
    let (_home, dir) = with_keys(&both);
    let output = command(&[&data_dir(&dir), "restore", file]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut config = Config::in_dir(&dir);
    config.intake_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = None;
    config.allow_egress = vec!["127.0.0.0/8".parse().unwrap()];
    let running = app::start(config).await.unwrap();
    let restored = private(&dir);
    assert_eq!(left(&restored).await, 1, "it is as half done as it was");
    // One of the two was sealed with each key.
    installation.push(running.intake).await;
    // Sealing everything anew opens everything.
    succeed(&[&data_dir(&dir)]).await;
    assert_eq!(keys(&dir.join("master.key")), 1);
    assert_under_one_key(&restored).await;
    installation.push(running.intake).await;
    restored.close().await;
    running.stop().await.unwrap();
    installation.receiver.stop().await;
}

/// Both on one installation, which takes longer to make than to play on.
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_backup_nor_a_rotation_waits_for_the_other_and_every_backup_opens() {
    let installation = Installation::start().await;
    a_dump_holds_up_no_rotation(&installation).await;
    a_rotation_holds_up_no_backup(installation).await;
}
