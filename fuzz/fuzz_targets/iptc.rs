//! Any list of IPTC data sets, where a JPEG has it.
#![no_main]

libfuzzer_sys::fuzz_target!(|sets: &[u8]| {
    let sets = &sets[..sets.len().min(65_000)];
    let size = (sets.len() as u32).to_be_bytes();
    let body = [b"Photoshop 3.0\08BIM\x04\x04\0\0", &size[..], sets].concat();
    let length = (body.len() as u16 + 2).to_be_bytes();
    let jpeg = [b"\xFF\xD8\xFF\xED", &length[..], &body, b"\xFF\xDA"].concat();
    let _ = ekphrasis_engine::facts_in(&jpeg);
});
