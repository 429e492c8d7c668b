#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hazcat_core::fuzz::names(bytes));
