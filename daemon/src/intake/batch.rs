//! Many leads in one request: a line in, a line out, in order, each after its own commit.
//!
//! The sender's reading sets the pace: no more lines are read than [`AHEAD`] beyond the answers it took, so a batch
//! of any length needs the same memory. Lines are worked on by tasks of their own, because a sender who does not
//! read must not keep a transaction open.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, BodyDataStream},
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes, BytesMut};
use futures::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    IntakeApp,
    accept::{self, Endpoint, Post, Receipt},
    body::{self, BODY_CAP},
    intake_store::IntakeStore,
    places::RequestPlace,
    problem::ProblemDetails,
    routes::{Sender, admit, check_origin, count, count_refusal},
    views::{Credential, KeyMatch},
};
use crate::domain::{ids::LeadId, lead};

const PATH: &str = "/v1/leads/batch";
/// How many lines are read ahead of the answers.
const AHEAD: usize = 64;
/// How long a line may take.
const LINE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a line may take more, if its sender could not write because it did not read.
const GRACE: Duration = Duration::from_secs(1);

/// `POST /v1/leads/batch`.
pub(super) async fn post_batch<S: IntakeStore>(
    State(app): State<Arc<IntakeApp<S>>>,
    Extension(client): Extension<Sender>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match open(&app, &client, &headers).await {
        Ok((credential, matched, place)) => {
            let is_short = wants_little(&headers);
            let batch =
                Arc::new(Batch { app, credential, matched, is_short, _client: client, _place: place });
            let answers = Body::from_stream(answers(batch, body.into_data_stream(), LINE_TIMEOUT));
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], answers).into_response()
        }
        Err(problem) => {
            body::discard(&headers, body, client).await;
            count_refusal(&problem);
            problem.into_response()
        }
    }
}

/// Whether the answers may leave the deliveries out.
fn wants_little(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split([',', ';']).any(|part| part.trim().eq_ignore_ascii_case("return=minimal")))
}

async fn open<S: IntakeStore>(
    app: &IntakeApp<S>,
    client: &Sender,
    headers: &HeaderMap,
) -> Result<(Credential, KeyMatch, RequestPlace), ProblemDetails> {
    let (credential, _) = admit(app, client, headers).await?;
    // Every line would say so: better to say it once, before the first.
    let matched = app.views.open_current(&credential).await?.ok_or_else(ProblemDetails::unauthorized)?;
    let checked = if matched.wants_signature() {
        Err(ProblemDetails::new(
            StatusCode::FORBIDDEN,
            "this intake key requires signed bodies, which a batch cannot have: post each lead to /v1/leads, or use another key",
        ))
    } else {
        let allowed = check_origin(app, client, &credential, &matched, headers).await;
        allowed.and_then(|()| body::check_batch_headers(headers))
    };
    match checked {
        Ok(()) => {
            let place = app.places.batch(matched.key_id(), matched.view.id)?;
            Ok((credential, matched, place))
        }
        Err(problem) => {
            app.refusals.keep(&matched, PATH, &problem, None);
            Err(problem)
        }
    }
}

/// What every line of a request shares.
struct Batch<S> {
    app: Arc<IntakeApp<S>>,
    credential: Credential,
    matched: KeyMatch,
    /// Answers leave the deliveries out.
    is_short: bool,
    _client: Sender,
    _place: RequestPlace,
}

/// The answers to the lines of a body.
fn answers<S: IntakeStore>(
    batch: Arc<Batch<S>>,
    body: BodyDataStream,
    limit: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let lines = BatchLines { chunks: body, buffer: BytesMut::new(), number: 0, limit, is_over: false };
    let reading = BatchReader { batch, lines, turns: Turns::default() };
    let begun = stream::unfold(reading, |mut reading| async {
        let answer = reading.begin().await?;
        Some((answer, reading))
    });
    begun
        .buffered(AHEAD)
        // A task that panicked has no answer, and the sender must not take the next one for it.
        .take_while(|answer| std::future::ready(answer.is_some()))
        .filter_map(|answer| std::future::ready(answer.map(Ok)))
}

struct BatchReader<S> {
    batch: Arc<Batch<S>>,
    lines: BatchLines,
    turns: Turns,
}

impl<S: IntakeStore> BatchReader<S> {
    /// Reads the next line and sets the work on it going; none behind the last one.
    async fn begin(&mut self) -> Option<impl Future<Output = Option<Bytes>> + use<S>> {
        let stop = self.batch.app.stop.clone();
        let line = tokio::select! {
            biased;
            () = stop.cancelled() => self.lines.stop(),
            line = self.next() => line,
        }?;
        let batch = Arc::clone(&self.batch);
        let (turn, room) = match &line.content {
            Ok(content) => {
                let uuid = batch.uuid_of(content).await;
                let room = batch.app.places.line(batch.matched.view.id, content.len()).await;
                (self.turns.take(uuid), room)
            }
            Err(_) => (None, None),
        };
        let work = async move {
            let _room = room;
            let answer = match line.content {
                Ok(content) => batch.accept(&content, turn).await,
                Err(problem) => Err(problem),
            };
            batch.line_of(line.number, answer)
        };
        let answer = self.batch.app.lines.spawn(work);
        Some(answer.map(Result::ok))
    }

