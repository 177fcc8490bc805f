//! A store against a simple model in memory: random acts, with kills amid them.
//!
//! The seed is printed. `SMR_TEST_SEED` repeats a run, `SMR_TEST_ACTS` says how
//! many acts there are.

mod ground;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use ground::{checked, child, command, content, deposit, examined, facts_of, id, name};
use smr_name::Class;
use smr_store::{Folder, State, Store, StoreError};

const ACCOUNTS: [&str; 4] = ["ana", "eva", "leo", "rui"];

/// Numbers that a seed decides (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn account(&mut self) -> usize {
        self.roll(ACCOUNTS.len() as u64) as usize
    }
}

/// One act, in a line that both sides read.
#[derive(Clone, Debug)]
enum Act {
    Deposit {
        number: u64,
        sender: usize,
        to: Vec<usize>,
        size: usize,
    },
    Fetched {
        who: usize,
        number: u64,
    },
    Read {
        who: usize,
        number: u64,
    },
    Remove {
        who: usize,
        folder: Folder,
        number: u64,
    },
    Receipt {
        reader: usize,
        to: usize,
        number: u64,
    },
}

fn size_of(number: u64) -> usize {
    if number.is_multiple_of(13) {
        66_000
    } else {
        1 + (number * 37 % 900) as usize
    }
}

impl Act {
    fn roll(dice: &mut Dice, known: u64) -> Act {
        let (who, number) = (dice.account(), 1 + dice.roll(known + 1));
        match dice.roll(10) {
            0..=3 => {
                let number = if dice.roll(8) == 0 { number } else { known + 1 };
                let first = dice.roll(3) as usize;
                let to = (first..first + 1 + dice.roll(2) as usize).collect();
                // Mostly its own; sometimes another's id, or another size.
                let sender = if dice.roll(20) == 0 {
                    who
                } else {
                    number as usize % 4
                };
                let size = size_of(number) + usize::from(dice.roll(30) == 0);
                Act::Deposit {
                    number,
                    sender,
                    to,
                    size,
                }
            }
            4 => Act::Fetched { who, number },
            5 | 6 => Act::Read { who, number },
            7 => Act::Remove {
                who,
                folder: Folder::Inbox,
                number,
            },
            8 => Act::Remove {
                who,
                folder: Folder::Sent,
                number,
            },
            _ => Act::Receipt {
                reader: who,
                to: dice.account(),
                number,
            },
        }
    }

    fn write(&self) -> String {
        match self {
            Act::Deposit {
                number,
                sender,
                to,
                size,
            } => {
                let to: Vec<String> = to.iter().map(ToString::to_string).collect();
                format!("deposit {number} {sender} {size} {}", to.join(","))
            }
            Act::Fetched { who, number } => format!("fetched {who} {number}"),
            Act::Read { who, number } => format!("read {who} {number}"),
            Act::Remove {
                who,
                folder,
                number,
            } => {
                format!("remove {who} {} {number}", folder.as_str())
            }
            Act::Receipt { reader, to, number } => format!("receipt {reader} {to} {number}"),
        }
    }

    fn parse(line: &str) -> Act {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().unwrap();
        let place = |text: &str| text.parse::<usize>().unwrap();
        match words[..] {
            ["deposit", n, sender, size, to] => Act::Deposit {
                number: number(n),
                sender: place(sender),
                size: place(size),
                to: to.split(',').map(place).collect(),
            },
            ["fetched", who, n] => Act::Fetched {
                who: place(who),
                number: number(n),
            },
            ["read", who, n] => Act::Read {
                who: place(who),
                number: number(n),
            },
            ["remove", who, folder, n] => Act::Remove {
                who: place(who),
                folder: Folder::ALL
                    .into_iter()
                    .find(|f| f.as_str() == folder)
                    .unwrap(),
                number: number(n),
            },
            ["receipt", reader, to, n] => Act::Receipt {
                reader: place(reader),
                to: place(to),
                number: number(n),
            },
            _ => panic!("{line}"),
        }
    }

