//! The verdict on a bundle, by the reader's own anchors.
//!
//! Needs neither account nor network; trusts no anchor the bundle brings.

use std::io::{Read, Seek};

use smr_name::{Address, Fingerprint, MailboxName, MessageId};
use smr_note::succession::Chain;
use smr_pki::cms::ContentType;
use zip::ZipArchive;

use super::archive::{MESSAGE, dated, read, stamp_name};
use super::{Bundle, BundleError, Given};
use crate::account::{self, Account};
use crate::envelope::{ReceiptWanted, verify_plain};
use crate::postmark::{self, Kind, Postmark};
use crate::reading::{Grounds, Verified, verify_sender};
use crate::receipt::{self, Remark};
use crate::refusal::{self, Refused};
use crate::trust::{Rules, SignedData, Stamp, TrustStore, stamp};

/// Says what a bundle proves.
#[derive(Clone, Debug)]
pub struct Report {
    /// The message.
    pub id: MessageId,
    /// When the bundle was made, as it says itself, unix seconds.
    pub time: i64,
    /// Whether the content is left out, and only its digest is proved.
    pub redacted: bool,
    /// Who sent it.
    pub sender: Verified,
    /// To whom.
    pub addressees: Vec<Address>,
    /// The receipts, all good.
    pub receipts: Vec<Received>,
    /// The refusals, all good.
    pub refusals: Vec<Refusing>,
    /// The addressees without a receipt.
    pub missing: Vec<Address>,
    /// The postmarks, all good under `identity`.
    pub postmarks: Vec<Postmark>,
    /// The time stamps, all good.
    pub stamps: Vec<Stamped>,
    /// The keys of the repository whose postmarks these are: compare a
    /// fingerprint of them with one from elsewhere.
    pub identity: Option<Chain>,
}

/// Says when a file was there already.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// The file: a receipt, a refusal or a postmark.
    pub file: String,
    /// When, and by whose word.
    pub stamp: Stamp,
    sha256: [u8; 32],
}

/// Says who gave a receipt.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who.
    pub by: Verified,
    /// When it was there at the latest, by its postmark or a time stamp, unix
    /// seconds.
    pub deposited: Option<i64>,
}

/// Says who refused a receipt.
#[derive(Clone, Debug)]
pub struct Refusing {
    /// Who, and why.
    pub refused: Refused,
    /// When it was there at the latest, by its postmark or a time stamp, unix
    /// seconds.
    pub deposited: Option<i64>,
}

/// Verifies a bundle by the reader's anchors and what is known at `rules.now`:
/// whatever has a postmark is judged as of its deposit, and what has a time
/// stamp as of that. Authorities of time are believed by `clocks`.
///
/// The bundle's other certificates and its lists are used: they are signed.
/// An error is the first thing that is not good; a receipt that is not there
/// is no error but `missing`.
pub fn verify<R: Read + Seek>(
    mut zip: R,
    store: &TrustStore,
    clocks: &TrustStore,
    rules: &Rules,
) -> Result<Report, BundleError> {
    let (bundle, whole) = read(&mut zip)?;
    let (store, clocks) = (helped(store, &bundle), helped(clocks, &bundle));
    let original = match whole {
        true => check_message(&mut zip, &bundle)?,
        false => check_redacted(&bundle)?,
    };
    let identity = check_identity(&bundle)?;
    let judge = Judge {
        accounts: open_accounts(&bundle, &store, rules)?,
        postmarks: check_postmarks(&bundle, identity.as_ref())?,
        stamps: check_stamps(&bundle, &clocks, rules)?,
        bundle: &bundle,
        store: &store,
        rules,
    };
    let sender = judge.sender(&original.signed)?;
    let receipts = bundle.receipts.iter();
    let receipts: Vec<Received> = receipts
        .map(|given| judge.receipt(given, &original))
        .collect::<Result<_, _>>()?;
    let refusals = bundle.refusals.iter();
    let refusals = refusals
        .map(|given| judge.refusal(given, &original))
        .collect::<Result<_, _>>()?;
    let read_by = |a: &&Address| receipts.iter().any(|r| r.by.address == **a);
    Ok(Report {
        id: bundle.id,
        time: bundle.time,
        redacted: !whole,
        sender,
        missing: original
            .addressees
            .iter()
            .filter(|a| !read_by(a))
            .cloned()
            .collect(),
        addressees: original.addressees,
        receipts,
        refusals,
        postmarks: judge.postmarks,
        stamps: judge.stamps,
        identity,
    })
}

