//! The fetcher against real sources and bad ones, and smrd that takes up what
//! it has fetched.

mod town;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smr_channel::reply::Reply;
use smr_channel::request::Request;
use smr_evidence::trust::{Certificate, Signer, SoftKey};
use smr_name::Class;
use smr_server::{FetchError, Fetched, Kind, Limits, Outcome, check, check_card, fetch};
use town::Town;
use town::client::{Client, refused};
use town::people::{Authority, Person, person};
use town::web::{Page, Web};

const OCSP: &str = "-index index -CA trust/root.pem -rsigner ocsp.pem -rkey ocsp.key -ndays 7";

/// A town whose smrd has no list, and whose cards say where theirs are.
struct Scene {
    town: Town,
    web: Web,
}

impl Scene {
    /// `sources`: lines for the extensions of cards; `WEB` is the web server.
    fn new(sources: &str) -> Scene {
        let (town, web) = (Town::new(), Web::start());
        let scene = Scene { town, web };
        let config = scene.file("ca.cnf");
        let text = std::fs::read_to_string(&config).unwrap();
        let sources = sources.replace("WEB", &scene.web.url(""));
        let text = text.replace("[person]\n", &format!("[person]\n{sources}\n"));
        let responder = "[ocsp]\nbasicConstraints = critical,CA:FALSE\n\
             keyUsage = critical,digitalSignature\nextendedKeyUsage = OCSPSigning\nnoCheck = yes\n\
             [delta]\nauthorityKeyIdentifier = keyid\n2.5.29.27 = critical,ASN1:INTEGER:1\n";
        std::fs::write(&config, format!("{text}{responder}")).unwrap();
        scene.town.ca.lose_list();
        scene.town.server().reload(&scene.town.config()).unwrap();
        scene
    }

    fn file(&self, name: &str) -> PathBuf {
        self.town.path("ca").join(name)
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.town.path("deep/store/cache").join(name)
    }

    /// Makes a list and returns it.
    fn list(&self, more: &str) -> Vec<u8> {
        self.town.ca.openssl(&format!(
            "ca -config ca.cnf -gencrl -out list.pem -crldays 7{more}"
        ));
        std::fs::read(self.file("list.pem")).unwrap()
    }

    /// Starts a responder that the authority certified for that.
    fn responder(&self) {
        let ca = &self.town.ca;
        ca.card("ocsp");
        ca.openssl(
            "x509 -req -in ocsp.csr -CA trust/root.pem -CAkey root.key -sha256 -days 9 \
             -CAcreateserial -extfile ca.cnf -extensions ocsp -out ocsp.pem",
        );
        let page = Page::Ocsp(self.town.path("ca"), OCSP.to_owned());
        self.web.put("/ocsp", page);
    }

    /// Issues a card that the responder knows.
    fn card(&self, name: &str) -> SoftKey {
        let card = self.town.ca.card(name);
        self.town
            .ca
            .openssl(&format!("ca -config ca.cnf -valid {name}.pem"));
        card
    }

    fn fetch(&self) -> Fetched {
        self.fetch_within(Limits::default().whole)
    }

    fn fetch_within(&self, whole: Duration) -> Fetched {
        let limits = Limits {
            whole,
            list: 1 << 20,
            ..Limits::default()
        };
        town::when_free(|| fetch(&self.town.config(), limits), |e| e.class())
    }

    /// Makes everything due.
    fn hurry(&self) {
        let path = self.cache("revocation/index");
        let text = std::fs::read_to_string(&path).unwrap();
        let line = |line: &str| {
            let mut fields: Vec<&str> = line.split('\t').collect();
            fields[5] = "0";
            fields.join("\t") + "\n"
        };
        let text: String = text.lines().map(line).collect();
        std::fs::write(path, text).unwrap();
    }

    /// Returns what is held, but for the times of the run.
    fn held(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.cache("revocation")).unwrap();
        let files = files.map(|f| f.unwrap().path());
        let mut files: Vec<PathBuf> = files
            .filter(|f| f.extension().is_some_and(|e| e == "crl" || e == "ocsp"))
            .collect();
        files.sort();
        files.iter().map(|f| std::fs::read(f).unwrap()).collect()
    }

    fn queue(&self) -> String {
        std::fs::read_to_string(self.cache("revocation-queue")).unwrap_or_default()
    }

    /// Tries until smrd has taken up what was fetched.
    fn enrols(&self, person: &Person) -> Client {
        let start = Instant::now();
        loop {
            match person.try_enrol(&self.town) {
                (client, Reply::Welcome { .. }) => return client,
                (_, reply) => assert_eq!(refused(&reply), Class::Busy),
            }
            assert!(start.elapsed() < Duration::from_secs(60), "never let in");
        }
    }
}

