//! Whether a newer account record may come after the one known: a removed
//! device could otherwise bring itself back, with smrd's help.
//!
//! Reads and keeps nothing; both records were verified when they came.

use smr_evidence::account::{self, Account};
use smr_evidence::trust::{Revocation, Rules, SignedData, TrustStore};
use smr_name::Class;

use crate::failure::Failure;
use crate::known::Contact;

/// Opens the record that is known, as of its own day: what is long expired
/// still binds. None where our anchors are others by now.
pub(crate) fn reopen(record: &[u8], store: &TrustStore, rules: &Rules) -> Option<Account> {
    let then = SignedData::parse(record).ok()?.signing_time();
    let rules = Rules {
        now: then,
        revocation: Revocation::Off,
        max_age: None,
        ..rules.clone()
    };
    account::open_then(record, store, &rules).ok()
}

/// Verifies that `new`, of a higher number, may come after what is known;
/// where the known record cannot be opened any more, by its digest alone.
pub(crate) fn check(known: &Contact, old: Option<&Account>, new: &Account) -> Result<(), Failure> {
    let next = known.number.checked_add(1) == Some(new.number);
    if next && new.previous != Some(known.digest) {
        return Err(altered(format!(
            "record {} follows another than the one known",
            new.number
        )));
    }
    match old {
        Some(old) => account::follows(old, new).map_err(|error| altered(error.to_string())),
        None => Ok(()),
    }
}

fn altered(why: String) -> Failure {
    Failure::new(Class::Untrusted, why).hint("ask that person by another way")
}

#[cfg(test)]
mod tests {
    use smr_evidence::account::{Removed, SignedBy};
    use smr_evidence::trust::Person;
    use smr_name::Fingerprint;

    use super::*;

    fn person() -> Person {
        Person {
            realm: "cc".into(),
            country: Some("PT".into()),
            serial: Some("1".into()),
            subject: "CN=RUI".into(),
            display: "RUI".into(),
        }
    }

    fn account(number: u64, previous: Option<[u8; 32]>, removed: &[u8]) -> Account {
        let removed = removed.iter().map(|byte| Removed {
            fingerprint: Fingerprint::from_bytes([*byte; 32]),
            time: 1_800_000_000,
        });
        Account {
            address: "rui@repo.example".parse().unwrap(),
            number,
            previous,
            time: 1_800_000_000,
            person: person(),
            devices: Vec::new(),
            stale: Vec::new(),
            removed: removed.collect(),
            backup: None,
            chain: Vec::new(),
            signed_by: SignedBy::Card,
            digest: [number as u8; 32],
        }
    }

    fn known(account: &Account) -> Contact {
        Contact {
            person: account.person.clone(),
            number: account.number,
            digest: account.digest,
        }
    }

    #[test]
    fn a_record_that_follows_is_taken() {
        let old = account(4, Some([3; 32]), &[1]);
        let next = account(5, Some([4; 32]), &[1]);
        // Records in between may be missed.
        let later = account(9, Some([8; 32]), &[1]);
        for new in [&next, &later] {
            assert!(check(&known(&old), Some(&old), new).is_ok());
            assert!(check(&known(&old), None, new).is_ok());
        }
    }

    #[test]
    fn a_fork_or_a_device_that_comes_back_is_not() {
        let old = account(4, Some([3; 32]), &[1]);
        let fork = account(5, Some([7; 32]), &[1]);
        let back = account(5, Some([4; 32]), &[]);
        let late = account(9, Some([8; 32]), &[]);
        for (old, new) in [
            (Some(&old), &fork),
            (None, &fork),
            (Some(&old), &back),
            (Some(&old), &late),
        ] {
            let error = check(&known(&account(4, None, &[])), old, new).unwrap_err();
            assert_eq!(error.class, Class::Untrusted);
        }
    }
}
