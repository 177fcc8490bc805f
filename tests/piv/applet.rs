//! The PIV application (NIST SP 800-73-4 part 2): select, read, PIN, sign.

use smr_token_module::key::Key;

use super::apdu::{Apdu, find, tlv};

const AID: [u8; 11] = [0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0];

const SELECT: u8 = 0xa4;
pub(crate) const GET_DATA: u8 = 0xcb;
const GET_RESPONSE: u8 = 0xc0;
pub(crate) const VERIFY: u8 = 0x20;
/// GENERAL AUTHENTICATE, which is what signs.
const SIGN: u8 = 0x87;

// Status words.
const OK: u16 = 0x9000;
const MORE: u16 = 0x6100;
const TRIES: u16 = 0x63c0;
const WRONG_LENGTH: u16 = 0x6700;
const NOT_ALLOWED: u16 = 0x6982;
const LOCKED: u16 = 0x6983;
const NOT_SELECTED: u16 = 0x6985;
const WRONG_DATA: u16 = 0x6a80;
const NOT_FOUND: u16 = 0x6a82;
const WRONG_PARAMETERS: u16 = 0x6a86;
const NO_SUCH_KEY: u16 = 0x6a88;
const NO_SUCH_COMMAND: u16 = 0x6d00;

/// A place for a key and its certificate.
pub(crate) struct Slot {
    /// 0x9a for authentication, 0x9c for signatures.
    pub(crate) number: u8,
    /// The certificate, DER.
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Key,
}

impl Slot {
    /// The tag of the certificate's object (SP 800-73-4 part 1, table 3).
    fn tag(&self) -> [u8; 3] {
        match self.number {
            0x9a => [0x5f, 0xc1, 0x05],
            _ => [0x5f, 0xc1, 0x0a],
        }
    }
}

/// The application and all it remembers.
pub(crate) struct Applet {
    slots: Vec<Slot>,
    pin: [u8; 8],
    /// Tries left of the PIN.
    pub(crate) tries: u8,
    /// PINs that were presented, right or wrong.
    pub(crate) presented: usize,
    /// Signatures that were made.
    pub(crate) signed: usize,
    /// The card is pulled out when it is given this instruction; not where
    /// VERIFY only asks for the tries: there OpenSC 0.23 locks itself up
    /// (its issue 2707).
    pub(crate) pulled_at: Option<u8>,
    selected: bool,
    verified: bool,
    /// The PIN was right in the very last command.
    fresh: bool,
    chain: Vec<u8>,
    answer: Vec<u8>,
}

impl Applet {
    /// Makes a card of these keys; `pin` is at most 8 bytes.
    pub(crate) fn new(slots: Vec<Slot>, pin: &str) -> Applet {
        let mut padded = [0xff; 8];
        padded[..pin.len()].copy_from_slice(pin.as_bytes());
        Applet {
            slots,
            pin: padded,
            tries: 3,
            presented: 0,
            signed: 0,
            pulled_at: None,
            selected: false,
            verified: false,
            fresh: false,
            chain: Vec::new(),
            answer: Vec::new(),
        }
    }

    /// Forgets what a card without power forgets.
    pub(crate) fn reset(&mut self) {
        self.selected = false;
        self.verified = false;
        self.fresh = false;
        self.chain.clear();
        self.answer.clear();
    }

    /// Answers a command; none if the card is pulled out at that moment.
    pub(crate) fn answer(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        let Some(apdu) = Apdu::read(command) else {
            return Some(WRONG_LENGTH.to_be_bytes().to_vec());
        };
        let told = apdu.ins != VERIFY || !apdu.data.is_empty();
        if self.pulled_at == Some(apdu.ins) && told {
            return None;
        }
        let status = match self.obey(&apdu) {
            Ok(()) => OK,
            Err(status) => status,
        };
        Some(self.portion(apdu.room, status))
    }

    /// Gives as much of the answer as fits; GET RESPONSE fetches the rest.
    fn portion(&mut self, room: usize, status: u16) -> Vec<u8> {
        if status != OK {
            return status.to_be_bytes().to_vec();
        }
        let now = self.answer.len().min(room);
        let mut portion: Vec<u8> = self.answer.drain(..now).collect();
        let status = match self.answer.len() {
            0 => OK,
            left => MORE | left.min(255) as u16,
        };
        portion.extend(status.to_be_bytes());
        portion
    }

    fn obey(&mut self, apdu: &Apdu) -> Result<(), u16> {
        if apdu.ins == GET_RESPONSE {
            return Ok(());
        }
        self.answer.clear();
        self.chain.extend(apdu.data);
        if apdu.chained {
            return Ok(());
        }
        let data = std::mem::take(&mut self.chain);
        // Each signature with 9C takes a PIN that came just before.
        let fresh = std::mem::take(&mut self.fresh);
        self.answer = match apdu.ins {
            SELECT => self.select(&data)?,
            _ if !self.selected => return Err(NOT_SELECTED),
            GET_DATA => self.read(&data)?,
            VERIFY if apdu.p2 != 0x80 => return Err(NO_SUCH_KEY),
            VERIFY => self.verify(&data)?,
            SIGN => self.sign(apdu, fresh, &data)?,
            _ => return Err(NO_SUCH_COMMAND),
        };
        Ok(())
    }

