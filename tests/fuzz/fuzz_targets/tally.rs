//! See `smr_fuzz::tally`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::tally(data));
