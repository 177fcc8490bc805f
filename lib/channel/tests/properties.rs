//! What holds for whatever client and smrd say, whatever is in it: it comes back
//! as it was, and nothing shorter or longer is one.

mod values;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use smr_channel::handshake::Introduction;
use smr_channel::reply::{Entry, KeyEntry, ListKind, Listed, Progress, Reply, State, UserLine};
use smr_channel::request::{Folder, Offer, Request};
use smr_channel::warrant::Warrant;
use smr_name::{EntryName, Head};
use values::{bytes, chain, class, hash, id, name, text, warrant, whole};

fn folder() -> impl Strategy<Value = Folder> {
    prop_oneof![
        Just(Folder::Inbox),
        Just(Folder::Sent),
        Just(Folder::Receipts)
    ]
}

fn offer() -> impl Strategy<Value = Offer> {
    let parts = (id(), any::<u64>(), hash(), hash(), vec(name(), 1..9));
    parts.prop_map(|(id, size, sha256, cms, mailboxes)| Offer {
        id,
        size,
        sha256,
        cms,
        mailboxes,
    })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Ping),
        Just(Request::Bye),
        Just(Request::Publish),
        (name(), of(hash())).prop_map(|(name, known)| Request::Account { name, known }),
        vec(hash(), 1..20).prop_map(|digests| Request::Lists { digests }),
        (any::<u64>(), 1..16384u32).prop_map(|(epoch, size)| Request::KeepKey { epoch, size }),
        (of((hash(), any::<u64>())), any::<u16>())
            .prop_map(|(after, limit)| Request::Keys { after, limit }),
        (of(name()), any::<u16>()).prop_map(|(after, limit)| Request::Users { after, limit }),
        offer().prop_map(Request::Offer),
        offer().prop_map(Request::Post),
        id().prop_map(|id| Request::Deposit { id }),
        (folder(), any::<u64>(), any::<u16>(), any::<u32>()).prop_map(
            |(folder, after, limit, peek)| Request::List {
                folder,
                after,
                limit,
                peek
            }
        ),
        folder().prop_map(|folder| Request::Tally { folder }),
        (id(), 8..33usize).prop_map(|(id, digits)| Request::Find {
            prefix: id.to_string()[..digits].parse().unwrap()
        }),
        (folder(), id(), of(name())).prop_map(|(folder, id, reader)| Request::Fetch {
            folder,
            id,
            reader
        }),
        id().prop_map(|id| Request::MarkRead { id }),
        (folder(), id()).prop_map(|(folder, id)| Request::Remove { folder, id }),
        (id(), vec(name(), 1..9)).prop_map(|(id, mailboxes)| Request::State { id, mailboxes }),
        (id(), any::<u64>(), hash(), hash()).prop_map(|(id, size, sha256, cms)| {
            Request::GiveReceipt {
                id,
                size,
                sha256,
                cms,
            }
        }),
        (folder(), any::<u64>(), 1..600u16).prop_map(|(folder, after, wait)| Request::Watch {
            folder,
            after,
            wait
        }),
        (hash(), vec(any::<u8>(), 1184))
            .prop_map(|(x25519, mlkem)| Request::Renew { x25519, mlkem }),
    ]
}

prop_compose! {
    fn entry()(
        (number, time) in (1..1_000_000_000_000u64, 0..100_000_000_000i64),
        (id, sender, size) in (id(), name(), any::<u64>()),
        (sha256, cms) in (hash(), hash()),
        state in prop::sample::select(vec![State::New, State::Fetched, State::Read, State::Removed]),
        peek_len in any::<u32>(),
    ) -> Entry {
        Entry { name: EntryName { number, time, id, sender, size, sha256, cms }, state, peek_len }
    }
}

fn listed() -> impl Strategy<Value = Listed> {
    let kind = prop_oneof![Just(ListKind::Crl), Just(ListKind::Ocsp)];
    (kind, hash(), any::<u32>()).prop_map(|(kind, digest, len)| Listed { kind, digest, len })
}

fn progress() -> impl Strategy<Value = Progress> {
    use Progress::{Deposited, Fetched, Read, Unknown};
    prop::sample::select(vec![Unknown, Deposited, Fetched, Read])
}

fn key_entry() -> impl Strategy<Value = KeyEntry> {
    let key = |(device, epoch, len)| KeyEntry { device, epoch, len };
    (hash(), any::<u64>(), any::<u32>()).prop_map(key)
}

