//! Commands to a card (ISO 7816-4), and the TLV inside them.

/// A command.
pub(super) struct Apdu<'a> {
    /// More of the same command follows.
    pub(super) chained: bool,
    pub(super) ins: u8,
    pub(super) p1: u8,
    pub(super) p2: u8,
    pub(super) data: &'a [u8],
    /// How many bytes of answer fit.
    pub(super) room: usize,
}

impl<'a> Apdu<'a> {
    /// Reads a command; none if it is not well formed.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Apdu<'a>> {
        let (head, body) = bytes.split_first_chunk::<4>()?;
        let [class, ins, p1, p2] = *head;
        let (data, room) = body_of(body)?;
        (class & !0x10 == 0).then_some(Apdu {
            chained: class & 0x10 != 0,
            ins,
            p1,
            p2,
            data,
            room,
        })
    }
}

/// Splits what follows the header into data and expected length (ISO 7816-4,
/// 5.2): short where the first byte counts, extended where it is 0.
fn body_of(body: &[u8]) -> Option<(&[u8], usize)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
    let room = |le: &[u8], all: usize| match number(le) {
        0 => all,
        some => some,
    };
    match *body {
        [] => Some((&[], 256)),
        [le] => Some((&[], room(&[le], 256))),
        [0, high, low] => Some((&[], room(&[high, low], 65536))),
        [0, high, low, ref rest @ ..] => {
            let (data, le) = rest.split_at_checked(number(&[high, low]))?;
            Some((data, room(le, 65536)))
        }
        [lc, ref rest @ ..] => {
            let (data, le) = rest.split_at_checked(usize::from(lc))?;
            Some((data, room(le, 256)))
        }
    }
}

/// Writes one element.
pub(super) fn tlv(tag: &[u8], value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let length = match length {
        0..=0x7f => vec![length as u8],
        0x80..=0xff => vec![0x81, length as u8],
        _ => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [tag, &length, value].concat()
}

/// Returns the value of the element with this one-byte tag in a list of such.
pub(super) fn find(mut list: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (&tag, after) = list.split_first()?;
        let (&first, after) = after.split_first()?;
        let digits = match first {
            0..=0x7f => 0,
            0x81 | 0x82 => usize::from(first & 0x7f),
            _ => return None,
        };
        let (long, after) = after.split_at_checked(digits)?;
        let length = match digits {
            0 => usize::from(first),
            _ => long.iter().fold(0, |n, b| n << 8 | usize::from(*b)),
        };
        let (value, rest) = after.split_at_checked(length)?;
        if tag == wanted {
            return Some(value);
        }
        list = rest;
    }
}
