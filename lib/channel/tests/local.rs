//! What holds for whatever a tool and the agent say to each other.

mod values;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use smr_channel::local::{
    Answer, Ask, Entrance, Frame, HEADER, Load, Loaded, Memory, Secret, Stanza,
};
use smr_channel::suite::Suite;
use smr_name::Address;
use values::{bytes, chain, class, hash, id, name, text, warrant, whole};
use zeroize::Zeroizing;

fn address() -> impl Strategy<Value = Address> {
    let repository = || "[a-z]{1,8}[.]example".prop_map(|s| s.parse().unwrap());
    (name(), of(repository())).prop_map(|(mailbox, repository)| Address {
        mailbox,
        repository,
    })
}

fn secret() -> impl Strategy<Value = Secret> {
    bytes(60).prop_map(|bytes| Secret::copy_of(&bytes))
}

fn entrance() -> impl Strategy<Value = Entrance> {
    prop_oneof![
        Just(Entrance::Login),
        bytes(200).prop_map(|record| Entrance::Enrol { record }),
        chain().prop_map(|chain| Entrance::Join { chain }),
        bytes(200).prop_map(|authorisation| Entrance::Card { authorisation }),
    ]
}

prop_compose! {
    fn load()(
        (account, server, identity) in (address(), text(), text()),
        (device_key, device, once) in (secret(), hash(), secret()),
        identities in vec(secret(), 0..4),
        (lifetime, idle) in (any::<u32>(), any::<u32>()),
        suites in vec(prop::sample::select(&Suite::ALL[..]), 0..3),
        entrance in entrance(),
    ) -> Ask {
        Ask::Load(Box::new(Load {
            account, server, identity, device_key, device, identities, once, lifetime, idle,
            suites, entrance,
        }))
    }
}

fn stanza() -> impl Strategy<Value = Stanza> {
    let stanza = |(tag, args, body)| Stanza { tag, args, body };
    (text(), vec(text(), 0..3), bytes(60)).prop_map(stanza)
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        any::<u16>().prop_map(|version| Ask::Hello { version }),
        Just(Ask::Status),
        load(),
        (address(), bytes(99)).prop_map(|(account, attributes)| Ask::Sign {
            account,
            attributes
        }),
        (address(), vec(stanza(), 0..4))
            .prop_map(|(account, stanzas)| Ask::Unwrap { account, stanzas }),
        (address(), text()).prop_map(|(account, key)| Ask::Derive { account, key }),
        (address(), bytes(99)).prop_map(|(account, head)| Ask::Carry { account, head }),
        address().prop_map(|account| Ask::Lock { account }),
        address().prop_map(|account| Ask::Logout { account }),
        Just(Ask::Stop),
    ]
}

prop_compose! {
    fn loaded()(
        (account, server) in (address(), text()),
        until in any::<i64>(),
        (locked, online) in any::<(bool, bool)>(),
    ) -> Loaded {
        Loaded { account, server, until, locked, online }
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    let memory = prop::sample::select(vec![Memory::Hidden, Memory::Locked, Memory::Open]);
    prop_oneof![
        any::<(u16, u32)>().prop_map(|(version, pid)| Answer::Hello { version, pid }),
        (memory, vec(loaded(), 0..4))
            .prop_map(|(memory, accounts)| Answer::Status { memory, accounts }),
        Just(Answer::Done),
        bytes(80).prop_map(Answer::Signature),
        of(any::<[u8; 16]>()).prop_map(|key| Answer::FileKey(key.map(Zeroizing::new))),
        id().prop_map(Answer::Id),
        bytes(99).prop_map(|head| Answer::Reply { head }),
        (class(), text(), text()).prop_map(|(class, text, hint)| Answer::Failed {
            class,
            text,
            hint
        }),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        bytes(99).prop_map(|bytes| Frame::Head(Zeroizing::new(bytes))),
        bytes(99).prop_map(Frame::Body),
        of(warrant()).prop_map(Frame::End),
    ]
}

proptest! {
    #[test]
    fn what_tools_and_agent_say_comes_back_whole(
        (ask, answer) in (ask(), answer()),
        more in any::<u8>(),
    ) {
        whole(&ask.encode().unwrap(), more, Ask::decode, |read| read == ask)?;
        whole(&answer.encode().unwrap(), more, Answer::decode, |read| read == answer)?;
    }

    #[test]
    fn frames_of_the_agent_come_back(frame in frame()) {
        let encoded = frame.encode().unwrap();
        let (header, rest) = encoded.split_first_chunk::<HEADER>().unwrap();
        prop_assert_eq!(Frame::length(*header), Ok(rest.len()));
        prop_assert!(Frame::decode(rest) == Ok(frame));
    }

    #[test]
    fn what_is_read_has_one_spelling((kind, rest) in (any::<u8>(), vec(any::<u8>(), 0..120))) {
        let bytes = [&[kind][..], &rest].concat();
        if let Ok(ask) = Ask::decode(&bytes) {
            prop_assert_eq!(&ask.encode().unwrap()[..], &bytes[..]);
        }
        if let Ok(answer) = Answer::decode(&bytes) {
            prop_assert_eq!(&answer.encode().unwrap()[..], &bytes[..]);
        }
    }
}