/// Returns anchors with what the bundle brings beside them.
fn helped(store: &TrustStore, bundle: &Bundle) -> TrustStore {
    let mut store = store.clone();
    store
        .intermediates
        .extend(bundle.intermediates.iter().cloned());
    store.crls.extend(bundle.crls.iter().cloned());
    store.ocsp.extend(bundle.ocsp.iter().cloned());
    store
}

/// What the message says for itself.
struct Original {
    signed: SignedData,
    addressees: Vec<Address>,
    wanted: ReceiptWanted,
}

/// Verifies the message.
fn check_message<R: Read + Seek>(zip: R, bundle: &Bundle) -> Result<Original, BundleError> {
    let mut zip = ZipArchive::new(zip).map_err(|e| BundleError::Zip(e.to_string()))?;
    let message = zip
        .by_name(MESSAGE)
        .map_err(|e| BundleError::Zip(e.to_string()))?;
    let opened = verify_plain(message).map_err(BundleError::Message)?;
    let headers = &opened.headers;
    same(
        opened.cms == bundle.signature,
        "\"message.p7s\" is another signature",
    )?;
    same(headers.id == bundle.id, "it has another id")?;
    same(
        headers.from.address == bundle.sender,
        "it is from someone else",
    )?;
    Ok(Original {
        addressees: headers.addressees().cloned().collect(),
        wanted: headers.receipt,
        signed: opened.signed,
    })
}

fn same(held: bool, why: &'static str) -> Result<(), BundleError> {
    held.then_some(()).ok_or(BundleError::Mismatch(why))
}

/// Verifies what is left of a redacted message: the signature over a digest,
/// and the request for receipts, which says which message it is and to whom.
fn check_redacted(bundle: &Bundle) -> Result<Original, BundleError> {
    let original = SignedData::parse(&bundle.signature).map_err(BundleError::Signature)?;
    let left = original.verify_detached(original.message_digest());
    left.map_err(BundleError::Signature)?;
    same(
        original.content_type() == ContentType::Data,
        "it is no message",
    )?;
    let request = original.receipt_request();
    let request = request.ok_or(BundleError::Mismatch(
        "without content, its signature names nobody",
    ))?;
    let repository = bundle.sender.repository.as_ref().map_or("", |r| r.as_str());
    let name = format!("{}@{repository}", bundle.id);
    same(
        request.content_identifier == name.as_bytes(),
        "it has another id",
    )?;
    // A card may sign for several accounts of its holder.
    same(
        request.receipts_to == [bundle.sender.to_string()],
        "its receipts go to someone else",
    )?;
    let parse = |a: &String| {
        a.parse()
            .map_err(|_| BundleError::Mismatch("it was sent to no mailbox"))
    };
    let addressees = request
        .receipts_from
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()?;
    Ok(Original {
        addressees,
        // The wish for a card stands in the content, which is not here.
        wanted: ReceiptWanted::Read,
        signed: original,
    })
}

fn open_accounts(
    bundle: &Bundle,
    store: &TrustStore,
    rules: &Rules,
) -> Result<Vec<Account>, BundleError> {
    let open = |(address, record): &(Address, Vec<u8>)| {
        let account = account::open_then(record, store, rules)?;
        match account.address == *address {
            true => Ok(account),
            false => Err(BundleError::NoAccount(address.to_string())),
        }
    };
    bundle.accounts.iter().map(open).collect()
}

fn check_identity(bundle: &Bundle) -> Result<Option<Chain>, BundleError> {
    let chain = bundle.identity.as_deref().map(Chain::parse);
    chain.transpose().map_err(BundleError::Identity)
}

fn check_postmarks(
    bundle: &Bundle,
    identity: Option<&Chain>,
) -> Result<Vec<Postmark>, BundleError> {
    if bundle.postmarks.is_empty() {
        return Ok(Vec::new());
    }
    let identity = identity.ok_or(BundleError::Absent("identity.txt"))?;
    let open = |text: &String| {
        let postmark = postmark::open_by(text, identity).map_err(BundleError::Postmark)?;
        check_postmark(&postmark, bundle)?;
        Ok(postmark)
    };
    bundle.postmarks.iter().map(open).collect()
}

fn check_postmark(postmark: &Postmark, bundle: &Bundle) -> Result<(), BundleError> {
    let same = |held: bool, why| held.then_some(()).ok_or(BundleError::OtherPostmark(why));
    same(postmark.id == bundle.id, "another id")?;
    let here = Some(&postmark.repository) == bundle.sender.repository.as_ref();
    same(here, "another repository")?;
    let is_sender = |mailbox: &MailboxName| *mailbox == bundle.sender.mailbox;
    match postmark.kind {
        Kind::Receipt => {
            let of = |r: &&Given| {
                r.by.mailbox == postmark.sender
                    && Fingerprint::of(&r.der).as_bytes() == &postmark.cms
            };
            same(
                bundle
                    .receipts
                    .iter()
                    .chain(&bundle.refusals)
                    .any(|r| of(&r)),
                "a receipt that is not here",
            )?;
            same(is_sender(&postmark.mailbox), "another mailbox")
        }
        Kind::Message | Kind::Copy => {
            let cms = *Fingerprint::of(&bundle.signature).as_bytes();
            same(postmark.cms == cms, "another signature")?;
            same(is_sender(&postmark.sender), "another sender")
        }
    }
}

