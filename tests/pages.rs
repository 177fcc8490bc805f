//! The EXAMPLES of the manual, taken out of the pages and run, a house for each
//! page; those that cannot be run here are listed with the reason.
//!
//! smr-json(7) has a test of its own, `json.rs`.

mod house;

use std::fs;
use std::path::Path;

use house::House;

/// How a page's examples are run.
#[derive(Default)]
struct Page {
    file: &'static str,
    /// Whose they are; he is registered and logged in, unless it is a new machine.
    who: &'static str,
    /// What was before, as a shell command of his; the last line that it says
    /// is the id of the message that the page calls 5f0c1d4e.
    before: &'static str,
    /// Words of the page, and what a reader would have there.
    own: &'static [(&'static str, &'static str)],
    /// What takes an example that is a file, called `example`.
    takes: &'static str,
    /// Beginnings of examples that are not run, and why.
    not_run: &'static [(&'static str, &'static str)],
}

const MACHINE: &str = "sets up a machine; production.rs and agent.rs verify the units";
const CONFIGURED: &str = "configures a program: transcript 14-mail runs it so";

/// A message to oneself is both sent and received.
const TO_SELF: &str = "mkdir f deeds && echo 1 > f/1 && cp $PKI/ca/root.pem ca.pem && echo exit > filter && chmod 600 filter && \
                       tar c f | smr-send -s 'dump 1' -a - $WHO";

/// A bundle of such a message, unpacked here.
const BUNDLE: &str = "cp $PKI/ca/root.pem . && id=$(echo text | smr-send --by card -c carol $WHO) && smr-recv $id > /dev/null && \
                      smr-receipt $id && smr-receipt --export e.zip $id && unzip -q e.zip && echo $id";

/// Every page with examples, but smr-json(7).
fn pages() -> Vec<Page> {
    let page = |file, who, before| Page {
        file,
        who,
        before,
        ..Page::default()
    };
    vec![
        Page {
            not_run: &[
                ("cp smr-agent.socket", MACHINE),
                ("systemctl --user enable", MACHINE),
                (
                    "smr-agent --exit-when-empty",
                    "does not end by itself: agent.rs",
                ),
            ],
            ..page("smr-agent.1", "carol", "true")
        },
        page("age-plugin-smr.1", "bob", TO_SELF),
        page("smr-login.1", "carol", "true"),
        Page {
            own: &[("notify-send", "echo")],
            ..page("smr-ls.1", "bob", TO_SELF)
        },
        Page {
            own: &[("/etc/smr/trust.d", "$PKI/trust.d")],
            not_run: &[(
                "smr-receipt --export dated.zip",
                "asks an authority for time stamps: stamps.rs",
            )],
            ..page("smr-receipt.1", "bob", TO_SELF)
        },
        Page {
            own: &[
                (
                    "smr-recv --all --exec",
                    "echo x | smr-send bob && smr-recv --all --exec",
                ),
                ("maildrop -V 0", "maildrop -V 0 $PWD/filter"),
                (
                    "exec procmail",
                    "exec procmail DEFAULT=$PWD/inbox /dev/null",
                ),
            ],
            not_run: &[
                ("smr-recv --follow", "does not end by itself: follow.rs"),
                (
                    "set crypt_use_gpgme",
                    "configures a program: mail_programs.rs runs it so",
                ),
                (
                    "if (/^X-SMR-From",
                    "is a filter: transcript 12-deliver has it",
                ),
            ],
            ..page("smr-recv.1", "bob", TO_SELF)
        },
        Page {
            own: &[
                ("repo.example:7667 --server-key", "$SERVER --server-key"),
                ("repo.example:7667", "$SERVER --server-key $KEY"),
                (" alice", " --device laptop --backup backup.txt alice"),
                (
                    "smr-register --no-input",
                    "export SMR_HOME=$PWD/second; smr-register --no-input",
                ),
                (
                    "--token cc --add-device phone rui",
                    "--token \"$TOKEN\" --add-device phone alice",
                ),
                (
                    "smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --add",
                    "export SMR_HOME=$PWD/third; smr-register --server $SERVER --server-key $KEY --token \"$TOKEN\" --add",
                ),
            ],
            ..page(
                "smr-register.1",
                "alice+new",
                "cp $PKI/carol.p12 .; cp $CREDENTIALS_DIRECTORY/smr.pin pin; \
                cp $CREDENTIALS_DIRECTORY/smr.passphrase pass; \
                for home in second third; do mkdir $home; ln -s $PKI/trust.d $home; done",
            )
        },
        Page {
            own: &[("--before 365d", "--before now")],
            ..page("smr-rm.1", "bob", TO_SELF)
        },
        Page {
            own: &[("auditor", "carol"), ("pg_dump shop", "echo dump")],
            ..page("smr-send.1", "alice", "echo text > letter; echo c > c.pdf")
        },
        Page {
            not_run: &[
                ("set ", CONFIGURED),
                ("git ", CONFIGURED),
                (
                    "smr-recv | git am",
                    "takes what git sent: transcript 14-mail",
                ),
            ],
            ..page(
                "smr-sendmail.1",
                "alice",
                "printf 'To: bob\\nSubject: draft\\n\\ntext\\n' > draft",
            )
        },
        Page {
            takes: ". ./example && test -n \"$address\"; code=$?; kill $!; wait $!; exit $code",
            not_run: &[
                ("useradd", MACHINE),
                ("install", MACHINE),
                ("cp ", MACHINE),
                ("cat > /etc/smr/smrd.toml", MACHINE),
                ("smrd --init", "becomes another user: scripts/try-package"),
                (
                    "runuser",
                    "runs as another user: house/ has --init, duties.rs --fetch-revocation",
                ),
                (
                    "smrd --check-cert",
                    "wants a machine that is set up: duties.rs",
                ),
                ("systemctl", MACHINE),
                ("smr-register", "is in smr-register(1)"),
            ],
            ..page(
                "smrd.8",
                "carol",
                "sed 's/^address.*/address = [\"127.0.0.1:0\"]/; s/^path.*/path = \"store\"/' \
                $SMRD_CONFIG > smrd.toml && smrd --config smrd.toml --init",
            )
        },
        page("smr-envelope.5", "bob", BUNDLE),
        Page {
            own: &[
                ("/etc/smr/trust.d/pt/root.pem", "$PKI/ca/root.pem"),
                ("-attime 1795381848", "-attime $(date +%s)"),
            ],
            ..page("smr-receipt.5", "bob", BUNDLE)
        },
        Page {
            own: &[("repo.example:7667", "$SERVER"), ("SHA256:Wr6k...", "$KEY")],
            takes: "cp example $SMR_HOME/client.toml && smr-login --status",
            ..page("smr.conf.5", "alice", "true")
        },
        Page {
            takes: "smrd --config example --show-config",
            ..page("smrd.conf.5", "carol", "true")
        },
    ]
}

