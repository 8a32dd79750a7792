//! Leads from files, as an operator's command: message by message, each answered after its commit.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
};

use futures::{Stream, stream};
use leadline_proto::v1;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Control,
    attempt::stopping,
    check, mutate,
    pending_audit::{AuditEntry, PendingAudit},
    status, words,
};
use crate::{
    domain::{
        ids::{CompanyId, LeadId},
        import::{Import, Wish},
        integration::EventKind,
        lead::{self, AcceptContext, Accepted, LeadProblem, LeadRefusal},
    },
    store::{
        Error, LOCK_GAP,
        lead::{
            Reaccepted,
            intake::{CompanyView, Flushed, NewEvent},
        },
        operator::command::{Mutation, Refusal},
    },
};

/// How often lines are decided on again while an operator changes the company.
const ROUNDS: usize = 20;
/// How many lines a message may carry.
const LINES_MAX: usize = 1000;
/// So many lines of a message may be refused because somebody holds their leads, each of which is waited for a second; where
/// more are held, the import ends.
const HELD_MAX: usize = 10;
/// How many columns a file may have.
const COLUMNS_MAX: usize = 1000;

/// The answers of an import.
pub(super) type ImportReplies = Pin<Box<dyn Stream<Item = Result<v1::ImportLeadsResponse, Status>> + Send>>;

/// An import under way.
struct Importing {
    control: Control,
    call: Mutation,
    company: CompanyId,
    import: Import,
    lines: Streaming<v1::ImportLeadsRequest>,
    summary: v1::ImportSummary,
    pending: PendingAudit,
    /// On which line each key stands, if there are keys.
    keys: HashMap<LeadId, u64>,
    stop: CancellationToken,
    place: ImportStage,
}

/// How far an import is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ImportStage {
    Start,
    Lines,
    End,
}

impl Control {
    /// Begins an import, as its first message has it.
    pub(super) async fn import(
        &self,
        request: Request<Streaming<v1::ImportLeadsRequest>>,
    ) -> Result<Response<ImportReplies>, Status> {
        let (metadata, extensions, mut lines) = request.into_parts();
        let first = lines.message().await.map_err(status::with_reason)?.and_then(|message| message.start);
        let Some(start) = first else { return Ok(check::invalid("start: the first message must have it")?) };
        let (call, start) = mutate::call(Request::from_parts(metadata, extensions, start)).await?;
        if let Some(answer) = self.answered::<v1::ImportSummary>(&call).await? {
            let answer = v1::ImportLeadsResponse { summary: Some(answer.into_inner()), ..Default::default() };
            return Ok(Response::new(Box::pin(stream::iter([Ok(answer)]))));
        }
        let company = self.store.find_company(&start.company).await?;
        if start.columns.len() > COLUMNS_MAX {
            check::invalid(format!("columns: at most {COLUMNS_MAX}; leave out those that no lead needs"))?;
        }
        let (map, set) = (check::object("map", &start.map)?, check::object("set", &start.set)?);
        let order = words::read_date_order(start.date_order)?;
        let wish = Wish {
            map: &map,
            set: &set,
            columns: &start.columns,
            key: &start.key,
            strict: start.strict,
            order,
        };
        let import = Import::read(&wish).or_else(|problems| {
            let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
            check::invalid(texts.join("; "))
        })?;
        let summary = v1::ImportSummary { dry_run: start.dry_run, ..Default::default() };
        let (control, stop) = (self.clone(), self.stop.clone());
        let (keys, place) = (HashMap::new(), ImportStage::Start);
        let pending = PendingAudit::of(self, &call);
        let importing =
            Importing { control, call, company, import, lines, summary, pending, keys, stop, place };
        Ok(Response::new(Box::pin(stream::try_unfold(importing, |mut importing| async move {
            Ok(importing.next().await?.map(|answer| (answer, importing)))
        }))))
    }
}