    /// The next line, no earlier than its key's rate allows: a batch is slowed where single leads are refused.
    async fn next(&mut self) -> Option<BatchLine> {
        // Before the line is read: one that is taken off the body must have an answer.
        let matched = &self.batch.matched;
        while let Err(wait) = self.batch.app.rates.admit(matched.key_id(), matched.rate()) {
            sleep(wait).await;
        }
        self.lines.next().await
    }
}

impl<S: IntakeStore> Batch<S> {
    /// The uuid in a line; none if it has none or cannot be read.
    async fn uuid_of(&self, content: &Bytes) -> Option<LeadId> {
        if content.len() <= accept::SMALL {
            return lead::uuid_of(content);
        }
        let content = content.clone();
        self.app
            .settings
            .compute
            .run(self.matched.view.id, move || lead::uuid_of(&content))
            .await
            .ok()
            .flatten()
    }

    async fn accept(&self, content: &Bytes, turn: Option<LineTurn>) -> Result<Receipt, ProblemDetails> {
        // Kept to the end: it lets the next line about this lead begin.
        let mut turn = turn;
        if let Some(earlier) = turn.as_mut().and_then(|turn| turn.earlier.as_mut()) {
            // Its other end is dropped when that line is through, whatever came of it.
            earlier.await.unwrap_or_default();
        }
        // The company may have changed since the first line.
        let matched =
            self.app.views.open(&self.credential).await?.ok_or_else(ProblemDetails::unauthorized)?;
        let none = HeaderMap::new();
        let post =
            Post { endpoint: Endpoint::Leads, credential: &self.credential, headers: &none, body: content };
        let accepted = accept::accept(&self.app, post, matched).await;
        let accepted = accepted.map(|receipt| if self.is_short { receipt.short() } else { receipt });
        if let Err(problem) = &accepted
            && problem.status().is_client_error()
            && problem.status() != StatusCode::UNAUTHORIZED
        {
            self.app.refusals.keep(&self.matched, PATH, problem, Some(content));
        }
        accepted
    }

    /// The answer as it is sent.
    fn line_of(&self, line: u64, answer: Result<Receipt, ProblemDetails>) -> Bytes {
        let text = match &answer {
            Ok(receipt) => {
                count(receipt);
                serde_json::to_vec(&NumberedLine { line, receipt })
            }
            Err(problem) => {
                count_refusal(problem);
                serde_json::to_vec(&problem.document(Some(line)))
            }
        };
        let mut text = text.unwrap_or_default();
        text.push(b'\n');
        text.into()
    }
}

#[derive(Serialize)]
struct NumberedLine<'a> {
    line: u64,
    #[serde(flatten)]
    receipt: &'a Receipt,
}

/// Lines about one lead are worked on in their order; all others side by side.
#[derive(Default)]
struct Turns(HashMap<LeadId, oneshot::Receiver<()>>);

/// A line's place among those about its lead.
struct LineTurn {
    earlier: Option<oneshot::Receiver<()>>,
    /// Dropped when the line is through.
    _through: oneshot::Sender<()>,
}

