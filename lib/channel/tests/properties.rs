//! What holds for every request, whatever is in it: it comes back as it was,
//! and nothing shorter or longer is one.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use smr_channel::request::{Folder, Request};
use smr_name::{MailboxName, MessageId};

fn name() -> impl Strategy<Value = MailboxName> {
    "[a-z0-9][a-z0-9_-]{0,20}".prop_filter_map("a device of Windows", |s| s.parse().ok())
}

fn id() -> impl Strategy<Value = MessageId> {
    any::<[u8; 16]>().prop_map(MessageId::from_bytes)
}

fn hash() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn folder() -> impl Strategy<Value = Folder> {
    prop_oneof![
        Just(Folder::Inbox),
        Just(Folder::Sent),
        Just(Folder::Receipts)
    ]
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
        (id(), any::<u64>(), hash(), hash(), vec(name(), 1..9)).prop_map(
            |(id, size, sha256, cms, mailboxes)| Request::Offer {
                id,
                size,
                sha256,
                cms,
                mailboxes
            }
        ),
        id().prop_map(|id| Request::Deposit { id }),
        (folder(), any::<u64>(), any::<u16>(), any::<u32>()).prop_map(
            |(folder, after, limit, peek)| Request::List {
                folder,
                after,
                limit,
                peek
            }
        ),
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

proptest! {
    #[test]
    fn requests_come_back_whole(request in request(), more in any::<u8>()) {
        let head = request.encode().unwrap();
        prop_assert_eq!(Request::decode(&head).unwrap(), request);
        for cut in 0..head.len() {
            prop_assert!(Request::decode(&head[..cut]).is_err(), "cut at {}", cut);
        }
        let longer = [&head[..], &[more]].concat();
        prop_assert!(Request::decode(&longer).is_err());
    }

    #[test]
    fn what_is_a_request_has_one_spelling(bytes in vec(any::<u8>(), 0..120)) {
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode().unwrap(), bytes);
        }
    }
}
