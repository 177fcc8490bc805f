//! PINs, passphrases and yes or no, from a person or from what stands in.
//!
//! In this order: flags, `$CREDENTIALS_DIRECTORY`, `SMR_ASKPASS`, pinentry,
//! `/dev/tty` (smr(7)). Never from arguments or plain variables, and never
//! kept longer than the answer.

mod confirm;
mod read;

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use self::confirm::confirm;
use self::read::{askpass, read_file};
use crate::args::SecretArgs;
use crate::pinentry::{self, Pinentry};
use crate::text::visible;
use crate::words::say;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The PIN of a token, or the password of a key file.
    Pin,
    /// The passphrase of a key ring.
    Passphrase,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Pin => "PIN",
            Kind::Passphrase => "passphrase",
        }
    }

    fn credential(self) -> &'static str {
        match self {
            Kind::Pin => "smr.pin",
            Kind::Passphrase => "smr.passphrase",
        }
    }
}

/// One question for a secret.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked for.
    pub kind: Kind,
    /// Of what, as in `PIN of token "Card"`.
    pub of: &'a str,
    /// What else the person should know: few tries left, say.
    pub warning: Option<&'a str>,
    /// A new secret: a person types it twice, and it may not be empty.
    pub new: bool,
    /// Only a person may answer: a wrong answer locks the token.
    pub by_hand: bool,
}

impl Question<'_> {
    /// Returns what a person is asked, in English, with nothing hidden in it:
    /// what a token calls itself goes to programs that show anything.
    fn prompt(&self) -> String {
        let of = visible(self.of);
        match (self.kind, self.new) {
            (Kind::Pin, _) => format!("PIN of {of}"),
            (Kind::Passphrase, false) => format!("passphrase of {of}"),
            (Kind::Passphrase, true) => format!("new passphrase of {of}"),
        }
    }
}

/// An answer.
pub struct Secret {
    /// The text, without its line end.
    pub text: Zeroizing<String>,
    /// A person typed it just now.
    pub by_hand: bool,
}

/// Says why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file or descriptor cannot be read.
    #[error("cannot read the {kind} from {from}: {source}")]
    Read {
        /// PIN or passphrase.
        kind: &'static str,
        /// Where from.
        from: String,
        /// The system's answer.
        source: io::Error,
    },
    /// What was read is no secret.
    #[error("the {kind} from {from} is {what}")]
    Form {
        /// PIN or passphrase.
        kind: &'static str,
        /// Where from.
        from: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The program cannot be run.
    #[error("cannot run \"{}\": {source}", program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The person, or the program, said no.
    #[error("no {0} was given")]
    Cancelled(&'static str),
    /// The two texts of a new secret differ.
    #[error("the two {0}s differ")]
    Differ(&'static str),
    /// There is nobody to ask.
    #[error("there is no {0}, and nobody to ask for it")]
    Nobody(&'static str),
    /// There is nobody to ask, and only a person may answer.
    #[error("the PIN has one try left, it is only taken by hand")]
    LastTry,
    /// There is nobody to answer yes or no.
    #[error("there is nobody to answer \"{0}\"")]
    NobodyAnswers(String),
}

impl PromptError {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            PromptError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => 66,
            PromptError::Read { .. } => 74,
            PromptError::Form { .. } | PromptError::Differ(_) => 64,
            PromptError::Program { .. } => 69,
            PromptError::Cancelled(_)
            | PromptError::Nobody(_)
            | PromptError::LastTry
            | PromptError::NobodyAnswers(_) => 77,
        }
    }

    /// Returns a command or a question that helps, if there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PromptError::Nobody("PIN") => Some("--pin-file, or run it in a terminal"),
            PromptError::Nobody(_) => Some("--passphrase-file, or run it in a terminal"),
            PromptError::LastTry | PromptError::NobodyAnswers(_) => Some("run it in a terminal"),
            PromptError::Read { .. } => Some("is it there, and yours to read?"),
            PromptError::Form { .. } => Some("does it hold one line, and nothing else?"),
            PromptError::Program { .. } => Some("is it there, and executable?"),
            PromptError::Cancelled(_) | PromptError::Differ(_) => Some("run it again"),
        }
    }
}

