//! smr-agent: holds what is secret after login, for the tools of its user.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use smr_agent::{Heap, Options, detach};
use smr_cli::args;
use smr_client::home::Home;
use smr_name::Class;

/// Hold the secrets of the logged-in user, for the other tools.
#[derive(Parser)]
#[command(name = "smr-agent", version)]
struct Args {
    /// Listen at PATH [default: agent.sock in SMR_HOME or XDG_RUNTIME_DIR/smr]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Write one line to file descriptor N when listening
    #[arg(long, value_name = "N")]
    ready_fd: Option<u32>,
    /// End when the last account is gone
    #[arg(long)]
    exit_when_empty: bool,
    /// Stay in the terminal's session (the default)
    #[arg(long, conflicts_with = "detach")]
    foreground: bool,
    /// Leave the terminal's session, and its streams once listening
    #[arg(long)]
    detach: bool,
}

// What is freed is overwritten: secrets pass through libraries that do not.
#[global_allocator]
static HEAP: Heap = Heap;

fn main() -> ExitCode {
    let args: Args = match args::parse("smr-agent") {
        Ok(args) => args,
        Err(code) => return ExitCode::from(code),
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((class, text)) => {
            say("error", &text);
            ExitCode::from(class.code())
        }
    }
}

type Failure = (Class, String);

fn run(args: &Args) -> Result<(), Failure> {
    if args.detach {
        detach::leave_terminal().map_err(|e| (Class::Io, format!("leave the terminal: {e}")))?;
    }
    let ready_fd = args.ready_fd.map(descriptor).transpose()?;
    let options = Options {
        socket: socket(args)?,
        exit_when_empty: args.exit_when_empty,
    };
    let ready = || {
        // Whoever waited may have left; the agent is there all the same.
        let _ = ready_fd.map(|mut file| file.write_all(b"ready\n"));
        if args.detach {
            let _ = detach::close_streams();
        }
    };
    smr_agent::run(&options, ready, |text| say("warning", text))
        .map_err(|error| (error.class(), error.to_string()))
}

fn socket(args: &Args) -> Result<PathBuf, Failure> {
    let failed = |error: smr_client::home::HomeError| (error.class(), error.to_string());
    match &args.socket {
        Some(path) => Ok(path.clone()),
        None => {
            let home = Home::find(None).map_err(failed)?;
            home.prepare_agent_dir().map_err(failed)
        }
    }
}

fn descriptor(number: u32) -> Result<File, Failure> {
    let path = format!("/proc/self/fd/{number}");
    let file = File::options().write(true).open(path);
    file.map_err(|e| (Class::Usage, format!("file descriptor {number}: {e}")))
}

// Never panics: whoever started the agent may have closed its standard error.
fn say(kind: &str, text: &str) {
    let _ = writeln!(io::stderr(), "smr-agent: {kind}: {text}");
}
