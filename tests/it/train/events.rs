//! TensorBoard's event files, read by what TensorFlow says of them, with nothing of ours.

/// Step, tag and value of all scalars. Fails if a record is damaged or broken off.
pub fn scalars(file: &[u8]) -> Vec<(u64, String, f32)> {
    let mut scalars = Vec::new();
    for (place, record) in records(file).into_iter().enumerate() {
        let event = fields(record);
        assert!(event.contains_key(&1), "an event without a time");
        if place == 0 {
            assert_eq!(event[&3], [Field::Bytes(b"brain.Event:2")]);
            continue;
        }
        let [Field::Varint(step)] = event[&2][..] else {
            panic!("an event without a step: {event:?}");
        };
        let [Field::Bytes(summary)] = event[&5][..] else {
            panic!("an event without a summary: {event:?}");
        };
        for value in &fields(summary)[&1] {
            let Field::Bytes(value) = value else {
                panic!("no message: {value:?}");
            };
            let value = fields(value);
            let [Field::Bytes(tag)] = value[&1][..] else {
                panic!("no tag: {value:?}");
            };
            let [Field::Fixed32(bits)] = value[&2][..] else {
                panic!("no number: {value:?}");
            };
            let tag = String::from_utf8(tag.to_vec()).unwrap();
            scalars.push((step, tag, f32::from_bits(bits)));
        }
    }
    scalars
}

/// `tensorflow/core/lib/io/record_writer.h`: length, its checksum, the record, its checksum.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let (length, rest) = file.split_at(8);
        let count = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        let (length_checksum, rest) = rest.split_at(4);
        let (record, rest) = rest.split_at(count);
        let (checksum, rest) = rest.split_at(4);
        assert_eq!(length_checksum, masked_crc32c(length).to_le_bytes());
        assert_eq!(checksum, masked_crc32c(record).to_le_bytes());
        records.push(record);
        file = rest;
    }
    records
}

/// Bit by bit, by the reflected polynomial of Castagnoli, then masked as in `tensorflow/core/lib/hash/crc32c.h`.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for byte in bytes {
        remainder ^= u32::from(*byte);
        for _ in 0..8 {
            remainder = (remainder >> 1) ^ (0x82F6_3B78 * (remainder & 1));
        }
    }
    let crc = !remainder;
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[derive(Debug, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a protocol buffer by their numbers.
fn fields(mut message: &[u8]) -> std::collections::BTreeMap<u64, Vec<Field<'_>>> {
    let mut fields = std::collections::BTreeMap::<u64, Vec<Field<'_>>>::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut message)),
            1 => Field::Fixed64(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                Field::Bytes(take(&mut message, length))
            }
            5 => Field::Fixed32(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap())),
            other => panic!("wire type {other}"),
        };
        fields.entry(key >> 3).or_default().push(field);
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take<'a>(message: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = message.split_at(count);
    *message = rest;
    taken
}
