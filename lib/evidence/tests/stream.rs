//! Large envelopes in little memory. Alone in its program, so that the peak
//! it measures is its own.

mod pki;

use std::fs::File;
use std::io::{Read, Seek, Write};

use pki::{Pki, device, now};
use rand_core::OsRng;
use smr_evidence::envelope::{self, Author, Draft, Emit, Part, ReceiptWanted};
use smr_name::Address;
use smr_seal::Identity;

const SIZE: u64 = 96 * 1024 * 1024;
const BUFFERS: u64 = 4 * 1024 * 1024;

/// The most memory this program has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Takes bytes and forgets them.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn memory_does_not_grow_with_the_attachment() {
    let pki = Pki::new();
    let address: Address = "rui@repo.example".parse().unwrap();
    let signer = device(&pki.card("RUI", "BI1", "person"), &address, "laptop");
    let keys = vec![Identity::generate_pq(&mut OsRng)];
    let recipients = [keys[0].to_recipient()];
    let draft = Draft {
        from: Author {
            display: "RUI".into(),
            address: address.clone(),
        },
        to: vec![address],
        cc: vec![],
        date: now(),
        subject: "dump",
        id: smr_name::MessageId::from_bytes([1; 16]),
        reply: None,
        receipt: ReceiptWanted::None,
        told: vec![],
    };
    let attachment = |size: u64| Part::Attachment {
        name: "dump".into(),
        read: Box::new(std::io::repeat(7).take(size)),
    };
    let mut sealed: File = tempfile::tempfile().unwrap();
    let round = |sealed: &mut File, size: u64| {
        sealed.set_len(0).unwrap();
        sealed.rewind().unwrap();
        let parts = vec![attachment(size)];
        envelope::seal(
            &draft,
            parts,
            &recipients,
            &signer,
            &mut *sealed,
            &mut OsRng,
        )
        .unwrap();
        let opened = envelope::verify(&mut *sealed, &keys).unwrap();
        let mut count = Count(0);
        envelope::emit(sealed, &keys, &opened, Emit::Part("1"), &mut count).unwrap();
        assert_eq!(count.0, size);
        assert_eq!(opened.parts[0].size, size);
    };
    round(&mut sealed, 1024 * 1024);
    let before = peak();
    round(&mut sealed, SIZE);
    let grown = peak() - before;
    assert!(grown < BUFFERS, "grown by {grown} bytes");
}
