//! The private database into and out of a stream, by PostgreSQL's own programs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    Cluster, EmbeddedError, NAME, layout::Layout, options, require_cluster, server::Server, settings::PORT,
    socket,
};
use crate::postgres::data_dir::DataDir;

const CHUNK: usize = 64 * 1024;

/// Hears how many bytes have passed so far.
pub trait DumpWatch: Send {
    fn passed(&mut self, bytes: u64);
}

/// A server that runs, whoever started it.
#[derive(Debug)]
pub struct DumpSource {
    server: Server,
    socket_dir: PathBuf,
}

impl DumpSource {
    /// The server that runs on a data directory.
    pub fn running(directory: &Path) -> Result<Self, EmbeddedError> {
        let directory =
            directory.canonicalize().map_err(|e| EmbeddedError::Files(directory.to_owned(), e))?;
        require_cluster(&directory)?;
        let layout = Layout::of(directory)?;
        let noted = layout.noted().filter(|noted| socket(&noted.socket_dir).exists());
        let noted = noted.ok_or_else(|| EmbeddedError::NotRunning(layout.directory.clone()))?;
        let server = Server::find(layout.major()?, &layout.account)?;
        Ok(Self { server, socket_dir: noted.socket_dir })
    }

    /// How to connect to it.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        options(&self.socket_dir, NAME)
    }

    /// Writes the database as it is at one moment. The answer is how many bytes that took.
    pub async fn dump(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        watch: impl DumpWatch,
    ) -> Result<u64, EmbeddedError> {
        let mut dump = client(&self.server, "pg_dump", &self.socket_dir)?;
        dump.args(["--format=custom", "--no-owner", "--no-privileges"]).stdin(Stdio::null());
        let mut child = spawn("pg_dump", dump.stdout(Stdio::piped()))?;
        let passed = match child.stdout.take() {
            Some(mut from) => pass(&mut from, out, watch).await,
            None => Ok(0),
        };
        // Of a disk that is full the program knows only that nobody reads on.
        let kept =
            |error: io::Error| Program::PgDump.failed(format!("what it writes cannot be kept: {error}"));
        let passed = passed.map_err(kept)?;
        ended(Program::PgDump, child).await.map(|()| passed)
    }
}

impl Cluster {
    /// Fills its database from a stream. The answer is how many bytes were read.
    pub async fn restore(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        watch: impl DumpWatch,
    ) -> Result<u64, EmbeddedError> {
        let mut restore = client(&self.launch.server, "pg_restore", &self.launch.socket_dir)?;
        restore.args(["--exit-on-error", "--no-owner", "--no-privileges"]).stdin(Stdio::piped());
        let mut child = spawn("pg_restore", restore.stdout(Stdio::null()))?;
        let passed = match child.stdin.take() {
            Some(mut out) => pass(from, &mut out, watch).await,
            None => Ok(0),
        };
        let passed = passed.map_err(|error| Program::PgRestore.failed(error.to_string()));
        // Its own words tell more than that it does not read any more.
        ended(Program::PgRestore, child).await.and(passed)
    }
}

/// Notes that the cluster which is made next is not whole yet, and removes what an earlier restore left.
pub fn begin_restore(data: &DataDir) -> Result<(), EmbeddedError> {
    let layout = Layout::prepare(data)?;
    let note = layout.restore_note();
    let begin = || {
        fs::write(&note, "")?;
        // A link that the server's account put there goes, not what it leads to.
        match fs::symlink_metadata(&layout.data) {
            Ok(there) if there.is_dir() => fs::remove_dir_all(&layout.data),
            Ok(_) => fs::remove_file(&layout.data),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    };
    begin().map_err(|error| EmbeddedError::Files(note.clone(), error))
}

/// The cluster is whole.
pub fn end_restore(data: &DataDir) -> Result<(), EmbeddedError> {
    let note = Layout::prepare(data)?.restore_note();
    fs::remove_file(&note).map_err(|error| EmbeddedError::Files(note.clone(), error))
}

/// Whether what stands there is an unfinished restore.
#[must_use]
pub fn is_broken_off(data: &DataDir) -> bool {
    data.path().join("server/restoring").exists()
}

#[derive(Clone, Copy)]
enum Program {
    PgDump,
    PgRestore,
}

impl Program {
    fn failed(self, why: String) -> EmbeddedError {
        let name = match self {
            Self::PgDump => "pg_dump",
            Self::PgRestore => "pg_restore",
        };
        EmbeddedError::Program { name, why }
    }
}

/// A client program of the server, run as ourselves: only we may connect.
fn client(server: &Server, name: &'static str, socket_dir: &Path) -> Result<Command, EmbeddedError> {
    let mut command = server.client(name)?;
    command.arg("-h").arg(socket_dir).args([
        "-p",
        &PORT.to_string(),
        "-U",
        NAME,
        "-d",
        NAME,
        "--no-password",
    ]);
    Ok(command)
}

fn spawn(name: &'static str, command: &mut Command) -> Result<tokio::process::Child, EmbeddedError> {
    command.stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new("")));
    let child = command.kill_on_drop(true).spawn();
    child.map_err(|error| EmbeddedError::Program { name, why: error.to_string() })
}

/// Waits for a program, and gives its first word if it failed.
async fn ended(program: Program, child: tokio::process::Child) -> Result<(), EmbeddedError> {
    let output = child.wait_with_output().await.map_err(|error| program.failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("error:")).or_else(|| text.lines().next());
    Err(program.failed(line.map_or_else(|| format!("it ended with {}", output.status), str::to_owned)))
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut watch: impl DumpWatch,
) -> io::Result<u64> {
    let (mut chunk, mut passed) = (vec![0; CHUNK], 0);
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            to.shutdown().await?;
            return Ok(passed);
        }
        to.write_all(&chunk[..read]).await?;
        passed += read as u64;
        watch.passed(passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Recorded<'a>(&'a mut Vec<u64>);

    impl DumpWatch for Recorded<'_> {
        fn passed(&mut self, bytes: u64) {
            self.0.push(bytes);
        }
    }

    #[tokio::test]
    async fn all_bytes_pass_and_each_chunk_is_heard_of() {
        let whole: Vec<u8> = (0..3 * CHUNK + 5).map(|n| n.to_le_bytes()[0]).collect();
        let (mut written, mut heard) = (Vec::new(), Vec::new());
        let passed = pass(&mut &whole[..], &mut written, Recorded(&mut heard)).await.unwrap();
        assert_eq!((passed, written == whole), (whole.len() as u64, true));
        let chunk = CHUNK as u64;
        assert_eq!(heard, [chunk, 2 * chunk, 3 * chunk, 3 * chunk + 5]);
    }
}
