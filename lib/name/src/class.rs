//! The class of a failure: what a script may conclude from it.
//!
//! Carries no text; each module's own error does.

/// Says what kind of failure an error is; its code is the exit status of the
/// tools (sysexits) and the refusal code on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// The call or the request is not well formed (64).
    Usage = 64,
    /// Data is forged, damaged or cannot be verified (65).
    Forged = 65,
    /// No such message or file (66).
    Missing = 66,
    /// No such mailbox (67).
    NoMailbox = 67,
    /// A card, a reader or the agent is missing (69).
    Unavailable = 69,
    /// Our own fault (70).
    Broken = 70,
    /// An output cannot be created (73).
    CannotCreate = 73,
    /// Reading or writing failed (74).
    Io = 74,
    /// Not now; the same call may succeed later (75).
    Busy = 75,
    /// What smrd says does not verify (76).
    Untrusted = 76,
    /// Not allowed, revoked, or the name is taken (77).
    Denied = 77,
    /// The configuration is wrong (78).
    Config = 78,
}

impl Class {
    /// Every class, by rising code.
    pub const ALL: [Class; 12] = [
        Class::Usage,
        Class::Forged,
        Class::Missing,
        Class::NoMailbox,
        Class::Unavailable,
        Class::Broken,
        Class::CannotCreate,
        Class::Io,
        Class::Busy,
        Class::Untrusted,
        Class::Denied,
        Class::Config,
    ];

    /// Returns the exit status and wire code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the class with this code, or none.
    pub fn from_code(code: u8) -> Option<Class> {
        Class::ALL.into_iter().find(|c| c.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn codes_come_back() {
        for class in Class::ALL {
            assert_eq!(Class::from_code(class.code()), Some(class));
        }
    }

    #[test]
    fn other_codes_are_none() {
        for code in [0, 1, 63, 68, 71, 72, 79, 255] {
            assert_eq!(Class::from_code(code), None);
        }
    }
}
