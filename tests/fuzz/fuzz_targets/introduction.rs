//! See `smr_fuzz::introduction`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::introduction(data));
