//! See `smr_fuzz::ocsp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::ocsp(data));