/// What the environment offers.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// `SMR_ASKPASS`.
    pub askpass: Option<PathBuf>,
    /// pinentry, where it is installed and has a screen or terminal.
    pub pinentry: Option<PathBuf>,
    /// There is a `/dev/tty`.
    pub tty: bool,
}

impl Sources {
    /// Looks at the environment; with `no_input` nobody is asked.
    pub fn from_env(no_input: bool) -> Sources {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let tty = !no_input
            && OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/tty")
                .is_ok();
        let screen = set("DISPLAY").is_some() || set("WAYLAND_DISPLAY").is_some();
        let pinentry = if !no_input && (tty || screen) {
            set("PATH").and_then(|path| find("pinentry", &path))
        } else {
            None
        };
        Sources {
            credentials: set("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            askpass: set("SMR_ASKPASS").map(PathBuf::from),
            pinentry,
            tty,
        }
    }
}

fn find(program: &str, path: &OsString) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Asks for secrets.
pub struct Asker {
    tool: String,
    args: SecretArgs,
    sources: Sources,
    // A descriptor can be read but once.
    read: Vec<(u32, Zeroizing<String>)>,
}

impl Asker {
    /// Asks for `tool`.
    pub fn new(tool: &str, args: &SecretArgs, sources: Sources) -> Asker {
        Asker {
            tool: tool.to_owned(),
            args: args.clone(),
            sources,
            read: Vec::new(),
        }
    }

    /// Asks once, of the first source there is.
    pub fn ask(&mut self, question: &Question) -> Result<Secret, PromptError> {
        let kind = question.kind;
        if question.by_hand {
            return self
                .by_person(question)
                .unwrap_or(Err(PromptError::LastTry));
        }
        if let Some(text) = self.of_flags(kind)? {
            return checked(text, question, "the flag").map(stored);
        }
        if let Some(text) = self.of_credentials(kind)? {
            return checked(text, question, "$CREDENTIALS_DIRECTORY").map(stored);
        }
        if let Some(program) = &self.sources.askpass {
            let text = askpass(program, question)?;
            return checked(text, question, "SMR_ASKPASS").map(stored);
        }
        self.by_person(question)
            .unwrap_or(Err(PromptError::Nobody(kind.word())))
    }

    fn of_flags(&mut self, kind: Kind) -> Result<Option<Zeroizing<String>>, PromptError> {
        let (file, fd) = match kind {
            Kind::Pin => (&self.args.pin.pin_file, self.args.pin.pin_fd),
            Kind::Passphrase => (&self.args.passphrase_file, self.args.passphrase_fd),
        };
        if let Some(file) = file {
            return read_file(file, kind).map(Some);
        }
        let Some(fd) = fd else {
            return Ok(None);
        };
        if let Some((_, text)) = self.read.iter().find(|(read, _)| *read == fd) {
            return Ok(Some(text.clone()));
        }
        let text = read_file(&PathBuf::from(format!("/dev/fd/{fd}")), kind)?;
        self.read.push((fd, text.clone()));
        Ok(Some(text))
    }

