//! The pickle inside of a `state_dict` that PyTorch saved: which tensors there are, and where their numbers lie.
//!
//! A pickle is a program for a stack machine, and Python's runs whatever it names. This machine knows the few
//! instructions that a `state_dict` is made of and five names, none of which it calls. In come bytes of unknown
//! origin, out come tensors by name or an error: no panic, no recursion, memory in proportion to the bytes.
//! Knows no file and no network.
//!
//! Instructions: Python's `pickletools`. What PyTorch says with them: `torch/serialization.py`, `torch/_utils.py`.

mod instruction;

use std::collections::BTreeMap;

use thiserror::Error;

use instruction::Instruction;

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
    loop {
        match instruction::next(&mut rest)? {
            Instruction::Stop => break,
            instruction => machine.execute(instruction)?,
        }
    }
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
    /// Does an instruction.
    fn execute(&mut self, instruction: Instruction<'a>) -> Result<(), PickleError> {
        match instruction {
            Instruction::Protocol | Instruction::Stop => {}
            Instruction::Mark => self.marks.push(self.stack.len()),
            Instruction::PushOpaque => self.push(Value::Opaque),
            Instruction::PushNumber(number) => self.push(Value::Number(number)),
            Instruction::PushText(text) => self.push(Value::Text(text)),
            Instruction::PushName(module, name) => self.push(Value::Name(known(module, name)?)),
            Instruction::PushDictionary => self.push(Value::Dictionary(Vec::new())),
            Instruction::Tuple(length) => {
                let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                self.push(Value::Tuple(items));
            }
            Instruction::TupleFromMark => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            Instruction::SetItem => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.dictionary()?.push((key, value));
            }
            Instruction::SetItemsFromMark => {
                let items = self.above_mark()?;
                let (pairs, []) = items.as_chunks() else {
                    return Err(PickleError::Damaged);
                };
                self.dictionary()?
                    .extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            // Lists mean nothing to us, and so do the attributes of a dictionary: they say nothing of its tensors.
            Instruction::Append | Instruction::SetAttributes => {
                self.pop()?;
                self.top()?;
            }
            Instruction::AppendFromMark => {
                self.above_mark()?;
                self.top()?;
            }
            Instruction::Note(slot) => {
                self.memo.insert(slot, self.top()?);
            }
            Instruction::Recall(slot) => {
                let id = self.memo.get(&slot).ok_or(PickleError::Damaged)?;
                self.stack.push(*id);
            }
            Instruction::Storage => {
                let description = self.pop()?;
                let storage = self.storage(description)?;
                self.push(storage);
            }
            Instruction::Call => {
                let arguments = self.pop()?;
                let name = self.pop()?;
                let value = self.rebuilt(name, arguments)?;
                self.push(value);
            }
        }
        Ok(())
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