impl Turns {
    fn take(&mut self, lead: Option<LeadId>) -> Option<LineTurn> {
        let (through, waiting) = oneshot::channel();
        let earlier = self.0.insert(lead?, waiting);
        if self.0.len() > 4 * AHEAD {
            self.0.retain(|_, line| line.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        }
        Some(LineTurn { earlier, _through: through })
    }
}

struct BatchLine {
    number: u64,
    content: Result<Bytes, ProblemDetails>,
}

/// A body's lines, none held longer than it takes to read the next one.
struct BatchLines {
    chunks: BodyDataStream,
    buffer: BytesMut,
    number: u64,
    limit: Duration,
    is_over: bool,
}

/// What came of reading on.
enum ReadOn {
    BatchLine(Bytes),
    TooLong,
    End,
    Broken,
}

impl BatchLines {
    /// The next line that is not blank; none at the end.
    async fn next(&mut self) -> Option<BatchLine> {
        while !self.is_over {
            let read = match timeout(self.limit, read(&mut self.chunks, &mut self.buffer)).await {
                Ok(read) => Some(read),
                // Reading pauses while nobody takes the answers, and the time goes on.
                Err(_) => timeout(GRACE, read(&mut self.chunks, &mut self.buffer)).await.ok(),
            };
            self.number += 1;
            let content = match read {
                Some(ReadOn::BatchLine(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Some(ReadOn::BatchLine(line)) => Ok(line),
                Some(ReadOn::TooLong) => {
                    let cap = BODY_CAP / 1024;
                    let detail = format!("the line is larger than {cap} KiB: send one lead a line");
                    Err(ProblemDetails::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
                }
                Some(ReadOn::End) => return self.end(),
                Some(ReadOn::Broken) => {
                    tracing::debug!(lines = self.number - 1, "a batch ended early");
                    return self.end();
                }
                None => {
                    self.is_over = true;
                    let seconds = self.limit.as_secs_f64();
                    let detail = format!(
                        "the line took longer than {seconds} s: send it and what follows it in another batch"
                    );
                    Err(ProblemDetails::new(StatusCode::REQUEST_TIMEOUT, detail))
                }
            };
            return Some(BatchLine { number: self.number, content });
        }
        None
    }

    fn end(&mut self) -> Option<BatchLine> {
        self.is_over = true;
        None
    }

    /// The last answer when the daemon stops; none behind it.
    fn stop(&mut self) -> Option<BatchLine> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        self.number += 1;
        let detail = "the daemon stops, this line and what follows it was not accepted: send it again";
        let content = Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        Some(BatchLine { number: self.number, content })
    }
}

/// Reads up to the next line end. It may be dropped at any time and begun again: what it read is in the buffer.
async fn read(chunks: &mut BodyDataStream, buffer: &mut BytesMut) -> ReadOn {
    let mut seen = 0;
    loop {
        if let Some(at) = buffer[seen..].iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(seen + at).freeze();
            buffer.advance(1);
            return if line.len() > BODY_CAP { ReadOn::TooLong } else { ReadOn::BatchLine(line) };
        }
        seen = buffer.len();
        // Keep only enough of an overlong line to report it.
        if seen > 2 * BODY_CAP {
            buffer.truncate(BODY_CAP + 1);
            seen = buffer.len();
        }
        match chunks.next().await {
            Some(Ok(chunk)) => buffer.extend_from_slice(&chunk),
            Some(Err(_)) => return ReadOn::Broken,
            None if buffer.is_empty() => return ReadOn::End,
            None if seen > BODY_CAP => {
                buffer.clear();
                return ReadOn::TooLong;
            }
            None => return ReadOn::BatchLine(buffer.split().freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: Vec<&'static str>) -> BatchLines {
        let chunks = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
        BatchLines {
            chunks: Body::from_stream(chunks).into_data_stream(),
            buffer: BytesMut::new(),
            number: 0,
            limit: Duration::from_millis(20),
            is_over: false,
        }
    }

    async fn seen(mut lines: BatchLines) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            let text = match line.content {
                Ok(content) => String::from_utf8_lossy(&content).into_owned(),
                Err(problem) => format!("{}: {}", problem.status().as_u16(), problem.detail()),
            };
            seen.push((line.number, text));
        }
        seen
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_chunks_are() {
        for chunks in [vec!["a\n\r\n b\nc"], vec!["a", "\n", "\r", "\n b", "\nc"], vec!["a\n\r\n b\nc\n"]] {
            let expected = [(1, "a"), (3, " b"), (4, "c")].map(|(number, text)| (number, text.to_owned()));
            assert_eq!(seen(lines(chunks)).await, expected);
        }
        assert_eq!(seen(lines(vec![])).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_refused_and_not_kept() {
        let long: &'static str = Box::leak("x".repeat(200 * 1024).into_boxed_str());
        let mut chunks = vec!["a\n"];
        chunks.extend([long; 20]);
        chunks.push("\nb\n");
        let mut lines = lines(chunks);
        assert_eq!(lines.next().await.unwrap().number, 1);
        assert!(lines.next().await.unwrap().content.is_err());
        assert!(lines.buffer.len() <= 3 * BODY_CAP && lines.buffer.capacity() < 2 * 1024 * 1024);
        assert_eq!(seen(lines).await, [(3, "b".to_owned())]);
    }

    #[tokio::test]
    async fn a_line_that_does_not_come_ends_the_batch() {
        let stalling = stream::iter([Ok::<_, Infallible>("a\n{\"lead\"")]).chain(stream::pending());
        let stalled = BatchLines { chunks: Body::from_stream(stalling).into_data_stream(), ..lines(vec![]) };
        let reported = "408: the line took longer than 0.02 s: send it and what follows it in another batch";
        assert_eq!(seen(stalled).await, [(1, "a".to_owned()), (2, reported.to_owned())]);
    }
}
