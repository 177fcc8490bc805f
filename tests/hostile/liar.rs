//! A smrd that lies: the real one, with its store, its keys and its port, in
//! this process, and what it says is changed before it is warranted.
//!
//! Asserts only that the lie was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smr_name::Class;
use smr_server::config::Config;
use smr_server::{Log, Saying, Server};

use crate::house::House;

/// A lying smrd in the place of the house's own.
pub(crate) struct Liar {
    server: Server,
    told: Arc<AtomicUsize>,
}

/// Puts a liar in the place of the house's smrd; `lie` tells whether it has
/// changed anything.
pub(crate) fn lying(
    house: &mut House,
    lie: impl Fn(&mut Saying<'_>) -> bool + Send + Sync + 'static,
) -> Liar {
    assert_eq!(house.stop(), Some(0), "smrd ends with 0");
    let told = Arc::new(AtomicUsize::new(0));
    let lie = Arc::new(lie);
    let start = || {
        let (told, lie) = (told.clone(), lie.clone());
        let liar = move |saying: &mut Saying<'_>| {
            if lie(saying) {
                told.fetch_add(1, Ordering::SeqCst);
            }
        };
        let config = Config::load(&house.path("smrd.toml")).expect("smrd.toml is right");
        let log = Log::new(config.log, Arc::new(|_: &str| {}));
        Server::start_lying(config, log, Box::new(liar))
    };
    loop {
        match start() {
            Ok(server) => return Liar { server, told },
            // A program that another test starts holds the store's lock from
            // its fork to its exec.
            Err(error) => assert_eq!(error.class(), Class::Busy, "{error}"),
        }
        std::thread::yield_now();
    }
}

impl Liar {
    /// Ends the lies; the honest smrd is back. Fails where none was told.
    #[track_caller]
    pub(crate) fn confess(self, house: &mut House) {
        assert!(self.told.load(Ordering::SeqCst) > 0, "no lie was told");
        self.server.stop();
        house.start();
    }
}
