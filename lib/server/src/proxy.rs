//! The header of HAProxy's PROXY protocol, version 2, by which a TCP proxy says
//! for whom it connects (smrd.conf(5), `proxy`).
//!
//! Never decides whom to believe: whether a peer may send one is the door's to
//! know. Takes no word but the address: what else a header says is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes that a header may have in all; HAProxy's own have 28 to some 300.
pub const MAX: usize = 2048;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How a header of version 1 begins, which is a line of text.
const OLD: &[u8; 5] = b"PROXY";
/// Bytes before the addresses: signature, version and command, family, length.
const FIXED: usize = SIGNATURE.len() + 4;

const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Says why a connection does not begin with a header that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It begins with something else.
    #[error("no PROXY header from a proxy")]
    Absent,
    /// It begins with a header that is a line of text.
    #[error("a PROXY header of version 1, expected 2: send-proxy-v2")]
    Old,
    /// The version is not 2.
    #[error("a PROXY header of version {0}, expected 2")]
    Version(u8),
    /// The command is neither LOCAL nor PROXY.
    #[error("a PROXY header with the unknown command {0}")]
    Command(u8),
    /// Whoever connects to the proxy does not do so by TCP.
    #[error("a PROXY header for family and protocol {0:#04x}, expected TCP")]
    Family(u8),
    /// More bytes are announced than a header may have.
    #[error("a PROXY header with {0} bytes more, expected at most {max}", max = MAX - FIXED)]
    Long(usize),
    /// The addresses, or what follows them, are cut off.
    #[error("a PROXY header cut short")]
    Short,
    /// Nobody can connect from this address.
    #[error("a PROXY header for {0}, which is nobody's address")]
    Nobody(SocketAddr),
}

/// For whom a proxy connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// For itself, to see whether smrd is there.
    Itself,
    /// For this client.
    Client(SocketAddr),
}