impl Importing {
    async fn next(&mut self) -> Result<Option<v1::ImportLeadsResponse>, Status> {
        match self.place {
            ImportStage::Start => {
                self.place = ImportStage::Lines;
                if !self.import.own_columns().is_empty() {
                    return Ok(Some(self.own_columns()));
                }
            }
            ImportStage::Lines => {}
            ImportStage::End => return Ok(None),
        }
        let message = tokio::select! {
            message = self.lines.message() => message.map_err(status::with_reason)?,
            () = self.stop.cancelled() => return Err(stopping()),
        };
        let Some(message) = message else {
            self.place = ImportStage::End;
            let summary = Some(self.end().await?);
            return Ok(Some(v1::ImportLeadsResponse { summary, ..Default::default() }));
        };
        if message.lines.len() > LINES_MAX {
            check::invalid(format!("lines: at most {LINES_MAX} in a message; send more messages"))?;
        }
        let lines = self.take_in(message.lines).await?;
        self.count(&lines);
        if !self.summary.dry_run {
            let entry = self.entry();
            self.pending.remember(vec![entry]);
        }
        Ok(Some(v1::ImportLeadsResponse { lines, ..Default::default() }))
    }

    fn own_columns(&self) -> v1::ImportLeadsResponse {
        let own = self.import.own_columns().iter().map(|own| v1::OwnColumn {
            column: own.column.clone(),
            field: own.field.clone(),
            meant: own.meant.unwrap_or_default().to_owned(),
        });
        v1::ImportLeadsResponse { own_columns: own.collect(), ..Default::default() }
    }

    /// The audit line of what was changed, and the answer that a repeat gets.
    async fn end(&mut self) -> Result<v1::ImportSummary, Status> {
        if self.summary.dry_run {
            return Ok(self.summary);
        }
        let (told, summary) = (self.entry(), self.summary);
        let answer = self.control.carry_out(&self.call, |mut command| async move {
            told.write(&mut command).await?;
            Ok((command, summary))
        });
        let answer = answer.await?.into_inner();
        self.pending.forget();
        Ok(answer)
    }

    /// What the audit is told of it.
    fn entry(&self) -> AuditEntry {
        let summary = &self.summary;
        let after = json!({
            "accepted": summary.accepted,
            "updated": summary.updated,
            "duplicate": summary.duplicate,
            "refused": summary.refused,
        });
        AuditEntry { company: self.company, target: format!("{} lines", summary.lines), after }
    }

    fn count(&mut self, lines: &[v1::ImportedLine]) {
        for line in lines {
            self.summary.lines += 1;
            match line.status() {
                v1::ImportStatus::Accepted => self.summary.accepted += 1,
                v1::ImportStatus::Duplicate => self.summary.duplicate += 1,
                v1::ImportStatus::Updated => self.summary.updated += 1,
                v1::ImportStatus::Refused | v1::ImportStatus::Unspecified => self.summary.refused += 1,
            }
        }
    }

    /// Commits the lines of a message, as intake does: new leads in one statement, known ones one by one.
    async fn take_in(&mut self, lines: Vec<v1::ImportLine>) -> Result<Vec<v1::ImportedLine>, Refusal> {
        let mut answers: Vec<_> = lines.iter().map(|line| LineReply::open(line.number)).collect();
        // One lead may stand in every line.
        for _ in 0..ROUNDS + lines.len() {
            let view = self
                .control
                .store
                .company_view(self.company)
                .await?
                .ok_or_else(|| Refusal::unknown("company", self.company))?;
            let mut waiting = Vec::new();
            let mut leads = HashSet::new();
            for (at, line) in lines.iter().enumerate() {
                if !answers[at].is_open() {
                    continue;
                }
                match self.read(&view, line) {
                    // A lead that comes twice is committed one after the other.
                    Ok(accepted) if leads.insert(accepted.lead) => waiting.push((at, accepted)),
                    Ok(_) => {}
                    Err(problems) => answers[at].refuse(problems),
                }
            }
            if self.summary.dry_run {
                self.look(waiting, &mut answers).await?;
            } else {
                self.commit(&view, waiting, &mut answers).await?;
            }
            if answers.iter().all(|answer| !answer.is_open()) {
                return Ok(answers.into_iter().map(|answer| answer.0).collect());
            }
        }
        Err(Refusal::State(
            "the company is being changed all the time: import the file again in a moment".to_owned(),
        ))
    }

