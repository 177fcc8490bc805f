//! Login: unlocks the key ring and hands it to the agent, which opens the
//! session.
//!
//! The passphrase does not outlive the unlocking, nor the PIN one signature.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand_core::OsRng;
use smr_channel::identity::Identity as ServerIdentity;
use smr_channel::local::{Entrance, Load, Loaded, Memory, Secret};
use smr_evidence::authorisation;
use smr_evidence::trust::{Certificate, Signer};
use smr_name::{Address, Class, Fingerprint};
use zeroize::Zeroizing;

use crate::agent::{self, AgentSigner, Connection};
use crate::certified::check_own_card;
use crate::config::Settings;
use crate::enrol::Answers;
use crate::failure::Failure;
use crate::guest;
use crate::home::Home;
use crate::keyring::KeyRing;
use crate::pinned::Pinned;
use crate::private;
use crate::token::Token;
use crate::tries;
use crate::upkeep;

/// Connects to the agent, and starts one if none answers.
pub fn agent(home: &Home) -> Result<Connection, Failure> {
    let socket = home.prepare_agent_dir()?;
    if let Ok(connection) = Connection::open(&socket) {
        return Ok(connection);
    }
    match agent::start(&program(), &socket) {
        Ok(()) => Ok(Connection::open(&socket)?),
        // Another tool's agent may have been faster, and be about to listen.
        Err(error) => wait_for(&socket).ok_or_else(|| error.into()),
    }
}

/// Looks for an agent for a second at most.
fn wait_for(socket: &Path) -> Option<Connection> {
    const PAUSE: Duration = Duration::from_millis(50);
    (0..20).find_map(|_| {
        let connection = Connection::open(socket).ok();
        if connection.is_none() {
            std::thread::sleep(PAUSE);
        }
        connection
    })
}

/// Finds smr-agent beside the program that runs, else by PATH.
fn program() -> PathBuf {
    let name = "smr-agent";
    let beside = std::env::current_exe()
        .ok()
        .map(|exe| exe.with_file_name(name));
    beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| name.into())
}

/// Finds the account that the settings mean: the one configured, or the only
/// one with a key ring here.
pub fn account(home: &Home, settings: &Settings) -> Result<Address, Failure> {
    let rings: Vec<Address> = private::names(&home.keyrings())?
        .iter()
        .filter_map(|name| name.strip_suffix(".age")?.parse().ok())
        .collect();
    let fits = |ring: &&Address| match &settings.mailbox {
        None => true,
        Some(wanted) => {
            wanted.mailbox == ring.mailbox
                && (wanted.repository.is_none() || wanted.repository == ring.repository)
        }
    };
    let mut found = rings.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(
            Failure::new(Class::NoMailbox, "no account is registered here")
                .hint("smr-register NAME"),
        ),
        (Some(one), Some(other)) => Err(Failure::new(
            Class::Usage,
            format!("several accounts here, such as \"{one}\" and \"{other}\""),
        )
        .hint("which one? --as ACCOUNT")),
    }
}

/// Opens the key ring of an account; after wrong passphrases not at once.
pub(crate) fn unlock(
    path: &Path,
    account: &Address,
    passphrase: &Zeroizing<String>,
) -> Result<KeyRing, Failure> {
    let ring = tries::open(path, passphrase)?;
    if ring.account != *account {
        let text = format!("\"{}\" is the key ring of {}", path.display(), ring.account);
        return Err(Failure::new(Class::Forged, text).hint("was a file renamed? smr-register"));
    }
    Ok(ring)
}

/// When to begin a new epoch of the encryption key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// When the present one is older than `[keys] epoch`.
    WhenDue,
    /// Now.
    Now,
}

