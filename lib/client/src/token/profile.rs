//! The table of tokens (tokens.toml) as data.
//!
//! Loads no module.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;

/// What is known of one kind of token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The name in TOKEN.
    #[serde(skip)]
    pub name: String,
    /// In words.
    pub about: String,
    /// Where its module may lie, the best first.
    pub modules: Vec<PathBuf>,
    /// Labels of certificates for authentication, the best first.
    pub authentication: Vec<String>,
    /// Labels of certificates for signatures, the best first.
    pub signature: Vec<String>,
    /// The module asks for the PIN in a window of its own.
    pub dialog: bool,
    /// Only certificates with these labels are meant.
    pub exact: bool,
}

// In the order of the file, which is the order of "auto".
static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let text = include_str!("tokens.toml");
    let order = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    let mut table: toml::Table = text.parse().expect("tokens.toml is checked by a test");
    order
        .map(|name| {
            let value = table.remove(name).expect("its header was just read");
            let profile: Profile = value.try_into().expect("tokens.toml is checked by a test");
            Profile {
                name: name.to_owned(),
                ..profile
            }
        })
        .collect()
});

/// Returns every kind of token, in the order in which to look.
pub fn all() -> &'static [Profile] {
    &PROFILES
}

/// Returns the kind of token with this name, or none.
pub fn named(name: &str) -> Option<&'static Profile> {
    all().iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::{all, named};

    #[test]
    fn the_table_is_well_formed() {
        for name in ["cc", "cc-opensc", "piv", "yubikey", "softhsm"] {
            let profile = named(name).unwrap();
            assert!(!profile.about.is_empty(), "{name}");
            assert!(profile.modules.iter().all(|m| m.is_absolute()), "{name}");
        }
        assert_eq!(all().len(), 5);
        assert_eq!(all()[0].name, "cc");
        assert!(named("cc").unwrap().dialog && !named("piv").unwrap().dialog);
    }

    #[test]
    fn other_names_are_none() {
        for name in ["", "auto", "CC", "about"] {
            assert!(named(name).is_none(), "{name}");
        }
    }
}