    fn read(&mut self, view: &CompanyView, line: &v1::ImportLine) -> Result<Accepted, Vec<LeadProblem>> {
        let (event, new_id) = self.import.event(view.id, &line.json)?;
        if self.import.has_key() {
            let first = *self.keys.entry(new_id).or_insert(line.number);
            if first != line.number {
                let detail = format!("has the key of line {first}: give each lead a key of its own");
                return Err(vec![LeadProblem { pointer: String::new(), detail }]);
            }
        }
        let context = AcceptContext { company: view.id, company_name: &view.name, new_id };
        lead::accept(&event.to_bytes(), &context).map_err(|wrong| match wrong {
            LeadRefusal::Invalid(problems) => problems,
            LeadRefusal::Malformed(error) => {
                vec![LeadProblem { pointer: String::new(), detail: error.to_string() }]
            }
        })
    }

    /// What committing would come to.
    async fn look(&self, waiting: Vec<(usize, Accepted)>, answers: &mut [LineReply]) -> Result<(), Refusal> {
        let leads: Vec<LeadId> = waiting.iter().map(|(_, accepted)| accepted.lead).collect();
        let known = self.control.store.known_leads(self.company, &leads).await?;
        for (at, accepted) in waiting {
            match known.get(&accepted.lead) {
                None => answers[at].close(v1::ImportStatus::Accepted, &accepted),
                Some(None) => answers[at].refuse(erased()),
                Some(Some(digest)) if digest[..] == accepted.digest => {
                    answers[at].close(v1::ImportStatus::Duplicate, &accepted);
                }
                Some(Some(_)) => answers[at].close(v1::ImportStatus::Updated, &accepted),
            }
        }
        Ok(())
    }

    async fn commit(
        &self,
        view: &CompanyView,
        waiting: Vec<(usize, Accepted)>,
        answers: &mut [LineReply],
    ) -> Result<(), Refusal> {
        let store = &self.control.store;
        let decided = |kind| move |accepted: &Accepted| NewEvent::decide(view, accepted, kind);
        let events: Vec<_> =
            waiting.iter().map(|(_, accepted)| decided(EventKind::Created)(accepted)).collect();
        let flushed = if events.is_empty() { Vec::new() } else { store.accept_file(&events).await? };
        if flushed.contains(&Flushed::Locked) {
            sleep(LOCK_GAP).await;
        }
        let mut held = 0;
        for ((at, accepted), flushed) in waiting.iter().zip(flushed) {
            match flushed {
                Flushed::Created => answers[*at].close(v1::ImportStatus::Accepted, accepted),
                // Decided on anew.
                Flushed::Stale | Flushed::Locked => {}
                Flushed::Known => match store.accept_again(&decided(EventKind::Updated)(accepted)).await {
                    Ok(Reaccepted::Duplicate(_)) => answers[*at].close(v1::ImportStatus::Duplicate, accepted),
                    Ok(Reaccepted::Updated(_)) => answers[*at].close(v1::ImportStatus::Updated, accepted),
                    Ok(Reaccepted::Erased) => answers[*at].refuse(erased()),
                    Ok(Reaccepted::Stale) => {}
                    Err(Error::Locked) if held < HELD_MAX => {
                        held += 1;
                        answers[*at].refuse(held_by_somebody());
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(())
    }
}

fn held_by_somebody() -> Vec<LeadProblem> {
    let detail = "somebody holds this lead in the database: import the file again in a moment".to_owned();
    vec![LeadProblem { pointer: String::new(), detail }]
}

fn erased() -> Vec<LeadProblem> {
    match LeadRefusal::erased() {
        LeadRefusal::Invalid(problems) => problems,
        LeadRefusal::Malformed(_) => Vec::new(),
    }
}

/// The answer to a line; open until its status is known.
struct LineReply(v1::ImportedLine);

impl LineReply {
    fn open(number: u64) -> Self {
        Self(v1::ImportedLine { number, ..Default::default() })
    }

    fn is_open(&self) -> bool {
        self.0.status() == v1::ImportStatus::Unspecified
    }

    fn close(&mut self, status: v1::ImportStatus, accepted: &Accepted) {
        self.0.set_status(status);
        self.0.lead = accepted.uuid.clone();
    }

    fn refuse(&mut self, problems: Vec<LeadProblem>) {
        self.0.set_status(v1::ImportStatus::Refused);
        let problems = problems.into_iter();
        self.0.problems =
            problems.map(|it| v1::FieldProblem { pointer: it.pointer, detail: it.detail }).collect();
    }
}
