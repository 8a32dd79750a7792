//! What the runtime does around a connector: it renews tokens, keeps ids, and ends what does not end by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    Request,
    testkit::{NOW, Script, play, push, response},
};

crate::plan::plan! {
    /// What such a connector renders.
    struct Plan {
        email: String,
    }
}

/// A connector that does as a test wants.
struct Odd(Habit);

#[derive(Clone, Copy)]
enum Habit {
    Panics,
    PanicsRendering,
    CallsForEver,
    IgnoresFailures,
    KeepsAndGoesOn,
    LogsIn,
    /// It reads what was rendered, and tells it.
    Reads,
}

fn get() -> Request {
    Request::at(http::Method::GET, &"https://api.example.com".parse().unwrap(), &["a b", "c"])
}

#[async_trait]
impl Prepared for Odd {
    fn render(&self, _push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        assert!(!matches!(self.0, Habit::PanicsRendering), "as wanted");
        Ok(matches!(self.0, Habit::Reads).then(|| Plan { email: "a@b.c".to_owned() }.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        match self.0 {
            Habit::Panics | Habit::PanicsRendering => panic!("as wanted"),
            Habit::CallsForEver => loop {
                ctx.send(get()).await?;
            },
            Habit::IgnoresFailures => loop {
                if ctx.send(get()).await.is_err() {
                    ctx.keep(&[("a", "1")]).await;
                }
            },
            Habit::KeepsAndGoesOn => {
                if ctx.id("a").is_none() {
                    ctx.send(get()).await?;
                    ctx.keep(&[("a", "1")]).await;
                }
                ctx.keep(&[("a", "1")]).await;
                ctx.send(get()).await.map(drop)
            }
            Habit::Reads => {
                let plan = Plan::read(push, ctx)?;
                ctx.send(get().json(plan.email)).await.map(drop)
            }
            Habit::LogsIn => {
                ctx.send(get()).await?;
                ctx.send(get()).await.map(drop)
            }
        }
    }

    fn login(&self) -> Option<&dyn Login> {
        matches!(self.0, Habit::LogsIn).then_some(self)
    }
}

impl Login for Odd {
    fn request(&self, _now: Moment, _refresh: Option<&SecretString>) -> Result<Request, Failure> {
        Ok(get())
    }

    fn token(&self, answer: &Answer, now: Moment) -> Result<Token, Failure> {
        Err(match reading::read(answer, now) {
            Outcome::Failed(failure) => failure,
            Outcome::Delivered => Failure::new(FailureClass::Unknown, "no token"),
        })
    }
}

fn run(habit: Habit, answers: Vec<Answer>) -> crate::testkit::Played {
    let body = Bytes::from_static(b"{}");
    play(&Odd(habit), push(&body), Script::new(answers))
}

fn ok() -> Answer {
    Ok(response(200, &[], "{}"))
}

#[test]
fn a_connector_that_panics_fails_its_own_push() {
    for habit in [Habit::Panics, Habit::PanicsRendering] {
        let played = run(habit, vec![ok()]);
        let error = "the connector panicked on this lead: report it with the lead's uuid";
        assert_eq!(played.failure(), ("mapping", error, None));
    }
}

#[test]
fn a_connector_that_does_not_end_is_ended() {
    for habit in [Habit::CallsForEver, Habit::IgnoresFailures] {
        let played = run(habit, (0..100).map(|_| ok()).collect());
        assert_eq!(played.failure(), ("mapping", "the push did not end within 64 calls", None));
        assert_eq!(played.calls.len(), 64);
    }
}

#[test]
fn what_the_transport_ends_no_connector_goes_on_with() {
    let played = run(Habit::IgnoresFailures, vec![ok()]);
    assert_eq!((played.calls.len(), played.failure().1, played.ids.len()), (2, "the daemon died", 0));
}

/// A delivery that waits while another version is installed keeps what the old one rendered.
#[test]
fn what_another_version_rendered_is_rendered_anew() {
    let body = Bytes::new();
    for (kept, sent) in [
        (&br#"{"email":"kept@b.c"}"#[..], "kept@b.c"),
        (br#"{"email":{"address":"kept@b.c"}}"#, "a@b.c"),
        (br#"{"shape":1,"email":"kept@b.c"}"#, "kept@b.c"),
        (br#"{"shape":2,"email":"kept@b.c"}"#, "a@b.c"),
        (b"email=kept@b.c", "a@b.c"),
        (b"", "a@b.c"),
    ] {
        let kept = Bytes::from_static(kept);
        let push = Push { rendered: Some(&kept), ..push(&body) };
        let mut script = Script::new([ok()]);
        let driven = block_on(drive(&Odd(Habit::Reads), &mut script, push));
        assert_eq!(driven.outcome, Outcome::Delivered);
        let [Call::Http(request)] = &script.calls[..] else { panic!("{:?}", script.calls) };
        assert_eq!((request.body.as_ref(), driven.rendered.is_some()), (sent.as_bytes(), sent == "a@b.c"));
    }
}

#[test]
fn a_push_goes_on_after_what_was_kept() {
    let first = run(Habit::KeepsAndGoesOn, vec![ok()]);
    assert_eq!((first.calls.len(), first.ids.len(), first.failure().0), (2, 1, "unknown"));
    let body = Bytes::from_static(b"{}");
    let second =
        play(&Odd(Habit::KeepsAndGoesOn), Push { ids: &first.ids, ..push(&body) }, Script::new([ok()]));
    assert_eq!((second.calls.len(), second.outcome), (1, Outcome::Delivered));
}

#[test]
fn a_refused_token_is_renewed_once_for_each_call() {
    let refused = || Ok(response(401, &[], "expired"));
    let played = run(Habit::LogsIn, vec![refused(), ok(), refused(), ok()]);
    assert_eq!((played.renewals, played.calls.len(), &played.outcome), (2, 4, &Outcome::Delivered));
    for request in &played.requests {
        let secret: Vec<_> = request.headers.iter().filter(|header| header.secret).collect();
        assert_eq!((secret.len(), secret[0].value.to_str().unwrap()), (1, "Bearer token-of-a-login"));
    }
    let played = run(Habit::LogsIn, vec![refused(), refused()]);
    let error = "refused with a fresh token too: 401 Unauthorized: expired";
    assert_eq!((played.calls.len(), played.failure()), (2, ("credentials", error, None)));
}

#[test]
fn a_token_that_was_kept_may_be_refused_too() {
    let refused = || Ok(response(401, &[], "expired"));
    let mut script = Script::new([refused(), refused(), ok(), ok()]);
    script.token = Arc::new(Token { is_kept: true, ..(*script.token).clone() });
    let body = Bytes::from_static(b"{}");
    let played = play(&Odd(Habit::LogsIn), push(&body), script);
    assert_eq!((played.renewals, &played.outcome), (2, &Outcome::Delivered));
}

#[test]
fn a_login_directs_calls_to_where_it_says() {
    let mut script = Script::new([ok(), ok()]);
    let base = Some("https://eu.example.com:8443".parse().unwrap());
    script.token = Arc::new(Token { base, ..(*script.token).clone() });
    let body = Bytes::from_static(b"{}");
    let played = play(&Odd(Habit::LogsIn), push(&body), script);
    assert_eq!(played.requests[0].shown_url, "https://eu.example.com:8443/a%20b/c");
    assert_eq!(played.requests[1].url.as_str(), "https://eu.example.com:8443/a%20b/c");
}

#[async_trait]
impl LoginTransport for Script {
    async fn call(&mut self, call: &Call) -> Result<Answer, Failure> {
        Transport::call(self, call).await
    }

    async fn begin_refresh(&mut self, own: &SecretString) -> Result<RefreshTurn, Failure> {
        Ok(RefreshTurn::Begun(own.clone()))
    }

    async fn end_refresh(&mut self, _given: Option<&Token>) {}
}

#[test]
fn nothing_of_a_lead_has_left_whatever_becomes_of_a_login() {
    for (answer, class) in [
        (
            Err(crate::CallError { kind: crate::CallErrorKind::NoAnswer, message: "gone".to_owned() }),
            "transient",
        ),
        (Ok(response(200, &[], "")), "transient"),
        (Ok(response(403, &[], "")), "credentials"),
    ] {
        let mut script = Script::new([answer]);
        let got = log_in(&mut script, &Odd(Habit::LogsIn), NOW).now_or_never().unwrap();
        assert_eq!(got.unwrap_err().class.as_str(), class);
    }
}

/// A transport that waits once before each answer.
struct Slow(AtomicUsize);

#[async_trait]
impl Transport for Slow {
    async fn call(&mut self, _call: &Call) -> Result<Answer, Failure> {
        let mut has_waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Ok(response(200, &[], "{}")))
    }

    async fn keep(&mut self, _ids: &Ids) -> Result<(), Failure> {
        Ok(())
    }

    async fn token(&mut self, _: &dyn Login, _: Option<&Arc<Token>>) -> Result<Arc<Token>, Failure> {
        Err(Failure::new(FailureClass::Credentials, "none"))
    }

    async fn lock_person(&mut self, _person: &str) -> bool {
        false
    }
}

/// Polls until it is done: who waits here wakes itself.
fn block_on<T>(act: impl Future<Output = T>) -> T {
    let mut act = std::pin::pin!(act);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(done) = act.as_mut().poll(&mut context) {
            return done;
        }
    }
}

#[test]
fn a_push_waits_for_its_answers_and_a_login_that_fails_ends_it() {
    let body = Bytes::from_static(b"{}");
    let mut slow = Slow(AtomicUsize::new(0));
    let driven = block_on(drive(&Odd(Habit::KeepsAndGoesOn), &mut slow, push(&body)));
    assert_eq!((driven.outcome, slow.0.load(Ordering::Relaxed)), (Outcome::Delivered, 2));
    let driven = block_on(drive(&Odd(Habit::LogsIn), &mut slow, push(&body)));
    assert_eq!(driven.outcome, Outcome::Failed(Failure::new(FailureClass::Credentials, "none")));
}