    fn select(&mut self, name: &[u8]) -> Result<Vec<u8>, u16> {
        if name.len() < 5 || !AID.starts_with(name) {
            return Err(NOT_FOUND);
        }
        self.reset();
        self.selected = true;
        let application = tlv(&[0x4f], &AID[5..]);
        let authority = tlv(&[0x79], &tlv(&[0x4f], &AID[..5]));
        Ok(tlv(&[0x61], &[application, authority].concat()))
    }

    fn read(&self, request: &[u8]) -> Result<Vec<u8>, u16> {
        match *request {
            [0x5c, 1, 0x7e] => {
                let policy = tlv(&[0x5f, 0x2f], &[0x40, 0]);
                Ok(tlv(&[0x7e], &[tlv(&[0x4f], &AID), policy].concat()))
            }
            [0x5c, 3, 0x5f, 0xc1, 0x02] => Ok(holder()),
            [0x5c, 3, ref tag @ ..] => {
                let slot = self.slots.iter().find(|slot| slot.tag() == tag);
                let certificate = &slot.ok_or(NOT_FOUND)?.certificate;
                let parts = [
                    tlv(&[0x70], certificate),
                    tlv(&[0x71], &[0]),
                    tlv(&[0xfe], &[]),
                ];
                Ok(tlv(&[0x53], &parts.concat()))
            }
            _ => Err(NOT_FOUND),
        }
    }

    /// Takes a PIN; an empty one asks how many tries are left.
    fn verify(&mut self, pin: &[u8]) -> Result<Vec<u8>, u16> {
        let refused = |tries: u8| match tries {
            0 => LOCKED,
            left => TRIES | u16::from(left),
        };
        if pin.is_empty() && self.verified {
            return Ok(Vec::new());
        }
        if pin.is_empty() || self.tries == 0 {
            return Err(refused(self.tries));
        }
        self.presented += 1;
        self.verified = pin == self.pin;
        self.fresh = self.verified;
        self.tries = if self.verified { 3 } else { self.tries - 1 };
        match self.verified {
            true => Ok(Vec::new()),
            false => Err(refused(self.tries)),
        }
    }

    fn sign(&mut self, apdu: &Apdu, fresh: bool, data: &[u8]) -> Result<Vec<u8>, u16> {
        let slot = self.slots.iter().find(|slot| slot.number == apdu.p2);
        let slot = slot.ok_or(NO_SUCH_KEY)?;
        if !self.verified || (slot.number == 0x9c && !fresh) {
            return Err(NOT_ALLOWED);
        }
        let template = find(data, 0x7c).ok_or(WRONG_DATA)?;
        let challenge = find(template, 0x81).ok_or(WRONG_DATA)?;
        let signature = match (apdu.p1, slot.key.is_rsa()) {
            (0x07, true) => slot.key.sign_raw(unpadded(challenge).ok_or(WRONG_DATA)?),
            (0x11 | 0x14, false) => slot.key.sign_raw(challenge).map(|raw| der(&raw)),
            _ => return Err(WRONG_PARAMETERS),
        };
        self.signed += 1;
        let signature = signature.ok_or(WRONG_DATA)?;
        Ok(tlv(&[0x7c], &tlv(&[0x82], &signature)))
    }
}

/// The card holder unique identifier (SP 800-73-4 part 1, table 9).
fn holder() -> Vec<u8> {
    let parts = [
        tlv(&[0x30], &[0x99; 25]),
        tlv(&[0x34], b"smr-test-card-01"),
        tlv(&[0x35], b"20401231"),
        tlv(&[0x3e], &[]),
        tlv(&[0xfe], &[]),
    ];
    tlv(&[0x53], &parts.concat())
}

/// Takes the padding off a block (RFC 8017 9.2): the card gets it whole, the
/// key here puts it on again.
fn unpadded(block: &[u8]) -> Option<&[u8]> {
    let padded = block.strip_prefix(&[0, 1])?;
    let end = padded.iter().position(|byte| *byte != 0xff)?;
    padded.get(end..)?.strip_prefix(&[0])
}

/// Writes r||s as PIV gives it, in DER (RFC 3279 2.2.3).
fn der(raw: &[u8]) -> Vec<u8> {
    let number = |half: &[u8]| {
        let digits: Vec<u8> = half.iter().copied().skip_while(|b| *b == 0).collect();
        let sign = digits.first().is_none_or(|b| b & 0x80 != 0);
        tlv(&[2], &[vec![0; usize::from(sign)], digits].concat())
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    tlv(&[0x30], &[number(r), number(s)].concat())
}
