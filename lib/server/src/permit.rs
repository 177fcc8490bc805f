//! One table: which request is legal in which phase of a session.
//!
//! Knows nothing of mailboxes: every request acts for the session's own
//! account, because no request can name another.

use smr_channel::request::Request;
use smr_name::Class;

use crate::refusal::Refusal;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is pending.
    Open = 0,
    /// An offer was accepted and its deposit has not come.
    Offered = 1,
    /// The session key must be renewed first.
    Overdue = 2,
    /// The lifetime is over.
    Over = 3,
    /// The person's card has certified the device, but no record lists it.
    Guest = 4,
}

/// What may be done about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    /// Refused 64: an offer must come first.
    Offer,
    /// Refused 77: a renewal must come first.
    Renew,
    /// Refused 77: a new session must come first.
    Login,
    /// Refused 77: a record that lists the device must come first.
    Listed,
}

use Verdict::{Listed, Login, Offer, Renew, Yes};

/// Requests by kind, phases in the order of their numbers.
const TABLE: [(&str, [Verdict; 5]); 21] = [
    //               Open   Offered Overdue Over  Guest
    ("ping", [Yes, Yes, Renew, Login, Yes]),
    ("bye", [Yes, Yes, Yes, Yes, Yes]),
    ("account", [Yes, Yes, Renew, Login, Yes]),
    ("lists", [Yes, Yes, Renew, Login, Yes]),
    ("keep-key", [Yes, Yes, Renew, Login, Listed]),
    ("keys", [Yes, Yes, Renew, Login, Listed]),
    ("publish", [Yes, Yes, Renew, Login, Yes]),
    ("users", [Yes, Yes, Renew, Login, Listed]),
    ("offer", [Yes, Yes, Renew, Login, Listed]),
    ("deposit", [Offer, Yes, Renew, Login, Listed]),
    ("post", [Yes, Yes, Renew, Login, Listed]),
    ("list", [Yes, Yes, Renew, Login, Listed]),
    ("tally", [Yes, Yes, Renew, Login, Listed]),
    ("find", [Yes, Yes, Renew, Login, Listed]),
    ("fetch", [Yes, Yes, Renew, Login, Listed]),
    ("mark-read", [Yes, Yes, Renew, Login, Listed]),
    ("remove", [Yes, Yes, Renew, Login, Listed]),
    ("state", [Yes, Yes, Renew, Login, Listed]),
    ("give-receipt", [Yes, Yes, Renew, Login, Listed]),
    ("watch", [Yes, Yes, Renew, Login, Listed]),
    ("renew", [Yes, Yes, Yes, Login, Yes]),
];

/// Returns the word for a request, as the table and the log have it.
pub(crate) fn kind(request: &Request) -> &'static str {
    match request {
        Request::Ping => "ping",
        Request::Bye => "bye",
        Request::Account { .. } => "account",
        Request::Lists { .. } => "lists",
        Request::KeepKey { .. } => "keep-key",
        Request::Keys { .. } => "keys",
        Request::Publish => "publish",
        Request::Users { .. } => "users",
        Request::Offer(_) => "offer",
        Request::Deposit { .. } => "deposit",
        Request::Post(_) => "post",
        Request::List { .. } => "list",
        Request::Tally { .. } => "tally",
        Request::Find { .. } => "find",
        Request::Fetch { .. } => "fetch",
        Request::MarkRead { .. } => "mark-read",
        Request::Remove { .. } => "remove",
        Request::State { .. } => "state",
        Request::GiveReceipt { .. } => "give-receipt",
        Request::Watch { .. } => "watch",
        Request::Renew { .. } => "renew",
    }
}

/// Refuses a request that is not legal in this phase.
pub(crate) fn permit(kind: &str, phase: Phase) -> Result<(), Refusal> {
    let row = TABLE.iter().find(|(name, _)| *name == kind);
    // A kind that the table lacks is legal nowhere.
    let verdict = row
        .and_then(|(_, verdicts)| verdicts.get(phase as usize))
        .copied()
        .unwrap_or(Login);
    match verdict {
        Yes => Ok(()),
        Offer => Err(Refusal::new(
            Class::Usage,
            "a deposit came without an accepted offer",
        )),
        Renew => Err(Refusal::new(
            Class::Denied,
            "the session key must be renewed first",
        )),
        Login => {
            Err(Refusal::new(Class::Denied, "the session is over").hint("log in again: smr-login"))
        }
        Listed => Err(
            Refusal::new(Class::Denied, "the account does not list this device")
                .hint("smr-register --add-device LABEL NAME"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, TABLE, permit};
    use smr_name::Class;

    const PHASES: [Phase; 5] = [
        Phase::Open,
        Phase::Offered,
        Phase::Overdue,
        Phase::Over,
        Phase::Guest,
    ];

    fn legal(kind: &str) -> [bool; 5] {
        PHASES.map(|phase| permit(kind, phase).is_ok())
    }

    #[test]
    fn deposits_need_an_offer() {
        assert_eq!(legal("deposit"), [false, true, false, false, false]);
        assert_eq!(
            permit("deposit", Phase::Open).unwrap_err().class,
            Class::Usage
        );
    }

    #[test]
    fn overdue_sessions_may_only_renew_or_end() {
        for (kind, _) in TABLE {
            let expected = matches!(kind, "renew" | "bye");
            assert_eq!(permit(kind, Phase::Overdue).is_ok(), expected, "{kind}");
        }
    }

    #[test]
    fn sessions_past_their_lifetime_may_only_end() {
        for (kind, _) in TABLE {
            assert_eq!(permit(kind, Phase::Over).is_ok(), kind == "bye", "{kind}");
        }
    }

    #[test]
    fn guests_may_only_look_at_their_account_and_publish() {
        for (kind, _) in TABLE {
            let expected = matches!(
                kind,
                "ping" | "bye" | "account" | "lists" | "publish" | "renew"
            );
            assert_eq!(permit(kind, Phase::Guest).is_ok(), expected, "{kind}");
        }
        assert_eq!(
            permit("list", Phase::Guest).unwrap_err().class,
            Class::Denied
        );
    }

    #[test]
    fn unknown_kinds_are_legal_nowhere() {
        assert_eq!(legal("follow"), [false; 5]);
        assert_eq!(legal("fetch"), [true, true, false, false, false]);
    }
}
