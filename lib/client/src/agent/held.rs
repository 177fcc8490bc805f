//! What an account can do with the secrets that the agent holds: sign with its
//! device, open what is sealed to it.
//!
//! Holds no secret.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use smr_evidence::envelope::{Unwrap, UnwrapError};
use smr_evidence::trust::{Algorithm, Certificate, Signer, SignerError};
use smr_name::Address;
use smr_seal::FileKey;

use super::{AgentError, Connection};

/// The device of an account as a signer; its key stays in the agent.
pub struct AgentSigner {
    connection: Mutex<Connection>,
    account: Address,
    certificate: Certificate,
    chain: Vec<Certificate>,
}

impl AgentSigner {
    /// Signs through a connection of its own to the agent at `socket`;
    /// `certificate` is the device's, `chain` the card's and its issuers'.
    pub fn open(
        socket: &Path,
        account: Address,
        certificate: Certificate,
        chain: Vec<Certificate>,
    ) -> Result<Self, AgentError> {
        Ok(AgentSigner {
            connection: Mutex::new(Connection::open(socket)?),
            account,
            certificate,
            chain,
        })
    }
}

impl Signer for AgentSigner {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::EcdsaP256Sha256
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut connection = hold(&self.connection);
        let signature = connection.sign(&self.account, message);
        signature.map_err(|error| SignerError(Box::new(error)))
    }
}

/// The age identities of an account; they stay in the agent.
pub struct AgentKeys {
    connection: Mutex<Connection>,
    account: Address,
}

impl AgentKeys {
    /// Opens sealed files through a connection of its own to the agent at
    /// `socket`, which begins with the first of them.
    pub fn new(socket: &Path, account: Address) -> Self {
        AgentKeys {
            connection: Mutex::new(Connection::later(socket)),
            account,
        }
    }
}

impl Unwrap for AgentKeys {
    fn unwrap(&self, stanzas: &[smr_seal::Stanza]) -> Result<Option<FileKey>, UnwrapError> {
        let key = hold(&self.connection).unwrap(&self.account, stanzas);
        key.map_err(|error| UnwrapError {
            class: error.class(),
            text: error.to_string(),
            hint: error.hint().unwrap_or_default().to_owned(),
        })
    }
}

// A connection survives a panic of its user: it is opened anew where needed.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
