//! Any bytes tell something or nothing: where blocks lie in each container, EXIF,
//! XMP and IPTC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ekphrasis_engine::facts_in(bytes);
});
