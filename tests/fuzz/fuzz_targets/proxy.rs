//! See `smr_fuzz::proxy`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::proxy(data));
