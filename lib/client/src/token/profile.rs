//! The table of tokens (tokens.toml) as data, and what a site adds to it.
//!
//! Loads no module.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use serde::Deserialize;
use smr_name::Class;

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
    /// Certificates for authentication, by label, or by CKA_ID as `id=HEX`; the
    /// best first.
    pub authentication: Vec<String>,
    /// Certificates for signatures, likewise.
    pub signature: Vec<String>,
    /// The module asks for the PIN in a window of its own.
    pub dialog: bool,
    /// Only these certificates are meant.
    pub exact: bool,
}

/// Tells whether an entry of a profile means the certificate of this label and
/// CKA_ID (PKCS #11 3.0, 4.6).
pub fn means(entry: &str, label: &str, id: &[u8]) -> bool {
    match entry.strip_prefix("id=") {
        Some(wanted) => id_of(wanted).is_some_and(|wanted| wanted == id),
        None => entry == label,
    }
}

fn id_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    let whole = plain && !digits.is_empty() && digits.len().is_multiple_of(2);
    whole.then(|| digits.chunks(2).map(byte).collect())?
}

/// Says why a table of tokens was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The folder or file cannot be read.
    #[error("cannot read \"{}\": {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no table of tokens.
    #[error("\"{}\": {why}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong, with the line.
        why: String,
    },
}

impl ProfileError {
    /// Returns what a script may conclude.
    pub fn class(&self) -> Class {
        Class::Config
    }
}

// In the order of the file, which is the order of "auto".
static BUILT_IN: LazyLock<Vec<Profile>> =
    LazyLock::new(|| read(include_str!("tokens.toml")).expect("tokens.toml is checked by a test"));

// What the site adds, before the built-in ones: set once, at the start.
static SITE: OnceLock<Vec<Profile>> = OnceLock::new();

/// Adds the tables in the `tokens.d` folders, `*.toml` by name; of one name
/// the first counts, and counts before the built-in one. Only the first call
/// in a process has an effect.
pub fn load(folders: &[PathBuf]) -> Result<(), ProfileError> {
    let mut site: Vec<Profile> = Vec::new();
    for folder in folders {
        for profile in folder_of(folder)? {
            if !site.iter().any(|known| known.name == profile.name) {
                site.push(profile);
            }
        }
    }
    // A second call finds what the first one read.
    let _ = SITE.set(site);
    Ok(())
}

fn folder_of(folder: &Path) -> Result<Vec<Profile>, ProfileError> {
    let wrong = |path: &Path, source| ProfileError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(folder, error)),
    };
    let paths = entries.map(|entry| entry.map(|e| e.path()));
    let mut paths = paths
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(folder, e))?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(&path, e))?;
        all.extend(read(&text).map_err(|why| ProfileError::Form { path, why })?);
    }
    Ok(all)
}

/// Reads a table of tokens: one TOML table for each, in the order they stand.
/// An error says what is wrong, with the line.
pub fn read(text: &str) -> Result<Vec<Profile>, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let place = |name: &str| text.find(&format!("[{name}]"));
    let mut profiles = Vec::new();
    for (name, value) in table {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name == "auto" || !name.chars().all(plain) {
            return Err(format!("\"{name}\" is no name for a kind of token"));
        }
        let profile: Profile = value
            .try_into()
            .map_err(|e: toml::de::Error| format!("[{name}]: {}", e.message()))?;
        if let Some(module) = profile.modules.iter().find(|m| !m.is_absolute()) {
            let module = module.display();
            return Err(format!("[{name}]: the module \"{module}\" is no full path"));
        }
        let entries = profile.authentication.iter().chain(&profile.signature);
        let mut ids = entries.filter_map(|entry| entry.strip_prefix("id="));
        if let Some(id) = ids.find(|id| id_of(id).is_none()) {
            return Err(format!(
                "[{name}]: \"{id}\" is no CKA_ID in hexadecimal digits"
            ));
        }
        profiles.push(Profile { name, ..profile });
    }
    profiles.sort_by_key(|profile| place(&profile.name));
    Ok(profiles)
}

/// Returns every kind of token, in the order in which to look.
pub fn all() -> Vec<&'static Profile> {
    let site = SITE.get().map_or(&[][..], Vec::as_slice);
    let replaced = |built_in: &&Profile| !site.iter().any(|s| s.name == built_in.name);
    site.iter()
        .chain(BUILT_IN.iter().filter(replaced))
        .collect()
}

/// Returns the kind of token with this name, or none.
pub fn named(name: &str) -> Option<&'static Profile> {
    all().into_iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::{all, folder_of, means, named, read};

    #[test]
    fn the_table_is_well_formed() {
        let names = [
            "cc",
            "yubikey",
            "ee",
            "be",
            "cc-opensc",
            "piv",
            "generic",
            "softhsm",
        ];
        for name in names {
            let profile = named(name).unwrap();
            assert!(!profile.about.is_empty(), "{name}");
            assert!(!profile.modules.is_empty(), "{name}");
        }
        let order: Vec<&str> = all().iter().map(|p| p.name.as_str()).collect();
        assert_eq!(order, names);
        assert!(named("cc").unwrap().dialog && !named("piv").unwrap().dialog);
    }

    #[test]
    fn an_entry_is_a_label_or_an_id() {
        assert!(means("login", "login", &[1]) && !means("login", "log", &[1]));
        assert!(means("id=01", "whatever", &[1]) && means("id=0aFF", "", &[10, 255]));
        for other in ["id=02", "id=0100", "id=", "id=1", "id=+1"] {
            assert!(!means(other, other, &[1]), "{other}");
        }
    }

    #[test]
    fn other_names_are_none() {
        for name in ["", "auto", "CC", "about"] {
            assert!(named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_site_adds_its_own_and_mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "hsm.toml",
            "[hsm]\nabout = \"ours\"\nmodules = [\"/opt/hsm.so\"]\n",
        );
        write("README", "no table");
        let found = folder_of(dir.path()).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "hsm"));
        assert!(folder_of(&dir.path().join("none")).unwrap().is_empty());
        for text in [
            "[hsm]\nmodule = \"/x\"\n",
            "[hsm]\nmodules = [\"x.so\"]\n",
            "[hsm]\nsignature = [\"id=1\"]\n",
            "[hsm]\nauthentication = [\"id=0x\"]\n",
            "[auto]\n",
            "[\"../x\"]\n",
            "[hsm\n",
        ] {
            write("hsm.toml", text);
            let error = folder_of(dir.path()).unwrap_err();
            assert!(error.to_string().contains("hsm.toml"), "{error}");
            assert!(read(text).is_err());
        }
    }
}
