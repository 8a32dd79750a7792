//! The private server's whole configuration, written anew at each start so that it follows this version of ours.

use std::path::Path;

use super::NAME;

/// The contents of `postgresql.conf`.
pub(super) fn main(socket_dir: &Path, access: &Path, users: &Path) -> String {
    let socket_dir = quote(&format!("\"{}\"", socket_dir.to_string_lossy().replace('"', "\"\"")));
    let (access, users) = (quote(&access.to_string_lossy()), quote(&users.to_string_lossy()));
    format!(
        "# Written by leadlined at each start; changes here are lost.
hba_file = {access}
ident_file = {users}
# Nobody but us: a socket in a directory that only the server's user can enter, and no port.
listen_addresses = ''
unix_socket_directories = {socket_dir}
unix_socket_permissions = 0700
port = {PORT}
# A daemon uses about 22; tests run many on one cluster. An idle slot costs almost nothing.
max_connections = 200
# Holds the queue and the hot ends of the indexes; the operating system caches the rest.
shared_buffers = '128MB'
# What was acknowledged survives a power cut.
fsync = on
full_page_writes = on
synchronous_commit = on
# Fewer checkpoints mean fewer full pages in the log; recovery after a crash still takes seconds.
max_wal_size = '1GB'
checkpoint_timeout = '15min'
wal_compression = lz4
# Nobody replicates a private server. A snapshot for standbys would wake it every 15 seconds.
wal_level = minimal
max_wal_senders = 0
# Whoever commits writes the log; what is not waited for may take this long.
wal_writer_delay = '10s'
# The daemon says nothing on one connection, to hear when the server ends.
authentication_timeout = '10min'
# Every statement is short: compiling or spreading one costs more than it saves.
jit = off
max_parallel_workers_per_gather = 0
# Pages are as near in any order on the disks of today.
random_page_cost = 1.1
# The queue's table turns over in seconds. Each of three databases gets a process of its own so often, busy or not.
autovacuum_naptime = '20s'
log_min_messages = warning
# What else is said of an error quotes rows, and so people.
log_error_verbosity = terse
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
"
    )
}

/// Who may connect: whoever the system says is the daemon's user, and nobody else. The account of the server itself is
/// not among them where it is another one.
pub(super) fn access() -> String {
    format!("local all {NAME} peer map=daemon\n")
}

/// What the system calls the daemon's user, and what that one is in the database.
pub(super) fn users(client: &str) -> String {
    format!("daemon \"{}\" {NAME}\n", client.replace('"', "\"\""))
}

/// What `pg_ctl` hands to the server, through a shell.
pub(super) fn start_options(main: &Path) -> String {
    format!("--config-file='{}'", main.to_string_lossy().replace('\'', r"'\''"))
}

/// Only the name of the socket: nothing listens on a port.
pub(super) const PORT: u16 = 5432;

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_daemons_user_may_connect() {
        assert_eq!(access(), "local all leadline peer map=daemon\n");
        assert_eq!(users("o\"brien"), "daemon \"o\"\"brien\" leadline\n");
        let options = start_options("/it's here/postgresql.conf".as_ref());
        assert_eq!(options, r"--config-file='/it'\''s here/postgresql.conf'");
    }

    #[test]
    fn the_log_quotes_no_rows() {
        let text = main("/a".as_ref(), "/a/pg_hba.conf".as_ref(), "/a/pg_ident.conf".as_ref());
        assert!(text.contains("\nlog_error_verbosity = terse\n"));
    }

    #[test]
    fn directories_with_odd_names_stay_one_directory() {
        for (directory, expected) in [
            ("/var/lib/leadline/postgres", r#"'"/var/lib/leadline/postgres"'"#),
            (r#"/tmp/a, b's "c""#, r#"'"/tmp/a, b''s ""c"""'"#),
        ] {
            let line = format!("unix_socket_directories = {expected}\n");
            let text = main(directory.as_ref(), "/a/pg_hba.conf".as_ref(), "/it's/pg_ident.conf".as_ref());
            assert!(text.contains(&line), "{directory}");
            assert!(text.contains("hba_file = '/a/pg_hba.conf'\nident_file = '/it''s/pg_ident.conf'\n"));
        }
    }
}
