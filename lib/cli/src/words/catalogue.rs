//! A catalogue of translations: gettext's file format (.po), its keys matched
//! as patterns.
//!
//! A key `no message "{id}"` fits every text of that form, and its translation
//! gets what stood at `{id}`. Never changes what stands between quotation
//! marks: that is a name, of a file or a mailbox, and no words of ours.

use polib::po_file;

/// How deep a text may stand in a text that stands in a text.
const DEEPEST: usize = 4;

/// Where in a text a cause may begin, from its start: a text from outside, long
/// and of colons, is not looked up at each of them.
const CAUSES: usize = 8;

/// Translations into one language.
pub(crate) struct Catalogue {
    entries: Vec<Entry>,
}

struct Entry {
    key: Template,
    words: Template,
}

/// A text with holes: one literal more than there are names.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    literals: Vec<String>,
    names: Vec<String>,
}

impl Catalogue {
    /// Reads a .po file; what is marked fuzzy or not translated is left out.
    pub(crate) fn read(po: &str) -> Catalogue {
        let file = po_file::parse_from_reader(po.as_bytes());
        let file = file.expect("the translations compiled in are read by a test");
        let entries = file
            .messages()
            .filter(|message| message.is_translated() && !message.is_fuzzy())
            .filter_map(|message| {
                Some(Entry {
                    key: Template::parse(message.msgid()),
                    words: Template::parse(message.msgstr().ok()?),
                })
            })
            .collect();
        Catalogue { entries }
    }

    /// Returns the translation of a text, if there is one.
    pub(crate) fn say(&self, text: &str) -> Option<String> {
        self.whole(text, DEEPEST)
            .or_else(|| self.cause(text, DEEPEST))
    }

    // Of several keys that fit, the one with most words of its own is meant.
    fn whole(&self, text: &str, depth: usize) -> Option<String> {
        let fitting = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry, entry.key.holes(text)?)));
        let (entry, holes) = fitting.max_by_key(|(entry, _)| entry.key.weight())?;
        let value = |name: &str| {
            let at = entry.key.names.iter().position(|known| known == name);
            at.map(|at| self.hole(entry, at, holes[at], depth))
        };
        Some(entry.words.fill(value))
    }

    // A single word is a name, or one that scripts know.
    fn hole(&self, entry: &Entry, at: usize, text: &str, depth: usize) -> String {
        let said = match depth {
            _ if entry.key.quotes(at) || !text.contains(' ') => None,
            0 => None,
            depth => self
                .whole(text, depth - 1)
                .or_else(|| self.cause(text, depth - 1)),
        };
        said.unwrap_or_else(|| text.to_owned())
    }

    // "what: why" where only the why, or each of them, has a translation.
    fn cause(&self, text: &str, depth: usize) -> Option<String> {
        let mut colons = text.match_indices(": ").take(CAUSES);
        colons.find_map(|(at, colon)| {
            let (what, why) = (&text[..at], &text[at + colon.len()..]);
            let why = self.whole(why, depth)?;
            let what = self.whole(what, depth).unwrap_or_else(|| what.to_owned());
            Some(format!("{what}: {why}"))
        })
    }
}

