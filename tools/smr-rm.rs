//! smr-rm: removes own copies of messages.

mod edge;

use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use smr_cli::args::Common;
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_cli::report::Outcome;
use smr_client::removal::{self, Folder};

const TOOL: &str = "smr-rm";

/// Remove my copy of messages that came in or that I sent.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// Ids in standard input end with NUL
    #[arg(short = '0')]
    zero: bool,
    /// Messages, by id or prefix; "-" reads ids from standard input
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    let prefixes = edge::ids(edge, &args.ids, args.zero)?;
    let mut user = edge.user()?;
    let (mut out, mut outcome) = (Out::stdout(), Outcome::default());
    for prefix in &prefixes {
        match removal::remove(&mut user, prefix) {
            Ok((id, folders)) if edge.common.json => {
                let name = |folder: &Folder| match folder {
                    Folder::Inbox => "inbox",
                    Folder::Sent => "sent",
                    Folder::Receipts => "receipts",
                };
                let folders: Vec<String> = folders.iter().map(|f| name(f).to_owned()).collect();
                let line = Line::new("removed")
                    .with("id", id.to_string())
                    .with("folders", folders);
                out.json(line).map_err(Stop::Out)?;
            }
            Ok(_) => {}
            Err(failure) => outcome.note(Stop::Failure(failure).tell(&edge.report)),
        }
    }
    out.finish().map_err(Stop::Out)?;
    Ok(outcome.code())
}
