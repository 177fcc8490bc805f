//! age-plugin-smr: opens sealed files for the age program, with keys that stay
//! in the agent.

mod edge;

use std::process::ExitCode;

use clap::Parser;
use edge::{Edge, Stop};
use smr_cli::args::Common;
use smr_cli::json::Line;
use smr_cli::out::Out;
use smr_client::{login, plugin};

const TOOL: &str = "age-plugin-smr";

/// Print the identity by which age opens what is sealed to this account.
#[derive(Parser)]
#[command(name = TOOL, version)]
struct Args {
    /// Find the keys of files for age, which calls it so
    #[arg(long, value_name = "STATE")]
    age_plugin: Option<String>,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    edge::main(TOOL, |args: &Args| &args.common, run)
}

fn run(edge: &Edge, args: Args) -> Result<u8, Stop> {
    if let Some(state) = &args.age_plugin {
        plugin::serve(&edge.home, state)?;
        return Ok(0);
    }
    let account = login::account(&edge.home, &edge.settings)?;
    let identity = plugin::identity(&account);
    let mut out = Out::stdout();
    match edge.common.json {
        true => out.json(
            Line::new("identity")
                .with("account", account.to_string())
                .with("identity", identity),
        ),
        false => out.line(&identity),
    }
    .and_then(|()| out.finish())
    .map_err(Stop::Out)?;
    Ok(0)
}
