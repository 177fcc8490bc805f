//! See `smr_fuzz::ess`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::ess(data));
