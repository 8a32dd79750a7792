//! The private server's whole configuration, written anew at each start so that it follows this version of ours.

use std::path::Path;

/// The contents of `postgresql.conf`.
pub(super) fn render(socket_dir: &Path) -> String {
    let socket_dir = quote(&format!("\"{}\"", socket_dir.to_string_lossy().replace('"', "\"\"")));
    format!(
        "# Written by leadlined at each start; changes here are lost.
# Nobody but us: a socket in a directory that only the server's user can enter, and no port.
listen_addresses = ''
unix_socket_directories = {socket_dir}
unix_socket_permissions = 0700
port = {PORT}
# A daemon uses about 20; tests run many on one cluster. An idle slot costs almost nothing.
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
# Every statement is short: compiling or spreading one costs more than it saves.
jit = off
max_parallel_workers_per_gather = 0
# Pages are as near in any order on the disks of today.
random_page_cost = 1.1
# The queue's table turns over in seconds.
autovacuum_naptime = '10s'
log_min_messages = warning
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
"
    )
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
    fn directories_with_odd_names_stay_one_directory() {
        for (directory, expected) in [
            ("/var/lib/leadline/postgres", r#"'"/var/lib/leadline/postgres"'"#),
            (r#"/tmp/a, b's "c""#, r#"'"/tmp/a, b''s ""c"""'"#),
        ] {
            let line = format!("unix_socket_directories = {expected}\n");
            assert!(render(directory.as_ref()).contains(&line), "{directory}");
        }
    }
}