    fn run(&self, store: &Store) -> Result<(), StoreError> {
        let who = |at: &usize| name(ACCOUNTS[*at]);
        match self {
            Act::Deposit {
                number,
                sender,
                to,
                size,
            } => {
                let to: Vec<&str> = to.iter().map(|at| ACCOUNTS[*at]).collect();
                deposit(store, *number, ACCOUNTS[*sender], &to, *size).map(drop)
            }
            Act::Fetched { who: at, number } => store.mark_fetched(&who(at), id(*number)),
            Act::Read { who: at, number } => store.mark_read(&who(at), id(*number)),
            Act::Remove {
                who: at,
                folder,
                number,
            } => store.remove(&who(at), *folder, id(*number)),
            Act::Receipt { reader, to, number } => {
                let mut spool = store.spool()?;
                spool.write(&content(id(*number), 40))?;
                let facts = facts_of(*number, ACCOUNTS[*reader], 1000, 40);
                store
                    .place_receipt(&spool.finish()?, &facts, &who(to))
                    .map(drop)
            }
        }
    }
}

/// What a folder must hold: number of the message, depositor, size, state.
type Entries = Vec<(u64, usize, usize, State)>;

/// The simplest store there could be.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Model(BTreeMap<(usize, &'static str), Entries>);

impl Model {
    fn at(&mut self, who: usize, folder: Folder) -> &mut Entries {
        self.0.entry((who, folder.as_str())).or_default()
    }

    /// Does what the act does, or returns why not.
    fn run(&mut self, act: &Act) -> Result<(), Class> {
        match act {
            Act::Deposit {
                number,
                sender,
                to,
                size,
            } => {
                let inboxes = to.iter().map(|at| (*at, Folder::Inbox, State::New));
                let places: Vec<_> = inboxes
                    .chain([(*sender, Folder::Sent, State::Read)])
                    .collect();
                for (at, folder, _) in &places {
                    let there = self.at(*at, *folder).iter().find(|e| e.0 == *number);
                    if there.is_some_and(|e| (e.1, e.2) != (*sender, *size)) {
                        return Err(Class::Denied);
                    }
                }
                for (at, folder, state) in places {
                    let entries = self.at(at, folder);
                    if !entries.iter().any(|e| e.0 == *number) {
                        entries.push((*number, *sender, *size, state));
                    }
                }
                Ok(())
            }
            Act::Fetched { who, number } => self.raise(*who, *number, State::Fetched),
            Act::Read { who, number } => self.raise(*who, *number, State::Read),
            Act::Remove {
                who,
                folder,
                number,
            } => {
                let entry = self.at(*who, *folder).iter_mut().find(|e| e.0 == *number);
                let (_, _, _, state) = entry.ok_or(Class::Missing)?;
                *state = match *state {
                    State::New => State::RemovedNew,
                    State::Fetched => State::RemovedFetched,
                    State::Read => State::RemovedRead,
                    removed => removed,
                };
                Ok(())
            }
            Act::Receipt { reader, to, number } => {
                let entries = self.at(*to, Folder::Receipts);
                if !entries.iter().any(|e| (e.0, e.1) == (*number, *reader)) {
                    entries.push((*number, *reader, 40, State::New));
                }
                Ok(())
            }
        }
    }

    fn raise(&mut self, who: usize, number: u64, to: State) -> Result<(), Class> {
        let entry = self
            .at(who, Folder::Inbox)
            .iter_mut()
            .find(|e| e.0 == number);
        match entry {
            Some((_, _, _, state)) if !state.is_removed() => {
                *state = (*state).max(to);
                Ok(())
            }
            _ => Err(Class::Missing),
        }
    }

    /// Reads a store whole; every file of it must be so too.
    fn of(store: &Store) -> Model {
        let mut model = Model::default();
        for (at, account) in ACCOUNTS.iter().enumerate() {
            for folder in Folder::ALL {
                let entries = checked(store, account, folder).0;
                for entry in entries {
                    let number = entry.number;
                    let page = store.list(&name(account), folder, number - 1, 1).unwrap();
                    let sender = ACCOUNTS.iter().position(|a| *a == entry.sender.as_str());
                    let mut first = [0; 8];
                    first.copy_from_slice(&entry.id.as_bytes()[..8]);
                    model.at(at, folder).push((
                        u64::from_be_bytes(first),
                        sender.unwrap(),
                        entry.size as usize,
                        page.entries[0].1,
                    ));
                }
            }
        }
        model.0.retain(|_, entries| !entries.is_empty());
        model
    }
}

