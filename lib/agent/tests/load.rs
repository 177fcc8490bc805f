//! Loads: how a device gets in the first time, and what a second load of an
//! account changes and what it leaves alone.

mod house;

use std::sync::atomic::Ordering;

use age::Recipient;
use house::{Agent, Device, RUI, Repository, Tool, load};
use rand_core::OsRng;
use smr_channel::local::{Answer, Ask, Entrance, Frame, Load, Secret, Stanza};
use smr_channel::reply::Reply;
use smr_channel::request::{Offer, Request};
use smr_name::{Class, Fingerprint, MessageId};
use smr_seal::Identity;
use zeroize::Zeroizing;

struct Scene {
    agent: Agent,
    repository: Repository,
    device: Device,
}

impl Scene {
    fn new() -> Self {
        let device = Device::generate();
        Scene {
            agent: Agent::start(false),
            repository: Repository::start(&device),
            device,
        }
    }

    fn load(&self) -> Load {
        load(RUI, &self.repository, &self.device)
    }

    fn tool(&self) -> Tool {
        Tool::open(&self.agent.socket)
    }

    fn joins(&self) -> usize {
        self.repository.seen.joins.load(Ordering::SeqCst)
    }

    fn sessions(&self) -> usize {
        self.repository.seen.sessions.load(Ordering::SeqCst)
    }
}

fn takes(tool: &mut Tool, load: Load) -> Result<(), Class> {
    match tool.ask(&Ask::Load(Box::new(load))) {
        Some(Answer::Done) => Ok(()),
        Some(Answer::Failed { class, .. }) => Err(class),
        other => panic!("{other:?}"),
    }
}

fn accounts(tool: &mut Tool) -> usize {
    match tool.ask(&Ask::Status) {
        Some(Answer::Status { accounts, .. }) => accounts.len(),
        other => panic!("{other:?}"),
    }
}

fn chain() -> Vec<Vec<u8>> {
    [&b"device"[..], b"card", b"authority"]
        .map(<[u8]>::to_vec)
        .to_vec()
}

/// A load that joins by this chain.
fn joining(mut load: Load) -> Load {
    load.device = *Fingerprint::of(b"device").as_bytes();
    load.entrance = Entrance::Join { chain: chain() };
    load
}

fn id() -> MessageId {
    MessageId::from_bytes([1; 16])
}

fn offer(tool: &mut Tool) {
    let offer = Request::Offer(Offer {
        id: id(),
        size: 1,
        sha256: [0; 32],
        cms: [0; 32],
        mailboxes: vec![],
    });
    let reply = tool.carry(RUI, &offer).unwrap().reply;
    assert_eq!(reply, Reply::Accepted { id: id() });
}

fn deposit(tool: &mut Tool) -> Result<(), Class> {
    let deposit = Request::Deposit { id: id() };
    let carried = tool.carry(RUI, &deposit);
    carried.map(drop).map_err(|failed| failed.class)
}

fn sealed_to(identity: &Identity) -> Vec<Stanza> {
    let key = age_core::format::FileKey::init_with_mut(|k| k.fill(9));
    let (stanzas, _) = identity.to_recipient().wrap_file_key(&key).unwrap();
    let plain = |s: smr_seal::Stanza| Stanza {
        tag: s.tag,
        args: s.args,
        body: s.body,
    };
    stanzas.into_iter().map(plain).collect()
}

fn text(identity: &Identity) -> Secret {
    Secret::copy_of(identity.encode().as_bytes())
}

