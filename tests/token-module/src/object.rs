//! The objects of a token, as their attributes show them.

use cryptoki_sys::*;

use crate::key::Key;
use crate::script::{self, Kind};

/// An object: attributes, and the key behind a private one.
pub(crate) struct Object {
    attributes: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
    pub(crate) key: Option<Key>,
    pub(crate) always: bool,
}

fn number(value: CK_ULONG) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

/// Reads hexadecimal digits, two for a byte.
fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let pair = |at: usize| {
        let digits = hex.get(at..at + 2)?;
        u8::from_str_radix(digits, 16).ok()
    };
    let all = (0..hex.len()).step_by(2).map(pair);
    all.collect::<Option<_>>()
        .ok_or_else(|| format!("\"{hex}\" is no CKA_ID"))
}

impl Object {
    /// Makes the object that a script describes from the contents of its file.
    pub(crate) fn new(from: &script::Object, file: &[u8]) -> Result<Object, String> {
        let mut object = match from.kind {
            Kind::Certificate => Object::certificate(file),
            Kind::Key => Object::private_key(file, from.always)
                .ok_or_else(|| format!("\"{}\" is no key", from.file.display()))?,
        };
        let label = from.label.clone().into_bytes();
        object.attributes.push((CKA_LABEL, label));
        if let Some(id) = &from.id {
            object.attributes.push((CKA_ID, bytes(id)?));
        }
        Ok(object)
    }

    fn certificate(der: &[u8]) -> Object {
        Object {
            attributes: vec![
                (CKA_CLASS, number(CKO_CERTIFICATE)),
                (CKA_CERTIFICATE_TYPE, number(CKC_X_509)),
                (CKA_TOKEN, vec![1]),
                (CKA_PRIVATE, vec![0]),
                (CKA_VALUE, der.to_vec()),
            ],
            key: None,
            always: false,
        }
    }

    fn private_key(pkcs8: &[u8], always: bool) -> Option<Object> {
        let key = Key::from_pkcs8(pkcs8)?;
        let kind = if key.is_rsa() { CKK_RSA } else { CKK_EC };
        Some(Object {
            attributes: vec![
                (CKA_CLASS, number(CKO_PRIVATE_KEY)),
                (CKA_KEY_TYPE, number(kind)),
                (CKA_TOKEN, vec![1]),
                (CKA_PRIVATE, vec![1]),
                (CKA_SIGN, vec![1]),
                (CKA_ALWAYS_AUTHENTICATE, vec![u8::from(always)]),
            ],
            key: Some(key),
            always,
        })
    }

    /// One more object of no use: data without meaning.
    pub(crate) fn bystander(number_of: usize) -> Object {
        Object {
            attributes: vec![
                (CKA_CLASS, number(CKO_DATA)),
                (CKA_TOKEN, vec![1]),
                (CKA_PRIVATE, vec![0]),
                (CKA_LABEL, format!("bystander {number_of}").into_bytes()),
            ],
            key: None,
            always: false,
        }
    }

    /// Returns an attribute; none if the object has no such.
    pub(crate) fn attribute(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        let mut found = self.attributes.iter().filter(|(k, _)| *k == kind);
        found.next().map(|(_, value)| value.as_slice())
    }

    /// Tells whether the object has all of these attributes.
    pub(crate) fn matches(&self, template: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]) -> bool {
        template
            .iter()
            .all(|(kind, value)| self.attribute(*kind) == Some(value))
    }

    /// Tells whether it is only seen after login.
    pub(crate) fn is_private(&self) -> bool {
        self.attribute(CKA_PRIVATE) == Some(&[1])
    }
}