fn outcomes(fetched: &Fetched) -> Vec<(Kind, &Outcome)> {
    let sources = fetched.sources.iter();
    sources.map(|s| (s.kind, &s.outcome)).collect()
}

/// Asserts that every source failed, for this reason.
fn fails(fetched: &Fetched, why: &str) {
    assert_eq!(fetched.code(), 75);
    for source in &fetched.sources {
        match &source.outcome {
            Outcome::Failed(text) => assert!(text.contains(why), "{text:?} is not {why:?}"),
            other => panic!("{other:?}, expected {why:?}"),
        }
    }
    assert!(!fetched.sources.is_empty());
}

#[test]
fn who_waits_for_a_list_is_let_in_once_it_was_fetched() {
    let scene = Scene::new("crlDistributionPoints = URI:WEB/root.crl");
    let ana = person(&scene.town.ca.card("ana"), "ana");
    assert_eq!(refused(&ana.try_enrol(&scene.town).1), Class::Busy);
    assert!(scene.queue().contains("CN=ANA"));
    // There is nothing yet: he stays in the queue.
    let fetched = scene.fetch();
    fails(&fetched, "HTTP 404");
    assert_eq!(fetched.lacking.len(), 1);
    assert!(scene.queue().contains("CN=ANA"));
    let list = scene.list("");
    scene
        .web
        .put("/root.crl", Page::Tagged(list.clone(), "\"1\""));
    let fetched = scene.fetch();
    assert_eq!(outcomes(&fetched), [(Kind::List, &Outcome::Fetched)]);
    assert_eq!((fetched.code(), scene.queue().as_str()), (0, ""));
    scene.enrols(&ana);
    // Not due; then due, and not changed.
    assert_eq!(outcomes(&scene.fetch()), [(Kind::List, &Outcome::Skipped)]);
    scene.hurry();
    let fetched = scene.fetch();
    assert_eq!(outcomes(&fetched), [(Kind::List, &Outcome::Unchanged)]);
    assert_eq!(fetched.code(), 0);
    // Whoever is refused again comes into the queue again.
    std::fs::remove_dir_all(scene.cache("revocation")).unwrap();
    scene.town.server().reload(&scene.town.config()).unwrap();
    assert_eq!(refused(&ana.try_login(&scene.town).1), Class::Busy);
    assert!(scene.queue().contains("CN=ANA"));
    // A server may know times only: asked for what is newer, it sends nothing.
    // It may date the same list anew, and then that is the date to ask by.
    let (date, later) = (
        "Thu, 01 Oct 2026 08:00:00 GMT",
        "Fri, 02 Oct 2026 08:00:00 GMT",
    );
    for (bytes, date, outcome) in [
        (list.clone(), date, Outcome::Fetched),
        (b"no list".to_vec(), date, Outcome::Unchanged),
        (list, later, Outcome::Unchanged),
        (b"no list".to_vec(), later, Outcome::Unchanged),
    ] {
        scene.web.put("/root.crl", Page::Dated(bytes, date));
        assert_eq!(outcomes(&scene.fetch()), [(Kind::List, &outcome)]);
        scene.hurry();
    }
}

