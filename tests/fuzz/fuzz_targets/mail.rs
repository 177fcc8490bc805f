//! See `smr_fuzz::mail`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::mail(data));
