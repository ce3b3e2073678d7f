//! The pickle inside of a `state_dict` that PyTorch saved: which tensors there are, and where their numbers lie.
//!
//! A pickle is a program for a stack machine, and Python's runs whatever it names. This machine knows the few
//! instructions that a `state_dict` is made of and five names, none of which it calls. In come bytes of unknown
//! origin, out come tensors by name or an error: no panic, no recursion, memory in proportion to the bytes.
//! Knows no file and no network.
//!
//! Instructions: Python's `pickletools`. What PyTorch says with them: `torch/serialization.py`, `torch/_utils.py`.

use std::collections::BTreeMap;

use thiserror::Error;

/// More axes, or arguments of a call, than any tensor here has.
const MANY: usize = 8;

/// Where the numbers of a tensor lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickledTensor<'a> {
    /// The storage's name: a file of the archive.
    pub storage: &'a str,
    /// The element type: PyTorch's name of the storage's class without `Storage`.
    pub element: &'a str,
    /// Elements of the storage before the tensor's first one.
    pub offset: usize,
    /// Elements along each axis.
    pub shape: Vec<usize>,
    /// Elements from one to the next along each axis.
    pub stride: Vec<usize>,
}

/// Why these are not the tensors of a `state_dict`.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PickleError {
    /// It ends in the middle.
    #[error("its list of tensors breaks off")]
    Truncated,
    /// No pickle, or none that says something.
    #[error("its list of tensors is damaged")]
    Damaged,
    /// An instruction that no `state_dict` needs.
    #[error("its list of tensors has the instruction 0x{0:02x}, which no state_dict needs")]
    Instruction(u8),
    /// Something of Python's that no `state_dict` needs, like the class of a model.
    #[error("it names {0}: save model.state_dict(), not the model")]
    Name(String),
    /// A dictionary with something else than tensors, like a whole checkpoint.
    #[error("{0} in it is no tensor: save model.state_dict() alone")]
    NoTensor(String),
    /// No dictionary.
    #[error("it is no dictionary of tensors: save model.state_dict()")]
    NoDictionary,
}

/// A value's place in [`Machine::values`]. Values refer to each other by place: sharing costs nothing, and neither
/// nesting nor a circle can lead anything here astray.
type Id = usize;

