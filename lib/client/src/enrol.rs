//! Enrolment: a person's card signs a device once, and the account is
//! published.
//!
//! Nothing leaves this machine before the card's certificate has verified
//! here; nothing is published before the key ring is on disk.

use std::fs;
use std::path::{Path, PathBuf};

use rand_core::{CryptoRngCore, OsRng};
use smr_channel::identity::Identity as ServerIdentity;
use smr_channel::local::Entrance;
use smr_evidence::account::{Draft, build, keys_statement};
use smr_evidence::device;
use smr_evidence::trust::{Certificate, Revocation, Signer, SoftKey, check_card, generate_p256};
use smr_name::{Address, Class, Fingerprint, MailboxName, RepositoryName};
use smr_seal::Identity;
use zeroize::Zeroizing;

use crate::config::{self, FirstAccount, Settings};
use crate::failure::Failure;
use crate::grounds;
use crate::home::Home;
use crate::keyring::{EpochKey, KeyRing};
use crate::known::{Known, Server};
use crate::login;
use crate::meet::ask_identity;
use crate::private;
use crate::token::{NoPin, Pin, PinPrompt, Token};

/// A device certificate lasts three years, or as long as its card's.
const DEVICE_YEARS: i64 = 3 * 365 * 86_400;
/// Clocks differ: the certificate begins a little before it is made.
const BACKDATE: i64 = 300;

/// Returns what to call this device where nobody says: the host's name, in
/// letters, digits and hyphens.
pub fn default_label() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = name.chars().map(plain).take(16).collect();
    let label = label.trim_matches('-');
    if label.is_empty() {
        "device".to_owned()
    } else {
        label.to_owned()
    }
}

/// What a person wants enrolled.
pub struct Wish {
    /// The name of the new mailbox.
    pub name: MailboxName,
    /// HOST:PORT.
    pub server: String,
    /// smrd's fingerprint, where it is known beforehand.
    pub server_key: Option<Fingerprint>,
    /// The card or key file.
    pub token: Token,
    /// TOKEN as it was written, for client.toml.
    pub token_text: String,
    /// Anchors instead of the configured ones.
    pub anchors: Option<PathBuf>,
    /// The new device's label.
    pub label: String,
    /// Where to write the encryption key for safe keeping.
    pub backup: Option<PathBuf>,
}

/// What only the person, or what stands in for him, can answer.
pub trait Answers {
    /// Accepts a server seen for the first time, or fails.
    fn accept_server(
        &mut self,
        repository: &RepositoryName,
        fingerprint: &Fingerprint,
    ) -> Result<(), Failure>;
    /// Gives the PIN of a token, or the password of a key file.
    fn pin(&mut self, prompt: &PinPrompt) -> Result<Pin, NoPin>;
    /// Gives a new passphrase for the key ring.
    fn new_passphrase(&mut self) -> Result<Zeroizing<String>, Failure>;
}

