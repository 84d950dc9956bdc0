//! Given a pickle of a PyTorch state dict, what does it describe? The few
//! operations and classes such pickles use are followed; nothing is executed,
//! and any other class is an error.
//!
//! Objects live in one arena and refer to each other by number, so that
//! neither cycles nor deep nesting in a hostile file can hang or overflow.

use std::collections::HashMap;
use std::rc::Rc;

/// A pickled object's number in its [`Pickle`].
pub(super) type Ref = usize;

/// One pickled object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    /// A long integer's little-endian bytes.
    Long(Vec<u8>),
    /// Shared, since a hostile file may refer to one long text very often.
    Text(Rc<str>),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Class(Class),
    Storage(Storage),
    Tensor(Layout),
}

/// The classes a state dict may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    OrderedDict,
    RebuildTensor,
    Storage(Element),
}

/// What a storage holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    I64,
}

impl Element {
    /// Bytes of one.
    pub(super) fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::I64 => 8,
        }
    }
}

/// A block of elements, kept outside of the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) element: Element,
    pub(super) key: Rc<str>,
    pub(super) count: u64,
}

/// A tensor's view of its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) storage: Storage,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// A whole pickle: its objects and which of them it is about.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    root: Ref,
}

/// Why a pickle cannot be followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("at byte {at}: {what}")]
pub(super) struct PickleError {
    /// Offset of the operation from the start of the pickle.
    pub(super) at: usize,
    /// What stands there.
    pub(super) what: String,
}

impl Pickle {
    /// Follows the pickle at the start of `bytes`; also says how long it is.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), PickleError> {
        let mut machine = Machine { input: bytes, ..Machine::default() };
        let root = loop {
            let at = machine.position;
            match machine.step() {
                Ok(Some(root)) => break root,
                Ok(None) => {}
                Err(what) => return Err(PickleError { at, what }),
            }
        };
        Ok((Self { objects: machine.objects, root }, machine.position))
    }

    pub(super) fn root(&self) -> &Object {
        self.get(self.root)
    }

    /// # Panics
    /// Never for a reference out of this pickle: the arena only grows.
    pub(super) fn get(&self, object: Ref) -> &Object {
        &self.objects[object]
    }

    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }
}

type Step<T> = Result<T, String>;

#[derive(Default)]
struct Machine<'a> {
    input: &'a [u8],
    position: usize,
    objects: Vec<Object>,
    stack: Vec<Ref>,
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

impl<'a> Machine<'a> {
    /// One operation; the result once the pickle stops.
    fn step(&mut self) -> Step<Option<Ref>> {
        match self.byte()? {
            0x80 => match self.byte()? {
                2 | 3 => {}
                other => return Err(format!("protocol {other}, expected 2 or 3")),
            },
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Bool(true)),
            0x89 => self.push(Object::Bool(false)),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()));
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Object::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()));
            }
            0x8a => {
                let length = self.byte()?;
                let value = self.take(length.into())?;
                let object = match value.len() {
                    0..=8 => Object::Int(sign_extended(value)),
                    _ => Object::Long(value.to_vec()),
                };
                self.push(object);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                let value = self.take(length as usize)?;
                let text = std::str::from_utf8(value).map_err(|_| "a text is not UTF-8")?;
                self.push(Object::Text(text.into()));
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.list()?.push(item);
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.list()?.extend(items);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.dict()?.push((key, value));
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                if items.len() % 2 != 0 {
                    return Err("a key without a value".into());
                }
                self.dict()?.extend(items.chunks_exact(2).map(|kv| (kv[0], kv[1])));
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Object::Class(class(&module, &name)?));
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let object = self.call(callable, arguments)?;
                self.push(object);
            }
            b'Q' => {
                let id = self.pop()?;
                let object = self.storage(id)?;
                self.push(object);
            }
            // Sets attributes of the object below, such as a state dict's
            // version numbers; they change no weight.
            b'b' => {
                self.pop()?;
                self.dict()?;
            }
            b'q' => {
                let slot = self.byte()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.remember(slot)?;
            }
            b'h' => {
                let slot = self.byte()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            other => return Err(format!("operation {other:#04x}, which no state dict needs")),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let end = self.position.checked_add(count).filter(|&end| end <= self.input.len());
        let Some(end) = end else {
            return Err(format!("the file ends {count} bytes too early"));
        };
        let slice = &self.input[self.position..end];
        self.position = end;
        Ok(slice)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.input[self.position..];
        let length = rest.iter().position(|&b| b == b'\n').ok_or("a name without an end")?;
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.position += 1;
        Ok(line)
    }

    fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(self.objects.len() - 1);
    }

    /// The top of the stack, if it lies above the last mark.
    fn pop(&mut self) -> Step<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("an operation without its operand".into());
        }
        self.stack.pop().ok_or_else(|| "an operation without its operand".into())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Ref>> {
        let mark = self.marks.pop().ok_or("an end without a beginning")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, count: usize) -> Step<()> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
        items.reverse();
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn top(&mut self) -> Step<&mut Object> {
        let top = *self.stack.last().ok_or("an operation without its operand")?;
        Ok(&mut self.objects[top])
    }

    fn list(&mut self) -> Step<&mut Vec<Ref>> {
        match self.top()? {
            Object::List(items) => Ok(items),
            other => Err(format!("expected a list, got {}", kind(other))),
        }
    }

    fn dict(&mut self) -> Step<&mut Vec<(Ref, Ref)>> {
        match self.top()? {
            Object::Dict(items) => Ok(items),
            other => Err(format!("expected a dict, got {}", kind(other))),
        }
    }

    fn remember(&mut self, slot: u32) -> Step<()> {
        let top = *self.stack.last().ok_or("nothing to remember")?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Step<()> {
        let object = *self.memo.get(&slot).ok_or_else(|| format!("nothing in slot {slot}"))?;
        self.stack.push(object);
        Ok(())
    }

    fn call(&self, callable: Ref, arguments: Ref) -> Step<Object> {
        let (Object::Class(class), Object::Tuple(arguments)) =
            (&self.objects[callable], &self.objects[arguments])
        else {
            return Err("a call of something that is no known class".into());
        };
        match (class, arguments.as_slice()) {
            (Class::OrderedDict, []) => Ok(Object::Dict(Vec::new())),
            (Class::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Object::Storage(storage) = &self.objects[*storage] else {
                    return Err("a tensor without a storage".into());
                };
                Ok(Object::Tensor(Layout {
                    storage: storage.clone(),
                    offset: self.size(*offset)?,
                    shape: self.sizes(*shape)?,
                    strides: self.sizes(*strides)?,
                }))
            }
            _ => Err(format!("{class:?} called with {} arguments", arguments.len())),
        }
    }

    /// The storage behind `("storage", class, key, device, count, None)`.
    fn storage(&self, id: Ref) -> Step<Object> {
        let Object::Tuple(parts) = &self.objects[id] else {
            return Err("a reference that is no tuple".into());
        };
        let [tag, class, key, _device, count, view] = parts.as_slice() else {
            return Err(format!("a reference of {} parts, expected 6", parts.len()));
        };
        let get = |part: &Ref| &self.objects[*part];
        match (get(tag), get(class), get(key), get(view)) {
            (
                Object::Text(tag),
                Object::Class(Class::Storage(element)),
                Object::Text(key),
                Object::None,
            ) if &**tag == "storage" => Ok(Object::Storage(Storage {
                element: *element,
                key: key.clone(),
                count: self.size(*count)?,
            })),
            _ => Err("a reference to something else than a plain storage".into()),
        }
    }

    fn size(&self, object: Ref) -> Step<u64> {
        match &self.objects[object] {
            Object::Int(n) => u64::try_from(*n).map_err(|_| format!("{n} as a size")),
            other => Err(format!("expected a size, got {}", kind(other))),
        }
    }

    fn sizes(&self, object: Ref) -> Step<Vec<u64>> {
        match &self.objects[object] {
            Object::Tuple(items) if items.len() <= 8 => {
                items.iter().map(|&item| self.size(item)).collect()
            }
            other => Err(format!("expected up to 8 sizes, got {}", kind(other))),
        }
    }
}