fn opens(tool: &mut Tool, stanzas: &[Stanza]) -> bool {
    let ask = Ask::Unwrap {
        account: RUI.parse().unwrap(),
        stanzas: stanzas.to_vec(),
    };
    match tool.ask(&ask) {
        Some(Answer::FileKey(key)) => key.is_some_and(|key| key == Zeroizing::new([9; 16])),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_joins_once_and_logs_in_after_that() {
    let scene = Scene::new();
    let mut tool = scene.tool();
    assert_eq!(takes(&mut tool, joining(scene.load())), Ok(()));
    tool.carry(RUI, &Request::Ping).unwrap();
    assert_eq!((scene.joins(), scene.sessions()), (1, 1));
    // the guest's session ends, and the next is no guest's
    tool.play("last").unwrap();
    tool.carry(RUI, &Request::Ping).unwrap();
    assert_eq!((scene.joins(), scene.sessions()), (1, 2));
}

#[test]
fn a_device_cannot_join_with_anothers_chain_or_key() {
    let scene = Scene::new();
    let mut tool = scene.tool();
    let mut other = joining(scene.load());
    other.device = [8; 32];
    assert_eq!(takes(&mut tool, other), Err(Class::Forged));
    assert_eq!(scene.joins(), 0, "not even tried");
    let mut other = joining(scene.load());
    other.device_key = Secret::copy_of(&Device::generate().pkcs8);
    assert_eq!(takes(&mut tool, other), Err(Class::Denied));
    assert_eq!((scene.joins(), scene.sessions()), (1, 0));
    assert_eq!(accounts(&mut tool), 0);
}

#[test]
fn a_chain_out_of_bounds_ends_the_connection() {
    let scene = Scene::new();
    let bytes = Ask::Load(Box::new(scene.load())).encode().unwrap();
    let login = bytes.strip_suffix(&[1]).unwrap();
    let asked = |count: u8, size: u16| {
        let one = [&size.to_be_bytes()[..], &vec![7; size.into()]].concat();
        let chain = one.repeat(count.into());
        let bytes = [login, &[3, 0, count], &chain].concat();
        let mut tool = scene.tool();
        tool.write(&Frame::Head(bytes.into()));
        tool.read()
    };
    for (count, size) in [(0, 1), (1, 700), (9, 700), (2, 0), (2, 16_385), (4, 15_000)] {
        assert_eq!(asked(count, size), None, "{count} of {size}");
    }
    assert!(asked(8, 7000).is_some(), "within bounds it is answered");
    assert_eq!(scene.sessions(), 0);
}

#[test]
fn a_second_load_brings_new_keys_and_leaves_what_is_under_way() {
    let scene = Scene::new();
    let [old, new] = [0; 2].map(|_| Identity::generate_pq(&mut OsRng));
    let with = |identities| Load {
        identities,
        ..scene.load()
    };
    let (mut sender, mut login) = (scene.tool(), scene.tool());
    takes(&mut login, with(vec![text(&old)])).unwrap();
    offer(&mut sender);
    assert!(!opens(&mut sender, &sealed_to(&new)));

    takes(&mut login, with(vec![text(&new), text(&old)])).unwrap();
    assert!(opens(&mut sender, &sealed_to(&new)));
    assert!(opens(&mut sender, &sealed_to(&old)));
    assert_eq!(deposit(&mut sender), Ok(()));
    assert_eq!(scene.sessions(), 2, "one for each load");

    // and what is left out is gone
    takes(&mut login, with(vec![text(&new)])).unwrap();
    assert!(!opens(&mut sender, &sealed_to(&old)));
}

/// A load with so many identities, and the newest and the oldest of them.
fn hoard(scene: &Scene, count: usize) -> (Load, [Identity; 2]) {
    let mut all: Vec<Identity> = (0..count)
        .map(|_| Identity::generate_pq(&mut OsRng))
        .collect();
    let identities = all.iter().map(text).collect();
    let [oldest, newest] = [all.pop().unwrap(), all.swap_remove(0)];
    let load = Load {
        identities,
        ..scene.load()
    };
    (load, [newest, oldest])
}

#[test]
fn years_of_identities_open_new_mail_and_old() {
    let scene = Scene::new();
    let (load, [newest, oldest]) = hoard(&scene, 500);
    let mut tool = scene.tool();
    takes(&mut tool, load).unwrap();
    assert!(opens(&mut tool, &sealed_to(&newest)));
    assert!(opens(&mut tool, &sealed_to(&oldest)));
    let stranger = Identity::generate_pq(&mut OsRng);
    assert!(!opens(&mut tool, &sealed_to(&stranger)));
}

#[test]
fn a_lock_does_not_wait_for_a_long_trial() {
    let scene = Scene::new();
    let (load, _) = hoard(&scene, 500);
    let (mut reader, mut other) = (scene.tool(), scene.tool());
    takes(&mut other, load).unwrap();
    // minutes of trials, all of them in vain
    let [stranger] = &sealed_to(&Identity::generate_pq(&mut OsRng))[..] else {
        panic!("one stanza for one recipient")
    };
    let ask = Ask::Unwrap {
        account: RUI.parse().unwrap(),
        stanzas: vec![stranger.clone(); 600],
    };
    reader.write(&Frame::Head(ask.encode().unwrap()));
    assert_eq!(accounts(&mut other), 1);
    let account = RUI.parse().unwrap();
    assert_eq!(other.ask(&Ask::Lock { account }), Some(Answer::Done));
    let Some(Frame::Head(bytes)) = reader.read() else {
        panic!("no answer")
    };
    let answer = Answer::decode(&bytes).unwrap();
    let unlock = matches!(
        answer,
        Answer::Failed {
            class: Class::Unavailable,
            ..
        }
    );
    assert!(unlock, "{answer:?}");
}

#[test]
fn a_load_that_fails_changes_nothing() {
    let scene = Scene::new();
    let (mut sender, mut login) = (scene.tool(), scene.tool());
    takes(&mut login, scene.load()).unwrap();
    offer(&mut sender);
    let mut bad = scene.load();
    bad.device_key = Secret::copy_of(&Device::generate().pkcs8);
    assert_eq!(takes(&mut login, bad), Err(Class::Denied));
    assert_eq!(deposit(&mut sender), Ok(()));
}

#[test]
fn a_load_of_another_device_or_place_cuts_what_was_there() {
    let scene = Scene::new();
    let elsewhere = Repository::start(&scene.device);
    let others: [Load; 2] = [
        Load {
            device: [8; 32],
            ..scene.load()
        },
        load(RUI, &elsewhere, &scene.device),
    ];
    for other in others {
        let (mut sender, mut login) = (scene.tool(), scene.tool());
        takes(&mut login, scene.load()).unwrap();
        offer(&mut sender);
        takes(&mut login, other).unwrap();
        assert_eq!(deposit(&mut sender), Err(Class::Busy));
        sender.carry(RUI, &Request::Ping).unwrap();
    }
}

#[test]
fn a_lock_after_a_second_load_ends_the_sessions_from_before() {
    let scene = Scene::new();
    let (mut sender, mut login) = (scene.tool(), scene.tool());
    takes(&mut login, scene.load()).unwrap();
    offer(&mut sender);
    takes(&mut login, scene.load()).unwrap();
    let account = RUI.parse().unwrap();
    assert_eq!(login.ask(&Ask::Lock { account }), Some(Answer::Done));
    assert_eq!(deposit(&mut sender), Err(Class::Unavailable));
    // unlocked again, the offer is not
    takes(&mut login, scene.load()).unwrap();
    assert_eq!(deposit(&mut sender), Err(Class::Busy));
}
