//! A repository as it is pinned: whose signatures count, and how its new keys
//! are followed where the pinned ones have named them (smr-session(7),
//! SUCCESSION).
//!
//! Follows once: whoever was followed is not left for another successor of the
//! same keys, and both are kept as a proof.

use std::cell::RefCell;

use smr_channel::identity::Identity as ServerIdentity;
use smr_evidence::note::succession::{Chain, Standing};
use smr_evidence::postmark::{self, Postmark, PostmarkError};
use smr_evidence::trace::Told;
use smr_name::{Class, RepositoryName};

use crate::config::Settings;
use crate::failure::Failure;
use crate::home::Home;
use crate::known::Known;
use crate::meet::ask_chain;
use crate::proof;

/// A repository that this user has met.
#[derive(Debug)]
pub struct Pinned {
    home: Home,
    repository: RepositoryName,
    address: String,
    // Longer once its keys were followed.
    chain: RefCell<Chain>,
}

impl Pinned {
    /// Returns the repository of this name as it is known.
    pub fn open(
        home: &Home,
        settings: &Settings,
        repository: &RepositoryName,
    ) -> Result<Pinned, Failure> {
        let known = Known::new(home);
        let pinned = known.server(repository)?.ok_or_else(|| {
            Failure::new(
                Class::Untrusted,
                format!("the key of repository \"{repository}\" is not known"),
            )
            .hint("smr-register --server-key FINGERPRINT")
        })?;
        Ok(Pinned {
            home: home.clone(),
            repository: repository.clone(),
            chain: RefCell::new(known.chain(&pinned)?),
            address: settings.server.clone().unwrap_or(pinned.address),
        })
    }

    /// Returns where it is met, HOST:PORT.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns its present keys.
    pub fn identity(&self) -> Result<ServerIdentity, Failure> {
        ServerIdentity::parse(&self.chain.borrow().tip().document)
            .map_err(|error| Failure::new(Class::Io, error.to_string()))
    }

    /// Returns how its keys followed one another, as far as is known.
    pub fn chain(&self) -> Chain {
        self.chain.borrow().clone()
    }

    /// Opens a postmark by its keys.
    pub fn postmark(&self, note: &str) -> Result<Postmark, PostmarkError> {
        self.by_newest(|chain| postmark::open_by(note, chain))
    }

    /// Returns what a postmark of its keys lets its holder tell.
    pub fn told(&self, note: &str, mark: &Postmark) -> Result<Option<Told>, PostmarkError> {
        postmark::told_by(note, mark, &self.chain.borrow())
    }

    /// Tells whether its keys have signed what somebody tells.
    pub fn has_signed(&self, told: &Told) -> bool {
        told.is_signed_by(&self.chain.borrow())
    }

    /// Asks by the keys at hand, and again where another tool has followed
    /// newer ones meanwhile.
    fn by_newest<T, E>(&self, ask: impl Fn(&Chain) -> Result<T, E>) -> Result<T, E> {
        let first = ask(&self.chain.borrow());
        let Err(error) = first else { return first };
        let known = Known::new(&self.home);
        let newest = known.server(&self.repository).ok().flatten();
        let newest = newest.and_then(|server| known.chain(&server).ok());
        match newest {
            Some(newest) if self.chain.borrow().compare(&newest) == Standing::Newer => {
                *self.chain.borrow_mut() = newest;
                ask(&self.chain.borrow())
            }
            _ => Err(error),
        }
    }

    /// Looks whether the repository has new keys, after what failed: if those
    /// that are pinned have named them, keeps them, and all may be tried again.
    /// Else the failure stands, or what is worse.
    pub fn follow(&self, failure: Failure) -> Result<(), Failure> {
        // Whoever cannot say it well has said nothing.
        let Ok(theirs) = ask_chain(&self.address) else {
            return Err(failure);
        };
        let known = Known::new(&self.home);
        let (standing, mine) = known.follow(&self.repository, &theirs)?;
        let goes_on = match standing {
            Standing::Newer => true,
            // Another tool, or the agent, may be behind.
            Standing::Same => mine.number() > 0,
            Standing::Foreign => false,
            Standing::Older => return Err(went_back(&mine, &theirs)),
            Standing::Forked { .. } => return Err(proof::keep_fork(&self.home, &mine, &theirs)),
        };
        *self.chain.borrow_mut() = mine;
        goes_on.then_some(()).ok_or(failure)
    }
}

/// Says that a repository shows keys that it has replaced.
pub(crate) fn went_back(mine: &Chain, theirs: &Chain) -> Failure {
    let text = format!(
        "\"{}\" went back to keys that were replaced: {}, not {}",
        mine.name(),
        theirs.tip().fingerprint(),
        mine.tip().fingerprint()
    );
    Failure::new(Class::Untrusted, text).hint(
        "ask its operator: was an old backup put back, or does somebody else have the old keys?",
    )
}
