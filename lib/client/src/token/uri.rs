//! PKCS#11 URIs (RFC 7512): what they name on which token.
//!
//! Never takes a PIN: `pin-value` and `pin-source` are refused.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Names objects on tokens; what is none matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// Label of the token.
    pub token: Option<String>,
    /// Serial number of the token.
    pub serial: Option<String>,
    /// Who made the token.
    pub manufacturer: Option<String>,
    /// Model of the token.
    pub model: Option<String>,
    /// Label of the object.
    pub object: Option<String>,
    /// CKA_ID of the object.
    pub id: Option<Vec<u8>>,
    /// Kind of the object: `cert`, `private` or `public`.
    pub kind: Option<String>,
    /// Number of the slot.
    pub slot: Option<u64>,
    /// File of the module.
    pub module_path: Option<PathBuf>,
    /// Name of the module, without `lib` and `.so`.
    pub module_name: Option<String>,
}

/// Says what is wrong with a URI.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    /// Another scheme.
    #[error("does not begin with \"pkcs11:\"")]
    Scheme,
    /// A `%` without two hexadecimal digits, or text that is not UTF-8.
    #[error("wrong percent encoding in \"{0}\"")]
    Encoding(String),
    /// An attribute without `=`, or a slot that is no number.
    #[error("expected ATTRIBUTE=VALUE, found \"{0}\"")]
    Attribute(String),
    /// An attribute we do not know: it might exclude the very object we find.
    #[error("unknown attribute \"{0}\"")]
    Unknown(String),
    /// An attribute stands twice.
    #[error("attribute \"{0}\" stands twice")]
    Twice(String),
    /// A PIN, or where to find it.
    #[error("\"{0}\" is not accepted, PINs come from --pin-file and its like")]
    Pin(String),
}

fn decode(text: &str) -> Result<Vec<u8>, UriError> {
    let wrong = || UriError::Encoding(text.to_owned());
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
        out.push(high << 4 | low);
    }
    Ok(out)
}

fn decode_text(text: &str) -> Result<String, UriError> {
    String::from_utf8(decode(text)?).map_err(|_| UriError::Encoding(text.to_owned()))
}

fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice(name.to_owned())),
    }
}

fn split(attribute: &str) -> Result<(&str, &str), UriError> {
    attribute
        .split_once('=')
        .ok_or_else(|| UriError::Attribute(attribute.to_owned()))
}

impl Uri {
    fn take_path(&mut self, attribute: &str) -> Result<(), UriError> {
        let (name, value) = split(attribute)?;
        let place = match name {
            "token" => &mut self.token,
            "serial" => &mut self.serial,
            "manufacturer" => &mut self.manufacturer,
            "model" => &mut self.model,
            "object" => &mut self.object,
            "type" => &mut self.kind,
            "id" => return once(&mut self.id, name, decode(value)?),
            "slot-id" => {
                let slot = value.parse();
                let slot = slot.map_err(|_| UriError::Attribute(attribute.to_owned()))?;
                return once(&mut self.slot, name, slot);
            }
            _ => return Err(UriError::Unknown(name.to_owned())),
        };
        once(place, name, decode_text(value)?)
    }

    fn take_query(&mut self, attribute: &str) -> Result<(), UriError> {
        let (name, value) = split(attribute)?;
        match name {
            "module-path" => once(&mut self.module_path, name, decode_text(value)?.into()),
            "module-name" => once(&mut self.module_name, name, decode_text(value)?),
            "pin-value" | "pin-source" => Err(UriError::Pin(name.to_owned())),
            _ => Err(UriError::Unknown(name.to_owned())),
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Uri::default();
        for attribute in path.split(';').filter(|a| !a.is_empty()) {
            uri.take_path(attribute)?;
        }
        for attribute in query.split('&').filter(|a| !a.is_empty()) {
            uri.take_query(attribute)?;
        }
        Ok(uri)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("object", &self.object),
            ("type", &self.kind),
        ];
        let mut parts: Vec<String> = texts
            .iter()
            .filter_map(|(name, value)| {
                let value = value.as_ref()?;
                Some(format!("{name}={}", encode(value.as_bytes())))
            })
            .collect();
        parts.extend(self.id.as_ref().map(|id| format!("id={}", encode(id))));
        parts.extend(self.slot.map(|slot| format!("slot-id={slot}")));
        write!(f, "pkcs11:{}", parts.join(";"))?;
        let module = self.module_path.as_ref().map(|p| p.to_string_lossy());
        let mut query = Vec::new();
        query.extend(module.map(|path| format!("module-path={}", encode(path.as_bytes()))));
        let name = self.module_name.as_ref();
        query.extend(name.map(|name| format!("module-name={}", encode(name.as_bytes()))));
        if query.is_empty() {
            return Ok(());
        }
        write!(f, "?{}", query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Uri, UriError};

    #[test]
    fn attributes_are_read_and_written() {
        let text = "pkcs11:token=My%20card;serial=0A;object=%C3%A9;type=private;id=%01%FF;\
                    slot-id=7?module-path=%2Fusr%2Flib%2Fx.so&module-name=y";
        let uri: Uri = text.parse().unwrap();
        assert_eq!(uri.token.as_deref(), Some("My card"));
        assert_eq!(uri.object.as_deref(), Some("\u{e9}"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 255][..]));
        assert_eq!(uri.slot, Some(7));
        assert_eq!(uri.module_path, Some("/usr/lib/x.so".into()));
        assert_eq!(uri.to_string().parse(), Ok(uri));
        assert_eq!("pkcs11:".parse(), Ok(Uri::default()));
    }

    #[test]
    fn plain_slashes_in_module_paths_pass() {
        let uri: Uri = "pkcs11:?module-path=/usr/lib/x.so".parse().unwrap();
        assert_eq!(uri.module_path, Some("/usr/lib/x.so".into()));
    }

    #[test]
    fn other_texts_are_refused() {
        let cases = [
            ("pkcs12:", UriError::Scheme),
            ("pkcs11:token", UriError::Attribute("token".into())),
            ("pkcs11:slot-id=x", UriError::Attribute("slot-id=x".into())),
            ("pkcs11:token=%2", UriError::Encoding("%2".into())),
            ("pkcs11:token=%GG", UriError::Encoding("%GG".into())),
            ("pkcs11:token=%FF", UriError::Encoding("%FF".into())),
            ("pkcs11:tokn=x", UriError::Unknown("tokn".into())),
            ("pkcs11:?x-y=x", UriError::Unknown("x-y".into())),
            ("pkcs11:token=a;token=b", UriError::Twice("token".into())),
            ("pkcs11:?pin-value=1234", UriError::Pin("pin-value".into())),
            ("pkcs11:?pin-source=/p", UriError::Pin("pin-source".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Uri>(), Err(expected), "{text}");
        }
    }
}
