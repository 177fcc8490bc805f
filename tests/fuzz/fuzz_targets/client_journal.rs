//! See `smr_fuzz::client_journal`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::client_journal(data));
