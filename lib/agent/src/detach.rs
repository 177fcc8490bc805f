//! Leaving the terminal: a session of its own, and no standard streams.
//!
//! Never forks: whoever starts the agent does that.

use std::fs::File;
use std::io;

use rustix::process;
use rustix::stdio;

/// Begins a session of its own, so that closing the terminal does not end the
/// agent (setsid(2)). Fails for a leader of a process group.
pub fn leave_terminal() -> io::Result<()> {
    process::setsid()?;
    Ok(())
}

/// Points the standard streams at /dev/null, so that nobody waits for their
/// end.
pub fn close_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    stdio::dup2_stdin(&null)?;
    stdio::dup2_stdout(&null)?;
    stdio::dup2_stderr(&null)?;
    Ok(())
}
