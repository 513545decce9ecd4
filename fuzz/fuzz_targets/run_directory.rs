#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aelab_fuzz::run("run_directory", bytes));
