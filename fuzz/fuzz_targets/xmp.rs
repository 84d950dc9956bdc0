//! Any packet of XMP, where a JPEG has it.
#![no_main]

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    let body = [b"http://ns.adobe.com/xap/1.0/\0", &packet[..packet.len().min(65_000)]].concat();
    let length = (body.len() as u16 + 2).to_be_bytes();
    let jpeg = [b"\xFF\xD8\xFF\xE1", &length[..], &body, b"\xFF\xDA"].concat();
    let _ = ekphrasis_engine::facts_in(&jpeg);
});
