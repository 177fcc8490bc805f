//! The accounts of the agent (lib/agent/src/table.rs, account.rs): keys and
//! sessions are there for who is logged in, and for nobody else.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, LazyLock};

use loom::thread;
use rand_core::OsRng;
use smr_channel::handshake::Suite;
use smr_channel::identity::ServerKeys;
use smr_channel::local::{Entrance, Load, Secret};
use smr_name::Address;

use crate::failure::Failure;
use crate::table::Table;
use crate::{clock, keys, link};

const LIFETIME: u32 = 3600;
/// Words of a thread's stack.
const STACK: usize = 1 << 16;

static LOAD: LazyLock<Load> = LazyLock::new(|| {
    let name = "repo.example".parse().expect("a name");
    let smrd = ServerKeys::generate(name, &mut OsRng);
    Load {
        account: "rui@repo.example".parse().expect("an address"),
        server: "repo.example:7667".into(),
        identity: smrd.identity().to_string(),
        device_key: Secret::copy_of(&[]),
        device: [4; 32],
        identities: Vec::new(),
        once: Secret::copy_of(&[]),
        lifetime: LIFETIME,
        idle: 0,
        suites: Suite::ALL.to_vec(),
        entrance: Entrance::Login,
    }
});

/// Another device of the same account.
static OTHER: LazyLock<Load> = LazyLock::new(|| Load {
    device: [5; 32],
    ..LOAD.clone()
});

/// A table with somebody who is logged in.
fn table() -> Arc<Table> {
    clock::UPTIME.store(0, Relaxed);
    keys::ALIVE.store(0, Relaxed);
    link::ALIVE.store(0, SeqCst);
    let table = Arc::new(Table::default());
    let login = beside(&table, |table| table.load(&LOAD).expect("a login"));
    login.join().expect("a login");
    table
}

/// What is in memory is what the table says, and nothing once it is empty.
fn check(table: &Table) -> usize {
    let open = table.status().iter().filter(|one| !one.locked).count();
    let alive = || (keys::ALIVE.load(Relaxed), link::ALIVE.load(SeqCst));
    assert_eq!(alive(), (open, open), "keys and sessions");
    table.clear();
    assert_eq!(alive(), (0, 0), "keys and sessions are left");
    open
}

/// Acts in a thread of its own, with room for smrd's identity, which a thread of
/// loom's has not.
fn beside(table: &Arc<Table>, act: impl Fn(&Table) + Send + 'static) -> thread::JoinHandle<()> {
    let table = Arc::clone(table);
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(move || act(&table)).expect("a thread")
}

/// Somebody logs in again, by this device or another, while a tool signs and
/// another one ends the login.
fn ended(again: &'static LazyLock<Load>, end: fn(&Table, &Address) -> Result<(), Failure>) {
    let table = table();
    let login = beside(&table, |table| table.load(again).expect("a login"));
    let ending = beside(&table, move |table| {
        end(table, &LOAD.account).expect("somebody is there");
    });
    // It may be over before, or amid it; whoever still has it keeps no key.
    let held = table.find_to_use(&LOAD.account).ok();
    if let Some(account) = &held {
        let _ = account.sign(&[]);
    }
    login.join().expect("a login");
    ending.join().expect("an end");
    check(&table);
    drop(held);
}

/// Tools that have found the account sign, and borrow sessions, while it is
/// locked: not after it.
fn locked() {
    let table = table();
    let tool = beside(&table, |table| {
        if let Ok(account) = table.find_to_use(&LOAD.account) {
            // Whatever is lent comes back to nobody.
            drop(account.lease());
        }
    });
    let held = table.find(&LOAD.account).expect("somebody is there");
    table.lock(&LOAD.account).expect("somebody is there");
    assert!(held.sign(&[]).is_err(), "signed after the lock");
    assert!(held.lease().is_err(), "lent after the lock");
    assert!(table.find(&LOAD.account).is_err());
    drop(held);
    tool.join().expect("a tool");
    assert_eq!(check(&table), 0);
}

/// The lifetime of a login ends while its person logs in again: he stays.
fn prolonged(again: &'static LazyLock<Load>) {
    let table = table();
    clock::UPTIME.store(LIFETIME.into(), Relaxed);
    let login = beside(&table, |table| table.load(again).expect("a login"));
    table.expire();
    login.join().expect("a login");
    assert_eq!(check(&table), 1, "a login was lost");
}

/// Returns how many orders were run.
pub(crate) fn run() -> usize {
    LazyLock::force(&OTHER);
    let mut all = crate::orders(Some(2), locked);
    for again in [&LOAD, &OTHER] {
        all += crate::orders(Some(2), move || ended(again, Table::lock));
        all += crate::orders(Some(2), move || ended(again, Table::logout));
        all += crate::orders(None, move || prolonged(again));
    }
    all
}
