//! What holds for every name, whatever is in it.

use proptest::prelude::*;
use smr_name::{EntryName, Head, MailboxName, MessageId};

fn mailbox() -> impl Strategy<Value = MailboxName> {
    "[a-z0-9]([a-z0-9_-]|[.][a-z0-9]){0,15}"
        .prop_filter_map("a device of Windows", |s| s.parse().ok())
}

prop_compose! {
    fn entry()(
        number in 1..1_000_000_000_000u64,
        time in 0..100_000_000_000i64,
        id in any::<[u8; 16]>(),
        sender in mailbox(),
        size in any::<u64>(),
        sha256 in any::<[u8; 32]>(),
        cms in any::<[u8; 32]>(),
    ) -> EntryName {
        EntryName { number, time, id: MessageId::from_bytes(id), sender, size, sha256, cms }
    }
}

proptest! {
    #[test]
    fn every_entry_has_one_spelling(entry in entry()) {
        prop_assert!(entry.is_writable());
        let text = entry.to_string();
        prop_assert!(text.len() <= 205);
        prop_assert_eq!(text.parse::<EntryName>(), Ok(entry));
    }

    #[test]
    fn what_is_not_an_entry_is_not_read_as_one(
        entry in entry(),
        at in any::<prop::sample::Index>(),
        byte in 32u8..127,
    ) {
        let mut bytes = entry.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        // Whatever is still an entry is spelt so.
        if let Ok(other) = text.parse::<EntryName>() {
            prop_assert_eq!(other.to_string(), text);
        }
    }

    #[test]
    fn order_by_name_is_order_of_arrival(one in entry(), other in entry()) {
        prop_assume!(one.number != other.number);
        let by_name = one.to_string().cmp(&other.to_string());
        prop_assert_eq!(by_name, one.number.cmp(&other.number));
    }

    #[test]
    fn a_head_tells_every_history_from_every_other(
        entries in prop::collection::vec(entry(), 1..8),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let head = |entries: &[EntryName]| {
            entries.iter().fold(Head::default(), |head, entry| head.extend(entry))
        };
        let whole = head(&entries);
        let at = at.index(entries.len());
        let mut other = entries.clone();
        other.remove(at);
        prop_assert_ne!(head(&other), whole);
        let mut other = entries.clone();
        other[at].sha256[at % 32] ^= 1 << bit;
        prop_assert_ne!(head(&other), whole);
        let mut other = entries.clone();
        other.swap(0, at);
        prop_assert_eq!(head(&other) == whole, other == entries);
    }

    #[test]
    fn no_text_is_a_mailbox_that_walks(text in "\\PC{0,40}") {
        if let Ok(name) = text.parse::<MailboxName>() {
            prop_assert_eq!(name.as_str(), &text);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            prop_assert!(text.chars().all(plain) && !text.contains("..") && !text.starts_with('.'));
        }
    }
}
