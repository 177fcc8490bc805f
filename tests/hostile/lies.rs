//! A repository that lies under its own warrant: each lie is refused with the
//! right exit code, nothing on stdout, a hint, and, where smrd has signed a
//! contradiction, the proof kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand_core::OsRng;
use smr_channel::identity::ServerKeys;
use smr_channel::reply::{Entry, Progress, Reply};
use smr_channel::request::{Folder, Request};
use smr_evidence::note::Signer;
use smr_evidence::postmark::{self, Kind, Postmark};
use smr_name::{Class, Fingerprint, Head, MessageId};
use smr_server::Saying;

use crate::house::House;
use crate::liar::lying;
use crate::store::{PEOPLE, file, refused, send};

/// Lets smrd lie while somebody runs a command, which must be refused so;
/// returns what it said on stderr.
#[track_caller]
fn lied_to(
    house: &mut House,
    who: &str,
    command: &str,
    code: i32,
    lie: impl Fn(&mut Saying<'_>) -> bool + Send + Sync + 'static,
) -> String {
    let liar = lying(house, lie);
    let said = refused(house, who, command, code);
    liar.confess(house);
    said
}

/// The folder that an error names as the place of a proof.
fn proof(said: &str) -> PathBuf {
    let (_, rest) = said
        .split_once("proof in \"")
        .unwrap_or_else(|| panic!("no proof was kept:\n{said}"));
    PathBuf::from(rest.split('"').next().unwrap())
}

/// Runs the check in a proof with openssl.
fn checks(proof: &Path) -> bool {
    let output = Command::new("sh")
        .arg(proof.join("check.sh"))
        .output()
        .expect("sh runs");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// A proof was kept, whole, and a stranger finds it good.
#[track_caller]
pub(crate) fn proved(said: &str) -> PathBuf {
    let dir = proof(said);
    assert!(dir.join("README.txt").exists(), "{}", dir.display());
    assert!(checks(&dir), "{} does not check", dir.display());
    dir
}

/// Forgets the entries that were listed, not how far folders had come: so that
/// they are listed again, and lied about.
const FORGET: &str = "rm -rf $SMR_HOME/cache/shelves";

/// Edits the listing of a folder, and chains what comes of it.
fn relist(
    saying: &mut Saying<'_>,
    wanted: Folder,
    edit: impl FnOnce(&mut Vec<Entry>, &mut Vec<u8>),
) -> bool {
    if !matches!(saying.request, Some(Request::List { folder, .. }) if *folder == wanted) {
        return false;
    }
    let Reply::Listing {
        mut entries,
        more,
        before,
        ..
    } = saying.reply()
    else {
        return false;
    };
    let mut body = saying.body.clone();
    edit(&mut entries, &mut body);
    let chain = |head: Head, entry: &Entry| head.extend(&entry.name);
    let reply = Reply::Listing {
        count: entries.len() as u64,
        head: entries.iter().fold(before, chain),
        entries,
        more,
        before,
    };
    saying.say(&reply, &body);
    true
}

fn id(text: &str) -> MessageId {
    text.parse().expect("an id")
}

#[test]
fn the_answer_to_another_request() {
    type Which = fn(&Request) -> bool;
    let cases: [(&str, Which); 7] = [
        ("smr-ls -1", |r| matches!(r, Request::List { .. })),
        ("smr-ls users", |r| matches!(r, Request::Users { .. })),
        ("echo x | smr-send alice", |r| {
            matches!(r, Request::Account { .. })
        }),
        ("echo x | smr-send alice", |r| matches!(r, Request::Post(_))),
        ("head -c 100000 /dev/zero | smr-send alice", |r| {
            matches!(r, Request::Offer(_))
        }),
        ("head -c 100000 /dev/zero | smr-send alice", |r| {
            matches!(r, Request::Deposit { .. })
        }),
        ("smr-recv", |r| matches!(r, Request::Fetch { .. })),
    ];
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    for (command, which) in cases {
        let said = lied_to(&mut house, "bob", command, 76, move |saying| {
            let lies = saying.request.is_some_and(which);
            if lies {
                saying.say(&Reply::Done, b"");
            }
            lies
        });
        proved(&said);
    }
}

#[test]
fn an_old_answer_given_again() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let late = Arc::new(AtomicUsize::new(0));
    let (own, when) = (kept.clone(), late.clone());
    let liar = lying(&mut house, move |saying| {
        if !matches!(saying.request, Some(Request::List { .. })) || saying.account != "bob" {
            return false;
        }
        let mut kept = own.lock().unwrap();
        kept.push((saying.head.clone(), saying.body.clone()));
        if when.load(Ordering::SeqCst) == 0 {
            return false;
        }
        (saying.head, saying.body) = kept[0].clone();
        true
    });
    house.sh("bob", "smr-ls -1").expect(0);
    send(&mut house, "alice", "bob", "two");
    house.sh("bob", "smr-ls -1").expect(0);
    late.store(1, Ordering::SeqCst);
    let said = refused(&mut house, "bob", "smr-ls -1", 76);
    liar.confess(&mut house);
    assert!(said.contains("does not extend what was seen"), "{said}");
    let dir = proved(&said);
    let before = fs::read_to_string(dir.join("before-heads")).unwrap();
    assert!(before.starts_with("entry 2 has head "), "{before}");
    // smrd's own hand against smrd: two listings, each with its warrant
    let told = fs::read(dir.join("before-reply")).unwrap();
    match Reply::decode(&told).unwrap() {
        Reply::Listing { count, .. } => assert_eq!(count, 2),
        other => panic!("{other:?}"),
    }
    assert!(dir.join("before-warrant").exists());
    // the truth is believed as before
    house.sh("bob", "smr-ls -1").expect(0);
}

#[test]
fn another_users_message() {
    let mut house = House::with(&["alice", "bob", "carol"]);
    let mine = send(&mut house, "alice", "bob", "mine");
    let other = send(&mut house, "alice", "carol", "hers");
    let path = file(&house, "carol", "inbox", &other);
    let sealed = fs::read(&path).unwrap();
    let carols = path.file_name().unwrap().to_string_lossy().into_owned();
    let carols = carols.split(":2,").next().unwrap().to_owned();
    for deed in 0..3 {
        let (sealed, carols, wanted) = (sealed.clone(), carols.clone(), id(&mine));
        let (code, kept) = if deed == 2 { (76, true) } else { (65, false) };
        let lie = move |saying: &mut Saying<'_>| {
            let Reply::Message { mut entry } = saying.reply() else {
                return false;
            };
            if deed > 0 {
                let number = entry.name.number;
                entry.name = carols.parse().expect("a file name of the store");
                entry.name.number = number;
            }
            if deed == 1 {
                entry.name.id = wanted;
            }
            saying.say(&Reply::Message { entry }, &sealed);
            true
        };
        let command = format!("smr-recv {mine}");
        let said = lied_to(&mut house, "bob", &command, code, lie);
        if kept {
            proved(&said);
        }
    }
    // and the true one is his
    let read = house
        .sh("bob", &format!("smr-recv {mine}"))
        .expect(0)
        .text();
    assert!(read.contains("mine"), "{read}");
}

