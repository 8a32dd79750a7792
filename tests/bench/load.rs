//! Load: clients that post without a pause, and others that post at a steady rate.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    figures::Sample,
    http::{Arrival, Arrived, Client, Receiver},
    leadline::{Leadline, Target},
    leads::{Leads, lead},
};

/// What has not arrived so long after the last post is lost.
const LATEST: Duration = Duration::from_secs(30);

/// What a flood came to.
pub(crate) struct Flood {
    pub(crate) leads: usize,
    pub(crate) drained: Duration,
    accepted_in: Duration,
    latency: Sample,
}

impl Flood {
    pub(crate) fn leads_per_second(&self) -> f64 {
        self.leads as f64 / self.accepted_in.as_secs_f64()
    }

    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        self.latency.quantile(quantile)
    }
}

/// Posts new leads of about so many bytes from closed-loop clients, shared among the daemons, then waits until all
/// arrived.
pub(crate) async fn flood(
    leadline: &Leadline,
    target: &Target,
    clients: usize,
    bytes: usize,
    time: Duration,
) -> Flood {
    let leads = Arc::new(Leads::of(bytes));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (_, address) in (0..clients).zip(leadline.intakes().into_iter().cycle()) {
        let (key, leads) = (target.key.clone(), Arc::clone(&leads));
        tasks.spawn(async move {
            let mut client = Client::connect(address, "/v1/leads", &key).await;
            let mut latencies = Vec::new();
            while started.elapsed() < time {
                let body = leads.next(&ulid::Ulid::generate().to_string());
                let posted = Instant::now();
                assert_eq!(client.post(&body).await, 202);
                latencies.push(millis(posted.elapsed()));
            }
            latencies
        });
    }
    let latencies: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    let accepted_in = started.elapsed();
    leadline.wait_until_drained().await;
    let drained = started.elapsed();
    Flood { leads: latencies.len(), drained, accepted_in, latency: Sample::new(latencies) }
}

/// Milliseconds of a trickle.
pub(crate) struct Latency {
    pub(crate) accept: Sample,
    pub(crate) post: Sample,
    pub(crate) due: Sample,
    /// From when a lead was to be posted: a post that a late answer held up is as late as that made it, which a look from
    /// the post on would not see. The timer's own millisecond is in it.
    pub(crate) planned: Sample,
    /// From the answer to the sender to the arrival: below nothing where the push was faster.
    pub(crate) answered: Sample,
    pub(crate) leads: usize,
    pub(crate) arrived: Arrived,
}

/// Posts at a steady rate to a company with one integration, and compares each lead's times.
pub(crate) async fn trickle(
    leadline: &Leadline,
    target: &Target,
    rate: f64,
    time: Duration,
    receiver: &Receiver,
) -> Latency {
    receiver.note();
    let since = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    // One client in so many sends every so often, so that a slow answer delays nobody else's lead.
    let clients = 50_u32;
    for n in 0..clients {
        let (address, key) = (leadline.intakes()[0], target.key.clone());
        let every = Duration::from_secs_f64(f64::from(clients) / rate);
        tasks.spawn(async move {
            let mut client = Client::connect(address, "/v1/leads", &key).await;
            let mut next = started + every * n / clients;
            let mut posts = Vec::new();
            while next - started < time {
                tokio::time::sleep_until(next.into()).await;
                let uuid = ulid::Ulid::generate().to_string();
                let body = lead(&uuid);
                let posted = Instant::now();
                assert_eq!(client.post(&body).await, 202);
                posts.push(Post { uuid, planned: next, posted, took: posted.elapsed() });
                next += every;
            }
            posts
        });
    }
    let posts: Vec<Post> = tasks.join_all().await.into_iter().flatten().collect();
    let all = async {
        while receiver.noted_count() < posts.len() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(LATEST, all).await.is_err() {
        println!("  {} of {} leads arrived", receiver.noted_count(), posts.len());
    }
    // What they came to is written a moment later.
    sleep(Duration::from_millis(100)).await;
    compare(&posts, &receiver.noted(), &leadline.due_times(target.company, since).await)
}

/// One post of a trickle.
struct Post {
    uuid: String,
    planned: Instant,
    posted: Instant,
    took: Duration,
}

fn compare(posts: &[Post], arrivals: &HashMap<String, Arrival>, due_times: &HashMap<String, f64>) -> Latency {
    let (mut accept, mut post, mut due) = (Vec::new(), Vec::new(), Vec::new());
    let (mut planned, mut answered) = (Vec::new(), Vec::new());
    for it in posts {
        accept.push(millis(it.took));
        // What is lost is in no latency, but in the count.
        let Some(arrived) = arrivals.get(&it.uuid) else { continue };
        let until_arrival = millis(arrived.at.saturating_duration_since(it.posted));
        post.push(until_arrival);
        planned.push(millis(arrived.at.saturating_duration_since(it.planned)));
        answered.push(until_arrival - millis(it.took));
        due.push(millis(arrived.wall.duration_since(UNIX_EPOCH).unwrap()) - due_times[&it.uuid]);
    }
    Latency {
        accept: Sample::new(accept),
        post: Sample::new(post),
        due: Sample::new(due),
        planned: Sample::new(planned),
        answered: Sample::new(answered),
        leads: posts.len(),
        arrived: Arrived::of(arrivals.values().map(|arrival| arrival.times)),
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