fn user_line() -> impl Strategy<Value = UserLine> {
    let line = |(name, person, online)| UserLine {
        name,
        person,
        online,
    };
    (name(), text(), any::<bool>()).prop_map(line)
}

prop_compose! {
    fn listing()(
        (entries, more, count) in (vec(entry(), 0..4), any::<bool>(), any::<u64>()),
        (head, before) in (hash(), hash()),
    ) -> Reply {
        let (head, before) = (Head::from_bytes(head), Head::from_bytes(before));
        Reply::Listing { entries, more, count, head, before }
    }
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        (name(), any::<i64>(), any::<i64>()).prop_map(|(account, until, now)| Reply::Welcome {
            account,
            until,
            now
        }),
        Just(Reply::Done),
        any::<u64>().prop_map(|count| Reply::Tally { count }),
        (class(), text(), text()).prop_map(|(class, text, hint)| Reply::Refused {
            class,
            text,
            hint
        }),
        (name(), any::<u32>(), vec(listed(), 0..5)).prop_map(|(name, record_len, lists)| {
            Reply::Account {
                name,
                record_len,
                lists,
            }
        }),
        vec(any::<u32>(), 0..20).prop_map(|lens| Reply::Lists { lens }),
        (vec(key_entry(), 0..5), any::<bool>()).prop_map(|(keys, more)| Reply::Keys { keys, more }),
        (vec(user_line(), 0..5), any::<bool>())
            .prop_map(|(users, more)| Reply::Users { users, more }),
        id().prop_map(|id| Reply::Accepted { id }),
        vec(text(), 0..5).prop_map(|postmarks| Reply::Postmarks { postmarks }),
        listing(),
        vec((folder(), id()), 0..9).prop_map(|matches| Reply::Found { matches }),
        entry().prop_map(|entry| Reply::Message { entry }),
        vec((name(), progress()), 0..9).prop_map(|states| Reply::States { states }),
        any::<u64>().prop_map(|count| Reply::News { count }),
        (hash(), vec(any::<u8>(), 1088))
            .prop_map(|(x25519, mlkem)| Reply::Renewed { x25519, mlkem }),
    ]
}

fn introduction() -> impl Strategy<Value = Introduction> {
    prop_oneof![
        (name(), hash(), bytes(80)).prop_map(|(account, device, signature)| {
            Introduction::Login {
                account,
                device,
                signature,
            }
        }),
        (bytes(200), bytes(80))
            .prop_map(|(record, signature)| Introduction::Enrol { record, signature }),
        (name(), chain(), bytes(80)).prop_map(|(account, chain, signature)| {
            Introduction::Join {
                account,
                chain,
                signature,
            }
        }),
        (name(), hash(), bytes(200), bytes(80)).prop_map(
            |(account, device, authorisation, signature)| Introduction::CardLogin {
                account,
                device,
                authorisation,
                signature,
            }
        ),
    ]
}

proptest! {
    #[test]
    fn requests_come_back_whole(request in request(), more in any::<u8>()) {
        whole(&request.encode().unwrap(), more, Request::decode, |read| read == request)?;
    }

    #[test]
    fn replies_come_back_whole(reply in reply(), more in any::<u8>()) {
        whole(&reply.encode().unwrap(), more, Reply::decode, |read| read == reply)?;
    }

    #[test]
    fn introductions_come_back_whole(introduction in introduction(), more in any::<u8>()) {
        let encoded = introduction.encode().unwrap();
        whole(&encoded, more, Introduction::decode, |read| read == introduction)?;
    }

    #[test]
    fn warrants_come_back_whole(warrant in warrant(), more in any::<u8>()) {
        whole(&warrant.encode(), more, Warrant::decode, |read| read == warrant)?;
    }

    #[test]
    fn what_is_read_has_one_spelling(
        (kind, rest) in (any::<u8>(), vec(any::<u8>(), 0..120)),
    ) {
        let bytes = [&[kind][..], &rest].concat();
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode().unwrap(), &bytes[..]);
        }
        if let Ok(reply) = Reply::decode(&bytes) {
            prop_assert_eq!(reply.encode().unwrap(), &bytes[..]);
        }
        if let Ok(introduction) = Introduction::decode(&bytes) {
            prop_assert_eq!(introduction.encode().unwrap(), &bytes[..]);
        }
    }
}