#[test]
fn the_keys_of_another_or_older_ones() {
    let mut house = House::with(PEOPLE);
    let record = |house: &House, who: &str| {
        fs::read(house.path("store/accounts").join(who).join("record")).unwrap()
    };
    send(&mut house, "alice", "bob", "one");
    let old = record(&house, "bob");
    house.sh("bob", "smr-login --new-key").expect(0);
    send(&mut house, "alice", "bob", "two");
    let new = record(&house, "bob");
    assert_ne!(old, new);
    let alices = record(&house, "alice");
    for (wrong, word) in [(alices, "sent the record of"), (old, "went back")] {
        let lie = move |saying: &mut Saying<'_>| match saying.reply() {
            Reply::Account { name, lists, .. } if name.as_str() == "bob" => {
                let record_len = wrong.len() as u32;
                let reply = Reply::Account {
                    name,
                    record_len,
                    lists,
                };
                saying.say(&reply, &wrong);
                true
            }
            _ => false,
        };
        let said = lied_to(&mut house, "alice", "echo x | smr-send bob", 76, lie);
        assert!(said.contains(word), "{said}");
        let before = fs::read(proved(&said).join("before-record")).unwrap();
        assert_eq!(before, new, "what was known is in the proof");
    }
}

#[test]
fn an_entry_altered_after_it_was_seen() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    send(&mut house, "alice", "bob", "two");
    house.sh("bob", "smr-ls -1").expect(0);
    let edits: [fn(&mut Vec<Entry>); 5] = [
        |entries| entries[0].name.sender = "bob".parse().unwrap(),
        |entries| entries[0].name.time -= 86_400,
        |entries| entries.swap(0, 1),
        |entries| drop(entries.pop()),
        |entries| entries.clear(),
    ];
    for edit in edits {
        let lie = move |saying: &mut Saying<'_>| {
            relist(saying, Folder::Inbox, |entries, _| edit(entries))
        };
        let list = format!("{FORGET}; smr-ls -1");
        let said = lied_to(&mut house, "bob", &list, 76, lie);
        proved(&said);
    }
}

