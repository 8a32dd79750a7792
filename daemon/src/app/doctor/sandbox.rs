//! Whether anything but its user keeps the private PostgreSQL from the daemon's files.

use super::{DoctorReport, Grade};
use crate::{config::Config, postgres::embedded::SandboxSupport, telemetry, user};

/// Nothing is said of a server of one's own: it has an account of its own.
pub(super) fn examine(report: &mut DoctorReport, config: &Config) {
    if config.database_url.is_some() {
        return;
    }
    match SandboxSupport::here().map(|support| judge(support, user::is_root())) {
        Ok((grade, text)) => report.add(grade, "sandbox", text),
        Err(error) => report.add(Grade::Bad, "sandbox", telemetry::causes(&error)),
    }
}

fn judge(support: SandboxSupport, is_root: bool) -> (Grade, &'static str) {
    match support {
        SandboxSupport::Full => (Grade::Good, "the private PostgreSQL reaches its own files only"),
        SandboxSupport::Partial => (
            Grade::Good,
            "the private PostgreSQL reads and writes its own files only; that it empties none of the daemon's takes \
             Linux 6.2",
        ),
        // The server has another user then.
        SandboxSupport::Missing if is_root => {
            (Grade::Good, "none: a user of its own keeps the private PostgreSQL from the master key")
        }
        SandboxSupport::Missing => (
            Grade::Look,
            "none: the private PostgreSQL could read the master key, as its user is the daemon's: run a kernel with \
             Landlock (Linux 6.2 or newer), or give --database-url",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_keeps_the_server_from_the_key_it_is_said() {
        use SandboxSupport::{Full, Missing, Partial};
        for (support, is_root, grade, text) in [
            (Full, false, Grade::Good, "the private PostgreSQL reaches its own files only"),
            (
                Partial,
                false,
                Grade::Good,
                "the private PostgreSQL reads and writes its own files only; that it empties none of the daemon's takes \
                 Linux 6.2",
            ),
            (
                Missing,
                true,
                Grade::Good,
                "none: a user of its own keeps the private PostgreSQL from the master key",
            ),
            (
                Missing,
                false,
                Grade::Look,
                "none: the private PostgreSQL could read the master key, as its user is the daemon's: run a kernel with \
                 Landlock (Linux 6.2 or newer), or give --database-url",
            ),
        ] {
            assert_eq!(judge(support, is_root), (grade, text), "{support:?}");
        }
    }
}