#[test]
fn a_responder_says_who_is_good_and_who_no_longer_is() {
    let scene = Scene::new("authorityInfoAccess = OCSP;URI:WEB/ocsp");
    scene.responder();
    let ana = person(&scene.card("ana"), "ana");
    assert_eq!(refused(&ana.try_enrol(&scene.town).1), Class::Busy);
    let fetched = scene.fetch();
    assert_eq!(outcomes(&fetched), [(Kind::Ocsp, &Outcome::Fetched)]);
    assert_eq!((fetched.code(), scene.queue().as_str()), (0, ""));
    let mut session = scene.enrols(&ana);
    // An answer to somebody else's question does not replace it.
    scene.hurry();
    scene.web.put("/ocsp", Page::Bytes(scene.held().remove(0)));
    let fetched = scene.fetch();
    assert!(
        matches!(&fetched.sources[0].outcome, Outcome::Failed(why) if why.contains("another question"))
    );
    // Nor does a damaged one, one about another card, or one by somebody else.
    let held = scene.held();
    let mut tampered = held[0].clone();
    *tampered.last_mut().unwrap() ^= 1;
    scene.card("rui");
    let folder = scene.town.path("ca");
    let arguments = OCSP.replace("ocsp.", "rui.");
    let ca = &scene.town.ca;
    ca.openssl("ocsp -issuer trust/root.pem -cert rui.pem -no_nonce -reqout rui.req");
    ca.openssl(&format!("ocsp {OCSP} -reqin rui.req -respout rui.ocsp"));
    let other = std::fs::read(scene.file("rui.ocsp")).unwrap();
    for (page, why) in [
        (Page::Bytes(tampered), "not signed by who may"),
        (Page::Bytes(other), "another certificate"),
        (Page::Bytes(vec![0x30; 70_000]), "limit"),
        (Page::Bytes(b"<html>".to_vec()), "not a DER OCSP answer"),
        (Page::Ocsp(folder, arguments), "not signed by who may"),
        (Page::Moved(scene.web.url("/ocsp")), "HTTP 302"),
    ] {
        scene.hurry();
        scene.web.put("/ocsp", page);
        fails(&scene.fetch(), why);
        assert_eq!(scene.held(), held);
    }
    scene.responder();
    scene.town.ca.openssl("ca -config ca.cnf -revoke ana.pem");
    let fetched = scene.fetch();
    assert_eq!(outcomes(&fetched), [(Kind::Ocsp, &Outcome::Fetched)]);
    assert_eq!(fetched.code(), 0, "revoked is an answer too");
    let start = Instant::now();
    while let (_, Reply::Welcome { .. }) = ana.try_login(&scene.town) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "goes on for ever"
        );
    }
    assert_eq!(refused(&ana.try_login(&scene.town).1), Class::Denied);
    assert_eq!(refused(&session.ask(&Request::Ping)), Class::Denied);
}

#[test]
fn a_base_does_without_its_delta_no_longer() {
    let scene =
        Scene::new("crlDistributionPoints = URI:WEB/root.crl\nfreshestCRL = URI:WEB/delta.crl");
    let base = scene.list("");
    let delta = scene.list(" -crlexts delta");
    scene.web.put("/root.crl", Page::Bytes(base.clone()));
    scene.web.put("/delta.crl", Page::Bytes(base));
    let ana = person(&scene.town.ca.card("ana"), "ana");
    assert_eq!(refused(&ana.try_enrol(&scene.town).1), Class::Busy);
    let fetched = scene.fetch();
    assert_eq!((fetched.code(), fetched.lacking.len()), (75, 1));
    scene.web.put("/delta.crl", Page::Bytes(delta));
    let fetched = scene.fetch();
    assert_eq!((fetched.code(), scene.queue().as_str()), (0, ""));
    scene.enrols(&ana);
}

#[test]
fn bad_sources_leave_what_is_held_as_it_was() {
    let scene = Scene::new("crlDistributionPoints = URI:WEB/root.crl");
    let older = scene.list(" -crl_lastupdate 20260101000000Z");
    let good = scene.list("");
    scene.web.put("/root.crl", Page::Bytes(good.clone()));
    let ana = person(&scene.town.ca.card("ana"), "ana");
    ana.try_enrol(&scene.town);
    assert_eq!(scene.fetch().code(), 0);
    scene.enrols(&ana);
    let before = scene.held();
    let other = Authority::new(&scene.town.path("other"));
    other.openssl("ca -config ca.cnf -gencrl -out list.pem");
    let foreign = std::fs::read(scene.town.path("other").join("list.pem")).unwrap();
    let mut tampered = before[0].clone();
    *tampered.last_mut().unwrap() ^= 1;
    let own = scene.web.url("/root.crl");
    for (page, why) in [
        (Page::Moved(own), "redirects"),
        (Page::Moved("https://127.0.0.1/".into()), ""),
        (Page::Endless, "limit"),
        (Page::Slow, "timeout"),
        (Page::Status(500), "HTTP 500"),
        (Page::Bytes(Vec::new()), ""),
        (Page::Bytes(b"<html>".to_vec()), "no revocation list found"),
        (Page::Bytes(tampered), "not signed by who may"),
        (Page::Bytes(foreign), "not signed by who may"),
        (
            Page::Bytes([good.clone(), good.clone()].concat()),
            "more than one",
        ),
        (Page::Bytes(older), "older than the one"),
    ] {
        scene.hurry();
        // Only one of them is to use its time up.
        let whole = match page {
            Page::Slow => Duration::from_secs(2),
            _ => Limits::default().whole,
        };
        scene.web.put("/root.crl", page);
        fails(&scene.fetch_within(whole), why);
        assert_eq!(scene.held(), before, "{why}");
    }
    ana.login(&scene.town);
}

