//! `leadline demo`: a throw-away daemon, receivers of every temper and a stream of leads, gone without a trace after.

mod daemon;
mod headless;
mod intake;
mod scene;
mod vendors;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Args;
use leadline_client::Reach;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{CliError, print},
    config::{Config, Wanted},
    console,
};

use daemon::DemoDaemon;
use intake::Intake;
use scene::Scene;

const HEADLESS_LEADS: usize = 20;

/// What the demo shows.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
It starts the leadlined beside this program in a directory of its own, on this machine's loopback only,
with four receivers: one good, one slow, one that fails now and then, one that refuses everything.
Nothing of it is left when it ends.

Examples:
  leadline demo                          watch and steer it in the console
  leadline demo --crm                    with contacts, deals and rows at every vendor that keeps some
  leadline demo --headless --leads 5     print what happens; exit 0 once all is delivered or dead")]
pub struct DemoOptions {
    /// No console: print what happens and end once every lead is delivered or dead with a reason
    #[arg(long)]
    headless: bool,
    /// Push to every vendor that keeps records too, as they would behave: HubSpot, Salesforce, Mailchimp, Google Sheets and all others
    #[arg(long)]
    crm: bool,
    /// How many leads [default: 20 without the console, else until you quit]
    #[arg(long, value_name = "N")]
    leads: Option<usize>,
    /// Leads a second [default: 4; 1 with --crm, as Pipedrive takes few calls]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
}

impl DemoOptions {
    fn rate(&self) -> f64 {
        self.rate.unwrap_or(if self.crm { 1.0 } else { 4.0 })
    }
}

/// A number of leads a second that the demo does not keep.
#[derive(Debug, thiserror::Error)]
#[error("give leads a second, from 0.01 to 1000")]
struct RateError;

fn rate(text: &str) -> Result<f64, RateError> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1000.0).contains(&rate) => Ok(rate),
        _ => Err(RateError),
    }
}

/// Plays the demo. However it ends, the daemon is stopped and its directory removed.
pub async fn run(options: DemoOptions, config: Config) -> Result<ExitCode, CliError> {
    let interrupted = interruption()?;
    let mut daemon = DemoDaemon::start()?;
    let outcome = tokio::select! {
        outcome = play(&options, config, &mut daemon) => outcome,
        () = interrupted => Err(CliError::Failed("interrupted; the demo is cleaned up".to_owned())),
    };
    let stopped = daemon.stop().await;
    outcome.and_then(|code| stopped.map(|()| code))
}

async fn play(options: &DemoOptions, config: Config, daemon: &mut DemoDaemon) -> Result<ExitCode, CliError> {
    let (client, address) = daemon.ready().await?;
    let scene = Scene::set(&client, options.crm).await?;
    let intake = Intake::new(address, scene.key.clone())?;
    print(&format!(
        "ready: leads come in at http://{address}/v1/leads, the control socket is {}\n",
        client.address()
    ))?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let shown = async {
        if options.headless || !terminal {
            headless::run(&client, &scene, &intake, options).await.map(|()| ExitCode::SUCCESS)
        } else {
            in_console(client.address().to_string(), config, &intake, options).await
        }
    };
    tokio::select! {
        outcome = shown => outcome,
        error = daemon.died() => Err(error),
    }
}

/// Leads come in while the console is open. If they stop coming, that is told when it closes.
async fn in_console(
    server: String,
    config: Config,
    intake: &Intake,
    options: &DemoOptions,
) -> Result<ExitCode, CliError> {
    let wanted = Wanted { reach: Reach::at(Some(server)), ..Wanted::default() };
    // A throw-away daemon is not remembered.
    let console = console::run(console::ConsoleOptions { config, wanted, session: None });
    tokio::pin!(console);
    let stream = intake.stream(options.leads.unwrap_or(usize::MAX), options.rate(), |_| Ok(()));
    let (code, streamed) = tokio::select! {
        outcome = &mut console => (outcome?, Ok(())),
        streamed = stream => (console.await?, streamed),
    };
    // Stopping takes a moment, and the screen has just become the shell's again.
    print("stopping leadlined and removing what it wrote\n")?;
    streamed.map(|()| code)
}

/// Completes at the first signal that asks us to end. It listens from now on.
fn interruption() -> Result<impl Future<Output = ()>, CliError> {
    let listen = |kind| signal(kind).map_err(CliError::io("cannot listen for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
