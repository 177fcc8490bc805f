//! Chains of certificates as they travel: the device's first, then the card's,
//! then those of authorities above it, each in DER.
//!
//! Reads no certificate: who believes one is smrd's affair.

use std::ops::RangeInclusive;

use crate::codec::{CodecError, Reader, Writer};

/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 8;

/// The longest certificate, in bytes of DER.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

/// The most bytes of all certificates together; with them an introduction is
/// never too long.
pub const MAX_CHAIN_BYTES: usize = 56 * 1024;

const CERTIFICATES: RangeInclusive<usize> = 2..=MAX_CHAIN;

fn fits(chain: &[Vec<u8>]) -> bool {
    let each = |der: &Vec<u8>| (1..=MAX_CERTIFICATE).contains(&der.len());
    let all: usize = chain.iter().map(Vec::len).sum();
    chain.iter().all(each) && all <= MAX_CHAIN_BYTES
}

pub(crate) fn write<'a>(w: &'a mut Writer, chain: &[Vec<u8>]) -> &'a mut Writer {
    match fits(chain) {
        true => w.bounded("chain", CERTIFICATES, chain, |w, der| {
            w.bytes("certificate", der);
        }),
        false => w.too_large("chain"),
    }
}

pub(crate) fn read(r: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, CodecError> {
    let chain = r.bounded("chain", CERTIFICATES, |r| r.bytes().map(<[u8]>::to_vec))?;
    match fits(&chain) {
        true => Ok(chain),
        false => Err(CodecError::Size("chain")),
    }
}

#[cfg(test)]
mod tests {
    use super::{CodecError, MAX_CERTIFICATE, MAX_CHAIN, MAX_CHAIN_BYTES, read, write};
    use crate::codec::{Reader, Writer};

    /// What a writer without bounds would write.
    fn plain(chain: &[Vec<u8>]) -> Vec<u8> {
        let mut w = Writer::new();
        w.list("chain", chain, |w, der| {
            w.bytes("certificate", der);
        });
        w.finish().unwrap()
    }

    #[test]
    fn chains_out_of_bounds_are_neither_written_nor_read() {
        let seven = MAX_CHAIN_BYTES / 7;
        for chain in [
            vec![],
            vec![vec![1; 700]],
            vec![vec![1; 700]; MAX_CHAIN + 1],
            vec![vec![1; 700], vec![]],
            vec![vec![1; 700], vec![1; MAX_CERTIFICATE + 1]],
            [vec![vec![1; seven]; 7], vec![vec![1]]].concat(),
        ] {
            let mut w = Writer::new();
            write(&mut w, &chain);
            assert_eq!(w.finish(), Err(CodecError::Size("chain")));
            let refused = read(&mut Reader::new(&plain(&chain)));
            assert_eq!(refused, Err(CodecError::Size("chain")));
        }
    }

    #[test]
    fn chains_up_to_the_bounds_come_back() {
        for chain in [
            vec![vec![1; 700], vec![2; MAX_CERTIFICATE]],
            vec![vec![3; MAX_CHAIN_BYTES / MAX_CHAIN]; MAX_CHAIN],
        ] {
            let mut w = Writer::new();
            write(&mut w, &chain);
            let bytes = w.finish().unwrap();
            assert_eq!(bytes, plain(&chain));
            assert_eq!(read(&mut Reader::new(&bytes)), Ok(chain));
        }
    }
}