#[test]
fn strangers_make_it_fetch_nothing() {
    let scene = Scene::new("crlDistributionPoints = URI:WEB/root.crl");
    let own = scene.town.ca.own_card("eve");
    // A card that signs a certificate leads to the anchor by signature alone.
    scene.town.ca.card("ana");
    let below = scene.file("below.pem");
    scene.town.ca.openssl(
        "x509 -req -in ana.csr -CA ana.pem -CAkey ana.key -sha256 -days 9 \
         -CAcreateserial -extfile ca.cnf -extensions person -out below.pem",
    );
    let below = Certificate::pem_or_der_bundle(&std::fs::read(below).unwrap()).unwrap();
    let line = |c: &Certificate| format!("{} x\n", STANDARD.encode(c.der()));
    std::fs::create_dir_all(scene.cache("")).unwrap();
    let queue = format!("{}{}no line\n", line(own.certificate()), line(&below[0]));
    std::fs::write(scene.cache("revocation-queue"), queue).unwrap();
    let fetched = scene.fetch();
    assert_eq!((fetched.code(), fetched.sources.len()), (0, 0));
    assert_eq!(scene.web.hits(), Vec::<String>::new());
    assert_eq!(scene.queue(), "", "they wait for nothing");
}

#[test]
fn addresses_of_tls_are_passed_over_and_others_tried() {
    let scene =
        Scene::new("crlDistributionPoints = URI:https://127.0.0.1/root.crl,URI:WEB/root.crl");
    scene.web.put("/root.crl", Page::Bytes(scene.list("")));
    let ana = person(&scene.town.ca.card("ana"), "ana");
    assert_eq!(refused(&ana.try_enrol(&scene.town).1), Class::Busy);
    let fetched = scene.fetch();
    let outcomes: Vec<_> = fetched.sources.iter().map(|s| &s.outcome).collect();
    assert!(outcomes.contains(&&Outcome::PassedOver) && outcomes.contains(&&Outcome::Fetched));
    assert_eq!(fetched.code(), 0);
}

#[test]
fn a_second_fetcher_is_told_to_wait() {
    let scene = Scene::new("");
    scene.fetch();
    let lock = std::fs::File::open(scene.cache("revocation/lock")).unwrap();
    lock.lock().unwrap();
    let refused = fetch(&scene.town.config(), Limits::default()).unwrap_err();
    assert!(matches!(refused, FetchError::Cache(_)));
    assert_eq!(refused.class(), Class::Busy);
}

#[test]
fn cards_are_judged_beforehand_as_of_any_time() {
    let scene = Scene::new("crlDistributionPoints = URI:WEB/root.crl");
    let ana = person(&scene.town.ca.card("ana"), "ana");
    let pem = scene.town.ca.pem("ana");
    let judge = |at| check_card(&scene.town.config(), &pem, at).unwrap();
    let lacks = judge(None);
    assert_eq!((lacks.code, lacks.reason), (77, "no_revocation_data"));
    assert_eq!(lacks.path.len(), 2);
    assert!(lacks.hint.unwrap().contains("--fetch-revocation"));
    ana.try_enrol(&scene.town);
    scene.web.put("/root.crl", Page::Bytes(scene.list("")));
    assert_eq!(scene.fetch().code(), 0);
    let good = judge(None);
    assert_eq!((good.code, good.reason, good.is_checked), (0, "good", true));
    assert!(good.path[0].contains("CN=ANA") && good.realm.as_deref() == Some("default"));
    let then = town::now();
    assert_eq!(judge(Some(then + 9000 * 86_400)).reason, "expired");
    assert_eq!(judge(Some(then - 86_400)).reason, "not_yet_valid");
    let words: Vec<String> = check(&scene.town.config())
        .into_iter()
        .map(|f| f.text)
        .collect();
    assert!(
        words.iter().any(|w| w.contains("fetched: 1 sources")),
        "{words:?}"
    );
}
