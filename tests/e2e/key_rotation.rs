//! `leadlined master-key rotate`: while daemons push, killed at whatever it does, held up by a daemon without the next key,
//! and without any daemon.

use std::{
    collections::HashSet,
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Database, Operator, http, leadlined, post_lead, request_id, wait_until};
use leadlined::{
    postgres::embedded::dump::DumpSource,
    secrets::{AdditionalData, Sealer, master_key},
    store::sealed,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::leads::verify;

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(leadlined());
    command.args(args).args(["--log", "json"]).kill_on_drop(true).stderr(Stdio::piped());
    command.env_remove("LEADLINE_DATABASE_URL").env_remove("LEADLINE_DATA_DIR").env("LEADLINE_USER", "root");
    command
}

/// What a rotation logs, until it ends.
pub(crate) fn start(args: &[&str]) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut child = command(args).args(["master-key", "rotate"]).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines)
}

async fn rotate(args: &[&str]) -> Output {
    command(args).args(["master-key", "rotate"]).output().await.unwrap()
}

pub(crate) async fn succeed(args: &[&str]) {
    let output = rotate(args).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The last line of what a daemon refuses.
pub(crate) async fn refusal(args: &[&str]) -> String {
    let output = command(args).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
}

pub(crate) fn keys(file: &Path) -> usize {
    fs::read_to_string(file).unwrap().lines().count()
}

/// Everything in the database is under one key, and that is the one that seals.
pub(crate) async fn assert_under_one_key(pool: &PgPool) {
    for column in sealed::columns() {
        let (table, name) = column.split_once('.').unwrap();
        let others = format!(
            "SELECT count(*) FROM {table}, installation WHERE substr({name}, 2, 4) <> substr(key_fingerprint, 1, 4)"
        );
        let others: i64 = sqlx::query_scalar(AssertSqlSafe(others)).fetch_one(pool).await.unwrap();
        assert_eq!(others, 0, "{column}");
    }
    let is_over = "SELECT next_fingerprint IS NULL AND previous_fingerprint IS NULL FROM installation";
    assert!(sqlx::query_scalar::<_, bool>(is_over).fetch_one(pool).await.unwrap());
}

/// A sender that signs, with the key that it was given.
struct Sender {
    url: String,
    key: v1::CreateIntakeKeyResponse,
}

impl Sender {
    async fn new(operator: &Operator, url: String) -> Self {
        let request = v1::CreateIntakeKeyRequest {
            request_id: request_id(),
            company: "7".to_owned(),
            require_signature: true,
            ..Default::default()
        };
        Self { url, key: operator.keys().create_intake_key(request).await.unwrap().into_inner() }
    }

    /// Posts a lead. The answer is its uuid.
    async fn post(&self, n: usize) -> String {
        let lead = sample_lead(n);
        let (body, id) = (lead.to_string(), format!("msg_{n}"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        let webhook = standardwebhooks::Webhook::new(&self.key.signing_secret).unwrap();
        let signature = webhook.sign(&id, now, body.as_bytes()).unwrap();
        let post =
            http().post(&self.url).bearer_auth(&self.key.key).header("content-type", "application/json");
        let post = post.header("webhook-id", id).header("webhook-timestamp", now);
        let answer = post.header("webhook-signature", signature).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 202, "{}", answer.text().await.unwrap());
        lead["lead"]["uuid"].as_str().unwrap().to_owned()
    }
}

/// Every one of these leads has arrived, and all that arrived is signed with a secret.
async fn assert_arrived(receiver: &Receiver, leads: &[String], secret: &str) {
    let mut missing: HashSet<&String> = leads.iter().collect();
    let mut seen = 0;
    wait_until("every lead has arrived", async || {
        let arrived = receiver.requests();
        for request in &arrived[seen..] {
            verify(request, secret);
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            missing.retain(|uuid| body["lead"]["uuid"] != **uuid);
        }
        seen = arrived.len();
        missing.is_empty()
    })
    .await;
}

/// When a rotation is killed: once it has logged so many lines, or once so much of it was seen from outside.
#[derive(Clone, Copy)]
enum Moment {
    Lines(usize),
    Changes(usize),
}

/// What a rotation has done so far: the keys in the file, the keys that the database asks for, how much is sealed anew.
async fn progress(file: &Path, pool: &PgPool) -> (usize, bool, bool, i64) {
    let (next, previous, resealed): (bool, bool, i64) = sqlx::query_as(
        "SELECT next_fingerprint IS NOT NULL, previous_fingerprint IS NOT NULL,
                (SELECT count(*) FROM signing_secret WHERE substr(sealed, 2, 4) = substr(key_fingerprint, 1, 4))
         FROM installation",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    (keys(file), next, previous, resealed)
}

/// Starts a rotation and kills it. False if it had ended before.
async fn kill_rotation(dir: &Path, pool: &PgPool, moment: Moment) -> bool {
    let file = dir.join("master.key");
    let (mut child, mut lines) = start(&["--data-dir", dir.to_str().unwrap()]);
    let (mut logged, mut changes, mut last) = (Vec::new(), 0, progress(&file, pool).await);
    let is_time = |lines, changes| match moment {
        Moment::Lines(n) => lines >= n,
        Moment::Changes(n) => changes >= n,
    };
    while !is_time(logged.len(), changes) {
        tokio::select! {
            line = lines.next_line() => match line.unwrap() {
                Some(line) => logged.push(line),
                None => break,
            },
            now = progress(&file, pool) => {
                changes += usize::from(now != last);
                last = now;
            }
        }
    }
    child.start_kill().unwrap();
    let status = child.wait().await.unwrap();
    assert!(status.success() || status.signal() == Some(9), "{logged:#?}");
    if !status.success() {
        let (keys, next, previous, resealed) = progress(&file, pool).await;
        println!(
            "killed with {keys} keys in the file, next {next}, previous {previous}, {resealed} under the sealing key"
        );
    }
    !status.success()
}

/// The private database of a daemon that runs.
pub(crate) fn private(dir: &Path) -> PgPool {
    PgPool::connect_lazy_with(DumpSource::running(dir).unwrap().connect_options())
}

/// Adds so many secrets that sealing them anew takes several transactions.
pub(crate) async fn add_secrets(pool: &PgPool, file: &Path, integration: &str) {
    let ring = master_key::load(file).unwrap().unwrap();
    let sealer = Sealer::new(file, &ring);
    let (versions, sealed): (Vec<i32>, Vec<Vec<u8>>) = (2..=450)
        .map(|version| {
            let row = format!("{integration}/{version}");
            let place = AdditionalData { company: 8, table: "signing_secret", row, column: "sealed" };
            (version, sealer.seal(&ring.newest_fingerprint(), &place, b"whsec_unused").unwrap())
        })
        .unzip();
    sqlx::query(
        "INSERT INTO signing_secret (company_id, integration_id, version, sealed)
         SELECT company_id, integration_id, more.version, more.sealed
         FROM signing_secret s, unnest($1::integer[], $2::bytea[]) more (version, sealed)
         WHERE company_id = 8 AND s.version = 1",
    )
    .bind(versions)
    .bind(sealed)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_twenty_times_loses_nothing() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let dir = daemon.dir().to_owned();
    let file = dir.join("master.key");
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    operator.company(7).await;
    operator.company(8).await;
    let secret = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.signing_secret;
    let other =
        operator.webhook(8, "other", &receiver.url("/other"), json!({})).await.integration.unwrap().id;
    let sender = Sender::new(&operator, daemon.url("/v1/leads")).await;
    let pool = private(&dir);
    add_secrets(&pool, &file, &other).await;
    let first_key = fs::read_to_string(&file).unwrap();

    let is_over = CancellationToken::new();
    let stream = async {
        let mut leads = Vec::new();
        while !is_over.is_cancelled() {
            leads.push(sender.post(leads.len()).await);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        leads
    };
    let kills = async {
        let (mut kills, mut rotations) = (0, 0);
        while kills < 20 {
            let moment = [Moment::Lines(1 + rotations / 2 % 6), Moment::Changes(1 + rotations / 2 % 5)];
            kills += usize::from(kill_rotation(&dir, &pool, moment[rotations % 2]).await);
            rotations += 1;
            assert!(rotations < 200, "{kills} kills in {rotations} rotations");
        }
        succeed(&["--data-dir", dir.to_str().unwrap()]).await;
        is_over.cancel();
    };
    let (mut leads, ()) = tokio::join!(stream, kills);

    pool.close().await;
    assert_eq!(keys(&file), 1);
    assert_ne!(fs::read_to_string(&file).unwrap(), first_key);
    assert_arrived(&receiver, &leads, &secret).await;
    // The daemon that saw all of it opens and seals, as does one that starts now.
    for name in ["by the first", "by the second"] {
        leads.push(sender.post(leads.len()).await);
        assert_arrived(&receiver, &leads, &secret).await;
        Operator::new(daemon.control().await).webhook(8, name, &receiver.url("/other"), json!({})).await;
        let pool = private(&dir);
        assert_under_one_key(&pool).await;
        pool.close().await;
        assert_eq!(daemon.stop().await, Some(0));
        daemon.restart().await;
    }
    receiver.stop().await;
}

/// A copy of a key file of its own.
fn copy_key(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_the_next_key_is_named_and_waited_for() {
    let (database, folder) = (Database::create().await, tempfile::tempdir().unwrap());
    let files: [PathBuf; 3] = ["one.key", "two.key", "old.key"].map(|name| folder.path().join(name));
    let of = |file: &Path| {
        [format!("--database-url={}", database.url()), format!("--master-key={}", file.display())]
    };
    let args = files.each_ref().map(|file| of(file));
    let args = args.each_ref().map(|args| args.each_ref().map(String::as_str));
    master_key::create(&files[0]).unwrap();
    let one = ChildDaemon::start(None, &args[0]).await;
    files[1..].iter().for_each(|file| copy_key(&files[0], file));
    let two = ChildDaemon::start(None, &args[1]).await;
    let operator = Operator::new(one.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let made = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
    let post = async |daemon: &ChildDaemon| {
        let lead = sample_lead(receiver.count());
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await.0, 202);
        let uuid = lead["lead"]["uuid"].as_str().unwrap().to_owned();
        assert_arrived(&receiver, &[uuid], &made.signing_secret).await;
    };

    let data = format!("--data-dir={}", folder.path().join("data").display());
    let [url, key_file] = args[0];
    let (mut rotation, mut lines) = start(&[url, key_file]);
    let awaited = loop {
        let line =
            timeout(std::time::Duration::from_secs(60), lines.next_line()).await.unwrap().unwrap().unwrap();
        if line.contains("master_key_awaited") {
            break line;
        }
    };
    let shown = files[1].display().to_string();
    assert!(awaited.contains(&shown) && awaited.contains("copy the file to its key file"), "{awaited}");
    wait_until("that daemon says what it lacks", async || {
        two.log().iter().any(|line| line.contains("next_master_key_missing") && line.contains(&shown))
    })
    .await;
    assert!(!one.log().iter().any(|line| line.contains("next_master_key_missing")));
    let busy = rotate(&[url, key_file]).await;
    let doctor = command(&[url, key_file, &data]).arg("doctor").output().await.unwrap();
    let busy = String::from_utf8(busy.stderr).unwrap();
    assert!(busy.contains("another `leadlined master-key rotate` works on this database"), "{busy}");
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("look  master key") && doctor.contains("master-key rotate"), "{doctor}");
    post(&one).await;
    post(&two).await;
    assert_eq!(rotation.try_wait().unwrap(), None, "it waits");

    copy_key(&files[0], &files[1]);
    assert!(rotation.wait().await.unwrap().success());
    assert_under_one_key(&database.pool().await).await;
    assert_eq!((keys(&files[0]), keys(&files[1])), (1, 2), "the copy is its owner's to replace");
    post(&two).await;
    operator.webhook(7, "another", &receiver.url("/"), json!({})).await;
    assert_under_one_key(&database.pool().await).await;
    let old = args[2][1];
    let refused = refusal(&[url, old, &data, "--intake-listen=127.0.0.1:0", "--admin-listen=off"]).await;
    assert!(refused.contains("sealed with another master key"), "{refused}");
    let _late = ChildDaemon::start(None, &args[1]).await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_master_key_opens_what_the_old_one_sealed_and_the_old_one_nothing() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let secret = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.signing_secret;
    assert_eq!(daemon.stop().await, Some(0));

    let file = daemon.dir().join("master.key");
    let old = fs::read_to_string(&file).unwrap();
    let data = format!("--data-dir={}", daemon.dir().display());
    succeed(&[&data]).await;
    let new = fs::read_to_string(&file).unwrap();
    assert!(new != old && new.len() == old.len(), "one key, and another one");

    // Both keys, as after a crash and as somebody puts them together by hand: a file says by no order which one seals, and
    // what is made of it is always another key, which opens everything.
    let mut sealing = new.clone();
    for sealing_first in [true, false] {
        let both = if sealing_first { format!("{sealing}{old}") } else { format!("{old}{sealing}") };
        fs::write(&file, both).unwrap();
        for _ in ["before it is rotated", "afterwards"] {
            daemon.restart().await;
            let lead = sample_lead(receiver.count());
            assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await.0, 202);
            let requests = receiver.wait_for(receiver.count() + 1).await;
            verify(requests.last().unwrap(), &secret);
            let doctor = command(&[&data]).arg("doctor").output().await.unwrap();
            let doctor = String::from_utf8(doctor.stdout).unwrap();
            assert_eq!(doctor.contains("holds another key, too"), keys(&file) == 2, "{doctor}");
            assert_eq!(daemon.stop().await, Some(0));
            if keys(&file) == 2 {
                succeed(&[&data]).await;
            }
        }
        let rotated = fs::read_to_string(&file).unwrap();
        assert!(keys(&file) == 1 && rotated != old && rotated != sealing);
        sealing = rotated;
    }
    fs::write(&file, &old).unwrap();
    let error = refusal(&[&data, "--intake-listen", "127.0.0.1:0"]).await;
    assert!(error.contains("sealed with another master key"), "{error}");
    receiver.stop().await;
}

/// As where the daemon knows of its database by a file that this command was not given: it would lose its key.
#[tokio::test]
async fn no_key_is_rotated_for_a_database_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let (file, key) = (dir.join("master.key"), "ab".repeat(32));
    fs::write(&file, &key).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let data = format!("--data-dir={}", dir.display());
    assert_eq!(
        refusal(&[&data, "master-key", "rotate"]).await,
        format!(
            "leadlined: there is no private database in {}: name the data directory (--data-dir), or the database that \
             the daemon uses (--config, --database-url)",
            dir.display()
        )
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
}

#[tokio::test]
async fn every_sealed_column_is_sealed_anew() {
    let pool = Database::create().await.pool().await;
    let mut columns: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               AND a.atttypid = 'bytea'::regtype AND a.attname LIKE 'sealed%'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let mut known = sealed::columns();
    columns.sort();
    known.sort();
    assert_eq!(columns, known, "store/sealed.rs says which columns are sealed");
}
