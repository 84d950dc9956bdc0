//! Given an ICO file, is its largest picture a PNG? The ICO decoder takes only
//! RGBA inside, while icon editors write any PNG; so those are decoded as what
//! they are.

/// The bytes of the largest entry, if they are a PNG.
pub(super) fn png_within(bytes: &[u8]) -> Option<&[u8]> {
    let count = u16::from_le_bytes(bytes.get(4..6)?.try_into().ok()?);
    let entries = bytes.get(6..)?.chunks_exact(16).take(usize::from(count));
    // Zero stands for 256. Of equal sizes the one with more colours.
    let side = |byte: u8| if byte == 0 { 256 } else { u32::from(byte) };
    let largest =
        entries.max_by_key(|e| (side(e[0]) * side(e[1]), u16::from_le_bytes([e[6], e[7]])))?;
    let number =
        |at: usize| largest.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let (len, start) = (number(8)? as usize, number(12)? as usize);
    let body = bytes.get(start..start.checked_add(len)?)?;
    body.starts_with(b"\x89PNG\r\n\x1A\n").then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_entry_counts() {
        let mut file = b"\0\0\x01\0\x02\0".to_vec();
        for (side, start, len) in [(16u8, 38u32, 4u32), (0, 42, 9)] {
            file.extend([side, side, 0, 0, 1, 0, 32, 0]);
            file.extend(len.to_le_bytes());
            file.extend(start.to_le_bytes());
        }
        file.extend(b"BMP.\x89PNG\r\n\x1A\n!");
        assert_eq!(png_within(&file), Some(&b"\x89PNG\r\n\x1A\n!"[..]));
        for end in 0..file.len() {
            assert_eq!(png_within(&file[..end]), None, "cut after {end}");
        }
        file[22] = 8;
        file[23] = 8;
        assert_eq!(png_within(&file), None, "now the other one is larger");
    }
}