fn manual() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// Returns the literal displays under EXAMPLES.
fn displays(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut examples, mut inside) = (false, None::<String>);
    for line in page.lines() {
        match (&mut inside, line) {
            (None, line) if line.starts_with(".Sh ") => examples = line == ".Sh EXAMPLES",
            (None, line) if examples && line.starts_with(".Bd -literal") => {
                inside = Some(String::new());
            }
            (Some(_), ".Ed") => found.extend(inside.take()),
            (Some(text), line) => {
                text.push_str(&line.replace("\\e", "\\").replace("\\&", ""));
                text.push('\n');
            }
            _ => {}
        }
    }
    found
}

/// Takes the commands out of a display, with the lines that belong to each;
/// what stands between is their output. One without a prompt is one example.
fn commands(display: &str) -> Vec<String> {
    let prompt = |line: &str| {
        let rest = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        rest.map(str::to_owned)
    };
    if !display.lines().any(|line| prompt(line).is_some()) {
        return vec![display.to_owned()];
    }
    let mut found: Vec<String> = Vec::new();
    for line in display.lines() {
        match (prompt(line), found.last_mut()) {
            (Some(command), _) => found.push(command),
            (None, Some(last)) if line.starts_with(' ') => {
                last.push('\n');
                last.push_str(line);
            }
            _ => {}
        }
    }
    found
}

fn examples(file: &str) -> Vec<String> {
    let text = fs::read_to_string(manual().join(file)).unwrap();
    let displays = displays(&text);
    displays.iter().flat_map(|shown| commands(shown)).collect()
}

/// Writes an example as a command of its own; what it sets stays for the next.
fn step(page: &Page, example: &str, id: &str) -> String {
    let own = |text: String, (theirs, ours): &(&str, &str)| text.replace(theirs, ours);
    let text = page.own.iter().fold(example.replace("\\\n   ", ""), own);
    let text = ["5f0c1d4e", "48c4cda4"]
        .iter()
        .fold(text, |text, shown| text.replace(shown, id));
    let run = match page.takes {
        takes if example.ends_with('\n') => format!("cat > example <<END\n{text}END\n{takes}"),
        _ => text,
    };
    let told = example.replace('\'', "'\\''");
    format!("{run}\n[ $? = 0 ] || {{ echo 'NOT DONE: {told}' >&2; exit 99; }}\n")
}

/// Runs a page's examples; returns how many, or what was said.
fn run(page: &Page) -> Result<usize, String> {
    let mut house = match page.who {
        // Another machine of somebody who is not registered yet.
        who if who.contains('+') => House::build(),
        _ => House::with(&["alice", "bob", "carol"]),
    };
    let before = house.sh(page.who, page.before).expect(0).text();
    let id = before.lines().last().unwrap_or_default();
    let mut unused: Vec<_> = page.not_run.iter().map(|(begins, _)| begins).collect();
    let (mut script, mut count) = (String::new(), 0);
    for example in examples(page.file) {
        if page
            .not_run
            .iter()
            .any(|(begins, _)| example.starts_with(begins))
        {
            unused.retain(|begins| !example.starts_with(**begins));
            continue;
        }
        script.push_str(&step(page, &example, id));
        count += 1;
    }
    assert!(
        unused.is_empty(),
        "{}: no such examples: {unused:?}",
        page.file
    );
    let said = house.sh(page.who, &script);
    // What else logged in; the house knows the homes that it made.
    let others = "for home in second third; do [ ! -d $home ] || SMR_HOME=$PWD/$home smr-login --logout; done";
    house.sh(page.who, others);
    match said.code {
        0 => Ok(count),
        _ => Err(format!("{}: {}\n{}", page.file, said.text(), said.stderr)),
    }
}

#[test]
fn every_page_with_examples_is_here() {
    let mut with: Vec<String> = Vec::new();
    for entry in fs::read_dir(manual()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !examples(&file).is_empty() {
            with.push(file);
        }
    }
    with.sort();
    let mut here: Vec<_> = pages().iter().map(|page| page.file).collect();
    here.sort_unstable();
    assert_eq!(with, here);
}

#[test]
fn the_examples_of_the_pages_run() {
    let (mut count, mut failed) = (0, Vec::new());
    for page in pages() {
        match run(&page) {
            Ok(run) => count += run,
            Err(said) => failed.push(said),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(count > 40, "only {count} are run");
}