/// At most eight little-endian bytes in two's complement.
fn sign_extended(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut out = [fill; 8];
    out[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(out)
}

fn class(module: &str, name: &str) -> Step<Class> {
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Class::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Class::RebuildTensor),
        ("torch", "FloatStorage") => Ok(Class::Storage(Element::F32)),
        ("torch", "LongStorage") => Ok(Class::Storage(Element::I64)),
        _ => Err(format!("the class {module}.{name}, which no state dict needs")),
    }
}

fn kind(object: &Object) -> &'static str {
    match object {
        Object::None => "None",
        Object::Bool(_) => "a truth value",
        Object::Int(_) | Object::Long(_) => "a number",
        Object::Text(_) => "a text",
        Object::Tuple(_) => "a tuple",
        Object::List(_) => "a list",
        Object::Dict(_) => "a dict",
        Object::Class(_) => "a class",
        Object::Storage(_) => "a storage",
        Object::Tensor(_) => "a tensor",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Object, PickleError> {
        Pickle::read(bytes).map(|(p, _)| p.root().clone())
    }

    #[test]
    fn numbers_and_texts() {
        assert_eq!(read(b"\x80\x02K\x07."), Ok(Object::Int(7)));
        assert_eq!(read(b"\x80\x02M\xe9\x03."), Ok(Object::Int(1001)));
        assert_eq!(read(b"\x80\x02J\xff\xff\xff\xff."), Ok(Object::Int(-1)));
        assert_eq!(read(b"\x80\x02\x8a\x02\x00\x80."), Ok(Object::Int(-32768)));
        assert_eq!(read(b"\x80\x02X\x02\x00\x00\x00ab."), Ok(Object::Text("ab".into())));
    }

    #[test]
    fn a_class_outside_the_list_is_an_error_and_not_run() {
        let error = read(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").expect_err("refused");
        assert!(error.what.contains("os.system"), "{error}");
        assert_eq!(error.at, 2);
    }

    #[test]
    fn a_list_that_contains_itself_ends() {
        let (pickle, length) = Pickle::read(b"\x80\x02]q\x00h\x00a.").expect("legal");
        assert_eq!(length, 9);
        assert_eq!(pickle.root(), &Object::List(vec![0]));
    }

    #[test]
    fn a_million_nested_tuples_end() {
        let mut bytes = b"\x80\x02N".to_vec();
        bytes.resize(1_000_000, 0x85);
        bytes.push(b'.');
        assert!(matches!(read(&bytes), Ok(Object::Tuple(_))));
    }

    #[test]
    fn operations_without_operands_are_errors() {
        for bytes in
            [&b"."[..], b"(K\x01(.", b"t.", b"R.", b"Q.", b"u.", b"s.", b"q\x00.", b"h\x05.", b"b."]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
