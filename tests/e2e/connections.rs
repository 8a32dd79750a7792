//! Connections to targets: never more than pushes in flight are allowed, by however many daemons, and used again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Daemon, Database, Operator, check_invariants, post_lead, request_id, wait_until};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Stands before a receiver and counts the connections.
struct Counter {
    address: SocketAddr,
    counts: Arc<Counts>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    all: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Counter {
    async fn before(receiver: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let mut accepting = JoinSet::new();
        let shared = Arc::clone(&counts);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let counts = Arc::clone(&shared);
                counts.all.fetch_add(1, Ordering::SeqCst);
                let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                counts.most_open.fetch_max(open, Ordering::SeqCst);
                connections.spawn(async move {
                    let mut far = TcpStream::connect(receiver).await.unwrap();
                    // However it ends, it has.
                    copy_bidirectional(&mut near, &mut far).await.unwrap_or_default();
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, counts, _accepting: accepting }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn all(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }

    fn most_open(&self) -> usize {
        self.counts.most_open.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_keeps_its_connections_when_it_is_changed() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let counter = Counter::before(receiver.address()).await;
    let key = operator.company(7).await;
    let created = operator.webhook(7, "crm", &counter.url("/"), json!({})).await;
    let id = created.integration.unwrap().id;
    for n in 1..4 {
        post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        receiver.wait_for(n).await;
        wait_until("it is delivered", async || {
            operator.deliveries_of(&id).await.iter().filter(|it| it.state().word() == "delivered").count()
                == n
        })
        .await;
        let request = v1::UpdateIntegrationRequest {
            request_id: request_id(),
            integration: id.clone(),
            name: Some(format!("crm {n}")),
            ..Default::default()
        };
        operator.integrations().update_integration(request).await.unwrap();
    }
    assert_eq!(counter.all(), 1);
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_shares_its_connections() {
    const CONCURRENCY: usize = 4;
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let counter = Counter::before(receiver.address()).await;
    let key = operator.company(7).await;
    for n in 0..3 {
        let more = json!({ "concurrency": CONCURRENCY });
        operator.webhook(7, &format!("crm {n}"), &counter.url(&format!("/{n}")), more).await;
    }
    let mut posts = JoinSet::new();
    for n in 0..60 {
        let (url, key) = (daemon.url("/v1/leads"), key.clone());
        posts.spawn(async move { post_lead(&url, &key, sample_lead(n).to_string()).await.0 });
    }
    assert!(posts.join_all().await.into_iter().all(|status| status == 202));
    receiver.wait_for(180).await;
    assert!(counter.all() <= 3 * CONCURRENCY, "{} connections", counter.all());
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn daemons_that_join_in_the_middle_of_pushes_keep_the_limit() {
    const CONCURRENCY: usize = 4;
    const LANES: usize = 6;
    const ANSWERED_AFTER: Duration = Duration::from_millis(300);
    let database = Database::create().await;
    let one = Daemon::start_on(&database).await;
    let operator = Operator::new(one.control().await);
    let receiver = Receiver::start(Behaviour::Slow(ANSWERED_AFTER)).await.unwrap();
    let mut posts = JoinSet::new();
    // Of these companies each of three daemons pushes one, two lanes.
    for (n, company) in [6, 7, 11].into_iter().enumerate() {
        let key = operator.company(company).await;
        for lane in [2 * n, 2 * n + 1] {
            let more = json!({ "concurrency": CONCURRENCY });
            operator.webhook(company, &format!("crm {lane}"), &receiver.url(&format!("/{lane}")), more).await;
        }
        let url = one.url("/v1/leads");
        posts.spawn(async move {
            for n in 0..60 {
                assert_eq!(post_lead(&url, &key, sample_lead(n).to_string()).await.0, 202);
            }
        });
    }
    posts.join_all().await;
    receiver.wait_for(LANES).await;
    let (two, three) = tokio::join!(Daemon::start_on(&database), Daemon::start_on(&database));
    receiver.wait_for(60 * LANES).await;
    for lane in 0..LANES {
        let path = format!("/{lane}");
        let arrived: Vec<_> =
            receiver.requests().into_iter().filter(|request| request.path == path).map(|it| it.at).collect();
        // Before the first of them was answered, as many came as may be under way.
        let crowds =
            arrived.windows(CONCURRENCY + 1).filter(|few| few[CONCURRENCY] - few[0] < ANSWERED_AFTER);
        assert_eq!(crowds.count(), 0, "no lane gets more at once than it may, whoever pushes");
    }
    for daemon in [one, two, three] {
        daemon.stop().await;
    }
    assert_eq!(receiver.count(), 60 * LANES, "each once");
    check_invariants(&database.pool().await).await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_daemons_keep_one_limit() {
    const CONCURRENCY: usize = 2;
    let database = Database::create().await;
    let pool = database.pool().await;
    let one = Daemon::start_on(&database).await;
    let two = Daemon::start_on(&database).await;
    // Whoever beats hears who else lives: from then on both know which lanes are whose.
    let leases = async |which: &str| -> f64 {
        let sql = format!("SELECT extract(epoch FROM {which}(lease_until))::float8 FROM daemon");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    };
    let enrolled = leases("max").await;
    let have_heard = async || leases("min").await > enrolled;
    wait_until("the daemons have heard of each other", have_heard).await;
    let operator = Operator::new(one.control().await);
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(5))).await.unwrap();
    let mut counters = Vec::new();
    let mut posts = JoinSet::new();
    // Of these companies each daemon pushes one.
    for company in [7, 8] {
        let key = operator.company(company).await;
        for n in 0..2 {
            let counter = Counter::before(receiver.address()).await;
            let more = json!({ "concurrency": CONCURRENCY });
            operator.webhook(company, &format!("crm {n}"), &counter.url("/"), more).await;
            counters.push(counter);
        }
        for n in 0..40 {
            let url = if n % 2 == 0 { one.url("/v1/leads") } else { two.url("/v1/leads") };
            let key = key.clone();
            posts.spawn(async move { post_lead(&url, &key, sample_lead(n).to_string()).await.0 });
        }
    }
    assert!(posts.join_all().await.into_iter().all(|status| status == 202));
    receiver.wait_for(160).await;
    let most: Vec<_> = counters.iter().map(Counter::most_open).collect();
    assert!(most.iter().all(|open| *open <= CONCURRENCY), "{most:?} at once");
    one.stop().await;
    two.stop().await;
    assert_eq!(receiver.count(), 160, "each once");
    check_invariants(&pool).await;
    receiver.stop().await;
}