#[test]
fn a_listing_that_does_not_go_on_from_what_is_remembered() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    let both = house.sh("bob", "smr-ls -1").expect(0).text();
    for lie in [0, 1] {
        let lie = move |saying: &mut Saying<'_>| {
            let Reply::Listing {
                entries,
                mut head,
                mut before,
                ..
            } = saying.reply()
            else {
                return false;
            };
            // Of the one page after it, and of the whole that is asked for then.
            match lie {
                0 => (head, before) = (Head::default(), Head::default()),
                _ => {
                    head = head.extend(&entries.first().map_or_else(other_name, |e| e.name.clone()))
                }
            }
            let (count, more) = (entries.len() as u64, false);
            let reply = Reply::Listing {
                entries,
                more,
                count,
                head,
                before,
            };
            let body = saying.body.clone();
            saying.say(&reply, &body);
            true
        };
        proved(&lied_to(&mut house, "bob", "smr-ls -1", 76, lie));
        assert_eq!(house.sh("bob", "smr-ls -1").expect(0).text(), both);
    }
    // Fewer states than entries.
    let lie = |saying: &mut Saying<'_>| match saying.reply() {
        Reply::Tally { .. } => {
            saying.say(&Reply::Tally { count: 0 }, b"");
            true
        }
        _ => false,
    };
    proved(&lied_to(&mut house, "bob", "smr-ls -1", 76, lie));
    assert_eq!(house.sh("bob", "smr-ls -1").expect(0).text(), both);
}

fn other_name() -> smr_name::EntryName {
    let name = format!(
        "000000000002.01800000000.{}.alice,S=3,H={A},C={A}",
        "ab".repeat(16),
        A = "A".repeat(43)
    );
    name.parse().expect("a name of an entry")
}

#[test]
fn a_deposit_that_is_not_there_later() {
    let mut house = House::with(PEOPLE);
    let sent = send(&mut house, "alice", "bob", "one");
    let lie =
        |saying: &mut Saying<'_>| relist(saying, Folder::Sent, |entries, _| drop(entries.pop()));
    let said = lied_to(&mut house, "alice", "smr-ls sent", 76, lie);
    let dir = proved(&said);
    // smrd's own hand against smrd
    let note = fs::read_to_string(dir.join("before-postmark")).unwrap();
    assert!(note.contains(&sent), "{note}");
}

