//! The audit of commands of several transactions whose counts are known with the last one. Whatever cuts one off before,
//! Ctrl-C or an error, what it changed by then is told all the same; a daemon that is killed alone leaves it out.

use serde_json::Value;

use super::Control;
use crate::{
    domain::ids::CompanyId,
    store::operator::command::{Command, Mutation, Refusal},
    telemetry,
};

/// A line of the audit: whose, about what, and what it came to.
pub(super) struct AuditEntry {
    pub(super) company: CompanyId,
    pub(super) target: String,
    pub(super) after: Value,
}

impl AuditEntry {
    pub(super) async fn write(&self, command: &mut Command) -> Result<(), Refusal> {
        command.audit(self.company, &self.target, None, Some(self.after.clone())).await
    }
}

/// What a command has changed and not told the audit yet.
pub(super) struct PendingAudit {
    control: Control,
    call: Mutation,
    entries: Vec<AuditEntry>,
}

impl PendingAudit {
    pub(super) fn of(control: &Control, call: &Mutation) -> Self {
        Self { control: control.clone(), call: call.clone(), entries: Vec::new() }
    }

    /// All that was changed so far.
    pub(super) fn remember(&mut self, entries: Vec<AuditEntry>) {
        self.entries = entries;
    }

    /// The last transaction has told the audit.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }
}

impl Drop for PendingAudit {
    fn drop(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return;
        }
        for entry in &mut entries {
            entry.after["cut_off"] = true.into();
        }
        let (store, call) = (self.control.store.clone(), self.call.clone());
        self.control.tracker.spawn(async move {
            let written = async {
                let mut command = store.batch(&call).await?;
                for entry in &entries {
                    entry.write(&mut command).await?;
                }
                command.commit().await
            };
            if let Err(error) = written.await {
                tracing::warn!(
                    event = "command_not_audited",
                    error = telemetry::causes(&error),
                    operator = call.operator,
                    method = call.method,
                    "a command was cut off, and the audit could not be told"
                );
            }
        });
    }
}
