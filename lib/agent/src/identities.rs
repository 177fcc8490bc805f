//! The age identities of one account, newest first: as text, in locked pages.
//!
//! Never keeps one ready for use: an identity itself has its seed behind a
//! pointer, out of the locked page, so it is made for one trial and wiped.

use smr_channel::local::Secret;
use smr_seal::{Identity, SealError};

use crate::locked::Locked;

/// The longest text of an identity, in bytes; "AGE-SECRET-KEY-PQ-1" and 58
/// characters are 77.
const LONGEST: usize = 128;

/// Texts a page holds.
const SHELF: usize = 31;

#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; LONGEST],
    length: u8,
}

type Shelf = [Text; SHELF];

// An account a few years old has hundreds: a page for each would use up what
// RLIMIT_MEMLOCK commonly allows.
const _: () = assert!(size_of::<Shelf>() <= 4096);

const EMPTY: Text = Text {
    bytes: [0; LONGEST],
    length: 0,
};

/// The identities; wiped on drop.
pub(crate) struct Identities {
    shelves: Vec<Locked<Shelf>>,
    count: usize,
}

impl Identities {
    /// Takes texts in their order; each must be an identity.
    pub(crate) fn new(texts: &[Secret]) -> Result<Self, SealError> {
        let shelves = texts.chunks(SHELF).map(shelf).collect::<Result<_, _>>()?;
        let identities = Identities {
            shelves,
            count: texts.len(),
        };
        identities
            .iter()
            .try_for_each(|identity| identity.map(drop))?;
        Ok(identities)
    }

    /// Makes one after the other, in the order taken.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Identity, SealError>> {
        let texts = self.shelves.iter().flat_map(|shelf| shelf.iter());
        texts.take(self.count).map(Text::identity)
    }
}

fn shelf(texts: &[Secret]) -> Result<Locked<Shelf>, SealError> {
    // Empty when it moves into the page, so that no copy stays on the stack.
    let mut shelf = Locked::new([EMPTY; SHELF]);
    for (place, text) in shelf.iter_mut().zip(texts) {
        place.put(text.expose())?;
    }
    Ok(shelf)
}

impl Text {
    fn put(&mut self, text: &[u8]) -> Result<(), SealError> {
        let room = self.bytes.get_mut(..text.len());
        room.ok_or(SealError::Identity)?.copy_from_slice(text);
        self.length = u8::try_from(text.len()).map_err(|_| SealError::Identity)?;
        Ok(())
    }

    fn identity(&self) -> Result<Identity, SealError> {
        let text = self.bytes.get(..self.length.into()).unwrap_or_default();
        let text = str::from_utf8(text).map_err(|_| SealError::Identity)?;
        Identity::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use smr_channel::local::Secret;
    use smr_seal::{Identity, SealError};

    use super::{Identities, SHELF};

    fn texts(count: usize) -> Vec<Secret> {
        let one = |_| Secret::copy_of(Identity::generate_pq(&mut OsRng).encode().as_bytes());
        (0..count).map(one).collect()
    }

    #[test]
    fn what_is_no_identity_is_refused_wherever_it_stands() {
        let long = [b'A'; 500];
        for text in [&b"AGE-SECRET-KEY-1"[..], &long, &long[..128], &[0xff], &[]] {
            for place in [0, SHELF - 1, SHELF] {
                let mut all = texts(SHELF + 1);
                all[place] = Secret::copy_of(text);
                assert_eq!(Identities::new(&all).err(), Some(SealError::Identity));
            }
        }
    }

    #[test]
    fn hundreds_come_back_in_order_from_few_pages() {
        for count in [0, 1, SHELF, SHELF + 1, 500] {
            let texts = texts(count);
            let identities = Identities::new(&texts).unwrap();
            assert_eq!(identities.shelves.len(), count.div_ceil(SHELF));
            let back: Vec<_> = identities.iter().map(|i| i.unwrap().encode()).collect();
            let same = |(text, back): (&Secret, &zeroize::Zeroizing<String>)| {
                text.expose() == back.as_bytes()
            };
            assert_eq!(back.len(), count);
            assert!(texts.iter().zip(&back).all(same));
        }
    }
}