#[test]
fn a_false_postmark() {
    type Edit = fn(&mut Postmark);
    let edits: [(&str, Edit); 8] = [
        ("another file's hash", |p| p.sha256[0] ^= 1),
        ("another signature's hash", |p| p.cms[31] ^= 1),
        ("another size", |p| p.size += 1),
        ("another mailbox", |p| p.mailbox = "carol".parse().unwrap()),
        ("another folder", |p| p.kind = Kind::Receipt),
        ("another id", |p| p.id = MessageId::from_bytes([7; 16])),
        ("another sender", |p| p.sender = "bob".parse().unwrap()),
        ("another repository", |p| {
            p.repository = "other.example".parse().unwrap();
        }),
    ];
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    for (what, edit) in edits {
        for at in 0..2 {
            let lie = move |saying: &mut Saying<'_>| remark(saying, at, edit);
            let said = lied_to(&mut house, "alice", "echo x | smr-send bob", 76, lie);
            assert!(said.contains("did not keep its word"), "{what}: {said}");
            proved(&said);
        }
    }
    // a number that another copy has already
    send(&mut house, "alice", "bob", "two");
    let fork = |saying: &mut Saying<'_>| {
        remark(saying, 1, |p| {
            p.number -= 1;
            p.head = Head::default();
        })
    };
    let said = lied_to(&mut house, "alice", "echo x | smr-send bob", 76, fork);
    assert!(said.contains("two faces"), "{said}");
    proved(&said);
    // and one that an older copy has
    let back = |saying: &mut Saying<'_>| remark(saying, 1, |p| p.number -= 3);
    let said = lied_to(&mut house, "alice", "echo x | smr-send bob", 76, back);
    assert!(
        said.contains("the sent folder of \"alice\" went back"),
        "{said}"
    );
    proved(&said);
}

/// Signs another postmark in the place of one.
fn remark(saying: &mut Saying<'_>, at: usize, edit: fn(&mut Postmark)) -> bool {
    let Reply::Postmarks { mut postmarks } = saying.reply() else {
        return false;
    };
    let keys = saying.keys.identity();
    let mut mark = postmark::open(&postmarks[at], &keys.postmark, &keys.name).unwrap();
    edit(&mut mark);
    postmarks[at] = postmark::sign(&mark, &Signer::from_seed(saying.keys.postmark_seed())).unwrap();
    saying.say(&Reply::Postmarks { postmarks }, b"");
    true
}

#[test]
fn a_postmark_that_is_none() {
    type Edit = fn(&mut Vec<String>);
    let edits: [Edit; 5] = [
        |notes| notes.clear(),
        |notes| drop(notes.pop()),
        |notes| notes.swap(0, 1),
        |notes| notes[0] = notes[0].replacen("repo.example", "repa.example", 1),
        |notes| notes[0] = "\u{1b}]0;postmark\u{7}\n\n\u{2014} a b\n".to_owned(),
    ];
    let mut house = House::with(PEOPLE);
    for edit in edits {
        let lie = move |saying: &mut Saying<'_>| {
            let Reply::Postmarks { mut postmarks } = saying.reply() else {
                return false;
            };
            edit(&mut postmarks);
            saying.say(&Reply::Postmarks { postmarks }, b"");
            true
        };
        let said = lied_to(&mut house, "alice", "echo x | smr-send bob", 76, lie);
        assert!(!said.contains('\u{1b}'), "{said:?}");
        proved(&said);
    }
}

