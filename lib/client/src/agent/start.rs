//! Starting an agent where none listens.
//!
//! Waits for its word, never for a while.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::AgentError;
use super::talk::is_readable;

// An agent that has just been started listens within this time, in seconds.
const START: i64 = 20;

/// Starts `program`, the agent, to listen at `socket`; returns when it does.
///
/// It detaches itself from the terminal and ends when its last account is
/// gone.
pub fn start(program: &Path, socket: &Path) -> Result<(), AgentError> {
    let failed = |why: String| AgentError::Start {
        program: program.to_owned(),
        why,
    };
    let mut child = Command::new(program)
        .args(["--detach", "--exit-when-empty", "--ready-fd", "1"])
        .arg("--socket")
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if is_ready(&mut child)? {
        return Ok(());
    }
    // It may hang as well as have ended.
    let _ = child.kill();
    let output = child.wait_with_output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| !line.trim().is_empty());
    Err(failed(line.unwrap_or("it said nothing").to_owned()))
}

// Readiness is one line; the end of the stream before it is the end of the agent.
fn is_ready(child: &mut Child) -> Result<bool, AgentError> {
    let Some(stdout) = child.stdout.as_mut() else {
        return Ok(false);
    };
    let until = Instant::now() + Duration::from_secs(START.unsigned_abs());
    while Instant::now() < until {
        if is_readable(stdout, START)? {
            let mut line = [0; 64];
            let count = stdout.read(&mut line).map_err(AgentError::Lost)?;
            return Ok(line.get(..count).is_some_and(|l| l.ends_with(b"\n")));
        }
    }
    Ok(false)
}
