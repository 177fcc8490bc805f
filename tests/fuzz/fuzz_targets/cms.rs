//! See `smr_fuzz::cms`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::cms(data));