#[test]
fn a_false_receipt() {
    let mut house = House::with(PEOPLE);
    let one = send(&mut house, "alice", "bob", "one");
    let two = send(&mut house, "alice", "bob", "two");
    house
        .sh(
            "bob",
            &format!("smr-recv --receipt always {one} >/dev/null"),
        )
        .expect(0);
    let sealed = fs::read(file(&house, "alice", "receipts", &one)).unwrap();
    // for another message
    let other = id(&two);
    let liar = lying(&mut house, move |saying| {
        relist(saying, Folder::Receipts, |entries, _| {
            entries[0].name.id = other;
        })
    });
    not_read(&mut house, &two);
    liar.confess(&mut house);
    // altered
    for at in [0, sealed.len() / 2, sealed.len() - 1] {
        let mut forged = sealed.clone();
        forged[at] ^= 1;
        let liar = lying(&mut house, move |saying| {
            relist(saying, Folder::Receipts, |entries, body| {
                entries[0].name.sha256 = *Fingerprint::of(&forged).as_bytes();
                if entries[0].peek_len > 0 {
                    *body = forged.clone();
                }
            })
        });
        not_read(&mut house, &one);
        liar.confess(&mut house);
    }
    // and the true one counts
    house
        .sh("alice", &format!("smr-receipt --wait 0s {one}"))
        .expect(0);
}

/// What alice is told of a receipt that does not count; she has not seen the
/// folder before, so that the receipt itself must show it.
#[track_caller]
fn not_read(house: &mut House, sent: &str) {
    let status = house
        .sh("alice", &format!("{FORGET}; smr-receipt --status {sent}"))
        .expect(65);
    assert!(!status.text().contains("good"), "{}", status.text());
    house
        .sh("alice", &format!("{FORGET}; smr-receipt --wait 0s {sent}"))
        .expect(1);
    refused(
        house,
        "alice",
        &format!("{FORGET}; rm -f e.zip; smr-receipt --export e.zip {sent}"),
        65,
    );
    house
        .sh(
            "alice",
            &format!("{FORGET}; rm $SMR_HOME/state/known/heads/*/*.receipts.* $SMR_HOME/state/known/journal"),
        )
        .expect(0);
}

#[test]
fn false_states() {
    let mut house = House::with(PEOPLE);
    let sent = send(&mut house, "alice", "bob", "one");
    type Edit = fn(&mut Vec<(smr_name::MailboxName, Progress)>);
    let edits: [Edit; 3] = [
        |states| states[0].0 = "carol".parse().unwrap(),
        |states| states.clear(),
        |states| states.push(states[0].clone()),
    ];
    for edit in edits {
        let lie = move |saying: &mut Saying<'_>| restate(saying, edit);
        proved(&lied_to(&mut house, "alice", "smr-ls sent", 76, lie));
    }
    // "read" is smrd's word; it is no receipt
    let liar = lying(&mut house, |saying| {
        restate(saying, |states| states[0].1 = Progress::Read)
    });
    house
        .sh("alice", &format!("smr-receipt --wait 0s {sent}"))
        .expect(1);
    liar.confess(&mut house);
}

fn restate(saying: &mut Saying<'_>, edit: fn(&mut Vec<(smr_name::MailboxName, Progress)>)) -> bool {
    let Reply::States { mut states } = saying.reply() else {
        return false;
    };
    edit(&mut states);
    saying.say(&Reply::States { states }, b"");
    true
}

#[test]
fn a_message_that_nobody_asked_for() {
    let mut house = House::with(PEOPLE);
    let mine = send(&mut house, "alice", "bob", "one");
    let lie = |saying: &mut Saying<'_>| {
        let found = matches!(saying.request, Some(Request::Find { .. }));
        if found {
            let matches = vec![(Folder::Inbox, MessageId::from_bytes([7; 16]))];
            saying.say(&Reply::Found { matches }, b"");
        }
        found
    };
    let command = format!("smr-recv {}", &mine[..8]);
    let said = lied_to(&mut house, "bob", &command, 76, lie);
    proved(&said);
}

