//! Revocation lists and answers that smrd relays, kept so that a large list
//! crosses the network once.
//!
//! Verifies none: they are signed, and verified where they are used. Losing
//! the folder loses nothing.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use smr_channel::reply::{ListKind, Listed};
use smr_evidence::trust::{Crl, Ocsp, TrustStore};
use smr_name::{Class, Fingerprint};

use crate::failure::Failure;
use crate::home::Home;
use crate::private;
use crate::session::Session;

/// The largest list kept, in bytes.
const LIMIT: u64 = 64 << 20;
/// Lists that nobody has asked for in this time are removed.
const IDLE: Duration = Duration::from_secs(30 * 86_400);

/// The folder of lists, by SHA-256.
pub(crate) struct Lists {
    dir: PathBuf,
}

impl Lists {
    pub(crate) fn new(home: &Home) -> Lists {
        Lists {
            dir: home.cache().join("lists"),
        }
    }

    /// Adds these lists to `trust`: from the folder, or else from smrd.
    pub(crate) fn take(
        &self,
        session: &mut Session,
        wanted: &[Listed],
        trust: &mut TrustStore,
    ) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for listed in wanted {
            if has(trust, listed) {
                continue;
            }
            match self.kept(listed)? {
                Some(der) => add(trust, listed.kind, &der)?,
                None => missing.push(*listed),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let lists = session.lists(&missing)?;
        for (listed, der) in missing.iter().zip(lists) {
            // smrd may have got a newer one just now, and no longer hold this.
            let Some(der) = der else { continue };
            add(trust, listed.kind, &der)?;
            private::replace(&self.file(listed), &der)?;
        }
        self.prune();
        Ok(())
    }

    fn file(&self, listed: &Listed) -> PathBuf {
        let hex: String = listed.digest.iter().map(|b| format!("{b:02x}")).collect();
        self.dir.join(hex)
    }

    /// Returns a list of the folder; a damaged one counts as none.
    fn kept(&self, listed: &Listed) -> Result<Option<Vec<u8>>, Failure> {
        let file = self.file(listed);
        let der = private::read(&file, LIMIT)?;
        let der = der.filter(|der| *Fingerprint::of(der).as_bytes() == listed.digest);
        if der.is_some() {
            // What is in use is not removed; where this fails it is fetched again.
            let _ = fs::File::open(&file).and_then(|f| f.set_modified(SystemTime::now()));
        }
        Ok(der)
    }

    /// Removes what was not used for long. A list that stays does no harm.
    fn prune(&self) {
        let old = |entry: &fs::DirEntry| -> io::Result<bool> {
            let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
            Ok(age.is_ok_and(|age| age > IDLE))
        };
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten().filter(|e| old(e).unwrap_or(false)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn has(trust: &TrustStore, listed: &Listed) -> bool {
    let same = |der: &[u8]| *Fingerprint::of(der).as_bytes() == listed.digest;
    match listed.kind {
        ListKind::Crl => trust.crls.iter().any(|crl| same(&crl.der)),
        ListKind::Ocsp => trust.ocsp.iter().any(|answer| same(&answer.der)),
    }
}

fn add(trust: &mut TrustStore, kind: ListKind, der: &[u8]) -> Result<(), Failure> {
    let damaged = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(
            Class::Untrusted,
            format!("smrd relayed a damaged {what}: {error}"),
        )
    };
    match kind {
        ListKind::Crl => trust
            .crls
            .push(Crl::from_der(der).map_err(|e| damaged("CRL", &e))?),
        ListKind::Ocsp => trust
            .ocsp
            .push(Ocsp::from_der(der).map_err(|e| damaged("OCSP answer", &e))?),
    }
    Ok(())
}
