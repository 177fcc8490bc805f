//! See `smr_fuzz::journal`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::journal(data));