/// Unlocks the account's key ring, has the card authorise this device where one
/// is given, renews the encryption key where that is due, and has the agent log
/// in. `now` is unix seconds. Returns what did not work out though the session
/// is open.
pub fn login(
    home: &Home,
    settings: &Settings,
    account: &Address,
    card: Option<&Token>,
    new_key: NewKey,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<Option<Failure>, Failure> {
    let path = home.keyring(&account.mailbox, guest::repository(account)?);
    let passphrase = &answers.passphrase()?;
    let mut ring = unlock(&path, account, passphrase)?;
    if let Some(token) = card {
        authorise(home, settings, &ring, token, answers, now)?;
    }
    if new_key == NewKey::Now || upkeep::is_due(&ring, settings, now) {
        upkeep::begin_epoch(&mut ring, &path, passphrase, settings.kind, &mut OsRng, now)?;
    }
    enter(home, settings, &ring, now)?;
    match upkeep::publish(home, settings, account, &ring, now) {
        Ok(()) => Ok(None),
        // Who lies about one's own record is not to be mailed through.
        Err(failure) if failure.class == Class::Untrusted => Err(failure),
        Err(failure) => Ok(Some(
            failure.about("the new encryption key is not published yet"),
        )),
    }
}

/// Has the agent open a session with the secrets of this ring, and by the
/// card's authorisation while there is one.
pub(crate) fn enter(
    home: &Home,
    settings: &Settings,
    ring: &KeyRing,
    now: i64,
) -> Result<(), Failure> {
    let repository = guest::repository(&ring.account)?;
    let pinned = Pinned::open(home, settings, repository)?;
    keep_chain(home, &ring.account, &ring.chain)?;
    let entrance = match authorised(home, &ring.account, device_of(ring)?, now)? {
        Some(authorisation) => Entrance::Card { authorisation },
        None => Entrance::Login,
    };
    begin(home, settings, &pinned, ring, &entrance)
}

/// Has the agent open a session; where the repository is not the one that was
/// pinned, with the keys that followed, if any did.
pub(crate) fn begin(
    home: &Home,
    settings: &Settings,
    pinned: &Pinned,
    ring: &KeyRing,
    entrance: &Entrance,
) -> Result<(), Failure> {
    let mut agent = agent(home)?;
    let mut open = || {
        let (server, identity) = (pinned.address(), pinned.identity()?);
        let load = load(settings, server, &identity, ring, entrance.clone())?;
        agent.load(load).map_err(Failure::from)
    };
    match open() {
        Err(failure) if failure.class == Class::Untrusted => {
            pinned.follow(failure)?;
            open()
        }
        opened => opened,
    }
}

/// Has the card authorise this device for the lifetime of a login, by one
/// signature over a text that says so.
fn authorise(
    home: &Home,
    settings: &Settings,
    ring: &KeyRing,
    token: &Token,
    answers: &mut dyn Answers,
    now: i64,
) -> Result<(), Failure> {
    let card = crate::token::open(token, &mut |prompt| answers.pin(prompt))?;
    let card = check_own_card(home, settings, None, card, now)?;
    authorise_by(home, settings, ring, &card, now)
}

/// Has a card that is open authorise the device of this ring.
pub(crate) fn authorise_by(
    home: &Home,
    settings: &Settings,
    ring: &KeyRing,
    card: &dyn Signer,
    now: i64,
) -> Result<(), Failure> {
    let lifetime = i64::try_from(settings.lifetime).unwrap_or(i64::MAX);
    let until = now.saturating_add(lifetime);
    let der = authorisation::authorise(
        &ring.account,
        &Fingerprint::of(device_of(ring)?),
        now,
        until,
        card,
    )?;
    Ok(private::replace(
        &authorisation_file(home, &ring.account),
        &der,
    )?)
}

// No secret: it is of use to nobody without the device's key.
fn authorisation_file(home: &Home, account: &Address) -> PathBuf {
    home.keyrings().join(format!("{account}.authorisation"))
}

/// Returns the card's authorisation for a device, as long as it holds.
fn authorised(
    home: &Home,
    account: &Address,
    device: &[u8],
    now: i64,
) -> Result<Option<Vec<u8>>, Failure> {
    let limit = authorisation::MAX_AUTHORISATION as u64;
    let der = private::read(&authorisation_file(home, account), limit)?;
    Ok(der.filter(|der| {
        let said = authorisation::says(der);
        said.is_ok_and(|(of, until)| now < until && of == Fingerprint::of(device))
    }))
}

/// Tells whether the card has authorised this device, and it still holds.
pub fn is_authorised(home: &Home, account: &Address, now: i64) -> Result<bool, Failure> {
    // Without the chain, which each login writes, none is known here yet.
    let Ok(chain) = chain(home, account) else {
        return Ok(false);
    };
    let device = chain.first().map(|certificate| certificate.der());
    let device = device.unwrap_or_default();
    Ok(authorised(home, account, device, now)?.is_some())
}

/// Forgets the card's authorisation for this device.
pub fn forget_authorisation(home: &Home, account: &Address) -> Result<(), Failure> {
    let file = authorisation_file(home, account);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(
            Class::Io,
            format!("cannot remove \"{}\": {error}", file.display()),
        )),
        _ => Ok(()),
    }
}

