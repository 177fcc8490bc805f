//! One table of smrd.toml, read key by key; what nobody asked for is an error.
//!
//! Never drops a key in silence: `finish` names the first unknown one and the
//! nearest known.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Says what is wrong at which byte of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

/// A table being used up.
pub(super) struct Section<'a> {
    path: String,
    table: DeTable<'a>,
    known: Vec<&'static str>,
    at: Range<usize>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    /// Wraps the whole document.
    pub(super) fn root(table: Spanned<DeTable<'a>>) -> Self {
        Section {
            path: String::new(),
            at: table.span(),
            table: table.into_inner(),
            known: Vec::new(),
        }
    }

    fn name(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn wrong(&self, key: &str, value: &Value<'_>, expected: &str) -> Fault {
        Fault {
            at: value.span(),
            text: format!(
                "\"{}\" is a {}, expected {expected}",
                self.name(key),
                value.get_ref().type_str()
            ),
        }
    }

    /// Takes a table; an absent one is empty.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Section<'a>, Fault> {
        let path = self.name(key);
        let Some(value) = self.take(key) else {
            let (table, at) = (DeTable::new(), self.at.clone());
            return Ok(Section {
                path,
                table,
                at,
                known: Vec::new(),
            });
        };
        if !value.get_ref().is_table() {
            return Err(self.wrong(key, &value, "a table"));
        }
        let at = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            return Err(Fault {
                at,
                text: format!("\"{path}\" is not a table"),
            });
        };
        Ok(Section {
            path,
            table,
            at,
            known: Vec::new(),
        })
    }

    /// Takes a text and reads it with `read`.
    pub(super) fn text<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let Some(text) = value.get_ref().as_str() else {
            return Err(self.wrong(key, &value, "a text in quotes"));
        };
        read(text)
            .map(Some)
            .map_err(|e| self.bad(key, text, &value, &e))
    }

    fn bad(&self, key: &str, text: &str, value: &Value<'_>, e: &dyn std::fmt::Display) -> Fault {
        Fault {
            at: value.span(),
            text: format!("\"{}\" = {text:?}: {e}", self.name(key)),
        }
    }

    /// Takes a list of texts and reads each with `read`.
    pub(super) fn texts<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let Some(array) = value.get_ref().as_array() else {
            return Err(self.wrong(key, &value, "a list of texts"));
        };
        let mut items = Vec::new();
        for item in array.iter() {
            let Some(text) = item.get_ref().as_str() else {
                return Err(self.wrong(key, item, "a text in quotes"));
            };
            items.push(read(text).map_err(|e| self.bad(key, text, item, &e))?);
        }
        Ok(Some(items))
    }

    /// Takes a whole number from `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|n| range.contains(n));
        number.map(Some).ok_or_else(|| Fault {
            at: value.span(),
            text: format!(
                "\"{}\" is not a whole number from {} to {}",
                self.name(key),
                range.start(),
                range.end()
            ),
        })
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let Some((key, _)) = self.table.iter().next() else {
            return Ok(());
        };
        let text: &Cow<'_, str> = key.get_ref();
        let hint = match nearest(text, &self.known) {
            Some(known) => format!(", the nearest known is \"{}\"", self.name(known)),
            None => String::new(),
        };
        Err(Fault {
            at: key.span(),
            text: format!("unknown key \"{}\"{hint}", self.name(text)),
        })
    }
}

/// Counts the insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let next = (diagonal + usize::from(ca != *cb))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // A foreign key of any length costs no more than a long one.
    let short: String = key.chars().take(64).collect();
    known.iter().copied().min_by_key(|k| distance(&short, k))
}

#[cfg(test)]
mod tests {
    use super::{Section, distance, nearest};
    use toml::de::DeTable;

    fn root(text: &str) -> Section<'_> {
        Section::root(DeTable::parse(text).unwrap())
    }

    #[test]
    fn distances_count_edits() {
        for (a, b, n) in [
            ("", "", 0),
            ("a", "", 1),
            ("quota", "qouta", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        assert_eq!(
            nearest("adress", &["connections", "address"]),
            Some("address")
        );
        assert_eq!(nearest("x", &[]), None);
        let mut doc = root("[listen]\nadress = []\n");
        let mut listen = doc.table("listen").unwrap();
        let none = listen.texts("address", |t| Ok::<_, std::fmt::Error>(t.to_owned()));
        assert_eq!(none.unwrap(), None);
        let fault = listen.finish().unwrap_err();
        assert_eq!(
            fault.text,
            "unknown key \"listen.adress\", the nearest known is \"listen.address\""
        );
        assert_eq!(fault.at, 9..15);
    }

    #[test]
    fn wrong_types_are_refused() {
        let mut doc = root("a = 1\nb = 'x'\nc = [1]\nd = -1\ne = 70000\n");
        let read = |t: &str| Ok::<_, std::fmt::Error>(t.to_owned());
        assert!(doc.text("a", read).is_err());
        assert!(doc.table("b").is_err());
        assert!(doc.texts("c", read).is_err());
        assert!(doc.number("d", 0..=9).is_err());
        assert!(doc.number("e", 1..=65_535).is_err());
        assert!(doc.finish().is_ok());
    }

    #[test]
    fn right_types_come_back() {
        let mut doc = root("a = 0x10\nb = 'x'\nc = ['y', 'z']\n");
        let read = |t: &str| Ok::<_, std::fmt::Error>(t.to_owned());
        assert_eq!(doc.number("a", 1..=20), Ok(Some(16)));
        assert_eq!(doc.text("b", read), Ok(Some("x".into())));
        assert_eq!(doc.texts("c", read), Ok(Some(vec!["y".into(), "z".into()])));
        assert!(doc.finish().is_ok());
    }
}
