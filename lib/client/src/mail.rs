//! Mail of other programs as a letter: to whom it goes.
//!
//! Everybody it goes to is named in it, under the signature; so there are no
//! blind copies, and nobody is named to whom it does not go.

use std::io::BufRead;

use smr_evidence::envelope::{self, Mail, Part, ReceiptWanted};
use smr_name::{Address, Class};

use crate::deposit::Letter;
use crate::failure::Failure;
use crate::user::User;

/// Reads a message up to its body. `dot` says that a line of a dot ends it.
pub fn read(from: Box<dyn BufRead>, dot: bool) -> Result<Mail<'static>, Failure> {
    let mail = envelope::read_mail(from, dot)?;
    Ok(mail)
}

/// Makes a letter of a message: for those that `named` has, and with
/// `read_recipients` for those in its header.
pub fn letter(
    user: &User,
    mail: Mail<'static>,
    named: &[String],
    read_recipients: bool,
    receipt: ReceiptWanted,
) -> Result<Letter, Failure> {
    let in_header = || mail.to.iter().chain(&mail.cc).chain(&mail.bcc);
    let mut wanted = parsed(user, named)?;
    if read_recipients {
        wanted.extend(parsed(user, in_header())?);
    }
    // Who is named without being meant, somebody elsewhere perhaps, is left out.
    let meant = |texts: &[String]| {
        let named = texts.iter().filter_map(|text| local(user, text).ok());
        named.filter(|a| wanted.contains(a)).collect::<Vec<_>>()
    };
    let (mut to, mut cc) = (meant(&mail.to), meant(&mail.cc));
    if mail.to.is_empty() && mail.cc.is_empty() && mail.bcc.is_empty() {
        to.clone_from(&wanted);
    }
    let blind = wanted.iter().find(|a| !to.contains(a) && !cc.contains(a));
    if let Some(blind) = blind {
        let text = format!("\"{blind}\" is named neither in To nor in Cc");
        return Err(Failure::new(Class::Usage, text)
            .hint("send him one of his own, or name him: there are no blind copies"));
    }
    if to.is_empty() {
        to = std::mem::take(&mut cc);
    }
    Ok(Letter {
        to,
        cc,
        subject: mail.subject.clone(),
        receipt,
        reply: mail.reply(&user.repository),
        parts: vec![Part::Entity(mail.entity)],
    })
}

fn parsed<'a>(
    user: &User,
    texts: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<Address>, Failure> {
    texts.into_iter().map(|text| local(user, text)).collect()
}

fn local(user: &User, text: &str) -> Result<Address, Failure> {
    let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
    let address: Address = bare.parse().map_err(|e| {
        Failure::new(
            Class::NoMailbox,
            format!("\"{text}\" is no mailbox here: {e}"),
        )
        .hint("smr-ls users")
    })?;
    Ok(user.full(&user.local(&address)?))
}
