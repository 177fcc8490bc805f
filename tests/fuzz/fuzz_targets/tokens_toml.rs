//! See `smr_fuzz::tokens_toml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::tokens_toml(data));
