//! The instructions of a pickle, one by one.
//!
//! In come bytes, out go the few instructions of which a `state_dict` is made; any other is refused. Knows no meaning.

use super::PickleError;

/// What a pickle tells its machine to do.
pub enum Instruction<'a> {
    /// Which version of the protocol the rest has: that says nothing that the instructions do not say.
    Protocol,
    /// The value on top is the answer.
    Stop,
    /// Remember how high the stack is.
    Mark,
    /// Push something that means nothing to us: None, a truth value, a fraction, a list.
    PushOpaque,
    /// Push a number.
    PushNumber(i64),
    /// Push a text.
    PushText(&'a str),
    /// Push something of Python's: a module, and a name in it.
    PushName(&'a str, &'a str),
    /// Make a tuple of so many values on top.
    Tuple(usize),
    /// Make a tuple of all above the mark.
    TupleFromMark,
    /// Push an empty dictionary.
    PushDictionary,
    /// Put the pair on top into the dictionary below it.
    SetItem,
    /// Put the pairs above the mark into the dictionary below it.
    SetItemsFromMark,
    /// Put the value on top into the list below it.
    Append,
    /// Put the values above the mark into the list below it.
    AppendFromMark,
    /// Note the value on top under this number.
    Note(u32),
    /// Push what was noted under this number.
    Recall(u32),
    /// Push the storage that the value on top describes.
    Storage,
    /// Call the name with the arguments on top of it.
    Call,
    /// Give the value below the attributes on top.
    SetAttributes,
}

/// The next instruction; `rest` is what follows it.
///
/// # Errors
/// [`PickleError::Truncated`], [`PickleError::Damaged`], [`PickleError::Instruction`].
pub fn next<'a>(rest: &mut &'a [u8]) -> Result<Instruction<'a>, PickleError> {
    let [opcode] = *take(rest)?;
    Ok(match opcode {
        // PROTO
        0x80 => {
            let [_version] = *take(rest)?;
            Instruction::Protocol
        }
        // STOP
        b'.' => Instruction::Stop,
        // MARK
        b'(' => Instruction::Mark,
        // NONE, NEWTRUE, NEWFALSE, EMPTY_LIST
        b'N' | 0x88 | 0x89 | b']' => Instruction::PushOpaque,
        // BINFLOAT
        b'G' => {
            let _: &[u8; 8] = take(rest)?;
            Instruction::PushOpaque
        }
        // BININT1
        b'K' => {
            let [number] = *take(rest)?;
            Instruction::PushNumber(number.into())
        }
        // BININT2
        b'M' => Instruction::PushNumber(u16::from_le_bytes(*take(rest)?).into()),
        // BININT
        b'J' => Instruction::PushNumber(i32::from_le_bytes(*take(rest)?).into()),
        // LONG1
        0x8a => {
            let [length] = *take(rest)?;
            Instruction::PushNumber(long(take_slice(rest, length.into())?)?)
        }
        // BINUNICODE
        b'X' => {
            let length = u32::from_le_bytes(*take(rest)?);
            let text = take_slice(rest, length as usize)?;
            Instruction::PushText(str::from_utf8(text).map_err(|_| PickleError::Damaged)?)
        }
        // GLOBAL
        b'c' => Instruction::PushName(take_line(rest)?, take_line(rest)?),
        // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3
        b')' => Instruction::Tuple(0),
        0x85 => Instruction::Tuple(1),
        0x86 => Instruction::Tuple(2),
        0x87 => Instruction::Tuple(3),
        // TUPLE
        b't' => Instruction::TupleFromMark,
        // EMPTY_DICT, SETITEM, SETITEMS
        b'}' => Instruction::PushDictionary,
        b's' => Instruction::SetItem,
        b'u' => Instruction::SetItemsFromMark,
        // APPEND, APPENDS
        b'a' => Instruction::Append,
        b'e' => Instruction::AppendFromMark,
        // BINPUT, LONG_BINPUT
        b'q' => {
            let [slot] = *take(rest)?;
            Instruction::Note(slot.into())
        }
        b'r' => Instruction::Note(u32::from_le_bytes(*take(rest)?)),
        // BINGET, LONG_BINGET
        b'h' => {
            let [slot] = *take(rest)?;
            Instruction::Recall(slot.into())
        }
        b'j' => Instruction::Recall(u32::from_le_bytes(*take(rest)?)),
        // BINPERSID
        b'Q' => Instruction::Storage,
        // REDUCE
        b'R' => Instruction::Call,
        // BUILD
        b'b' => Instruction::SetAttributes,
        unknown => return Err(PickleError::Instruction(unknown)),
    })
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