/// Verifies every time stamp.
fn check_stamps(
    bundle: &Bundle,
    clocks: &TrustStore,
    rules: &Rules,
) -> Result<Vec<Stamped>, BundleError> {
    let mut found = Vec::new();
    for (file, bytes) in dated(bundle) {
        let sha256 = *Fingerprint::of(&bytes).as_bytes();
        let Some(token) = bundle.stamps.get(&sha256) else {
            continue;
        };
        let stamp = stamp::verify(token, &sha256, clocks, rules).map_err(|source| {
            let file = stamp_name(&file).unwrap_or_default();
            BundleError::Stamp { file, source }
        })?;
        found.push(Stamped {
            file,
            stamp,
            sha256,
        });
    }
    Ok(found)
}

/// Holds what signers are judged by.
struct Judge<'a> {
    bundle: &'a Bundle,
    accounts: Vec<Account>,
    postmarks: Vec<Postmark>,
    stamps: Vec<Stamped>,
    store: &'a TrustStore,
    rules: &'a Rules,
}

impl Judge<'_> {
    fn grounds(&self, of: &Address, deposited: Option<i64>) -> Result<Grounds<'_>, BundleError> {
        let account = self.accounts.iter().find(|a| a.address == *of);
        Ok(Grounds {
            account: account.ok_or_else(|| BundleError::NoAccount(of.to_string()))?,
            store: self.store,
            rules: self.rules,
            deposited,
        })
    }

    /// Returns the time of the first postmark of a SignedData, or of a time
    /// stamp on it: it was there then.
    fn deposited(&self, der: &[u8]) -> Option<i64> {
        let cms = *Fingerprint::of(der).as_bytes();
        let marks = self.postmarks.iter().filter(|p| p.cms == cms);
        let stamps = self.stamps.iter().filter(|s| s.sha256 == cms);
        let times = stamps.map(|s| s.stamp.time);
        marks.map(|p| p.time).chain(times).min()
    }

    fn sender(&self, original: &SignedData) -> Result<Verified, BundleError> {
        let deposited = self.deposited(&self.bundle.signature);
        let grounds = self.grounds(&self.bundle.sender, deposited)?;
        verify_sender(&self.bundle.sender, original, &grounds).map_err(BundleError::Sender)
    }

    /// Checks that the message stands in the reader's inbox where its postmark
    /// says, as far as both are here.
    fn check_place(&self, by: &Address, remark: Option<&Remark>) -> Result<(), BundleError> {
        let mut marks = self
            .postmarks
            .iter()
            .filter(|p| p.kind == Kind::Message && p.mailbox == by.mailbox);
        let agree =
            |remark: &Remark| marks.all(|p| (p.number, p.head) == (remark.number, remark.head));
        match remark.is_none_or(agree) {
            true => Ok(()),
            false => Err(BundleError::OtherPlace(by.to_string())),
        }
    }

    fn receipt(&self, given: &Given, original: &Original) -> Result<Received, BundleError> {
        let by = given.by.to_string();
        if !original.addressees.contains(&given.by) {
            return Err(BundleError::NotAddressed(by));
        }
        let deposited = self.deposited(&given.der);
        let grounds = self.grounds(&given.by, deposited)?;
        let checked = receipt::check(&original.signed, original.wanted, &given.der, &grounds);
        let checked = checked.map_err(|source| BundleError::Receipt {
            by: by.clone(),
            source,
        })?;
        self.check_place(&given.by, checked.remark.as_ref())?;
        Ok(Received {
            by: checked.by,
            deposited,
        })
    }
    fn refusal(&self, given: &Given, original: &Original) -> Result<Refusing, BundleError> {
        let by = given.by.to_string();
        if !original.addressees.contains(&given.by) {
            return Err(BundleError::NotAddressed(by));
        }
        let deposited = self.deposited(&given.der);
        let grounds = self.grounds(&given.by, deposited)?;
        let refused = refusal::check(&self.bundle.signature, &given.der, &grounds);
        Ok(Refusing {
            refused: refused.map_err(|source| BundleError::Refusal { by, source })?,
            deposited,
        })
    }
}
