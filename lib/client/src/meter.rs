//! How far a transfer has come, for whoever shows it.
//!
//! Shows nothing itself; without somebody to show it, counts nothing.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// What is done with the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// They are signed and sealed.
    Sealing,
    /// They go to smrd.
    Depositing,
    /// They come from smrd.
    Fetching,
    /// They are opened and verified.
    Verifying,
    /// They are written out.
    Writing,
}

/// Shows how far a transfer has come.
pub trait Show {
    /// A stage begins, of so many bytes where that is known.
    fn begin(&mut self, stage: Stage, total: Option<u64>);
    /// So many bytes more are done.
    fn advance(&mut self, bytes: u64);
    /// The stage is over.
    fn end(&mut self);
}

/// Tells somebody, or nobody.
#[derive(Clone, Default)]
pub struct Meter(Option<Rc<RefCell<dyn Show>>>);

impl Meter {
    /// Tells `show`.
    pub fn new(show: impl Show + 'static) -> Meter {
        Meter(Some(Rc::new(RefCell::new(show))))
    }

    /// Counts what passes through `inner`, until it is dropped.
    pub(crate) fn over<T>(&self, stage: Stage, total: Option<u64>, inner: T) -> Metered<T> {
        self.tell(|show| show.begin(stage, total));
        Metered {
            inner,
            meter: self.clone(),
        }
    }

    fn tell(&self, what: impl FnOnce(&mut dyn Show)) {
        if let Some(show) = &self.0 {
            what(&mut *show.borrow_mut());
        }
    }
}

/// Counts what passes through it.
pub(crate) struct Metered<T> {
    inner: T,
    meter: Meter,
}

impl<T> Metered<T> {
    fn count(&self, passed: io::Result<usize>) -> io::Result<usize> {
        let bytes = passed?;
        self.meter.tell(|show| show.advance(bytes as u64));
        Ok(bytes)
    }
}

impl<T: Read> Read for Metered<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let passed = self.inner.read(buffer);
        self.count(passed)
    }
}

impl<T: Seek> Seek for Metered<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl<T: Write> Write for Metered<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let passed = self.inner.write(bytes);
        self.count(passed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T> Drop for Metered<T> {
    fn drop(&mut self) {
        self.meter.tell(|show| show.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<String>>);

    impl Show for Log {
        fn begin(&mut self, stage: Stage, total: Option<u64>) {
            self.0
                .borrow_mut()
                .push_str(&format!("{stage:?} {total:?}"));
        }
        fn advance(&mut self, bytes: u64) {
            self.0.borrow_mut().push_str(&format!(" {bytes}"));
        }
        fn end(&mut self) {
            self.0.borrow_mut().push_str(" end;");
        }
    }

    #[test]
    fn what_passes_is_told_and_its_end_too() {
        let log = Log::default();
        let meter = Meter::new(log.clone());
        let mut read = meter.over(Stage::Fetching, Some(3), &b"abc"[..]);
        read.read_exact(&mut [0; 2]).unwrap();
        drop(read);
        let mut write = meter.over(Stage::Writing, None, Vec::new());
        write.write_all(b"xy").unwrap();
        drop(write);
        assert_eq!(
            *log.0.borrow(),
            "Fetching Some(3) 2 end;Writing None 2 end;"
        );
        let mut nobody = Meter::default().over(Stage::Sealing, None, Vec::new());
        nobody.write_all(b"z").unwrap();
    }
}
