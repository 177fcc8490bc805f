//! The hand that signs for a tool: this device's key, or the card's, as flags
//! and client.toml say.
//!
//! No logic of signatures; lib/client has that.

use clap::ValueEnum;
use smr_cli::args::{PinArgs, SecretArgs};
use smr_client::config::By;
use smr_client::hand::Hand;
use smr_client::token::{self, profile};
use smr_client::user::User;

use crate::edge::{Edge, Stop};
use crate::person::Person;

/// What signs.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SignBy {
    /// This device's key: class D
    Device,
    /// The card itself: class Q
    Card,
}

impl From<SignBy> for By {
    fn from(by: SignBy) -> By {
        match by {
            SignBy::Device => By::Device,
            SignBy::Card => By::Card,
        }
    }
}

/// Takes the key that is to sign; for the card's, asks for its PIN once.
pub(crate) fn take(
    edge: &Edge,
    tool: &'static str,
    by: By,
    pin: &PinArgs,
    user: &mut User,
) -> Result<Hand, Stop> {
    if by == By::Device {
        return Ok(Hand::device(user)?);
    }
    profile::load(&edge.home.token_dirs())?;
    let card = token::configured(&edge.settings)?;
    let secrets = SecretArgs {
        pin: pin.clone(),
        ..SecretArgs::default()
    };
    let whose = user.address.to_string();
    let mut answers = Person::new(tool, &secrets, edge.common.no_input, "", &whose);
    Ok(Hand::card(user, &card, &mut answers)?)
}
