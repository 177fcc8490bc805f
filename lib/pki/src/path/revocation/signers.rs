//! Who signed a list: the issuer of the certificate in question, or another
//! certified key that may.
//!
//! Believes no signer that does not lead to the same anchors itself.

use super::super::{chain, judge};
use super::{DEEPEST, Sources};
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::signature;

/// Signers of one list that are tried.
const SIGNERS: usize = 8;

/// Says whether somebody who may has signed this list.
pub(super) fn has_signed(sources: &Sources<'_>, list: &Crl, issuer: &Certificate) -> bool {
    let chain = &sources.chain.certificates;
    let above = std::iter::once(issuer).chain(chain);
    if above
        .filter(|c| may_sign(c, list))
        .any(|c| is_signed_by(list, c))
    {
        return true;
    }
    let others = sources.extra.iter().chain(&sources.store.intermediates);
    others
        .filter(|c| may_sign(c, list) && !chain.contains(c))
        .take(SIGNERS)
        .any(|c| is_signed_by(list, c) && holds(sources, c))
}

fn may_sign(signer: &Certificate, list: &Crl) -> bool {
    signer.key_usage().is_none_or(|usage| usage.crl_sign)
        && certval::compare_names(signer.subject_name(), &list.issuer)
}

fn is_signed_by(list: &Crl, signer: &Certificate) -> bool {
    let (tbs, algorithm, value) = list.signed();
    signature::verify(signer.spki_der(), algorithm, tbs, value).is_ok()
}

/// Verifies the path of a signer that is not in the chain: to an anchor of the
/// same realm, by the same rules, with its own revocation.
fn holds(sources: &Sources<'_>, signer: &Certificate) -> bool {
    if sources.depth >= DEEPEST {
        return false;
    }
    let Ok(chains) = chain::find(signer, sources.extra, sources.store) else {
        return false;
    };
    chains
        .iter()
        .filter(|chain| chain.realm == sources.chain.realm)
        .any(|chain| {
            let above = Sources {
                chain,
                depth: sources.depth + 1,
                ..*sources
            };
            judge::judge_authority(chain, sources.rules).is_ok()
                && above.check().is_ok_and(|findings| findings.later.is_none())
        })
}
