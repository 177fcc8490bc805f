//! The postmark on the first screen of smr-receipt(5): real, and signed by the
//! key that the page gives for it.

use std::path::Path;

use smr_evidence::trace::Trace;
use smr_evidence::{note, postmark};
use smr_name::RepositoryName;

/// Whose seed makes the example; nobody's.
const SEED: [u8; 32] = [5; 32];

/// Returns the display of the page that begins with these words, as `man`
/// shows it.
fn display(page: &str, begin: &str) -> String {
    let start = page.find(begin).expect("the page has it");
    let text = page[start..].split(".Ed\n").next().expect("it ends");
    text.replace("\\(em", "\u{2014}")
}

#[test]
fn the_postmark_of_the_manual_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("man/smr-receipt.5")).unwrap();
    let repository: RepositoryName = "repo.example".parse().unwrap();
    let shown = display(&page, "smr postmark 1\nrepository repo.example\n");
    let key = note::public_key(&SEED);
    let name = postmark::key_name(&repository);
    let key_line = note::verifier_key(&name, &key);
    assert!(page.contains(&format!("\n{key_line}\n")), "{key_line}");
    let read = postmark::open(&shown, &key, &repository);
    let Ok(mark) = read else {
        panic!("{read:?}; it would be\n{}", remade(&shown))
    };
    assert_eq!(
        postmark::sign(&mark, &note::Signer::from_seed(&SEED)).unwrap(),
        shown
    );
    let told = postmark::told(&shown, &mark, &key).unwrap();
    assert!(told.is_some_and(|told| told.is_signed(&repository, &key)));
    // The trace of its head, and the head in a remark, stand there too.
    let trace = format!("\ntrace {}\n", Trace::of(&mark.head));
    assert!(page.contains(&trace), "{trace}");
}

/// The same text under the key of this test, for whoever changes the page.
fn remade(shown: &str) -> String {
    let (text, _) = shown.split_once("\n\n").expect("a note");
    let name = "repo.example/postmark";
    let text = format!("{text}\n");
    let signed = note::sign(&text, name, &note::Signer::from_seed(&SEED)).unwrap();
    let mark = postmark::open(
        &signed,
        &note::public_key(&SEED),
        &"repo.example".parse().unwrap(),
    );
    postmark::sign(&mark.unwrap(), &note::Signer::from_seed(&SEED)).unwrap()
}
