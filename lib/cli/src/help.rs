//! The help of a tool in the user's language.
//!
//! Changes no option and no default; in English, nothing at all.

use clap::{Arg, ArgAction, Command};

use crate::words::{is_foreign, say};

/// What clap itself writes in a help text; the rest is ours.
const DRESS: [&str; 5] = [
    "Usage:",
    "[OPTIONS]",
    "[default:",
    "[possible values:",
    "Possible values:",
];

/// Puts the help of a command's options in the user's words.
pub(crate) fn translated(command: Command) -> Command {
    if !is_foreign() {
        return command;
    }
    let about = command.get_about().map(|text| say_owned(&text.to_string()));
    let help = |id: &'static str, letter, text| {
        let action = match id {
            "help" => ArgAction::Help,
            _ => ArgAction::Version,
        };
        Arg::new(id)
            .short(letter)
            .long(id)
            .action(action)
            .help(text)
    };
    let command = command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(help("help", 'h', "Print help"))
        .arg(help("version", 'V', "Print version"))
        .mut_args(translated_arg);
    match about {
        Some(about) => command.about(about),
        None => command,
    }
}

fn translated_arg(arg: Arg) -> Arg {
    let heading = match arg.get_help_heading() {
        Some(heading) => heading.to_owned(),
        None if arg.is_positional() => "Arguments".to_owned(),
        None => "Options".to_owned(),
    };
    let help = arg.get_help().map(ToString::to_string);
    // A heading lives as long as the program; so do these few.
    let arg = arg.help_heading(&*say_owned(&heading).leak());
    match help {
        Some(help) => arg.help(say_owned(&help)),
        None => arg,
    }
}

fn say_owned(text: &str) -> String {
    say(text).into_owned()
}

/// Puts in the user's words what clap wrote around the help.
pub(crate) fn dressed(help: &str) -> String {
    let dressed = DRESS
        .iter()
        .fold(help.to_owned(), |text, word| text.replace(word, &say(word)));
    let lines: Vec<String> = dressed.lines().map(value).collect();
    lines.join("\n")
}

/// A line on one of the values that an option takes: `- ask: Ask, on a terminal`.
fn value(line: &str) -> String {
    match line.split_once(": ") {
        Some((name, help)) if name.trim_start().starts_with("- ") => {
            let text = help.trim_start();
            let gap = &help[..help.len() - text.len()];
            format!("{name}: {gap}{}", say(text))
        }
        _ => line.to_owned(),
    }
}
