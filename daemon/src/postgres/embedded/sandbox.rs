//! What the private server and its programs may touch, held by the kernel (Landlock): their own files and the system's
//! programs. Mostly they run as the daemon's user, and must neither read its master key nor write what they are
//! configured by.

use std::{
    env, fs, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
};

use super::{is_made_for_sockets, layout::Layout, moved::moved, server::Server};

/// Programs and libraries of a system, whoever built it.
const PROGRAMS: [&str; 19] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/share",
    "/nix/store",
    "/gnu/store",
    "/home/linuxbrew/.linuxbrew",
];
/// What stands beside the folder of a server's programs, that folder included.
const BESIDE: [&str; 4] = ["bin", "lib", "lib64", "share"];
/// What libraries are set up by, and where users have their names from, as the server asks who connects. The whole of
/// `/etc`, as its files are replaced by new ones under the same names while the server runs, and a rule for a file holds
/// for the old one alone.
const SETTINGS: [&str; 6] =
    ["/etc", "/run/userdb", "/run/systemd/userdb", "/run/nscd", "/run/nslcd", "/var/lib/sss"];
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// Where processes of one server share memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// How far this kernel keeps programs to their own files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxSupport {
    Full,
    /// Other files of their user can be emptied, though not read or written: Landlock before Linux 6.2.
    Partial,
    Missing,
}

/// What the server's programs may touch. What they are started with open stays so.
#[derive(Clone, Debug, Default)]
pub(super) struct Sandbox {
    /// Read and executed.
    programs: Vec<PathBuf>,
    /// Read.
    configuration: Vec<PathBuf>,
    /// Read and written, never executed.
    own: Vec<PathBuf>,
    /// The directory that a socket directory is removed from.
    socket_parent: Option<PathBuf>,
}

impl Sandbox {
    pub(super) fn new(layout: &Layout, server: &Server, socket_dir: &Path) -> Self {
        let beside = server.folder().parent().map(|parent| BESIDE.map(|name| parent.join(name)));
        let libraries = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let programs = PROGRAMS.iter().map(PathBuf::from).chain(beside.into_iter().flatten());
        let programs = programs.chain([server.folder().to_owned()]);
        let programs = programs.chain(env::split_paths(&libraries).filter(|path| path.is_absolute()));
        let programs = programs.filter_map(|tree| tree.canonicalize().ok());
        let mut own = vec![layout.home.clone(), SHARED_MEMORY.into()];
        own.extend(moved(layout));
        // The socket of a server that was taken over stands where its pid file says, which it writes itself. It writes
        // nothing in the directories for temporary files, so what stands right in there is no link of its own.
        let parent = socket_dir.parent().filter(|_| is_made_for_sockets(socket_dir));
        let socket_parent = parent.filter(|_| !layout.directory.starts_with(socket_dir)).map(Path::to_owned);
        if socket_parent.is_some() {
            own.push(socket_dir.to_owned());
        }
        Self {
            programs: programs.flat_map(|tree| without(tree, &layout.directory)).collect(),
            configuration: layout.configuration().into(),
            own,
            socket_parent,
        }
    }

