//! See `smr_fuzz::key_ring`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smr_fuzz::key_ring(data));
