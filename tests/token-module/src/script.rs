//! What a script may say: the readers, the tokens in them, and their manners.
//!
//! Does nothing by itself; paths in it are relative to its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A whole script.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// What C_Initialize answers instead of CKR_OK.
    pub initialize: Option<u64>,
    /// The readers, in the order of their slot numbers.
    pub slot: Vec<Slot>,
    /// The tokens, by the names that slots use.
    pub token: BTreeMap<String, Token>,
    /// The folder of the script; the state is kept there.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A reader.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// What it is called.
    pub reader: String,
    /// The token in it; none for an empty reader.
    pub token: Option<String>,
}

/// A token and its manners.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Its label.
    pub label: String,
    /// What fills the label up to its 32 bytes.
    pub padding: char,
    /// Its serial number.
    pub serial: String,
    /// Its PIN.
    pub pin: String,
    /// How many wrong PINs lock it.
    pub tries: u32,
    /// It asks for the PIN itself, and takes none from C_Login.
    pub pad: bool,
    /// What C_Login of a token with a pad answers instead of CKR_OK.
    pub pad_answers: u64,
    /// It takes any C_Login, and asks for the PIN in a window of its own at
    /// each signature.
    pub window: bool,
    /// What a context-specific login answers instead of looking at the PIN.
    pub context_answers: Option<u64>,
    /// It was never initialised.
    pub blank: bool,
    /// It is pulled out after so many calls of the process.
    pub removed_after: Option<usize>,
    /// What these functions answer, by name, instead of doing anything.
    pub fails: BTreeMap<String, u64>,
    /// The mechanisms it lists; without this, those of its keys.
    pub mechanisms: Option<Vec<u64>>,
    /// The mechanisms that C_SignInit refuses, listed or not.
    pub refuses: Vec<u64>,
    /// The mechanisms with which C_Sign fails, after C_SignInit took them.
    pub breaks: Vec<u64>,
    /// So many objects besides the ones that are named.
    pub crowd: usize,
    /// What is on it.
    pub object: Vec<Object>,
}

impl Default for Token {
    fn default() -> Token {
        Token {
            label: "token".into(),
            padding: ' ',
            serial: "1".into(),
            pin: "1234".into(),
            tries: 3,
            pad: false,
            pad_answers: 0,
            window: false,
            context_answers: None,
            blank: false,
            removed_after: None,
            fails: BTreeMap::new(),
            mechanisms: None,
            refuses: Vec::new(),
            breaks: Vec::new(),
            crowd: 0,
            object: Vec::new(),
        }
    }
}

/// A certificate or a private key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Which of the two.
    pub kind: Kind,
    /// Its file: a certificate in DER, or a private key in PKCS#8 DER.
    pub file: PathBuf,
    /// Its CKA_LABEL.
    #[serde(default)]
    pub label: String,
    /// Its CKA_ID in hexadecimal digits; none to have no such attribute.
    pub id: Option<String>,
    /// The key wants a context-specific login before every signature.
    #[serde(default)]
    pub always: bool,
}

/// The kind of an object.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A certificate, or bytes that pretend to be one.
    Certificate,
    /// A private key.
    Key,
}

impl Script {
    /// Reads the script at `path`. Says in words what is wrong with it.
    pub fn read(path: &Path) -> Result<Script, String> {
        let said = |why: String| format!("script \"{}\": {why}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| said(e.to_string()))?;
        let mut script: Script = toml::from_str(&text).map_err(|e| said(e.to_string()))?;
        script.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut named = script.slot.iter().filter_map(|slot| slot.token.as_ref());
        match named.find(|name| !script.token.contains_key(*name)) {
            Some(name) => Err(said(format!("there is no token \"{name}\""))),
            None => Ok(script),
        }
    }
}