impl Template {
    /// Takes a text apart at its `{holes}`.
    fn parse(text: &str) -> Template {
        let mut template = Template {
            literals: vec![String::new()],
            names: Vec::new(),
        };
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            let name = from[1..].split_once('}').map_or("", |(name, _)| name);
            let is_name =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let literal = template.literals.last_mut().expect("never empty");
            literal.push_str(before);
            if is_name {
                template.names.push(name.to_owned());
                template.literals.push(String::new());
                rest = &from[name.len() + 2..];
            } else {
                literal.push('{');
                rest = &from[1..];
            }
        }
        let literal = template.literals.last_mut().expect("never empty");
        literal.push_str(rest);
        template
    }

    /// Returns what stands in the holes if `text` has this form. The first
    /// place where a literal fits is taken, so that no text takes long.
    fn holes<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let (first, others) = self.literals.split_first()?;
        let mut rest = text.strip_prefix(first.as_str())?;
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty().then(Vec::new);
        };
        let mut holes = Vec::new();
        for literal in middle {
            let (hole, after) = rest.split_once(literal.as_str())?;
            holes.push(hole);
            rest = after;
        }
        holes.push(rest.strip_suffix(last.as_str())?);
        Some(holes)
    }

    fn weight(&self) -> usize {
        self.literals.iter().map(String::len).sum()
    }

    /// Tells whether a hole stands between quotation marks.
    fn quotes(&self, at: usize) -> bool {
        let before = self.literals[at].chars().next_back();
        let after = self.literals[at + 1].chars().next();
        before == after && matches!(before, Some('"' | '\'' | '`'))
    }

    fn fill(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = self.literals[0].clone();
        for (name, literal) in self.names.iter().zip(&self.literals[1..]) {
            text.push_str(&value(name).unwrap_or_default());
            text.push_str(literal);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::LANGUAGES;
    use super::{Catalogue, Template};

    fn catalogue(entries: &[(&str, &str)]) -> Catalogue {
        let po: String = entries
            .iter()
            .map(|(key, words)| format!("msgid {key:?}\nmsgstr {words:?}\n\n"))
            .collect();
        Catalogue::read(&format!("msgid \"\"\nmsgstr \"Language: xx\\n\"\n\n{po}"))
    }

    #[test]
    fn texts_fit_their_keys() {
        let words = catalogue(&[
            (
                "no message \"{id}\" in {folder}",
                "em {folder} falta \"{id}\"",
            ),
            ("{0} is locked", "{0} fechada"),
            ("it is empty", "vazio"),
            ("cannot read \"{0}\": {source}", "ler \"{0}\": {source}"),
            ("the inbox", "a caixa"),
            ("locked", "fechado"),
        ]);
        for (english, said) in [
            ("it is empty", Some("vazio")),
            ("no message \"x\" in sent", Some("em sent falta \"x\"")),
            // What stands in a hole is said too, if it is a text.
            (
                "no message \"x\" in the inbox",
                Some("em a caixa falta \"x\""),
            ),
            ("cannot read \"/a\": it is empty", Some("ler \"/a\": vazio")),
            ("cannot read \"/a\": locked", Some("ler \"/a\": locked")),
            // A name stays what it is.
            (
                "cannot read \"it is empty\": boo",
                Some("ler \"it is empty\": boo"),
            ),
            // Only the cause is known, or each half by itself.
            ("/b: it is empty", Some("/b: vazio")),
            ("a: b: it is empty", Some("a: b: vazio")),
            ("the inbox: it is empty", Some("a caixa: vazio")),
            ("it is not empty", None),
            ("", None),
        ] {
            assert_eq!(words.say(english).as_deref(), said, "{english}");
        }
    }

    #[test]
    fn the_key_with_most_words_is_meant() {
        let words = catalogue(&[
            ("PIN of {of}", "PIN: {of}"),
            ("PIN of token \"{token}\"", "PIN do token \"{token}\""),
            ("PIN of token \"CC\"", "PIN de Autenticação"),
        ]);
        for (english, said) in [
            ("PIN of x", "PIN: x"),
            ("PIN of token \"x\"", "PIN do token \"x\""),
            ("PIN of token \"CC\"", "PIN de Autenticação"),
        ] {
            assert_eq!(words.say(english).as_deref(), Some(said));
        }
    }

    #[test]
    fn hostile_texts_cost_little() {
        let words = catalogue(&[("\"{a}\" {b} \"{c}\": {d}; {e}", "{a}{b}{c}{d}{e}")]);
        assert_eq!(words.say(&"\" \": ".repeat(5_000)), None);
        // As much as smrd can say at once, in all the languages there are.
        for (_, po) in LANGUAGES {
            assert_eq!(Catalogue::read(po).say(&"a: ".repeat(21_845)), None);
        }
    }

    #[test]
    fn a_cause_is_looked_for_near_the_beginning() {
        let words = catalogue(&[("it is empty", "vazio")]);
        let near = format!("{}it is empty", "a: ".repeat(8));
        let said = format!("{}vazio", "a: ".repeat(8));
        assert_eq!(words.say(&near), Some(said));
        assert_eq!(words.say(&format!("a: {near}")), None);
    }

    /// Every text is translated by its own entry, and not by one that fits too.
    #[test]
    fn no_key_takes_the_texts_of_another() {
        for (language, po) in LANGUAGES {
            let words = Catalogue::read(po);
            assert!(words.entries.len() > 900);
            for entry in &words.entries {
                let filled = |template: &Template| template.fill(|name| Some(format!("<{name}>")));
                let said = words.say(&filled(&entry.key));
                assert_eq!(said, Some(filled(&entry.words)), "{language}");
            }
        }
    }

    #[test]
    fn the_pins_of_the_citizen_card_have_their_official_names() {
        let words = Catalogue::read(LANGUAGES[0].1);
        for (pin, name) in [
            ("Auth PIN", "PIN de Autenticação"),
            ("Sign PIN", "PIN de Assinatura Digital"),
            ("Address PIN", "PIN de Morada"),
        ] {
            let token = format!("token \"CARTAO DE CIDADAO ({pin})\"");
            for english in [
                format!("PIN of {token}"),
                format!("the PIN of {token} is wrong"),
                format!("the PIN of {token} is locked"),
            ] {
                let said = words.say(&english).unwrap();
                assert!(
                    said.contains(&format!("{name} do Cartão de Cidadão")),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn braces_without_a_name_are_text() {
        let template = Template::parse("a { b {c} {d");
        assert_eq!(template.literals, ["a { b ", " {d"]);
        assert_eq!(template.names, ["c"]);
    }
}
