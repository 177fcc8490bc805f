//! The hand that signs messages and receipts: this device's key, or the card's.
//!
//! Another person's card signs nothing in the user's name, nor one that his
//! readers would not believe. Keeps no PIN.

use smr_evidence::account::Account;
use smr_evidence::trust::{Signer, Vouched, verify_card};
use smr_name::Class;

use crate::agent::AgentSigner;
use crate::certified::Card;
use crate::enrol::Answers;
use crate::failure::Failure;
use crate::token::{self, Purpose, Token};
use crate::user::User;

/// A key that signs in the user's name, until it is dropped.
pub struct Hand(Key);

enum Key {
    Device(AgentSigner),
    Card(Card),
}

impl Hand {
    /// Takes this device's key, which the agent holds: class D.
    pub fn device(user: &User) -> Result<Hand, Failure> {
        Ok(Hand(Key::Device(user.device()?)))
    }

    /// Takes the card's signature key, or its authentication key where it has
    /// no other: class Q. `answers` is asked for one PIN at most.
    pub fn card(
        user: &mut User,
        token: &Token,
        answers: &mut dyn Answers,
    ) -> Result<Hand, Failure> {
        // The lists that readers will judge by come with the account.
        let own = user.account(&user.address.mailbox.clone())?;
        let pin = &mut |prompt: &_| answers.pin(prompt);
        let signer = token::open_for(token, Purpose::Signature, pin)?;
        let vouched = believed(user, &own, signer.as_ref())?;
        if vouched.person != own.person {
            let text = format!(
                "the card is that of {:?}, but {} belongs to {:?}",
                vouched.person.subject, own.address, own.person.subject
            );
            return Err(Failure::new(Class::Denied, text)
                .hint("is it the right card, or the right account? smr-register --tokens"));
        }
        Ok(Hand(Key::Card(Card::of(signer, vouched))))
    }

    /// Tells whether its signatures are of class Q.
    pub fn is_card(&self) -> bool {
        matches!(self.0, Key::Card(_))
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        match &self.0 {
            Key::Device(device) => device,
            Key::Card(card) => card,
        }
    }

    /// Returns the name that a reader finds in the certificate of the card.
    pub(crate) fn display(&self, own: &Account) -> String {
        let person = match &self.0 {
            Key::Device(_) => &own.person,
            Key::Card(card) => &card.person,
        };
        person.display.clone()
    }
}

/// Verifies the card as a reader will: nobody would believe the signature of
/// another.
fn believed(user: &User, own: &Account, card: &dyn Signer) -> Result<Vouched, Failure> {
    let others = [card.chain(), &own.chain].concat();
    verify_card(card.certificate(), &others, user.trust(), &user.rules()).map_err(|error| {
        let hint = match error.class() {
            Class::Denied => "smr-register --renew, with your new card",
            Class::Busy => "is there a list of its authority, in trust.d or at the repository?",
            _ => "is its authority in trust.d, and the clock right?",
        };
        Failure::from(error)
            .about("the card's certificate")
            .hint(hint)
    })
}
