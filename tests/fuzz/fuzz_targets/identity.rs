//! See `smr_fuzz::identity`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::identity(data));