fn device_of(ring: &KeyRing) -> Result<&Vec<u8>, Failure> {
    let device = ring.chain.first();
    device.ok_or_else(|| Failure::new(Class::Io, "the key ring holds no device certificate"))
}

/// Tells whether the agent holds this account, unlocked.
pub(crate) fn is_open(home: &Home, account: &Address) -> bool {
    let loaded = status(home).unwrap_or_default();
    loaded.iter().any(|l| l.account == *account && !l.locked)
}

/// Returns this device's signature, made by the agent.
pub(crate) fn device(home: &Home, account: &Address) -> Result<AgentSigner, Failure> {
    let mut chain = chain(home, account)?.into_iter();
    let certificate = chain.next().ok_or_else(|| {
        Failure::new(Class::Io, "the chain of this device is empty").hint("smr-login")
    })?;
    let socket = home.agent_socket();
    Ok(AgentSigner::open(
        &socket,
        account.clone(),
        certificate,
        chain.collect(),
    )?)
}

/// Puts together what the agent needs.
pub(crate) fn load(
    settings: &Settings,
    server: &str,
    identity: &ServerIdentity,
    ring: &KeyRing,
    entrance: Entrance,
) -> Result<Load, Failure> {
    let device = device_of(ring)?;
    let seconds = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Load {
        account: ring.account.clone(),
        server: server.to_owned(),
        identity: identity.to_string(),
        device_key: Secret::copy_of(&ring.device_key),
        device: *Fingerprint::of(device).as_bytes(),
        identities: ring
            .all_identities()
            .map(|identity| Secret::copy_of(identity.as_bytes()))
            .collect(),
        once: Secret::copy_of(ring.once.as_slice()),
        lifetime: seconds(settings.lifetime),
        idle: seconds(settings.idle),
        suites: settings.suites.clone(),
        entrance,
    })
}

/// Returns what the agent says of its accounts; fails with 69 where none answers.
pub fn status(home: &Home) -> Result<Vec<Loaded>, Failure> {
    Ok(Connection::open(&home.agent_socket())?.status()?)
}

/// Returns the same, and what guards the secrets, as a sentence's end.
pub fn standing(home: &Home) -> Result<(&'static str, Vec<Loaded>), Failure> {
    let (memory, accounts) = Connection::open(&home.agent_socket())?.standing()?;
    let guard = match memory {
        Memory::Hidden => "hidden from the kernel itself (memfd_secret)",
        Memory::Locked => "locked and kept out of dumps (mlock)",
        Memory::Open => "not locked, and may be swapped to disk (RLIMIT_MEMLOCK)",
    };
    Ok((guard, accounts))
}

/// Wipes the account's secrets from the agent, keeping its name.
pub fn lock(home: &Home, account: &Address) -> Result<(), Failure> {
    Ok(Connection::open(&home.agent_socket())?.lock(account)?)
}

/// Wipes all of the account from the agent.
pub fn logout(home: &Home, account: &Address) -> Result<(), Failure> {
    forget_authorisation(home, account)?;
    Ok(Connection::open(&home.agent_socket())?.logout(account)?)
}

// The device's chain is public and stands beside the key ring, for tools
// that sign through the agent and never see the ring unlocked.
fn chain_file(home: &Home, account: &Address) -> PathBuf {
    home.keyrings().join(format!("{account}.chain"))
}

/// Keeps the device's certificates in PEM.
pub(crate) fn keep_chain(home: &Home, account: &Address, chain: &[Vec<u8>]) -> Result<(), Failure> {
    Ok(private::replace(&chain_file(home, account), &pem(chain))?)
}

/// Returns the device's certificates: device, card, authorities.
pub(crate) fn chain(home: &Home, account: &Address) -> Result<Vec<Certificate>, Failure> {
    let file = chain_file(home, account);
    let missing = || {
        Failure::new(
            Class::Unavailable,
            format!("\"{}\" is missing", file.display()),
        )
        .hint("smr-login")
    };
    let bytes = private::read(&file, 1 << 20)?.ok_or_else(missing)?;
    Certificate::pem_or_der_bundle(&bytes)
        .map_err(|error| Failure::new(Class::Io, format!("\"{}\": {error}", file.display())))
}

fn pem(chain: &[Vec<u8>]) -> Vec<u8> {
    use base64::Engine;
    let mut out = String::new();
    for der in chain {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        for line in text.as_bytes().chunks(64) {
            out.extend(line.iter().map(|b| char::from(*b)));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out.into_bytes()
}
