//! See `smr_fuzz::smrd_toml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::smrd_toml(data));