    fn of_credentials(&self, kind: Kind) -> Result<Option<Zeroizing<String>>, PromptError> {
        let Some(dir) = &self.sources.credentials else {
            return Ok(None);
        };
        match read_file(&dir.join(kind.credential()), kind) {
            Err(PromptError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    // None where no person can be reached.
    fn by_person(&self, question: &Question) -> Option<Result<Secret, PromptError>> {
        if let Some(program) = &self.sources.pinentry {
            match self.typed_twice(question, |words| pinentry(program, words)) {
                Err(Entry::Unusable) => {}
                answer => return Some(answer.map_err(|e| e.into_error(question.kind))),
            }
        }
        self.sources.tty.then(|| {
            self.typed_twice(question, terminal)
                .map_err(|e| e.into_error(question.kind))
        })
    }

    fn typed_twice(
        &self,
        question: &Question,
        entry: impl Fn(&Words) -> Result<Zeroizing<String>, Entry>,
    ) -> Result<Secret, Entry> {
        let asks = |english: String| Words {
            title: &self.tool,
            prompt: say(&english).into_owned(),
            warning: question.warning.map(|warning| say(warning).into_owned()),
        };
        let prompt = question.prompt();
        let text = entry(&asks(prompt.clone()))?;
        let text = checked(text, question, "the keyboard").map_err(Entry::Refused)?;
        if question.new && entry(&asks(format!("{prompt}, again")))? != text {
            return Err(Entry::Refused(PromptError::Differ(question.kind.word())));
        }
        Ok(Secret {
            text,
            by_hand: true,
        })
    }
}

fn stored(text: Zeroizing<String>) -> Secret {
    Secret {
        text,
        by_hand: false,
    }
}

fn checked(
    text: Zeroizing<String>,
    question: &Question,
    from: &str,
) -> Result<Zeroizing<String>, PromptError> {
    if !text.is_empty() {
        return Ok(text);
    }
    Err(PromptError::Form {
        kind: question.kind.word(),
        from: from.to_owned(),
        what: "empty",
    })
}

/// What is shown to a person.
struct Words<'a> {
    title: &'a str,
    prompt: String,
    warning: Option<String>,
}

/// Why an entry gave nothing.
enum Entry {
    /// The person said no.
    Cancelled,
    /// This kind of entry does not work here.
    Unusable,
    /// What was typed cannot be used.
    Refused(PromptError),
}

impl Entry {
    fn into_error(self, kind: Kind) -> PromptError {
        match self {
            Entry::Cancelled => PromptError::Cancelled(kind.word()),
            Entry::Unusable => PromptError::Nobody(kind.word()),
            Entry::Refused(error) => error,
        }
    }
}

fn pinentry(program: &Path, words: &Words) -> Result<Zeroizing<String>, Entry> {
    let mut dialog = Pinentry::start(program).map_err(|_| Entry::Unusable)?;
    let answer = dialog.ask(words.title, &words.prompt, words.warning.as_deref());
    answer.map_err(|error| match error {
        pinentry::Failure::Cancelled => Entry::Cancelled,
        pinentry::Failure::Unusable => Entry::Unusable,
    })
}

fn terminal(words: &Words) -> Result<Zeroizing<String>, Entry> {
    let mut prompt = String::new();
    if let Some(warning) = &words.warning {
        prompt = format!("{}: {}\n", words.title, visible(warning));
    }
    prompt.push_str(&format!("{}: ", visible(&words.prompt)));
    match rpassword::prompt_password(prompt) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted => Err(Entry::Cancelled),
            _ => Err(Entry::Unusable),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::args::PinArgs;

    fn question(kind: Kind) -> Question<'static> {
        Question {
            kind,
            of: "token \"T\"",
            warning: None,
            new: false,
            by_hand: false,
        }
    }

    fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
        let path = dir.join(name);
        crate::pinentry::tests::write_program(&path, body);
        path
    }

    fn ask(
        args: &SecretArgs,
        sources: &Sources,
        question: &Question,
    ) -> Result<String, PromptError> {
        let mut asker = Asker::new("smr-x", args, sources.clone());
        asker.ask(question).map(|secret| secret.text.to_string())
    }

    #[test]
    fn sources_are_asked_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let mut args = SecretArgs {
            pin: PinArgs {
                pin_file: Some(file("flag", "1111\n")),
                pin_fd: None,
            },
            ..SecretArgs::default()
        };
        let mut sources = Sources {
            credentials: Some(dir.path().to_owned()),
            askpass: Some(script(dir.path(), "askpass", "printf '%s\\n' \"$1\"")),
            pinentry: Some(script(
                dir.path(),
                "pinentry",
                "echo OK; while read -r l; do case $l in GETPIN) echo D 4444;; esac; echo OK; done",
            )),
            tty: false,
        };
        file("smr.pin", "2222");
        let pin = question(Kind::Pin);
        assert_eq!(ask(&args, &sources, &pin).unwrap(), "1111");
        args.pin.pin_file = None;
        assert_eq!(ask(&args, &sources, &pin).unwrap(), "2222");
        fs::remove_file(dir.path().join("smr.pin")).unwrap();
        assert_eq!(ask(&args, &sources, &pin).unwrap(), "PIN of token \"T\": ");
        let hidden = Question {
            of: "token \"\u{202e}T\x1b\"",
            ..pin
        };
        let shown = "PIN of token \"\\u{202e}T\\x1b\": ";
        assert_eq!(ask(&args, &sources, &hidden).unwrap(), shown);
        sources.askpass = None;
        assert_eq!(ask(&args, &sources, &pin).unwrap(), "4444");
        sources.pinentry = None;
        let error = ask(&args, &sources, &pin).unwrap_err();
        assert!(matches!(error, PromptError::Nobody("PIN")));
        assert_eq!(error.code(), 77);
    }

