//! Completion scripts for bash, zsh and fish, made from the options themselves.
//!
//! Installs nothing: scripts/completions does.

use std::ffi::OsStr;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

/// The option that prints a script; packagers use it, no page teaches it.
pub(crate) const OPTION: &str = "--completions";

/// Returns the script for a shell, or none where it is not known.
pub(crate) fn script<T: CommandFactory>(tool: &str, shell: &OsStr) -> Option<Vec<u8>> {
    let shell = Shell::from_str(shell.to_str()?, false).ok()?;
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut T::command(), tool, &mut text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::script;

    /// A tool
    #[derive(Parser)]
    struct Tool {
        #[arg(long)]
        _colour: bool,
    }

    #[test]
    fn scripts_know_the_options() {
        for shell in ["bash", "zsh", "fish"] {
            let text = script::<Tool>("smr-x", shell.as_ref()).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("colour") && text.contains("smr-x"), "{shell}");
        }
        assert!(script::<Tool>("smr-x", "tcsh".as_ref()).is_none());
    }
}
