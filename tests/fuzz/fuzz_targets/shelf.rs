//! See `smr_fuzz::shelf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::shelf(data));
