//! The user's language: what any room says in English, said in his words.
//!
//! English is what the rooms, the agent, smrd and the libraries below them
//! say to one another, to logs and to programs; a text is put in the user's
//! words at the edge, when a person is to read it, and nowhere else. So the
//! English text is the key of a translation (smr(7), LANGUAGE).

mod catalogue;

use std::borrow::Cow;
use std::sync::OnceLock;

use self::catalogue::Catalogue;

/// Every translation there is: the language, and its file in `lib/cli/words`.
const LANGUAGES: [(&str, &str); 1] = [("pt", include_str!("../words/pt.po"))];

static SPOKEN: OnceLock<Option<&'static str>> = OnceLock::new();

/// Read when the first text is to be said: most runs of a tool say none, and
/// there are more than a thousand patterns.
static READ: OnceLock<Catalogue> = OnceLock::new();

/// Speaks the language of the environment from now on; who never calls this
/// speaks English, as smrd and smr-agent do.
pub fn speak() {
    let variable = |name: &str| std::env::var(name).ok();
    SPOKEN.get_or_init(|| wanted(variable));
}

/// Returns an English text in the user's language; as it is where he reads
/// English, or where nobody has translated it.
pub fn say(text: &str) -> Cow<'_, str> {
    let spoken = SPOKEN.get().copied().flatten();
    let said = spoken.and_then(|file| READ.get_or_init(|| Catalogue::read(file)).say(text));
    said.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Tells whether the user's words are other than English.
pub(crate) fn is_foreign() -> bool {
    matches!(SPOKEN.get(), Some(Some(_)))
}

/// Finds the translation that the environment asks for: the first set one of
/// `LC_ALL`, `LC_MESSAGES` and `LANG` names a locale (POSIX), and `LANGUAGE`
/// a list that is preferred to it, unless it is the locale `C` (gettext).
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let locale = set("LC_ALL")
        .or_else(|| set("LC_MESSAGES"))
        .or_else(|| set("LANG"))?;
    if language(&locale) == "C" || language(&locale) == "POSIX" || !is_utf8(&locale) {
        return None;
    }
    let preferred = set("LANGUAGE").unwrap_or(locale);
    preferred
        .split(':')
        .map(language)
        .find_map(|name| match name {
            "en" => Some(None),
            name => LANGUAGES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, file)| Some(*file)),
        })
        .flatten()
}

/// Returns `pt` of `pt_PT.UTF-8@euro`.
fn language(locale: &str) -> &str {
    locale.split(['_', '.', '@']).next().unwrap_or(locale)
}

/// We write UTF-8: a terminal that says it shows something else gets ASCII.
fn is_utf8(locale: &str) -> bool {
    let codeset = locale
        .split_once('.')
        .map(|(_, rest)| rest.split('@').next().unwrap_or(rest));
    codeset.is_none_or(|name| {
        let name = name.to_ascii_lowercase();
        name == "utf-8" || name == "utf8"
    })
}

#[cfg(test)]
mod tests {
    use super::{LANGUAGES, wanted};

    #[test]
    fn the_environment_chooses() {
        let portuguese = Some(LANGUAGES[0].1);
        for (variables, file) in [
            (&[("LANG", "pt_PT.UTF-8")][..], portuguese),
            (&[("LANG", "pt_PT.utf8@euro")], portuguese),
            (&[("LANG", "pt")], portuguese),
            (&[("LANG", "pt_BR.UTF-8")], portuguese),
            (
                &[("LC_MESSAGES", "pt_PT"), ("LANG", "en_GB.UTF-8")],
                portuguese,
            ),
            (&[("LC_ALL", ""), ("LANG", "pt_PT")], portuguese),
            (
                &[("LANG", "de_DE.UTF-8"), ("LANGUAGE", "fr:pt:en")],
                portuguese,
            ),
            (&[("LANG", "pt_PT"), ("LANGUAGE", "en:pt")], None),
            (&[("LC_ALL", "C.UTF-8"), ("LANG", "pt_PT.UTF-8")], None),
            (&[("LC_ALL", "C"), ("LANGUAGE", "pt")], None),
            (&[("LC_ALL", "POSIX"), ("LANG", "pt_PT")], None),
            (&[("LANGUAGE", "pt")], None),
            (&[("LANG", "pt_PT.ISO-8859-1")], None),
            (&[("LANG", "xx_XX.UTF-8")], None),
            (&[], None),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(wanted(variable).is_some(), file.is_some(), "{variables:?}");
        }
    }
}