    /// Starts a program that is waited for beside other work.
    pub(super) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let runtime = Handle::current();
        self.run(move || {
            let _entered = runtime.enter();
            command.spawn()
        })
    }

    /// Starts something on a thread that has entered the sandbox, which whatever it starts inherits. There is no way back,
    /// so the thread ends with it.
    pub(super) fn run<T: Send>(&self, start: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("sandbox".to_owned()).spawn_scoped(scope, || {
                self.enter()?;
                start()
            })?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Keeps this thread to what the sandbox allows. A kernel that lacks something leaves it out.
    #[cfg(target_os = "linux")]
    fn enter(&self) -> io::Result<SandboxSupport> {
        use landlock::{
            ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
            RulesetError, Scope, make_bitflags, path_beneath_rules as rules,
        };

        let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
        // No links: nobody who goes by a path in here shall be led out of it.
        let write = make_bitflags!(AccessFs::{
            WriteFile | Truncate | MakeReg | MakeDir | MakeSock | RemoveFile | RemoveDir | Refer | ResolveUnix
        });
        let enter = || -> Result<_, RulesetError> {
            Ruleset::default()
                .handle_access(AccessFs::from_all(ABI::V9))?
                // Nothing connects but through the socket.
                .handle_access(AccessNet::from_all(ABI::V9))?
                .scope(Scope::AbstractUnixSocket)?
                .create()?
                .add_rules(rules(&self.programs, read | AccessFs::Execute))?
                .add_rules(rules(&self.configuration, read))?
                .add_rules(rules(SETTINGS, read | AccessFs::ResolveUnix))?
                .add_rules(rules(DEVICES, read | AccessFs::WriteFile))?
                .add_rules(rules(&self.own, read | write))?
                .add_rules(rules(&self.socket_parent, AccessFs::RemoveDir))?
                .restrict_self()
        };
        match enter() {
            Ok(status) => Ok(SandboxSupport::of(status.landlock)),
            Err(error) if is_forbidden(&error) => Ok(SandboxSupport::Missing),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn enter(&self) -> io::Result<SandboxSupport> {
        Ok(SandboxSupport::Missing)
    }
}

impl SandboxSupport {
    /// What this kernel does.
    pub fn here() -> io::Result<Self> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, || Sandbox::default().enter())?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    #[cfg(target_os = "linux")]
    fn of(kernel: landlock::LandlockStatus) -> Self {
        match kernel {
            landlock::LandlockStatus::Available { effective_abi, .. }
                if effective_abi >= landlock::ABI::V3 =>
            {
                Self::Full
            }
            landlock::LandlockStatus::Available { .. } => Self::Partial,
            landlock::LandlockStatus::NotEnabled | landlock::LandlockStatus::NotImplemented => Self::Missing,
        }
    }
}

/// Whether the sandbox is refused as such, by what filters system calls or for there being too many around it already. Like
/// a kernel that has none this stops no daemon; what is wrong with ours does.
#[cfg(target_os = "linux")]
fn is_forbidden(error: &landlock::RulesetError) -> bool {
    use landlock::{AddRuleError, AddRulesError, RestrictSelfError, RulesetError};
    match error {
        RulesetError::RestrictSelf(RestrictSelfError::RestrictSelfCall { .. }) => true,
        RulesetError::AddRules(AddRulesError::Fs(AddRuleError::AddRuleCall { source, .. })) => {
            matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
        }
        _ => false,
    }
}

/// A tree without what stands below one of its paths: what is beside the way there, as it is now.
fn without(tree: PathBuf, kept: &Path) -> Vec<PathBuf> {
    if !kept.starts_with(&tree) {
        return vec![tree];
    }
    let entries = fs::read_dir(&tree).into_iter().flatten().flatten();
    let beside = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let beside = beside.map(|entry| entry.path()).filter(|path| path != kept);
    if tree == kept { Vec::new() } else { beside.flat_map(|path| without(path, kept)).collect() }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use landlock::{ABI, LandlockStatus};

    use super::*;

    #[test]
    fn a_thread_in_the_sandbox_reads_and_writes_what_is_its_own() {
        if SandboxSupport::here().unwrap() == SandboxSupport::Missing {
            println!("left out: this kernel has no Landlock");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for name in ["own", "configured", "secret"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), name).unwrap();
        }
        let sandbox = Sandbox {
            own: vec![path("own"), path("not there")],
            configuration: vec![path("configured/file")],
            ..Sandbox::default()
        };
        let denied = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let seen = sandbox.run(|| {
            // Whatever replaces a file in there is read, too: the server asks it who connects.
            fs::read_dir("/etc")?;
            fs::write(path("own/new"), "")?;
            fs::rename(path("own/new"), path("own/renamed"))?;
            denied(fs::write(path("configured/file"), "").unwrap_err());
            denied(fs::read(path("secret/file")).unwrap_err());
            denied(fs::write(path("secret/file"), "").unwrap_err());
            denied(fs::read_dir(path("secret")).unwrap_err());
            denied(std::os::unix::fs::symlink(path("secret"), path("own/link")).unwrap_err());
            fs::read_to_string(path("configured/file"))
        });
        assert_eq!(seen.unwrap(), "configured");
        assert_eq!(
            fs::read_to_string(path("secret/file")).unwrap(),
            "secret",
            "others are as free as before"
        );
    }

    #[test]
    fn where_the_kernel_takes_no_more_sandboxes_programs_start_without_one() {
        if SandboxSupport::here().unwrap() == SandboxSupport::Missing {
            println!("left out: this kernel has no Landlock");
            return;
        }
        let crowded = || {
            // It takes sixteen, one within the other.
            for _ in 0..16 {
                Sandbox::default().enter().unwrap();
            }
            (Sandbox::default().enter().unwrap(), Sandbox::default().run(|| Ok("started")).unwrap())
        };
        let seen = thread::scope(|scope| scope.spawn(crowded).join().unwrap());
        assert_eq!(seen, (SandboxSupport::Missing, "started"));
    }

    #[test]
    fn a_tree_is_read_but_for_the_way_to_the_daemons_files() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for name in ["lib/one", "lib/leadline/data/postgres", "lib/leadline/other"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("lib/leadline/data"), path("lib/link")).unwrap();
        let mut left = without(path("lib"), &path("lib/leadline/data"));
        left.sort();
        assert_eq!(left, [path("lib/leadline/other"), path("lib/one")]);
        assert_eq!(without(path("lib"), &path("lib")), [""; 0].map(PathBuf::from));
        assert_eq!(without(path("lib"), &path("elsewhere")), [path("lib")]);
    }

    #[test]
    fn what_a_kernel_holds_is_told_apart() {
        let of =
            |effective_abi| SandboxSupport::of(LandlockStatus::Available { effective_abi, kernel_abi: None });
        assert_eq!([ABI::V1, ABI::V2, ABI::V3, ABI::V9].map(of), {
            use SandboxSupport::{Full, Partial};
            [Partial, Partial, Full, Full]
        });
        assert_eq!(SandboxSupport::of(LandlockStatus::NotEnabled), SandboxSupport::Missing);
        assert_eq!(SandboxSupport::of(LandlockStatus::NotImplemented), SandboxSupport::Missing);
    }
}