/// Returns how many bytes there must be before `bytes`, the begin of a
/// connection, say more: those of the whole header once its length is known.
pub fn goal(bytes: &[u8]) -> Result<usize, ProxyError> {
    let Some((fixed, _)) = bytes.split_first_chunk::<FIXED>() else {
        return match SIGNATURE.starts_with(bytes.get(..SIGNATURE.len()).unwrap_or(bytes)) {
            true => Ok(FIXED),
            false => Err(foreign(bytes)),
        };
    };
    let Some([command, family, high, low]) = fixed.strip_prefix(SIGNATURE) else {
        return Err(foreign(bytes));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let addresses = match (command >> 4, command & 15, *family) {
        (2, LOCAL, _) => 0,
        (2, PROXY, TCP4) => 12,
        (2, PROXY, TCP6) => 36,
        (2, PROXY, family) => return Err(ProxyError::Family(family)),
        (2, command, _) => return Err(ProxyError::Command(command)),
        (version, _, _) => return Err(ProxyError::Version(version)),
    };
    match length {
        _ if FIXED + length > MAX => Err(ProxyError::Long(length)),
        _ if length < addresses => Err(ProxyError::Short),
        _ => Ok(FIXED + length),
    }
}

fn foreign(bytes: &[u8]) -> ProxyError {
    match bytes.starts_with(OLD) {
        true => ProxyError::Old,
        false => ProxyError::Absent,
    }
}

/// Tells whether what came begins like a header.
pub(crate) fn is_begun(bytes: &[u8]) -> bool {
    SIGNATURE.starts_with(bytes) || bytes.starts_with(OLD)
}

/// Reads a whole header; `goal` says how long it is.
pub fn read(header: &[u8]) -> Result<Origin, ProxyError> {
    if goal(header)? != header.len() {
        return Err(ProxyError::Short);
    }
    let (fixed, rest) = header.split_at(FIXED);
    let (ip, rest) = match fixed {
        [.., command, _, _, _] if command & 15 == LOCAL => return Ok(Origin::Itself),
        [.., TCP4, _, _] => address(rest, |bytes| Ipv4Addr::from(bytes).into())?,
        _ => address(rest, |bytes| Ipv6Addr::from(bytes).to_canonical())?,
    };
    let (ports, extensions) = rest.split_first_chunk().ok_or(ProxyError::Short)?;
    let [high, low, _, _] = *ports;
    let client = SocketAddr::new(ip, u16::from_be_bytes([high, low]));
    skip(extensions)?;
    let nobody = ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST;
    match nobody || client.port() == 0 {
        true => Err(ProxyError::Nobody(client)),
        false => Ok(Origin::Client(client)),
    }
}

/// Reads the client's address and passes over the proxy's.
fn address<const N: usize>(
    bytes: &[u8],
    read: impl Fn([u8; N]) -> IpAddr,
) -> Result<(IpAddr, &[u8]), ProxyError> {
    let (client, rest) = bytes.split_first_chunk::<N>().ok_or(ProxyError::Short)?;
    let (_, rest) = rest.split_first_chunk::<N>().ok_or(ProxyError::Short)?;
    Ok((read(*client), rest))
}

/// Passes over the extensions: a type of one byte, a length of two, a value.
fn skip(mut bytes: &[u8]) -> Result<(), ProxyError> {
    while !bytes.is_empty() {
        let ([_, high, low], rest) = bytes.split_first_chunk().ok_or(ProxyError::Short)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        bytes = rest.get(length..).ok_or(ProxyError::Short)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FIXED, MAX, Origin, ProxyError, SIGNATURE, goal, read};

    /// A header with these four bytes after the signature, but the length of
    /// what follows.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    /// 192.0.2.7:58550 to 198.51.100.1:7667.
    const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xe4, 0xb6, 0x1d, 0xf3];

    fn v6(client: [u8; 16]) -> Vec<u8> {
        [&client[..], &[9; 16], &[0xe4, 0xb6, 0x1d, 0xf3]].concat()
    }

    fn client(text: &str) -> Result<Origin, ProxyError> {
        Ok(Origin::Client(text.parse().unwrap()))
    }

    #[test]
    fn clients_are_who_the_header_says() {
        let v4 = header(0x21, 0x11, &V4);
        assert_eq!(goal(&v4), Ok(28));
        assert_eq!(read(&v4), client("192.0.2.7:58550"));
        let mut address = [0; 16];
        (address[0], address[1], address[15]) = (0x20, 0x01, 1);
        let there = header(0x21, 0x21, &v6(address));
        assert_eq!(read(&there), client("[2001::1]:58550"));
        address = [0; 16];
        address[10..].copy_from_slice(&[255, 255, 192, 0, 2, 7]);
        let mapped = header(0x21, 0x21, &v6(address));
        assert_eq!(read(&mapped), client("192.0.2.7:58550"));
    }

    #[test]
    fn extensions_are_skipped() {
        // PP2_TYPE_NOOP, and PP2_TYPE_UNIQUE_ID with nothing in it.
        let rest = [&V4[..], &[4, 0, 2, 1, 1], &[5, 0, 0]].concat();
        assert_eq!(read(&header(0x21, 0x11, &rest)), client("192.0.2.7:58550"));
        for cut in [&[4][..], &[4, 0], &[4, 0, 2, 1], &[4, 255, 255]] {
            let rest = [&V4[..], cut].concat();
            assert_eq!(read(&header(0x21, 0x11, &rest)), Err(ProxyError::Short));
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        for (family, rest) in [(0, &[][..]), (0x11, &V4), (0x77, b"whatever")] {
            assert_eq!(read(&header(0x20, family, rest)), Ok(Origin::Itself));
        }
    }

    #[test]
    fn who_does_not_come_by_tcp_is_refused() {
        // UNSPEC, UDP over IPv4, stream and datagram of AF_UNIX, nonsense.
        for family in [0, 0x01, 0x10, 0x12, 0x22, 0x31, 0x32, 0x41, 0xff] {
            let header = header(0x21, family, &[0; 216]);
            assert_eq!(read(&header), Err(ProxyError::Family(family)));
        }
    }

    #[test]
    fn other_versions_and_commands_are_refused() {
        let old = b"PROXY TCP4 192.0.2.7 198.51.100.1 58550 7667\r\n";
        assert_eq!(goal(old), Err(ProxyError::Old));
        assert_eq!(goal(&header(0x11, 0x11, &V4)), Err(ProxyError::Version(1)));
        assert_eq!(goal(&header(0x31, 0x11, &V4)), Err(ProxyError::Version(3)));
        assert_eq!(goal(&header(0x01, 0x11, &V4)), Err(ProxyError::Version(0)));
        assert_eq!(goal(&header(0x22, 0x11, &V4)), Err(ProxyError::Command(2)));
        assert_eq!(goal(&header(0x2f, 0x11, &V4)), Err(ProxyError::Command(15)));
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        let announced = |length: u16| {
            let [high, low] = length.to_be_bytes();
            goal(&[SIGNATURE, &[0x21, 0x11, high, low][..]].concat())
        };
        let most = MAX - FIXED;
        assert_eq!(announced(u16::try_from(most).unwrap()), Ok(MAX));
        assert_eq!(announced(2033), Err(ProxyError::Long(2033)));
        assert_eq!(announced(u16::MAX), Err(ProxyError::Long(65535)));
        assert_eq!(announced(11), Err(ProxyError::Short));
        assert_eq!(goal(&header(0x21, 0x21, &[1; 35])), Err(ProxyError::Short));
        assert_eq!(goal(&header(0x21, 0x11, &[])), Err(ProxyError::Short));
    }

    #[test]
    fn anything_else_is_seen_at_its_first_byte() {
        assert_eq!(goal(b""), Ok(FIXED));
        for length in 0..FIXED {
            let whole = header(0x21, 0x11, &V4);
            assert_eq!(goal(whole.get(..length).unwrap()), Ok(FIXED));
        }
        for other in [&b"s"[..], b"smr/1\nI", b"\n", b"\r\n\r\r", &[0; 99]] {
            assert_eq!(goal(other), Err(ProxyError::Absent));
        }
        let mut flipped = header(0x21, 0x11, &V4);
        flipped[11] ^= 1;
        assert_eq!(goal(&flipped), Err(ProxyError::Absent));
    }

    #[test]
    fn a_header_is_read_whole_or_not_at_all() {
        let whole = header(0x21, 0x11, &V4);
        for length in 0..whole.len() {
            assert!(read(whole.get(..length).unwrap()).is_err(), "{length}");
        }
        assert!(read(&[&whole[..], &[0]].concat()).is_err());
    }

    #[test]
    fn nobody_comes_from_everywhere() {
        let from = |client: [u8; 4], port: [u8; 2]| {
            let mut rest = V4;
            rest[..4].copy_from_slice(&client);
            rest[8..10].copy_from_slice(&port);
            read(&header(0x21, 0x11, &rest))
        };
        for (client, port) in [
            ([0; 4], [1, 1]),
            ([255; 4], [1, 1]),
            ([224, 0, 0, 1], [1, 1]),
            ([192, 0, 2, 7], [0, 0]),
        ] {
            let refused = from(client, port);
            assert!(matches!(refused, Err(ProxyError::Nobody(_))), "{client:?}");
        }
        let nowhere = read(&header(0x21, 0x21, &v6([0; 16])));
        assert!(matches!(nowhere, Err(ProxyError::Nobody(_))));
    }
}
