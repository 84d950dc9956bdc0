//! Given a PyTorch checkpoint in the legacy layout, which tensors are in it?
//!
//! The layout: a pickled magic number, a pickled protocol version, a pickled
//! description of the machine, the pickled state dict, the pickled list of its
//! storages' keys, and then for each key an eight-byte little-endian count and
//! the raw elements.

use std::collections::{BTreeMap, HashMap};

use super::pickle::{Element, Layout, Object, Pickle, PickleError, Storage};

/// The first pickle of every legacy checkpoint.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// A float tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

/// The float tensors of a checkpoint by name. Integer ones (counters) are checked and left out.
pub(crate) type StateDict = BTreeMap<String, Tensor>;

/// Why a file is no checkpoint.
#[derive(Debug, thiserror::Error, PartialEq)]
pub(crate) enum PthError {
    /// A pickle that cannot be followed.
    #[error("pickle {number} of the checkpoint, {source}")]
    Pickle {
        /// Which of the five, from 1.
        number: usize,
        /// Where and why.
        source: PickleError,
    },
    /// Another layout.
    #[error("this is no legacy PyTorch checkpoint: {0}")]
    Layout(&'static str),
    /// The data does not fit what the pickles say of it.
    #[error("{name}: {what}")]
    Data {
        /// A tensor's name or a storage's key.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads the tensors out of a legacy checkpoint.
///
/// # Errors
/// `Pickle`, `Layout` and `Data` as they say. Memory stays within a small
/// multiple of the file's size, whatever the file claims.
pub(crate) fn read(bytes: &[u8]) -> Result<StateDict, PthError> {
    let mut rest = bytes;
    let mut next = 0;
    let mut pickle = || {
        next += 1;
        let (pickle, length) =
            Pickle::read(rest).map_err(|source| PthError::Pickle { number: next, source })?;
        rest = &rest[length..];
        Ok::<_, PthError>(pickle)
    };
    if *pickle()?.root() != Object::Long(MAGIC.to_vec()) {
        return Err(PthError::Layout("the magic number is another"));
    }
    if *pickle()?.root() != Object::Int(PROTOCOL) {
        return Err(PthError::Layout("the protocol is not 1001"));
    }
    if !little_endian(&pickle()?) {
        return Err(PthError::Layout("it was not written on a little-endian machine"));
    }
    let state = pickle()?;
    let keys = pickle()?;
    let storages = storages(&state, &keys, rest)?;
    let Object::Dict(entries) = state.root() else {
        return Err(PthError::Layout("its fourth part is no state dict"));
    };
    let mut tensors = StateDict::new();
    // Tensors may share a storage, but not without end.
    let mut budget = bytes.len();
    for &(key, value) in entries {
        let (Object::Text(name), Object::Tensor(layout)) = (state.get(key), state.get(value))
        else {
            return Err(PthError::Layout("the state dict has something else than tensors"));
        };
        if let Some(tensor) = gather(name, layout, &storages)? {
            budget = budget
                .checked_sub(tensor.data.len())
                .ok_or(PthError::Layout("its tensors overlap too much"))?;
            tensors.insert(name.to_string(), tensor);
        }
    }
    Ok(tensors)
}

fn little_endian(pickle: &Pickle) -> bool {
    let Object::Dict(entries) = pickle.root() else { return false };
    entries.iter().any(|&(key, value)| {
        *pickle.get(key) == Object::Text("little_endian".into())
            && *pickle.get(value) == Object::Bool(true)
    })
}

/// The raw bytes of each storage by key.
fn storages<'a>(
    state: &Pickle,
    keys: &Pickle,
    mut rest: &'a [u8],
) -> Result<HashMap<String, &'a [u8]>, PthError> {
    let declared: HashMap<&str, &Storage> = state
        .objects()
        .iter()
        .filter_map(|object| match object {
            Object::Storage(storage) => Some((&*storage.key, storage)),
            _ => None,
        })
        .collect();
    let Object::List(keys_in_order) = keys.root() else {
        return Err(PthError::Layout("its fifth part is no list of storages"));
    };
    let mut found = HashMap::new();
    for &key in keys_in_order {
        let Object::Text(key) = keys.get(key) else {
            return Err(PthError::Layout("a storage's key is no text"));
        };
        let error = |what: String| PthError::Data { name: format!("storage {key}"), what };
        let storage = declared.get(&**key).ok_or_else(|| error("no tensor uses it".into()))?;
        let Some((count, after)) = rest.split_first_chunk::<8>() else {
            return Err(error("the file ends before it".into()));
        };
        let count = u64::from_le_bytes(*count);
        if count != storage.count {
            return Err(error(format!("expected {} elements, got {count}", storage.count)));
        }
        let length =
            count.checked_mul(storage.element.size()).and_then(|n| usize::try_from(n).ok());
        let split = length.and_then(|length| after.split_at_checked(length));
        let (data, after) = split.ok_or_else(|| error("the file ends within it".into()))?;
        found.insert(key.to_string(), data);
        rest = after;
    }
    if rest.is_empty() {
        Ok(found)
    } else {
        Err(PthError::Layout("there is something after the last storage"))
    }
}

/// The tensor's elements in row-major order, whatever its strides; `None` for integers.
fn gather(
    name: &str,
    layout: &Layout,
    storages: &HashMap<String, &[u8]>,
) -> Result<Option<Tensor>, PthError> {
    let error = |what: &str| PthError::Data { name: name.into(), what: what.into() };
    let Layout { storage, offset, shape, strides } = layout;
    let bytes = storages.get(&*storage.key).ok_or_else(|| error("its storage is not there"))?;
    if storage.count.checked_mul(storage.element.size()) != Some(bytes.len() as u64) {
        return Err(error("two tensors see its storage differently"));
    }
    if shape.len() != strides.len() {
        return Err(error("it has not as many strides as axes"));
    }
    let total = shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size));
    // No tensor of a checkpoint repeats elements of its storage; without this
    // bound a stride of 0 could ask for any amount of memory.
    let total = total.filter(|&n| n <= storage.count);
    let total = total.ok_or_else(|| error("it has more elements than its storage"))?;
    let reach = shape.iter().zip(strides).try_fold(*offset, |reach, (&size, &stride)| {
        reach.checked_add(size.saturating_sub(1).checked_mul(stride)?)
    });
    if total > 0 && reach.is_none_or(|last| last >= storage.count) {
        return Err(error("it reaches beyond its storage"));
    }
    if storage.element == Element::I64 {
        return Ok(None);
    }
    let mut data = Vec::with_capacity(total as usize);
    let mut index = vec![0u64; shape.len()];
    for _ in 0..total {
        let at: u64 = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
        let start = (offset + at) as usize * 4;
        let mut element = [0; 4];
        element.copy_from_slice(&bytes[start..start + 4]);
        data.push(f32::from_le_bytes(element));
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(Some(Tensor { shape: shape.iter().map(|&n| n as usize).collect(), data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes what PyTorch's legacy `torch.save` writes for two tensors: `w`,
    /// 2 × 3 stored column by column, and a counter.
    fn checkpoint() -> Vec<u8> {
        let text = |s: &str| [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
        let tensor = |class: &str, key: &str, count: u8, shape: &[u8], strides: &[u8]| {
            let ints = |list: &[u8]| -> Vec<u8> {
                let items: Vec<u8> = list.iter().flat_map(|&n| [b'K', n]).collect();
                [b"(", &items[..], b"t"].concat()
            };
            let class = format!("ctorch\n{class}\n");
            [
                b"ctorch._utils\n_rebuild_tensor_v2\n((",
                &text("storage")[..],
                class.as_bytes(),
                &text(key),
                &text("cpu"),
                &[b'K', count, b'N', b't', b'Q', b'K', 0],
                &ints(shape),
                &ints(strides),
                b"\x89ccollections\nOrderedDict\n)RtR",
            ]
            .concat()
        };
        let magic = [&b"\x80\x02\x8a\x0a"[..], &MAGIC, b"."].concat();
        let system = [&b"\x80\x02}"[..], &text("little_endian"), b"\x88s."].concat();
        let state = [
            &b"\x80\x02ccollections\nOrderedDict\n)R("[..],
            &text("w"),
            &tensor("FloatStorage", "1", 6, &[2, 3], &[1, 2]),
            &text("steps"),
            &tensor("LongStorage", "2", 1, &[], &[]),
            b"u}b.",
        ]
        .concat();
        let keys = [&b"\x80\x02]("[..], &text("1"), &text("2"), b"e."].concat();
        let floats: Vec<u8> = [1f32, 4.0, 2.0, 5.0, 3.0, 6.0].map(f32::to_le_bytes).concat();
        [
            &magic[..],
            b"\x80\x02M\xe9\x03.",
            &system,
            &state,
            &keys,
            &6u64.to_le_bytes(),
            &floats,
            &1u64.to_le_bytes(),
            &7u64.to_le_bytes(),
        ]
        .concat()
    }

    #[test]
    fn strides_are_followed_and_counters_left_out() {
        let state = read(&checkpoint()).expect("a checkpoint");
        assert_eq!(state.len(), 1);
        assert_eq!(state["w"].shape, [2, 3]);
        assert_eq!(state["w"].data, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn every_cut_is_an_error() {
        let whole = checkpoint();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end} of {}", whole.len());
        }
        assert!(read(&[&whole[..], b"\0"].concat()).is_err(), "something after the end");
    }

    #[test]
    fn no_changed_byte_makes_it_panic_or_grow() {
        let whole = checkpoint();
        let mut refused = 0;
        for at in 0..whole.len() {
            for change in 1..=255u8 {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                match read(&bytes) {
                    Ok(state) => {
                        let elements: usize = state.values().map(|t| t.data.len()).sum();
                        assert!(elements <= 6, "byte {at} ^ {change}: {elements} elements");
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > whole.len() * 100, "only {refused} of {} refused", whole.len() * 255);
    }

    #[test]
    fn a_tensor_cannot_ask_for_more_than_its_storage() {
        let bytes = checkpoint();
        // The shape (2, 3) with strides (1, 2) is "K\x02K\x03t(K\x01K\x02t".
        let shape = b"K\x02K\x03t(K\x01K\x02t";
        let at = bytes.windows(shape.len()).position(|w| w == shape).expect("the shape");
        for (shape, expected) in [
            (*b"K\x07K\xfft(K\x00K\x00t", "more elements"),
            (*b"K\x02K\x03t(K\xffK\x02t", "beyond"),
        ] {
            let mut changed = bytes.clone();
            changed[at..at + shape.len()].copy_from_slice(&shape);
            let error = read(&changed).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
