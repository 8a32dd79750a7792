//! Watches the daemons of other profiles, each by an actor of its own whose news carry the profile's name.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Actor, DaemonSession, Dial, PendingCall};
use crate::console::msg::{DaemonRequest, Msg};

/// What one of them may be ahead of the screen.
const BURST: usize = 64;

/// Another profile and how its daemon is reached.
pub type Other = (String, Arc<dyn Dial>);

impl Dial for Arc<dyn Dial> {
    fn dial(&self) -> PendingCall<Arc<dyn DaemonSession>> {
        (**self).dial()
    }
}

/// The watches, while there are any.
pub struct Lookout {
    others: Vec<Other>,
    out: mpsc::Sender<Msg>,
    tasks: JoinSet<()>,
    /// An actor ends when nobody can command it any more.
    commands: Vec<mpsc::UnboundedSender<DaemonRequest>>,
}

impl Lookout {
    /// Nobody is watched yet.
    pub fn new(others: Vec<Other>, out: mpsc::Sender<Msg>) -> Self {
        Self { others, out, tasks: JoinSet::new(), commands: Vec::new() }
    }

    /// The machine slept: whoever waits to dial does so at once.
    pub fn wake(&self) {
        // One that has ended needs no waking.
        self.commands.iter().for_each(|command| drop(command.send(DaemonRequest::Woke)));
    }

    /// Watches all of them from now on, or none.
    pub fn look(&mut self, looks: bool) {
        // The old ones end with their set.
        self.tasks = JoinSet::new();
        self.commands.clear();
        for (profile, dial) in self.others.iter().filter(|_| looks) {
            let (own, mut said) = mpsc::channel(BURST);
            let (command, commands) = mpsc::unbounded_channel();
            self.commands.push(command);
            self.tasks.spawn(Actor::new(dial.clone(), own, commands).run());
            let (profile, out) = (profile.clone(), self.out.clone());
            self.tasks.spawn(async move {
                while let Some(msg) = said.recv().await {
                    let msg = Msg::Elsewhere { profile: profile.clone(), said: Box::new(msg) };
                    if out.send(msg).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}