#[test]
fn a_huge_listing() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    type Edit = fn(&mut Vec<Entry>, &mut Vec<u8>);
    let grow: [Edit; 3] = [
        // more than was asked for
        |entries, _| {
            for number in 2..=250 {
                let mut next = entries[0].clone();
                next.name.number = number;
                next.name.id = MessageId::from_bytes([number as u8; 16]);
                entries.push(next);
            }
        },
        // first bytes that do not come
        |entries, _| entries[0].peek_len = u32::MAX,
        // bytes that nobody asked for
        |_, body| body.resize(32 << 20, 0),
    ];
    for (edit, kept) in grow.into_iter().zip([true, true, false]) {
        let lie = move |saying: &mut Saying<'_>| relist(saying, Folder::Inbox, edit);
        let said = lied_to(&mut house, "bob", "smr-ls -1", 76, lie);
        // The end of the last one, with its warrant, was not waited for.
        assert_eq!(said.contains("proof in"), kept, "{said}");
    }
    // pages that hold nothing and never end
    let lie = |saying: &mut Saying<'_>| match saying.reply() {
        Reply::Listing {
            count,
            head,
            before,
            ..
        } => {
            let (entries, more) = (Vec::new(), true);
            let reply = Reply::Listing {
                entries,
                more,
                count,
                head,
                before,
            };
            saying.say(&reply, b"");
            true
        }
        _ => false,
    };
    proved(&lied_to(&mut house, "bob", "smr-ls -1", 76, lie));
}

#[test]
fn names_with_slashes_and_escapes() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    for (command, from, to) in [
        ("smr-ls -1", ".alice,", ".a/../,"),
        ("smr-ls -1", ".alice,", ".al\u{1b}[m,"),
        ("smr-ls -1", ".alice,", ".ALICE,"),
        ("smr-ls -1", "000000000001.", "00000000/../."),
        ("smr-ls users", "alice", "a/ice"),
        ("smr-ls users", "alice", "\u{1b}[2Jx"),
        ("smr-ls users", "alice", "al\0ce"),
    ] {
        let lie = move |saying: &mut Saying<'_>| {
            let listing = matches!(
                saying.request,
                Some(Request::List { .. } | Request::Users { .. })
            );
            let place = saying
                .head
                .windows(from.len())
                .position(|w| w == from.as_bytes());
            match place {
                Some(at) if listing => {
                    saying.head[at..at + to.len()].copy_from_slice(to.as_bytes());
                    true
                }
                _ => false,
            }
        };
        let said = lied_to(&mut house, "bob", command, 76, lie);
        assert!(said.contains("cannot be read"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
        proved(&said);
    }
}

#[test]
fn words_that_move_the_cursor() {
    let mut house = House::with(PEOPLE);
    const EVIL: &str = "\u{1b}]0;evil\u{7}\u{1b}[2J\r\nALICE\u{202e}";
    // The name of a person is the one in his certificate, whatever smrd says.
    let liar = lying(&mut house, |saying| {
        let Reply::Users { mut users, more } = saying.reply() else {
            return false;
        };
        users
            .iter_mut()
            .for_each(|user| user.person = EVIL.to_owned());
        saying.say(&Reply::Users { users, more }, b"");
        true
    });
    let listed = house.sh("bob", "smr-ls users").expect(0).text();
    liar.confess(&mut house);
    assert!(
        listed.contains("ALICE MARTINS") && !listed.contains("evil"),
        "{listed:?}"
    );
    // Its refusals are shown, with what moves the cursor made visible.
    let said = lied_to(&mut house, "bob", "smr-ls -1", 77, |saying| {
        let lies = matches!(saying.request, Some(Request::List { .. }));
        if lies {
            let refused = Reply::Refused {
                class: Class::Denied,
                text: EVIL.to_owned(),
                hint: EVIL.to_owned(),
            };
            saying.say(&refused, b"");
        }
        lies
    });
    let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.contains(bad), "{said:?}");
    assert_eq!(said.lines().count(), 2, "{said:?}");
}

