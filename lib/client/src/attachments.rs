//! Attachments into a folder, under names that are safe there.
//!
//! Follows no link in the folder, leaves it in no way, and overwrites nothing.
//! Names have one component, and are given by a link: there is no path below the
//! folder that openat2 would have to keep in it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};
use smr_name::Class;

use crate::failure::Failure;
use crate::fetch::{Emit, Message, PartInfo};
use crate::fresh::Fresh;
use crate::private::{self, PrivateError, is_full};
use crate::user::User;

// Most file systems take 255 bytes; some of it is for a number.
const MAX_NAME: usize = 240;

/// Writes every attachment of a message into a folder, and returns the names, in
/// order. The text of the message is none. They get their names when all are on
/// disk: a process that ends before leaves nothing behind.
pub fn extract(user: &User, message: &Message, dir: &Path) -> Result<Vec<String>, Failure> {
    check_folder(dir)?;
    open_many();
    let mut whole = Vec::new();
    for (part, name) in named(&message.opened.parts) {
        let fresh = create(dir, &name)?;
        fill(user, message, part, fresh.file()).map_err(|f| f.about(&format!("\"{name}\"")))?;
        whole.push((name, fresh));
    }
    let mut written: Vec<String> = Vec::new();
    for (name, fresh) in whole {
        if let Err(error) = fresh.keep() {
            // The message stays unread, and the next call must not find its own
            // leavings in the way; what cannot be removed is told of by it.
            let remove = |name: &String| drop(fs::remove_file(dir.join(name)));
            written.iter().for_each(remove);
            return Err(refused(error));
        }
        written.push(name);
    }
    Ok(written)
}

fn check_folder(dir: &Path) -> Result<(), Failure> {
    let opened = fs::read_dir(dir).map(drop);
    opened.map_err(|error| {
        let text = format!("cannot open the folder \"{}\": {error}", dir.display());
        Failure::new(Class::CannotCreate, text).hint(format!("mkdir {}", dir.display()))
    })
}

/// Lets this process have as many files open as it may.
fn open_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With less, a message of very many attachments is refused.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Begins a file, whose name must be free and of one component: it is given by
/// a link, which overwrites nothing and follows none.
fn create(dir: &Path, name: &str) -> Result<Fresh, Failure> {
    let path = dir.join(name);
    let begun = match path.symlink_metadata() {
        _ if name.contains('/') => {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            Err(private::failed("create a file in", dir)(error))
        }
        Ok(_) => Err(PrivateError::Exists(path)),
        Err(_) => Fresh::of_mode(dir, &path, 0o666),
    };
    begun.map_err(refused)
}

fn refused(error: PrivateError) -> Failure {
    let hint = match error {
        PrivateError::Exists(_) => "which folder has no such file?",
        _ => "may you write there?",
    };
    let class = match error.class() {
        Class::Busy => Class::Busy,
        _ => Class::CannotCreate,
    };
    Failure::new(class, error.to_string()).hint(hint)
}

fn fill(user: &User, message: &Message, part: &PartInfo, file: &File) -> Result<(), Failure> {
    let mut out = BufWriter::new(file);
    message.emit(user, Emit::Part(&part.number), &mut out)?;
    out.flush().map_err(|e| failed(&e))
}

fn failed(error: &io::Error) -> Failure {
    let class = if is_full(error) {
        Class::Busy
    } else {
        Class::Io
    };
    Failure::new(class, format!("cannot write: {error}"))
}

/// Returns the attachments with the names they get, each another.
fn named(parts: &[PartInfo]) -> Vec<(&PartInfo, String)> {
    let mut taken = Taken::default();
    let mut found = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let text = at == 0 && part.name.is_none() && part.content_type.starts_with("text/");
        if text {
            continue;
        }
        found.push((part, taken.free(&safe(part))));
    }
    found
}

/// Names that are given, in lower case: some file systems hold these to be one.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    /// The last number that a name got: thousands of parts may have one name.
    numbers: HashMap<String, u32>,
}

impl Taken {
    /// Takes the name, with a number before its extension where it is taken.
    fn free(&mut self, name: &str) -> String {
        let lower = name.to_lowercase();
        if self.names.insert(lower.clone()) {
            return name.to_owned();
        }
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        let number = self.numbers.entry(lower).or_insert(1);
        loop {
            *number += 1;
            let numbered = format!("{stem}-{number}{extension}");
            if self.names.insert(numbered.to_lowercase()) {
                return numbered;
            }
        }
    }
}

