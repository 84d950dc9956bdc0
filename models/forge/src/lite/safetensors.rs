//! Given a `.safetensors` file, which float tensors are in it?
//!
//! The layout: an eight-byte little-endian length, a JSON table of that length
//! (name → type, shape, byte range), and the raw data.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pth::{StateDict, Tensor};
use crate::Result;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Reads the `F32` tensors; tensors of integers are left out.
///
/// # Errors
/// If the table is not one, or a tensor's range does not fit its shape or the file.
pub(crate) fn read(bytes: &[u8]) -> Result<StateDict> {
    let (length, rest) =
        bytes.split_first_chunk::<8>().ok_or("the file is shorter than 8 bytes")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (table, data) = rest.split_at_checked(length).ok_or("the file ends within its table")?;
    let table: BTreeMap<String, serde_json::Value> = serde_json::from_slice(table)?;
    let mut tensors = StateDict::new();
    for (name, entry) in table.into_iter().filter(|(name, _)| name != "__metadata__") {
        let entry: Entry = serde_json::from_value(entry).map_err(|e| format!("{name}: {e}"))?;
        if entry.dtype != "F32" {
            continue;
        }
        let [start, end] = entry.data_offsets;
        let raw = data.get(start..end).ok_or_else(|| {
            format!("{name}: its bytes {start}..{end} are not in the file's {}", data.len())
        })?;
        let count = entry.shape.iter().try_fold(4usize, |n, &size| n.checked_mul(size));
        if count != Some(raw.len()) {
            let got = raw.len();
            return Err(format!("{name}: {got} bytes for the shape {:?}", entry.shape).into());
        }
        let data = raw.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        tensors.insert(name, Tensor { shape: entry.shape, data });
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(table: &str, data: &[u8]) -> Vec<u8> {
        [&(table.len() as u64).to_le_bytes()[..], table.as_bytes(), data].concat()
    }

    #[test]
    fn reads_floats_and_leaves_out_integers() {
        let table = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let data: Vec<u8> = [[0; 4], [0; 4], 1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
        let state = read(&file(table, &data)).expect("valid");
        assert_eq!(state.len(), 1);
        assert_eq!(state["a"], Tensor { shape: vec![2], data: vec![1.5, -2.0] });
    }

    #[test]
    fn ranges_that_do_not_fit_are_errors() {
        for (shape, range) in [
            ("[2]", "[0,4]"),
            ("[1]", "[0,400]"),
            ("[1]", "[4,0]"),
            ("[4611686018427387904]", "[0,0]"),
        ] {
            let table =
                format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{range}}}}}"#);
            assert!(read(&file(&table, &[0; 8])).is_err(), "{table}");
        }
        assert!(read(&[0; 4]).is_err());
        assert!(read(&u64::MAX.to_le_bytes()).is_err());
    }
}