#[test]
#[ignore = "the process that does the acts of the next test"]
fn child_acts() {
    let Some(path) = std::env::var_os("SMR_TEST_STORE") else {
        return;
    };
    let store = Store::open(Path::new(&path)).unwrap();
    if std::env::var_os("SMR_TEST_FORGET").is_some() {
        // So few that folders are forgotten all the time.
        store.keep_in_memory(30);
    }
    say("open");
    for line in std::io::stdin().lock().lines() {
        let outcome = Act::parse(&line.unwrap()).run(&store);
        say(&outcome
            .map_or_else(|error| error.class().code(), |()| 0)
            .to_string());
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nsaid {text}\n").as_bytes())
        .unwrap();
    out.flush().unwrap();
}

/// The process that has the store open.
struct Actor {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts it; in the first 1,000 acts it forgets folders all the time, which
    /// costs more the more they hold.
    fn start(path: &Path, acts: u64) -> Actor {
        let forgets = (acts < 1000).then_some(("SMR_TEST_FORGET", "1"));
        let mut process = command(&child("child_acts", path))
            .envs(forgets)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (
            process.stdin.take().unwrap(),
            process.stdout.take().unwrap(),
        );
        let mut actor = Actor {
            process,
            to,
            from: BufReader::new(from),
        };
        assert_eq!(actor.hear().as_deref(), Some("open"));
        actor
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.from.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(said) = line.trim_end().strip_prefix("said ") {
                return Some(said.to_owned());
            }
        }
    }

    fn tell(&mut self, act: &Act) {
        self.to.write_all((act.write() + "\n").as_bytes()).unwrap();
    }

    /// Ends it, in order or by a kill.
    fn end(mut self, kill: bool) {
        match kill {
            true => self.process.kill().unwrap(),
            false => drop(self.to),
        }
        self.process.wait().unwrap();
    }
}

#[test]
fn a_store_is_what_the_model_says_whatever_kills_it() {
    let from_env = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = from_env("SMR_TEST_SEED").unwrap_or(since.unwrap().as_nanos() as u64 | 1);
    let acts = from_env("SMR_TEST_ACTS").unwrap_or(4_000);
    say(&format!("SMR_TEST_SEED={seed}"));
    // In memory where there is such a place: a kill needs no disk.
    let memory = PathBuf::from("/dev/shm");
    let room = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    drop(ground::store_of(room.path(), &ACCOUNTS));
    let (mut dice, mut model, mut known) = (Dice(seed), Model::default(), 0);
    let mut actor = Actor::start(room.path(), 0);
    let mut kills = 0;
    for at in 0..acts {
        let act = Act::roll(&mut dice, known);
        if let Act::Deposit { number, .. } = act {
            known = known.max(number);
        }
        let mut after = model.clone();
        let expected = after.run(&act).map_or_else(|class| class.code(), |()| 0);
        actor.tell(&act);
        if dice.roll(250) > 0 {
            let said = actor.hear();
            let expected = expected.to_string();
            assert_eq!(
                said.as_deref(),
                Some(&*expected),
                "seed {seed}, act {at}: {act:?}"
            );
            model = after;
            continue;
        }
        // Cut off somewhere in it: all of it has come about, or nothing.
        (0..dice.roll(40_000)).for_each(|_| std::hint::spin_loop());
        actor.end(dice.roll(4) > 0);
        kills += 1;
        if kills % 4 == 1 {
            // Reads every file: not each time.
            let findings = examined(room.path()).1;
            assert!(findings.is_empty(), "seed {seed}, act {at}: {findings:?}");
        }
        let store = Store::open(room.path()).unwrap();
        let there = Model::of(&store);
        drop(store);
        after.0.retain(|_, entries| !entries.is_empty());
        model.0.retain(|_, entries| !entries.is_empty());
        assert!(
            there == model || there == after,
            "seed {seed}, act {at}: {act:?}"
        );
        model = there;
        actor = Actor::start(room.path(), at);
    }
    actor.end(false);
    // How many is for the dice.
    assert!(kills > 0, "none in {acts} acts");
    let findings = examined(room.path()).1;
    assert!(findings.is_empty(), "seed {seed}: {findings:?}");
}
