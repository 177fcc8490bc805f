//! See `smr_fuzz::sealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::sealed(data));