/// Makes the account, and returns its address and the fingerprint of the
/// device certificate. `now` is unix seconds.
pub fn enrol(
    home: &Home,
    settings: &Settings,
    wish: &Wish,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<(Address, Fingerprint), Failure> {
    let server = meet(home, wish, answers)?;
    let address = Address::new(wish.name.clone(), server.name.clone());
    let path = home.keyring(&wish.name, &server.name);
    refuse_second(&path, &address)?;
    wish.backup.as_deref().map_or(Ok(()), refuse_used)?;

    let card = crate::token::open(&wish.token, &mut |prompt| answers.pin(prompt))?;
    check_own_card(home, settings, wish, card.as_ref(), now)?;
    let made = Made::draw(card.as_ref(), &address, &wish.label, &mut OsRng, now)?;
    drop(card); // the reader is free again

    let passphrase = answers.new_passphrase()?;
    let ring = made.ring(address.clone(), &wish.label, &mut OsRng, now);
    if let Err(error) = ring.save_new(&path, &passphrase) {
        // Another enrolment on this machine may have been faster.
        refuse_second(&path, &address)?;
        return Err(error.into());
    }
    if let Some(file) = &wish.backup {
        write_backup(file, &address, &ring).or_else(|failure| {
            remove(&path)?;
            Err(failure)
        })?;
    }
    if let Err(failed) = publish(home, settings, wish, &server, &ring, made.record) {
        return Err(match failed.in_doubt {
            true => failed.failure.hint(in_doubt(&path)),
            false => {
                // Nobody knows these keys: they would only bar the next try.
                remove(&path)?;
                wish.backup.as_deref().map_or(Ok(()), remove)?;
                failed.failure
            }
        });
    }
    login::keep_chain(home, &address, &ring.chain)?;
    settle(home, wish, &server, &address)?;
    Ok((address, made.fingerprint))
}

/// Meets the server and pins it, if its fingerprint is the right one.
fn meet(home: &Home, wish: &Wish, answers: &mut dyn Answers) -> Result<ServerIdentity, Failure> {
    let identity = ask_identity(&wish.server)?;
    let seen = identity.fingerprint();
    let known = Known::new(home);
    let server = Server {
        address: wish.server.clone(),
        identity: identity.to_string(),
    };
    match (wish.server_key, known.server(&identity.name)?) {
        (Some(expected), _) if expected != seen => {
            return Err(Failure::new(
                Class::Untrusted,
                format!(
                    "\"{}\" has another key: {seen}, expected {expected}",
                    wish.server
                ),
            )
            .hint("ask its operator for `smrd --fingerprint`"));
        }
        (Some(_), _) => known.accept_server(&identity.name, &server)?,
        (None, Some(_)) => drop(known.see_server(&identity.name, &server)?),
        (None, None) => {
            answers.accept_server(&identity.name, &seen)?;
            known.see_server(&identity.name, &server)?;
        }
    }
    Ok(identity)
}

fn refuse_second(path: &Path, address: &Address) -> Result<(), Failure> {
    match path.exists() {
        false => Ok(()),
        true => Err(Failure::new(
            Class::Denied,
            format!("\"{address}\" is registered here already"),
        )
        .hint("smr-login")),
    }
}

/// Refuses a file that is there before the card is asked for anything.
fn refuse_used(file: &Path) -> Result<(), Failure> {
    match file.symlink_metadata().is_ok() {
        false => Ok(()),
        true => Err(Failure::new(
            Class::CannotCreate,
            format!("\"{}\" exists already", file.display()),
        )
        .hint("--backup another FILE")),
    }
}

fn remove(file: &Path) -> Result<(), Failure> {
    fs::remove_file(file).map_err(|e| {
        Failure::new(
            Class::Io,
            format!("cannot remove \"{}\": {e}", file.display()),
        )
    })
}

fn in_doubt(ring: &Path) -> String {
    format!(
        "smr-login tells whether the account was made; if not, remove \"{}\" and try again",
        ring.display()
    )
}

/// Verifies the card as smrd and everybody else will; revocation as far as
/// lists are at hand, for smrd looks it up in any case.
fn check_own_card(
    home: &Home,
    settings: &Settings,
    wish: &Wish,
    card: &dyn Signer,
    now: i64,
) -> Result<(), Failure> {
    let store = grounds::load(home, settings, wish.anchors.as_deref())?;
    let mut rules = grounds::rules(settings, now);
    if rules.revocation == Revocation::Require {
        rules.revocation = Revocation::Prefer;
    }
    check_card(card.certificate(), card.chain(), &store, &rules)
        .map(drop)
        .map_err(|error| {
            Failure::new(
                Class::Denied,
                format!("the certificate is refused: {error}"),
            )
            .hint("is its authority in trust.d, and the clock right?")
        })
}

/// What enrolment draws and signs.
struct Made {
    device_key: Zeroizing<Vec<u8>>,
    chain: Vec<Certificate>,
    identity: Identity,
    fingerprint: Fingerprint,
    record: Vec<u8>,
}

impl Made {
    fn draw(
        card: &dyn Signer,
        address: &Address,
        label: &str,
        rng: &mut dyn CryptoRngCore,
        now: i64,
    ) -> Result<Made, Failure> {
        let broken = |e: &dyn std::fmt::Display| Failure::new(Class::Broken, e.to_string());
        let repository = address
            .repository
            .as_ref()
            .ok_or_else(|| broken(&"no repository"))?;
        let (device_key, spki) = generate_p256().map_err(|e| broken(&e))?;
        let mut serial = [0; 16];
        rng.fill_bytes(&mut serial);
        let request = device::request(
            &address.mailbox,
            repository,
            label,
            spki,
            now - BACKDATE,
            now + DEVICE_YEARS,
            serial,
        )?;
        let certificate = device::issue(&request, card).map_err(|e| {
            Failure::new(Class::Unavailable, format!("the card did not sign: {e}"))
                .hint("is the card in the reader?")
        })?;
        let fingerprint = Fingerprint::of(certificate.der());
        let mut chain = vec![certificate.clone(), card.certificate().clone()];
        chain.extend(card.chain().iter().cloned());
        let signer = SoftKey::from_pkcs8(&device_key, certificate, chain[1..].to_vec())
            .map_err(|e| broken(&e))?;
        let identity = Identity::generate_pq(rng);
        let recipient = identity.to_recipient().to_string();
        let keys = keys_statement(address, &fingerprint, 1, now, &recipient, &signer)?;
        let mut draft = Draft::first(address.clone(), None);
        draft.add(&chain, keys)?;
        let record = build(&draft, &signer, now)?;
        Ok(Made {
            device_key,
            chain,
            identity,
            fingerprint,
            record,
        })
    }

    fn ring(
        &self,
        account: Address,
        label: &str,
        rng: &mut dyn CryptoRngCore,
        now: i64,
    ) -> KeyRing {
        KeyRing {
            account,
            label: label.to_owned(),
            device_key: self.device_key.clone(),
            chain: self.chain.iter().map(|c| c.der().to_vec()).collect(),
            identities: vec![EpochKey {
                epoch: 1,
                from: now,
                identity: self.identity.encode(),
            }],
            once: KeyRing::draw_once(rng),
        }
    }
}

/// Why an account was not published, as far as is known.
struct Unpublished {
    failure: Failure,
    /// smrd may have taken the record all the same.
    in_doubt: bool,
}

/// Has the agent open a session with the record as its introduction, which
/// enrols it, and leaves the session again.
fn publish(
    home: &Home,
    settings: &Settings,
    wish: &Wish,
    server: &ServerIdentity,
    ring: &KeyRing,
    record: Vec<u8>,
) -> Result<(), Unpublished> {
    let enter = |entrance| {
        let mut agent = login::agent(home)?;
        let entered = agent.load(login::load(settings, &wish.server, server, ring, entrance)?);
        // An agent that keeps the keys a while longer does no harm; that the
        // account was made is what counts.
        let _ = agent.logout(&ring.account);
        entered.map_err(Failure::from)
    };
    let Err(failure) = enter(Entrance::Enrol { record }) else {
        return Ok(());
    };
    if !may_have_worked(failure.class) {
        return Err(Unpublished {
            failure,
            in_doubt: false,
        });
    }
    // The answer may be lost and the account made: then its device can log in.
    match enter(Entrance::Login) {
        Ok(()) => Ok(()),
        Err(other) => Err(Unpublished {
            failure,
            in_doubt: may_have_worked(other.class),
        }),
    }
}

/// Tells a failure that may have hit the answer from a refusal of the request.
fn may_have_worked(class: Class) -> bool {
    matches!(
        class,
        Class::Busy | Class::Untrusted | Class::Unavailable | Class::Io | Class::Broken
    )
}

/// Writes what makes the next command simple: client.toml.
fn settle(
    home: &Home,
    wish: &Wish,
    server: &ServerIdentity,
    address: &Address,
) -> Result<(), Failure> {
    let anchors: Vec<PathBuf> = wish.anchors.iter().cloned().collect();
    config::write_first(
        home,
        &FirstAccount {
            server: &wish.server,
            server_key: &server.fingerprint(),
            mailbox: address,
            token: Some(&wish.token_text),
            anchors: &anchors,
        },
    )?;
    Ok(())
}

/// Writes an age identity file, which `age -d -i` and smr can read.
fn write_backup(file: &Path, address: &Address, ring: &KeyRing) -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(&format!(
        "# encryption key of {address}; keep it safe, it opens your mail\n"
    ));
    for key in &ring.identities {
        text.push_str(&key.identity);
        text.push('\n');
    }
    private::create(file, text.as_bytes()).map_err(|error| {
        let failure = Failure::from(error);
        Failure {
            class: Class::CannotCreate,
            ..failure
        }
    })
}
