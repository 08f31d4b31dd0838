//! A network as the file has it: nodes between numbered values.

use std::collections::HashMap;
use std::sync::Arc;

use super::refusal::Refusal;
use super::tensor::Constant;
use crate::onnx::Document;
use crate::onnx::wire::{Field, Fields, Value, floats, integers};

/// A value's number.
pub(crate) type ValueId = usize;

/// An attribute's value.
#[derive(Debug, Clone)]
pub(crate) enum Attribute {
    Float(f32),
    Integer(i64),
    Text(String),
    Tensor(Arc<Constant>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    /// Anything else.
    Other,
}

/// An operator applied to values.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) operator: String,
    /// None where an optional input is left out.
    pub(crate) inputs: Vec<Option<ValueId>>,
    pub(crate) outputs: Vec<Option<ValueId>>,
    pub(crate) attributes: Vec<(String, Attribute)>,
}

/// A network.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: HashMap<ValueId, Arc<Constant>>,
    pub(crate) input: ValueId,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) opset: i64,
    names: HashMap<String, ValueId>,
    values: usize,
}

impl Network {
    /// The network of a model, from the input of a name to the outputs of names.
    pub(crate) fn read(
        document: &Document<'_>,
        input: &str,
        outputs: &[&str],
    ) -> Result<Self, Refusal> {
        let mut network = Self::default();
        for field in Fields::of(document.outline()).flatten() {
            match (field.number, field.bytes()) {
                (7, Some(graph)) => network.read_graph(graph, document)?,
                (8, Some(operators)) => network.read_opset(operators)?,
                (25, Some(_)) => return Err(Refusal::unsupported("functions of the model's own")),
                _ => {}
            }
        }
        let find = |name: &str| {
            let found = network.names.get(name).copied();
            found.ok_or_else(|| Refusal::malformed(format!("nothing is named `{name}`")))
        };
        let input = find(input)?;
        let outputs = outputs
            .iter()
            .map(|name| find(name))
            .collect::<Result<_, _>>()?;
        network.input = input;
        network.outputs = outputs;
        if !(7..=28).contains(&network.opset) {
            return Err(Refusal::unsupported(format!("opset `{}`", network.opset)));
        }
        network.names = HashMap::new();
        network.check_writers()?;
        Ok(network)
    }

    /// Refuses a value that is written twice, on which node comes first would depend what is read.
    fn check_writers(&self) -> Result<(), Refusal> {
        let mut is_written = vec![false; self.values];
        is_written[self.input] = true;
        for constant in self.constants.keys() {
            is_written[*constant] = true;
        }
        for node in &self.nodes {
            for output in node.outputs.iter().flatten() {
                if std::mem::replace(&mut is_written[*output], true) {
                    let refusal = Refusal::malformed("it writes a value that is there already");
                    return Err(refusal.at(&node.operator, &node.name));
                }
            }
        }
        Ok(())
    }

    /// A value of no name.
    pub(crate) fn new_value(&mut self) -> ValueId {
        self.values += 1;
        self.values - 1
    }

