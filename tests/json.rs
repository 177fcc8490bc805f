//! What the tools print with `--json`, compared with smr-json(7): each type, its
//! keys in their order, and the example that stands there.
//!
//! The page is read, not repeated: what is here says only how to make each
//! line come.

mod house;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use house::House;

/// A type as the page describes it.
struct Described {
    kind: String,
    tool: String,
    keys: Vec<String>,
    example: String,
}

fn page() -> Vec<Described> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/smr-json.7");
    let text = fs::read_to_string(path).unwrap();
    let mut types: Vec<Described> = Vec::new();
    for line in text.lines().skip_while(|line| *line != ".Sh TYPES") {
        if let Some((kind, tool)) = line
            .strip_prefix(".Ss ")
            .and_then(|l| l.split_once(", of "))
        {
            types.push(Described {
                kind: kind.to_owned(),
                tool: tool.to_owned(),
                keys: Vec::new(),
                example: String::new(),
            });
        }
        let Some(last) = types.last_mut() else {
            continue;
        };
        last.keys
            .extend(line.strip_prefix(".It Ic ").map(str::to_owned));
        if let Some(example) = line.strip_prefix("$ ") {
            last.example = example.replace("\\e", "\\");
        }
    }
    types
}

/// Lines of fetched revocation lists need a web server and have their own
/// tests, in lib/server; their keys are compared with the source below.
const ELSEWHERE: [&str; 2] = ["source", "lacking"];

const REGISTER: &str = "smr-register --json --server $SERVER --server-key $KEY --token $TOKEN --backup backup.txt carol";

/// How to make a line of each type come, and by whom.
const CALLS: [(&str, &str, &str, &str); 16] = [
    (
        "sent",
        "smr-send",
        "alice",
        "smr-send --json -a $PKI/pin bob < /dev/null",
    ),
    ("message", "smr-ls", "bob", "smr-ls --json"),
    ("message", "smr-ls", "alice", "smr-ls --json sent"),
    ("message", "smr-recv", "bob", "smr-recv --json --peek"),
    ("user", "smr-ls", "alice", "smr-ls --json users"),
    (
        "status",
        "smr-receipt",
        "alice",
        "smr-receipt --json --status",
    ),
    (
        "evidence",
        "smr-receipt",
        "alice",
        "smr-receipt --export deed.zip $(smr-ls sent -1 -n 1) && smr-receipt --json --verify deed.zip",
    ),
    (
        "postmark",
        "smr-receipt",
        "alice",
        "unzip -p deed.zip postmarks/1.txt > mark.txt && smr-receipt --json --verify mark.txt",
    ),
    (
        "removed",
        "smr-rm",
        "bob",
        "smr-rm --json $(smr-ls -1 -n 1)",
    ),
    ("session", "smr-login", "alice", "smr-login --json --status"),
    (
        "identity",
        "age-plugin-smr",
        "alice",
        "age-plugin-smr --json",
    ),
    ("finding", "smr-login", "alice", "smr-login --json --check"),
    ("account", "smr-register", "carol", REGISTER),
    (
        "restored",
        "smr-register",
        "carol",
        "smr-login && smr-register --json --restore backup.txt",
    ),
    (
        "token",
        "smr-register",
        "alice",
        "smr-register --json --tokens",
    ),
    (
        "verdict",
        "smrd",
        "carol",
        "openssl pkcs12 -in $PKI/carol.p12 -nokeys -passin pass:1234 -out card.pem 2>/dev/null; smrd --config $SMRD_CONFIG --check-cert card.pem --json",
    ),
];

/// Those that come only where smrd is away.
const AWAY: [(&str, &str, &str); 3] = [
    (
        "queued",
        "smr-send",
        "smr-send --json --queue bob < /dev/null",
    ),
    ("finding", "smrd", FSCK),
    ("summary", "smrd", FSCK),
];
const FSCK: &str =
    "touch $STORE/accounts/alice/inbox/cur/junk; smrd --config $SMRD_CONFIG --fsck --json";

fn described<'a>(page: &'a [Described], kind: &str, tool: &str) -> &'a Described {
    page.iter()
        .find(|d| d.kind == kind && d.tool == tool)
        .unwrap_or_else(|| panic!("smr-json(7) has no {kind} of {tool}"))
}

