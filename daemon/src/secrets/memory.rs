//! What this process holds in memory, the master key among it, is for nobody else: no core file is written of it, and no
//! other process of the same user may look into it.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Seals the memory of this process off from everybody but root. Its children get no core files either: the private
/// PostgreSQL holds leads.
pub fn seal_off() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // A service manager that has set the limit may forbid to set it.
    if getrlimit(Resource::Core) != none {
        setrlimit(Resource::Core, none)?;
    }
    Ok(())
}