    /// How often each value is read, by nodes and as an output.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values];
        let read = self
            .nodes
            .iter()
            .flat_map(|node| node.inputs.iter().flatten());
        for value in read.chain(&self.outputs) {
            uses[*value] += 1;
        }
        uses
    }

    fn named(&mut self, name: &str) -> ValueId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.new_value();
        self.names.insert(name.to_string(), id);
        id
    }

    fn read_opset(&mut self, operators: &[u8]) -> Result<(), Refusal> {
        let (mut domain, mut version) = (String::new(), 0);
        for field in Fields::of(operators).flatten() {
            match field.number {
                1 => domain = field.text().unwrap_or_default(),
                2 => version = field.integer().unwrap_or_default(),
                _ => {}
            }
        }
        if matches!(&domain[..], "" | "ai.onnx") {
            self.opset = version;
        }
        Ok(())
    }

    fn read_graph(&mut self, graph: &[u8], document: &Document<'_>) -> Result<(), Refusal> {
        for field in Fields::of(graph).flatten() {
            match (field.number, field.bytes()) {
                (1, Some(node)) => {
                    let node = self.read_node(node, document)?;
                    self.nodes.push(node);
                }
                (5, Some(tensor)) => {
                    let (name, constant) = Constant::read(tensor, document)?;
                    let id = self.named(&name);
                    self.constants.insert(id, Arc::new(constant));
                }
                (11, Some(input)) => {
                    let names = Fields::of(input)
                        .flatten()
                        .filter(|field| field.number == 1);
                    for name in names.filter_map(|field| field.text()) {
                        self.named(&name);
                    }
                }
                (15, Some(_)) => return Err(Refusal::unsupported("sparse weights")),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_node(&mut self, bytes: &[u8], document: &Document<'_>) -> Result<Node, Refusal> {
        let mut node = Node {
            name: String::new(),
            operator: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Vec::new(),
        };
        let mut domain = String::new();
        let mut problem = None;
        for field in Fields::of(bytes).flatten() {
            let text = || field.text().unwrap_or_default();
            match field.number {
                1 => node.inputs.push(self.optional(&text())),
                2 => node.outputs.push(self.optional(&text())),
                3 => node.name = text(),
                4 => node.operator = text(),
                5 => match read_attribute(&field, document) {
                    Ok(attribute) => node.attributes.push(attribute),
                    Err(refusal) => problem = Some(refusal),
                },
                7 => domain = text(),
                _ => {}
            }
        }
        if !matches!(&domain[..], "" | "ai.onnx") {
            let reason = format!("operators of `{domain}`");
            problem = Some(Refusal::unsupported(reason));
        }
        match problem {
            Some(refusal) => Err(refusal.at(&node.operator, &node.name)),
            None => Ok(node),
        }
    }

    fn optional(&mut self, name: &str) -> Option<ValueId> {
        (!name.is_empty()).then(|| self.named(name))
    }
}

fn read_attribute(
    field: &Field<'_>,
    document: &Document<'_>,
) -> Result<(String, Attribute), Refusal> {
    let mut name = String::new();
    let mut kind = 0;
    let (mut float, mut integer, mut text) = (0.0, 0, String::new());
    let mut tensor = None;
    let (mut all_integers, mut all_floats) = (Vec::new(), Vec::new());
    for field in Fields::of(field.bytes().unwrap_or_default()).flatten() {
        match (field.number, field.value) {
            (1, _) => name = field.text().unwrap_or_default(),
            (2, Value::Fixed32(bits)) => float = f32::from_bits(bits),
            (3, Value::Varint(_)) => integer = field.integer().unwrap_or_default(),
            (4, _) => text = field.text().unwrap_or_default(),
            (5, Value::Bytes(bytes)) => tensor = Some(bytes),
            (7, _) => all_floats.extend(floats(&field)),
            (8, _) => all_integers.extend(integers(&field)),
            (20, Value::Varint(number)) => kind = number,
            _ => {}
        }
    }
    // Old files leave the type out; then it is what there is.
    let attribute = match kind {
        1 => Attribute::Float(float),
        2 => Attribute::Integer(integer),
        3 => Attribute::Text(text),
        4 => match tensor {
            Some(tensor) => Attribute::Tensor(Arc::new(Constant::read(tensor, document)?.1)),
            None => Attribute::Other,
        },
        6 => Attribute::Floats(all_floats),
        7 => Attribute::Integers(all_integers),
        _ => Attribute::Other,
    };
    Ok((name, attribute))
}

/// A node's attributes while it is read: what nobody asks for is refused in the end.
pub(crate) struct Attributes<'a> {
    list: &'a [(String, Attribute)],
    asked: Vec<&'static str>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn of(node: &'a Node) -> Self {
        Self {
            list: &node.attributes,
            asked: Vec::new(),
        }
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Attribute> {
        self.asked.push(name);
        self.list
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, attribute)| attribute)
    }

    /// A whole number, or what it is where it is left out.
    pub(crate) fn integer(&mut self, name: &'static str, default: i64) -> Result<i64, Refusal> {
        match self.get(name) {
            None => Ok(default),
            Some(Attribute::Integer(value)) => Ok(*value),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A number with a fraction, or what it is where it is left out.
    pub(crate) fn float(&mut self, name: &'static str, default: f32) -> Result<f32, Refusal> {
        match self.get(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A text, or what it is where it is left out.
    pub(crate) fn text(
        &mut self,
        name: &'static str,
        default: &'a str,
    ) -> Result<&'a str, Refusal> {
        match self.get(name) {
            None => Ok(default),
            Some(Attribute::Text(value)) => Ok(value),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// Whole numbers, if they are given.
    pub(crate) fn integers(&mut self, name: &'static str) -> Result<Option<&'a [i64]>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Integers(values)) => Ok(Some(values)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A tensor, if it is given.
    pub(crate) fn tensor(
        &mut self,
        name: &'static str,
    ) -> Result<Option<&'a Arc<Constant>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Tensor(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// Refuses attributes that nobody has asked for.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        let unknown = self
            .list
            .iter()
            .find(|(key, _)| !self.asked.contains(&key.as_str()));
        match unknown {
            Some((key, _)) => Err(Refusal::unsupported(format!("the attribute `{key}`"))),
            None => Ok(()),
        }
    }
}

fn wrong_type(name: &str) -> Refusal {
    Refusal::malformed(format!("the attribute `{name}` is of another type"))
}