#[test]
fn answers_cut_and_grown_inside_the_seal() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    let length = Arc::new(AtomicUsize::new(0));
    let whole = Arc::new(AtomicUsize::new(1));
    let (cut, told) = (length.clone(), whole.clone());
    let liar = lying(&mut house, move |saying| {
        let lies = matches!(saying.request, Some(Request::List { .. }));
        if lies {
            told.store(saying.head.len(), Ordering::SeqCst);
            match cut.load(Ordering::SeqCst) {
                0 => saying.head[1..3].fill(0xff),
                length => saying.head.resize(length, 0),
            }
        }
        lies
    });
    let mut cases = 0;
    let mut at = 0;
    while at <= whole.load(Ordering::SeqCst) + 17 {
        length.store(at, Ordering::SeqCst);
        if at != whole.load(Ordering::SeqCst) {
            proved(&refused(&mut house, "bob", "smr-ls -1", 76));
            cases += 1;
        }
        at += 11;
    }
    liar.confess(&mut house);
    println!("lies: lengths inside the seal {cases}");
    assert!(cases > 15, "{cases}");
}

#[test]
fn a_warrant_by_other_keys() {
    let mut house = House::with(PEOPLE);
    let name = "repo.example".parse().unwrap();
    let keys = Arc::new(ServerKeys::generate(name, &mut OsRng));
    let lie = move |saying: &mut Saying<'_>| {
        saying.forger = saying.request.map(|_| keys.clone());
        saying.request.is_some()
    };
    let said = lied_to(&mut house, "bob", "smr-ls -1", 76, lie);
    // Nothing of it is smrd's, so it proves nothing against smrd.
    assert!(!said.contains("proof"), "{said}");
    assert!(!house.path("home/bob/state/proofs").exists());
}

#[test]
fn a_welcome_for_somebody_else() {
    let mut house = House::with(PEOPLE);
    let said = lied_to(&mut house, "bob", "smr-ls -1", 76, |saying| {
        let Reply::Welcome { until, now, .. } = saying.reply() else {
            return false;
        };
        let account = "alice".parse().unwrap();
        let reply = Reply::Welcome {
            account,
            until,
            now,
        };
        saying.say(&reply, b"");
        true
    });
    assert!(said.contains("not asked"), "{said}");
}

/// The commands of a page after these words.
fn commands(page: &str, after: &str) -> String {
    let (_, rest) = page.split_once(after).expect("the words are on the page");
    let (block, _) = rest.split_once(".Ed").expect("a block ends");
    let lines = block.lines();
    let typed = lines.filter_map(|l| l.strip_prefix("$ ").or(l.strip_prefix("> ")));
    typed.map(|line| line.replace("\\e", "\\") + "\n").collect()
}

#[test]
fn a_stranger_can_check_a_kept_proof() {
    let mut house = House::with(PEOPLE);
    send(&mut house, "alice", "bob", "one");
    house.sh("bob", "smr-ls -1").expect(0);
    let lie = |saying: &mut Saying<'_>| relist(saying, Folder::Inbox, |entries, _| entries.clear());
    let list = format!("{FORGET}; smr-ls -1");
    let said = lied_to(&mut house, "bob", &list, 76, lie);
    let dir = proved(&said);
    let readme = fs::read_to_string(dir.join("README.txt")).unwrap();
    assert!(readme.contains("smrd has altered the inbox"), "{readme}");
    let files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for path in &files {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    // by hand, as the page says it
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/smr-threats.7");
    let by_hand = commands(
        &fs::read_to_string(page).unwrap(),
        "By hand, in the folder:",
    );
    assert!(by_hand.contains("pkeyutl"), "{by_hand}");
    let output = Command::new("sh")
        .args(["-ec", &by_hand])
        .current_dir(&dir)
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("Verified Successfully"), "{said}");
    // whatever is altered in what it proves, it proves no more
    for name in ["1-request", "1-reply", "1-warrant", "identity"] {
        let path = dir.join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = match name {
            // within the warrant key
            "identity" => String::from_utf8_lossy(&good).find("\nwarrant ").unwrap() + 12,
            _ => good.len() - 1,
        };
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        fs::write(&path, &bad).unwrap();
        assert!(!checks(&dir), "altered {name}");
        fs::write(&path, &good).unwrap();
    }
    assert!(checks(&dir));
}
