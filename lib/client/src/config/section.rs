//! One table of a TOML file, read strictly: a wrong key names the nearest
//! right one, a wrong value says what was expected.
//!
//! Knows no particular key.

use std::path::{Path, PathBuf};

use super::units;
use super::{ConfigError, Problem};

/// A table of a file, and where it stands in it.
pub(super) struct Section<'a> {
    file: &'a Path,
    prefix: String,
    table: &'a toml::Table,
}

impl<'a> Section<'a> {
    pub(super) fn new(file: &'a Path, table: &'a toml::Table) -> Self {
        Section {
            file,
            prefix: String::new(),
            table,
        }
    }

    /// Returns the table below `key`; none if there is none.
    pub(super) fn table(&self, key: &str) -> Result<Option<Section<'a>>, ConfigError> {
        let found = match self.table.get(key) {
            None => return Ok(None),
            Some(value) => value.as_table().ok_or_else(|| self.wrong(key, "a table"))?,
        };
        Ok(Some(Section {
            file: self.file,
            prefix: format!("{}{key}.", self.prefix),
            table: found,
        }))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a String> {
        self.table.keys()
    }

    /// Refuses every key that is not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        match self.table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(ConfigError {
                file: self.file.to_owned(),
                problem: Problem::Unknown {
                    key: format!("{}{key}", self.prefix),
                    nearest: nearest(key, known).map(|near| format!("{}{near}", self.prefix)),
                },
            }),
        }
    }

    pub(super) fn wrong(&self, key: &str, expected: &'static str) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            problem: Problem::Value {
                key: format!("{}{key}", self.prefix),
                expected,
            },
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        self.table
            .get(key)
            .map(|value| value.as_str().ok_or_else(|| self.wrong(key, "a string")))
            .transpose()
    }

    /// Reads what `read` makes of the text at `key`.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.text(key)?
            .map(|text| read(text).ok_or_else(|| self.wrong(key, expected)))
            .transpose()
    }

    /// Reads a duration in seconds.
    pub(super) fn duration(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.parsed(key, units::DURATION_FORM, units::duration)
    }

    /// Reads a size in bytes.
    pub(super) fn size(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.parsed(key, units::SIZE_FORM, units::size)
    }

    /// Reads a path; relative ones start at the file's folder, `~/` at HOME.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(key)?.map(|text| self.resolve(text)))
    }

    pub(super) fn paths(&self, key: &str) -> Result<Option<Vec<PathBuf>>, ConfigError> {
        Ok(self
            .texts(key)?
            .map(|list| list.iter().map(|text| self.resolve(text)).collect()))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        const LIST: &str = "a list of strings";
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let list = value.as_array().ok_or_else(|| self.wrong(key, LIST))?;
        list.iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Some)
            .ok_or_else(|| self.wrong(key, LIST))
    }

    fn resolve(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.file.parent().unwrap_or(Path::new("")).join(text),
        }
    }
}

/// Finds the word closest to `key`, if one is close at all.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = (key.chars().count() / 3).max(2);
    known
        .iter()
        .map(|word| (distance(key, word), *word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// Counts the insertions, deletions and exchanges from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(from != *to))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances_are_levenshtein() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("sevrer", "server"), 2);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn near_words_are_named_and_far_ones_are_not() {
        let known = ["server", "server_key", "mailbox"];
        assert_eq!(nearest("sever", &known), Some("server"));
        assert_eq!(nearest("server-key", &known), Some("server_key"));
        assert_eq!(nearest("colour", &known), None);
    }
}
