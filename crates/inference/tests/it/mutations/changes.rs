//! Changes of models, in meaning or in bytes.

use ferrotype_core::onnx::{AttributeProto, DataType, ModelProto, TensorProto};

use super::seeds::seeds;
use crate::networks::{integer, integers};

/// Steele and others' SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Below `count`, which is not zero.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    pub(super) fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Numbers that lie at borders.
const BORDERS: [i64; 24] = [
    0,
    1,
    -1,
    2,
    3,
    -2,
    4,
    5,
    7,
    8,
    16,
    64,
    255,
    1 << 15,
    1 << 20,
    (1 << 30) + 1,
    1 << 31,
    -(1 << 31),
    1 << 32,
    1 << 40,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
];

/// Changes the meaning: names, sizes, attributes, the order of nodes.
pub(super) fn change_model(model: &mut ModelProto, random: &mut Random) {
    let operators: Vec<Option<String>> = seeds()
        .iter()
        .flat_map(|seed| seed.graph.as_ref().unwrap().node.clone())
        .map(|node| node.op_type)
        .collect();
    if random.below(20) == 0 {
        model.opset_import[0].version = Some(*random.of(&[0, 6, 7, 9, 10, 11, 12, 13, 18, 21, 99]));
    }
    let graph = model.graph.as_mut().unwrap();
    let names: Vec<String> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().chain(&node.input))
        .cloned()
        .collect();
    if graph.node.is_empty() || names.is_empty() {
        return;
    }
    let at = random.below(graph.node.len());
    match random.below(16) {
        0 => {
            graph.node.remove(at);
        }
        1 => {
            let other = random.below(graph.node.len());
            graph.node.swap(at, other);
        }
        2 => graph.node[at].op_type = random.of(&operators).clone(),
        3 => {
            let copy = graph.node[at].clone();
            graph.node.push(copy);
        }
        4 | 5 => {
            let inputs = &mut graph.node[at].input;
            if !inputs.is_empty() {
                let place = random.below(inputs.len());
                inputs[place].clone_from(random.of(&names));
            }
        }
        6 => graph.node[at].output[0].clone_from(random.of(&names)),
        7 => {
            graph.node[at].input.pop();
        }
        8 => {
            let name = random.of(&names).clone();
            graph.node[at].input.push(name);
        }
        9 | 10 => {
            let attributes = &mut graph.node[at].attribute;
            if !attributes.is_empty() {
                let place = random.below(attributes.len());
                change_attribute(&mut attributes[place], random);
            }
        }
        11 => {
            let name = *random.of(&["axis", "axes", "pads", "group", "strides", "kernel_shape"]);
            let values: Vec<i64> = (0..random.below(5)).map(|_| *random.of(&BORDERS)).collect();
            let attribute = match random.below(2) {
                0 => integer(name, *random.of(&BORDERS)),
                _ => integers(name, &values),
            };
            graph.node[at].attribute.push(attribute);
        }
        _ => {
            if !graph.initializer.is_empty() {
                let place = random.below(graph.initializer.len());
                change_tensor(&mut graph.initializer[place], random);
            }
        }
    }
}

fn change_attribute(attribute: &mut AttributeProto, random: &mut Random) {
    match random.below(6) {
        0 => attribute.name = Some((*random.of(&["axis", "pads", "odd"])).into()),
        1 => attribute.r#type = Some(random.below(12) as i32),
        2 => attribute.ints.truncate(1),
        3 => attribute.ints.push(*random.of(&BORDERS)),
        _ => {
            attribute.i = attribute.i.map(|_| *random.of(&BORDERS));
            if !attribute.ints.is_empty() {
                let place = random.below(attribute.ints.len());
                attribute.ints[place] = *random.of(&BORDERS);
            }
            if attribute.s.is_some() {
                let words = [
                    "nearest",
                    "cubic",
                    "edge",
                    "wrap",
                    "SAME_UPPER",
                    "ab,bc->ca",
                    "",
                ];
                attribute.s = Some((*random.of(&words)).into());
            }
        }
    }
}

fn change_tensor(tensor: &mut TensorProto, random: &mut Random) {
    let is_whole = tensor.data_type == Some(DataType::Int64 as i32);
    match random.below(6) {
        0 => tensor.data_type = Some(random.below(24) as i32),
        1 => {
            if !tensor.dims.is_empty() {
                let place = random.below(tensor.dims.len());
                tensor.dims[place] = *random.of(&BORDERS);
            }
        }
        // Another shape of as many elements, or of none.
        2 => {
            let count = tensor.dims.iter().copied().fold(1, i64::wrapping_mul);
            let zero = TensorProto {
                dims: vec![0],
                raw_data: Some(Vec::new()),
                ..tensor.clone()
            };
            match random.below(4) {
                0 => tensor.dims = vec![count],
                1 => tensor.dims.push(1),
                2 => tensor.dims.insert(0, 1),
                _ => *tensor = zero,
            }
        }
        _ => {
            let Some(raw) = tensor.raw_data.as_mut().filter(|raw| raw.len() >= 8) else {
                return;
            };
            let place = random.below(raw.len() / 8) * 8;
            if is_whole {
                raw[place..place + 8].copy_from_slice(&random.of(&BORDERS).to_le_bytes());
            } else {
                let odd = [
                    f32::NAN,
                    f32::INFINITY,
                    -0.0,
                    1e30,
                    f32::MIN_POSITIVE,
                    -3.0,
                    1e-9,
                ];
                raw[place..place + 4].copy_from_slice(&random.of(&odd).to_le_bytes());
            }
        }
    }
}

/// Changes bytes, wherever they are.
pub(super) fn change_bytes(file: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if file.len() < 2 {
        return;
    }
    let at = random.below(file.len());
    let len = 1 + random.below(16);
    match random.below(7) {
        0 => file[at] ^= 1 << random.below(8),
        1 => file[at] = random.next() as u8,
        2 => file.truncate(at + 1),
        3 => {
            let end = file.len().min(at + len);
            file.drain(at..end);
        }
        4 => {
            let end = file.len().min(at + len);
            let copy = file[at..end].to_vec();
            let to = random.below(file.len());
            file.splice(to..to, copy);
        }
        5 => {
            let from = random.below(other.len());
            let end = other.len().min(from + 4 * len);
            file.splice(at..at, other[from..end].iter().copied());
        }
        // A length or number beyond all bounds.
        _ => {
            let end = file.len().min(at + 1);
            file.splice(at..end, [0xff, 0xff, 0xff, 0xff, 0x7f]);
        }
    }
}
