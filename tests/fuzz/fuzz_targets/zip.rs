//! See `smr_fuzz::zip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::zip(data));
