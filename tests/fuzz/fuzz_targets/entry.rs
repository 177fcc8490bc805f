//! See `smr_fuzz::entry`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::entry(data));