enum Value<'a> {
    /// None, a truth value, a fraction, a list: in a `state_dict` they mean nothing to us.
    Opaque,
    Number(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Name(Name<'a>),
    Storage {
        key: &'a str,
        element: &'a str,
    },
    Tensor(PickledTensor<'a>),
}

#[derive(Clone, Copy)]
enum Name<'a> {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    /// `torch.FloatStorage` and its like, by the name of the element.
    Storage(&'a str),
}

#[derive(Default)]
struct Machine<'a> {
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack to which an instruction can come back.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

/// The tensors of a `state_dict` by name.
///
/// # Errors
/// [`PickleError`].
pub fn tensors(pickle: &[u8]) -> Result<BTreeMap<&str, PickledTensor<'_>>, PickleError> {
    let mut machine = Machine::default();
    let mut rest = pickle;
    while machine.step(&mut rest)? {}
    let last = machine.pop()?;
    let Value::Dictionary(items) = &machine.values[last] else {
        return Err(PickleError::NoDictionary);
    };
    items
        .iter()
        .map(
            |(key, value)| match (&machine.values[*key], &machine.values[*value]) {
                (Value::Text(name), Value::Tensor(tensor)) => Ok((*name, tensor.clone())),
                (Value::Text(name), _) => Err(PickleError::NoTensor((*name).to_owned())),
                _ => Err(PickleError::NoDictionary),
            },
        )
        .collect()
}

impl<'a> Machine<'a> {
    /// Does the next instruction. False once it was the last.
    fn step(&mut self, rest: &mut &'a [u8]) -> Result<bool, PickleError> {
        let [instruction] = *take(rest)?;
        match instruction {
            // PROTO
            0x80 => {
                let [_version] = *take(rest)?;
            }
            // STOP
            b'.' => return Ok(false),
            // MARK
            b'(' => self.marks.push(self.stack.len()),
            // NONE, NEWTRUE, NEWFALSE
            b'N' | 0x88 | 0x89 => self.push(Value::Opaque),
            // BINFLOAT
            b'G' => {
                let _: &[u8; 8] = take(rest)?;
                self.push(Value::Opaque);
            }
            // BININT1
            b'K' => {
                let [number] = *take(rest)?;
                self.push(Value::Number(number.into()));
            }
            // BININT2
            b'M' => {
                let number = u16::from_le_bytes(*take(rest)?);
                self.push(Value::Number(number.into()));
            }
            // BININT
            b'J' => {
                let number = i32::from_le_bytes(*take(rest)?);
                self.push(Value::Number(number.into()));
            }
            // LONG1
            0x8a => {
                let [length] = *take(rest)?;
                let number = long(take_slice(rest, length.into())?)?;
                self.push(Value::Number(number));
            }
            // BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(*take(rest)?);
                let text = take_slice(rest, length as usize)?;
                let text = str::from_utf8(text).map_err(|_| PickleError::Damaged)?;
                self.push(Value::Text(text));
            }
            // GLOBAL
            b'c' => {
                let (module, name) = (take_line(rest)?, take_line(rest)?);
                self.push(Value::Name(known(module, name)?));
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            // TUPLE
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            // EMPTY_LIST, APPEND, APPENDS
            b']' => self.push(Value::Opaque),
            b'a' => {
                self.pop()?;
            }
            b'e' => {
                self.above_mark()?;
            }
            // EMPTY_DICT, SETITEM, SETITEMS
            b'}' => self.push(Value::Dictionary(Vec::new())),
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.dictionary()?.push((key, value));
            }
            b'u' => {
                let items = self.above_mark()?;
                let (pairs, []) = items.as_chunks() else {
                    return Err(PickleError::Damaged);
                };
                self.dictionary()?
                    .extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            // BINPUT, LONG_BINPUT
            b'q' => {
                let [slot] = *take(rest)?;
                self.memo.insert(slot.into(), self.top()?);
            }
            b'r' => {
                let slot = u32::from_le_bytes(*take(rest)?);
                self.memo.insert(slot, self.top()?);
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let [slot] = *take(rest)?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(*take(rest)?);
                self.recall(slot)?;
            }
            // BINPERSID
            b'Q' => {
                let description = self.pop()?;
                let storage = self.storage(description)?;
                self.push(storage);
            }
            // REDUCE
            b'R' => {
                let arguments = self.pop()?;
                let name = self.pop()?;
                let value = self.rebuilt(name, arguments)?;
                self.push(value);
            }
            // BUILD: the attributes of the dictionary, which say nothing of its tensors.
            b'b' => {
                self.pop()?;
                self.dictionary()?;
            }
            unknown => return Err(PickleError::Instruction(unknown)),
        }
        Ok(true)
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The value on top, if there is one above the last mark.
    fn top(&self) -> Result<Id, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor..].last().copied().ok_or(PickleError::Damaged)
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, length: usize) -> Result<(), PickleError> {
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), PickleError> {
        let id = self.memo.get(&slot).ok_or(PickleError::Damaged)?;
        self.stack.push(*id);
        Ok(())
    }

    /// The dictionary on top.
    fn dictionary(&mut self) -> Result<&mut Vec<(Id, Id)>, PickleError> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dictionary(items) => Ok(items),
            _ => Err(PickleError::Damaged),
        }
    }

    /// `("storage", torch.FloatStorage, KEY, DEVICE, ELEMENTS)`
    fn storage(&self, description: Id) -> Result<Value<'a>, PickleError> {
        match *self.items(description)? {
            [_, Value::Name(Name::Storage(element)), Value::Text(key), _, _] => {
                Ok(Value::Storage { key, element })
            }
            _ => Err(PickleError::Damaged),
        }
    }

    /// What one of the known names makes of its arguments.
    fn rebuilt(&self, name: Id, arguments: Id) -> Result<Value<'a>, PickleError> {
        let Value::Name(name) = self.values[name] else {
            return Err(PickleError::Damaged);
        };
        match (name, self.items(arguments)?.as_slice()) {
            (Name::OrderedDict, []) => Ok(Value::Dictionary(Vec::new())),
            // (storage, offset, shape, stride, requires_grad, hooks, …)
            (
                Name::RebuildTensor,
                [
                    Value::Storage { key, element },
                    Value::Number(offset),
                    Value::Tuple(shape),
                    Value::Tuple(stride),
                    ..,
                ],
            ) => Ok(Value::Tensor(PickledTensor {
                storage: key,
                element,
                offset: count(*offset)?,
                shape: self.counts(shape)?,
                stride: self.counts(stride)?,
            })),
            // (tensor, requires_grad, hooks)
            (Name::RebuildParameter, [Value::Tensor(tensor), ..]) => Ok(Value::Tensor(tensor.clone())),
            _ => Err(PickleError::Damaged),
        }
    }

    fn items(&self, tuple: Id) -> Result<Vec<&Value<'a>>, PickleError> {
        match &self.values[tuple] {
            Value::Tuple(items) if items.len() <= MANY => {
                Ok(items.iter().map(|id| &self.values[*id]).collect())
            }
            _ => Err(PickleError::Damaged),
        }
    }

    fn counts(&self, numbers: &[Id]) -> Result<Vec<usize>, PickleError> {
        if numbers.len() > MANY {
            return Err(PickleError::Damaged);
        }
        numbers
            .iter()
            .map(|id| match self.values[*id] {
                Value::Number(number) => count(number),
                _ => Err(PickleError::Damaged),
            })
            .collect()
    }
}

/// Everything of Python's that a `state_dict` names.
fn known<'a>(module: &'a str, name: &'a str) -> Result<Name<'a>, PickleError> {
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Name::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Name::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Name::RebuildParameter),
        ("torch", name) if name.ends_with("Storage") => Ok(Name::Storage(name.trim_end_matches("Storage"))),
        _ => Err(PickleError::Name(format!("{module}.{name}"))),
    }
}

fn count(number: i64) -> Result<usize, PickleError> {
    usize::try_from(number).map_err(|_| PickleError::Damaged)
}

/// A little-endian number in two's complement of up to eight bytes.
fn long(bytes: &[u8]) -> Result<i64, PickleError> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut extended = if negative { [0xff; 8] } else { [0; 8] };
    extended
        .get_mut(..bytes.len())
        .ok_or(PickleError::Damaged)?
        .copy_from_slice(bytes);
    Ok(i64::from_le_bytes(extended))
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], PickleError> {
    let (taken, left) = rest.split_first_chunk().ok_or(PickleError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], PickleError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(PickleError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, PickleError> {
    let length = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or(PickleError::Truncated)?;
    let line = take_slice(rest, length)?;
    let [_newline] = *take(rest)?;
    str::from_utf8(line).map_err(|_| PickleError::Damaged)
}
