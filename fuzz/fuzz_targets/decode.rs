//! Any bytes are a picture or a reason why not: telling the format, the walk
//! through TIFF directories and AVIF boxes, drawings, and all decoders.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ekphrasis_models::looks_like_picture(bytes);
    let _ = ekphrasis_models::decode(bytes);
});