/// Returns a name of one component, that begins neither with a dot nor with a
/// dash, in which nothing is hidden.
fn safe(part: &PartInfo) -> String {
    let whole = part.name.as_deref().unwrap_or_default();
    let last = whole.rsplit(['/', '\\']).find(|piece| !piece.is_empty());
    let shown = last.unwrap_or_default().chars().map(|c| match hides(c) {
        true => '_',
        false => c,
    });
    let shown: String = shown.collect();
    let first = |c: char| matches!(c, '.' | '-') || c.is_whitespace();
    let shown = shown.trim_start_matches(first).trim_end();
    match shown.is_empty() {
        true => format!("part-{}", part.number),
        false => short(shown),
    }
}

/// Cuts what is too long before its extension.
fn short(name: &str) -> String {
    let Some(over) = name.len().checked_sub(MAX_NAME).filter(|over| *over > 0) else {
        return name.to_owned();
    };
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() < 20 && stem.len() > over => (stem, extension),
        _ => (name, ""),
    };
    let mut end = stem.len() - over;
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    match extension {
        "" => stem[..end].to_owned(),
        extension => format!("{}.{extension}", &stem[..end]),
    }
}

// Controls, and what turns or hides text (UAX 9).
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: &str, name: Option<&str>) -> PartInfo {
        PartInfo {
            number: number.to_owned(),
            content_type: "text/plain".to_owned(),
            name: name.map(str::to_owned),
            encoding: "7bit".to_owned(),
            size: 1,
        }
    }

    #[test]
    fn names_are_made_safe() {
        for (given, name) in [
            ("relatório.pdf", "relatório.pdf"),
            ("/etc/passwd", "passwd"),
            ("../../.ssh/authorized_keys", "authorized_keys"),
            ("..\\..\\boot.ini", "boot.ini"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("..", "part-2"),
            ("/", "part-2"),
            ("", "part-2"),
            ("a\nb\x1b[2J\0", "a_b_[2J_"),
            ("exe\u{202e}fdp.txt", "exe_fdp.txt"),
            (" .- x ", "x"),
            ("- .bashrc", "bashrc"),
            (". -\u{a0}. -rf", "rf"),
            ("- .- .", "part-2"),
            ("x.txt\u{3164}\u{115f}.sh", "x.txt__.sh"),
        ] {
            assert_eq!(safe(&part("2", Some(given))), name, "{given:?}");
        }
        let long = format!("{}.tar.gz", "é".repeat(200));
        let cut = safe(&part("2", Some(&long)));
        assert!(cut.len() <= MAX_NAME && cut.ends_with("é.gz"), "{cut}");
        assert_eq!(safe(&part("2", Some(&"x".repeat(400)))).len(), MAX_NAME);
    }

    #[test]
    fn no_two_have_one_name_and_the_text_has_none() {
        let parts = [
            part("1", None),
            part("2", Some("a.txt")),
            part("3", Some("x/A.txt")),
            part("4", Some("a.txt")),
            part("5", None),
            part("6", Some("part-5")),
        ];
        let names: Vec<String> = named(&parts).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["a.txt", "A-2.txt", "a-3.txt", "part-5", "part-5-2"]);
    }

    #[test]
    fn ten_thousand_of_one_name_are_named_at_once() {
        let parts: Vec<PartInfo> = (0..10_000).map(|_| part("2", Some("a.txt"))).collect();
        let start = std::time::Instant::now();
        let named = named(&parts);
        assert_eq!(named.last().unwrap().1, "a-10000.txt");
        // Each compared with each would take hours.
        assert!(start.elapsed() < std::time::Duration::from_secs(60));
    }

    #[test]
    fn nothing_is_overwritten_followed_or_left() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(dir.path().join("there"), "mine").unwrap();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        };
        link("outside/new", "dangling");
        link("outside", "door");
        for name in ["there", "dangling", "door/x", "../x", "/tmp/x", "door"] {
            let failure = create(dir.path(), name).err().unwrap();
            assert_eq!(failure.class, Class::CannotCreate, "{name}");
        }
        assert_eq!(std::fs::read(dir.path().join("there")).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        create(dir.path(), "new").unwrap().keep().unwrap();
    }
}
