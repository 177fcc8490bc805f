//! How far folders had come before something is put into them: its postmark
//! must have a higher number than any of theirs, or smrd has rolled them back.
//!
//! Asks smrd for nothing, and knows only what this account has seen.

use smr_evidence::postmark::{Kind, Postmark};
use smr_name::MailboxName;

use crate::failure::Failure;
use crate::heads::folder_of;
use crate::known::{KnownError, Mark};
use crate::listing;
use crate::proof::Against;
use crate::user::User;

/// What was known of the folders that something goes to.
pub(crate) struct Reached(Vec<Place>);

struct Place {
    kind: Kind,
    mailbox: MailboxName,
    marks: Vec<Mark>,
}

impl Reached {
    /// Looks how far folders have come. To be asked before smrd is: what other
    /// tools put there meanwhile may come after what this one is about to.
    pub(crate) fn look<'a>(
        user: &User,
        places: impl IntoIterator<Item = (Kind, &'a MailboxName)>,
    ) -> Result<Reached, Failure> {
        let (known, own) = (&user.known, &user.address.mailbox);
        let place = |(kind, mailbox): (Kind, &MailboxName)| {
            let marks = match mailbox == own {
                true => known.due(own, &user.repository, folder_of(kind))?,
                false => known.theirs_mark(own, &user.repository, mailbox, kind)?,
            };
            Ok(Place {
                kind,
                mailbox: mailbox.clone(),
                marks,
            })
        };
        let places = places.into_iter().map(place);
        Ok(Reached(places.collect::<Result<_, KnownError>>()?))
    }

    fn marks(&self, postmark: &Postmark) -> &[Mark] {
        let place = |p: &&Place| p.kind == postmark.kind && p.mailbox == postmark.mailbox;
        self.0.iter().find(place).map_or(&[], |place| &place.marks)
    }

    /// Refuses the postmark of something new under a number that its folder
    /// had before.
    pub(crate) fn passed_by(&self, postmark: &Postmark) -> Result<(), KnownError> {
        let furthest = self.marks(postmark).iter().map(|mark| mark.number).max();
        match furthest {
            Some(known) if known >= postmark.number => Err(KnownError::RolledBack {
                what: folder_of_whom(postmark.kind, &postmark.mailbox),
                known,
                seen: postmark.number,
            }),
            _ => Ok(()),
        }
    }

    /// Returns what a postmark contradicts, for whoever is shown a proof.
    pub(crate) fn against(&self, user: &User, postmark: &Postmark) -> Vec<Against> {
        listing::before(
            user,
            &postmark.mailbox,
            postmark.kind,
            self.marks(postmark),
            &[],
        )
    }
}

fn folder_of_whom(kind: Kind, mailbox: &MailboxName) -> String {
    match kind {
        Kind::Message => format!("the inbox of \"{mailbox}\""),
        Kind::Copy => format!("the sent folder of \"{mailbox}\""),
        Kind::Receipt => format!("the receipts folder of \"{mailbox}\""),
    }
}
