//! Message ids and the prefixes people type.

use std::fmt;
use std::str::FromStr;

/// Names one message: 16 bytes chosen by its sender, written as 32 lower-case
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

/// Says why a text is no message id or prefix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// Not 32 digits.
    #[error("not a message id, expected 32 hexadecimal digits")]
    NotAnId,
    /// Not 8 to 32 digits.
    #[error("not a message id or prefix, expected 8 to 32 hexadecimal digits")]
    NotAPrefix,
}

impl MessageId {
    /// Wraps 16 bytes, which the caller drew at random or derived by HMAC.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        MessageId(bytes)
    }

    /// Returns the 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(IdError::NotAnId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| IdError::NotAnId)?;
        Ok(MessageId(number.to_be_bytes()))
    }
}

/// The beginning of a message id: 8 to 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether `id` begins with this prefix.
    pub fn matches(&self, id: &MessageId) -> bool {
        id.to_string().starts_with(&self.0)
    }
}

impl From<MessageId> for IdPrefix {
    fn from(id: MessageId) -> Self {
        IdPrefix(id.to_string())
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IdPrefix {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if !(8..=32).contains(&text.len()) || !text.bytes().all(is_hex) {
            return Err(IdError::NotAPrefix);
        }
        Ok(IdPrefix(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{IdPrefix, MessageId};

    const TEXT: &str = "00ff0123456789abcdef0123456789ab";

    #[test]
    fn text_comes_back() {
        let id: MessageId = TEXT.parse().unwrap();
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(id.as_bytes()[1], 0xff);
    }

    #[test]
    fn other_texts_are_refused() {
        let upper = TEXT.to_uppercase();
        for text in [
            "",
            &TEXT[1..],
            &upper,
            "+0ff0123456789abcdef0123456789ab",
            "../00123456789abcdef0123456789ab",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }

    #[test]
    fn prefixes_match_from_eight_digits() {
        let id: MessageId = TEXT.parse().unwrap();
        assert!(TEXT[..8].parse::<IdPrefix>().unwrap().matches(&id));
        assert!(!"11ff0123".parse::<IdPrefix>().unwrap().matches(&id));
        assert!(TEXT[..7].parse::<IdPrefix>().is_err());
    }
}
