//! See `smr_fuzz::stamp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::stamp(data));