    #[test]
    fn what_was_read_is_not_copied_when_it_is_moved() {
        assert!(size_of::<read::Bounded>() < 64);
    }

    #[test]
    fn pins_are_no_passphrases() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pin"), "1").unwrap();
        let args = SecretArgs {
            pin: PinArgs {
                pin_file: Some(dir.path().join("pin")),
                pin_fd: None,
            },
            ..SecretArgs::default()
        };
        let error = ask(&args, &Sources::default(), &question(Kind::Passphrase)).unwrap_err();
        assert!(matches!(error, PromptError::Nobody("passphrase")));
    }

    #[test]
    fn one_line_end_is_stripped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        for (text, read) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            (" a \n\n", " a \n"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_file(&path, Kind::Pin).unwrap().as_str(), read);
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let args = SecretArgs {
            passphrase_file: Some(path.clone()),
            ..SecretArgs::default()
        };
        let asked = question(Kind::Passphrase);
        let fails = |bytes: &[u8], code| {
            fs::write(&path, bytes).unwrap();
            let error = ask(&args, &Sources::default(), &asked).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        };
        fails(b"\n", 64);
        fails(b"\xff", 64);
        fails(&[b'a'; 4097], 64);
        fs::write(&path, [b'a'; 4096]).unwrap();
        assert_eq!(ask(&args, &Sources::default(), &asked).unwrap().len(), 4096);
        fs::remove_file(&path).unwrap();
        let error = ask(&args, &Sources::default(), &asked).unwrap_err();
        assert_eq!(error.code(), 66);
    }

    #[test]
    fn only_a_person_takes_the_last_try() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("smr.pin"), "1").unwrap();
        let mut asked = question(Kind::Pin);
        asked.by_hand = true;
        let mut sources = Sources {
            credentials: Some(dir.path().to_owned()),
            askpass: Some(script(dir.path(), "askpass", "echo 2")),
            ..Sources::default()
        };
        let error = ask(&SecretArgs::default(), &sources, &asked).unwrap_err();
        assert!(matches!(error, PromptError::LastTry));
        sources.pinentry = Some(script(
            dir.path(),
            "pinentry",
            "echo OK; while read -r l; do case $l in GETPIN) echo D 3;; esac; echo OK; done",
        ));
        assert_eq!(ask(&SecretArgs::default(), &sources, &asked).unwrap(), "3");
    }

    #[test]
    fn new_secrets_are_typed_twice() {
        let dir = tempfile::tempdir().unwrap();
        let pinentry = |answers: &str| Sources {
            pinentry: Some(script(
                dir.path(),
                "pinentry",
                &format!(
                    "echo OK; while read -r l; do case $l in *again*) again=2;; \
                     GETPIN) {answers};; esac; echo OK; done"
                ),
            )),
            ..Sources::default()
        };
        let mut asked = question(Kind::Passphrase);
        asked.new = true;
        let same = ask(&SecretArgs::default(), &pinentry("echo D same"), &asked);
        assert_eq!(same.unwrap(), "same");
        let other = ask(&SecretArgs::default(), &pinentry("echo D x$again"), &asked);
        assert!(matches!(
            other.unwrap_err(),
            PromptError::Differ("passphrase")
        ));
    }

    #[test]
    fn programs_may_refuse() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = Sources {
            askpass: Some(script(dir.path(), "askpass", "echo 1; exit 1")),
            ..Sources::default()
        };
        let pin = question(Kind::Pin);
        let error = ask(&SecretArgs::default(), &sources, &pin).unwrap_err();
        assert!(matches!(error, PromptError::Cancelled("PIN")));
        sources.askpass = Some("/nonexistent".into());
        let error = ask(&SecretArgs::default(), &sources, &pin).unwrap_err();
        assert_eq!(error.code(), 69);
    }
}