fn compare(house: &mut House, described: &Described, who: &str, call: &str) {
    let kind = &described.kind;
    let keys = format!("jq -r 'select(.type==\"{kind}\")|[.v,.type]+(keys_unsorted)|join(\" \")'");
    let said = house.sh(who, &format!("{{ {call}; }} > lines; {keys} lines"));
    let whole = format!("1 {kind} v type {}", described.keys.join(" "));
    // A token without a certificate has nothing more to say.
    let token = format!(
        "1 token v type {}",
        described.keys[..4.min(described.keys.len())].join(" ")
    );
    let lines = said.text();
    assert!(!lines.is_empty(), "{call}: {}", said.stderr);
    for line in lines.lines() {
        let fits = line == whole || (kind == "token" && line == token);
        assert!(fits, "{call}\nprints {line}\nthe page has {whole}");
    }
}

#[test]
fn the_page_has_the_types_and_keys_that_the_tools_print() {
    let page = page();
    let mut house = House::with(&["alice", "bob"]);
    let mut met = BTreeSet::new();
    for (kind, tool, who, call) in CALLS {
        compare(&mut house, described(&page, kind, tool), who, call);
        met.insert((kind.to_owned(), tool.to_owned()));
    }
    house.stop();
    for (kind, tool, call) in AWAY {
        compare(&mut house, described(&page, kind, tool), "alice", call);
        met.insert((kind.to_owned(), tool.to_owned()));
    }
    for described in page {
        let here = met.contains(&(described.kind.clone(), described.tool.clone()));
        let elsewhere = ELSEWHERE.contains(&described.kind.as_str());
        assert!(here || elsewhere, "nothing here makes a {}", described.kind);
    }
}

#[test]
fn each_example_does_what_it_says() {
    let mut house = House::with(&["alice", "bob"]);
    for (who, call) in [
        ("alice", "smr-send -s Deed -a $PKI/pin bob < /dev/null"),
        ("bob", "smr-recv --receipt always > /dev/null"),
        ("alice", "smr-receipt --export deed.zip $(smr-ls sent -1)"),
        ("alice", "smr-send -s Deed -a $PKI/pin bob < /dev/null"),
        ("carol", REGISTER),
        ("carol", "smr-login"),
        ("alice", "unzip -p deed.zip postmarks/1.txt > mark.txt"),
        (
            "alice",
            "openssl pkcs12 -in $PKI/carol.p12 -nokeys -passin pass:1234 -out card.pem",
        ),
    ] {
        house.sh(who, call).expect(0);
    }
    for described in page() {
        let kind = described.kind.as_str();
        if !ELSEWHERE.contains(&kind)
            && !AWAY
                .iter()
                .any(|(k, tool, _)| *k == kind && *tool == described.tool)
        {
            example(&mut house, &described);
        }
    }
    house.stop();
    house.sh("alice", FSCK);
    for (kind, tool, _) in AWAY {
        example(&mut house, described(&page(), kind, tool));
    }
}

/// Runs an example as it stands; only smrd's has to be told of its store, and a
/// prefix on the page is none here.
fn example(house: &mut House, described: &Described) {
    let who = match described.kind.as_str() {
        "message" | "removed" => "bob",
        "restored" => "carol",
        _ => "alice",
    };
    let example = described
        .example
        .replace("smrd ", "smrd --config $SMRD_CONFIG ")
        .replace("5f0c1d4e", "$(smr-ls -1 -n 1)");
    assert!(!example.is_empty(), "{} has no example", described.kind);
    let said = house.sh(who, &example);
    let text = said.text();
    assert!(
        !text.is_empty() && text != "null",
        "{example}: {}",
        said.stderr
    );
}

/// Every type in the source is on the page; of those that no test here makes,
/// the keys too.
#[test]
fn no_type_is_forgotten() {
    let page = page();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
    let mut folders = vec![tools];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for piece in text
                .split("Line::new(\"")
                .skip(1)
                .chain(text.split("Json::new(\"").skip(1))
            {
                let (kind, rest) = piece.split_once('"').unwrap();
                found.insert(kind.to_owned());
                let statement = rest.split(".finish()").next().unwrap_or(rest);
                let described = page
                    .iter()
                    .find(|d| d.kind == kind && ELSEWHERE.contains(&kind));
                for key in described.into_iter().flat_map(|d| &d.keys) {
                    let there = statement.contains(&format!("\"{key}\""));
                    assert!(there, "{kind} has no {key}");
                }
            }
        }
    }
    let described: BTreeSet<String> = page.into_iter().map(|d| d.kind).collect();
    assert_eq!(found, described);
}
