//! See `smr_fuzz::signed_note`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::signed_note(data));
