//! The ONNX model of a graph.

use std::collections::{HashMap, VecDeque};

use ferrotype_core::graph::{Graph, IMAGE, Layer, LayerInfo, Op};
use ferrotype_core::manifest::{GRAPH_KEY, MANIFEST_KEY, ModelManifest};
use ferrotype_core::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};

use super::fold::{fold, foldable};
use super::nodes::{
    batched, float, initializer, int, ints, node, padding, size, to_i64, whole_numbers,
};
use super::value::{Layout, Value, output_layout};
use super::{EMBEDDING, INPUT, IR_VERSION, LOGITS, OPSET};
use crate::error::{EngineError, EngineErrorKind};
use crate::state::{State, StateTensor};

/// The model of a graph whose tensors are all in `state`.
///
/// # Errors
/// A layer cannot be written.
pub(super) fn model(
    graph: &Graph,
    state: &State,
    manifest: &ModelManifest,
) -> Result<ModelProto, EngineError> {
    let mut builder = Builder::new(graph, state)?;
    for index in 0..graph.layers.len() {
        builder.layer(index)?;
    }
    let embedding = builder.name_outputs();
    let manifest = ModelManifest {
        input_name: INPUT.to_string(),
        output_name: LOGITS.to_string(),
        embedding_name: embedding.as_ref().map(|_| EMBEDDING.to_string()),
        ..manifest.clone()
    };
    let metadata_props = vec![
        entry(MANIFEST_KEY, &serde_json::to_string(&manifest)),
        entry(GRAPH_KEY, &serde_json::to_string(graph)),
    ];
    Ok(ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("ferrotype".to_string()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_string()),
        doc_string: Some(describe(graph, &manifest)),
        graph: Some(builder.into_graph(embedding)),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(OPSET),
        }],
        metadata_props,
        ..ModelProto::default()
    })
}

fn entry(key: &str, value: &Result<String, serde_json::Error>) -> StringStringEntryProto {
    StringStringEntryProto {
        key: Some(key.to_string()),
        value: value.as_ref().ok().cloned(),
    }
}

fn describe(graph: &Graph, manifest: &ModelManifest) -> String {
    let trained_on = manifest
        .dataset_version
        .as_ref()
        .map_or_else(String::new, |version| format!(", trained on {version}"));
    format!(
        "{}: image classification, {} classes{trained_on}. Preprocessing and class names are in the metadata `{MANIFEST_KEY}`.",
        graph.name,
        manifest.classes.len()
    )
}

/// The nodes and constants of a graph, as far as they are written.
pub(super) struct Builder<'a> {
    graph: &'a Graph,
    state: &'a State,
    infos: Vec<LayerInfo>,
    /// Normalisations that are part of the convolution above them: normalisation to convolution.
    folded: Vec<(usize, usize)>,
    /// The value that holds each layer's output.
    values: HashMap<&'a str, Value>,
    /// Values that were written in another layout too.
    transposed: HashMap<String, String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph, state: &'a State) -> Result<Self, EngineError> {
        let image = Value {
            name: INPUT.to_string(),
            shape: graph.input.to_vec(),
            layout: Layout::ChannelsFirst,
        };
        Ok(Self {
            graph,
            state,
            infos: graph.shapes()?,
            folded: foldable(graph),
            values: HashMap::from([(IMAGE, image)]),
            transposed: HashMap::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
        })
    }

    /// Adds the nodes and constants of layer number `index`.
    fn layer(&mut self, index: usize) -> Result<(), EngineError> {
        let layer = &self.graph.layers[index];
        let inputs: Vec<Value> = self
            .graph
            .inputs_of(index)
            .into_iter()
            .filter_map(|name| self.values.get(name).cloned())
            .collect();
        let Some(first) = inputs.first() else {
            return Err(cannot_write(&layer.name, "it without its inputs"));
        };
        let shape = self.infos[index].output_shape.clone();
        let value = if self.is_left_out(index, first, &shape) {
            first.clone()
        } else {
            let output = Value {
                // Layer names have no slash, so this is never a constant's name.
                name: format!("/{}", layer.name),
                layout: output_layout(&layer.op, first, &shape),
                shape,
            };
            self.operation(index, layer, &inputs, &output)?;
            output
        };
        self.values.insert(&layer.name, value);
        Ok(())
    }

    /// Whether a layer gives what it reads: folded into the layer above, or training's alone.
    fn is_left_out(&self, index: usize, input: &Value, shape: &[usize]) -> bool {
        match self.graph.layers[index].op {
            Op::Dropout { .. } | Op::StochasticDepth { .. } => true,
            Op::AdaptiveAvgPool2d { .. } => input.shape == shape,
            _ => self.folded.iter().any(|(norm, _)| *norm == index),
        }
    }

    fn operation(
        &mut self,
        index: usize,
        layer: &Layer,
        inputs: &[Value],
        output: &Value,
    ) -> Result<(), EngineError> {
        let name = layer.name.as_str();
        let first = &inputs[0];
        match &layer.op {
            Op::Conv2d { .. } => {
                let mut names = vec![self.channels_first(first)];
                names.extend(self.convolution_constants(index, layer)?);
                let attributes = convolution_attributes(&layer.op);
                self.push(name, "Conv", names, &output.name, attributes);
            }
            Op::BatchNorm2d { epsilon, .. } => {
                let mut names = vec![self.channels_first(first)];
                for suffix in ["weight", "bias", "running_mean", "running_var"] {
                    names.push(self.constant(name, suffix)?);
                }
                let epsilon = vec![float("epsilon", *epsilon as f32)];
                self.push(name, "BatchNormalization", names, &output.name, epsilon);
            }
            Op::Linear { bias, .. } => self.linear(name, first, *bias, output)?,
            Op::Add {} => self.sum(name, inputs, output),
            Op::Multiply {} => self.product(name, inputs, output),
            Op::Concat {} => {
                let names = inputs.iter().map(|input| self.channels_first(input));
                let names = names.collect();
                self.push(name, "Concat", names, &output.name, vec![int("axis", 1)]);
            }
            Op::Flatten {} => {
                // One pixel lies the same either way.
                let is_one_pixel = first.shape.iter().skip(1).all(|side| *side == 1);
                let input = match is_one_pixel {
                    true => first.name.clone(),
                    false => self.channels_first(first),
                };
                self.push(
                    name,
                    "Flatten",
                    vec![input],
                    &output.name,
                    vec![int("axis", 1)],
                );
            }
            Op::MaxPool2d { .. }
            | Op::AvgPool2d { .. }
            | Op::GlobalAvgPool {}
            | Op::AdaptiveAvgPool2d { .. } => self.pooling(layer, first, output),
            Op::LayerNorm { epsilon } => self.layer_norm(name, first, *epsilon, output)?,
            Op::LayerScale { .. } => self.layer_scale(name, first, output)?,
            Op::ClassToken {} => self.class_token(name, first, output)?,
            Op::PositionEmbedding {} => self.position_embedding(name, first, output)?,
            Op::Attention { heads } => self.attention(name, first, *heads, output),
            Op::SelectToken { index } => self.select_token(name, first, *index, output),
            op => self.activation(name, op, &first.name, &output.name)?,
        }
        Ok(())
    }

    /// Adds a node.
    pub(super) fn push(
        &mut self,
        name: &str,
        op: &str,
        inputs: Vec<String>,
        output: &str,
        attributes: Vec<AttributeProto>,
    ) {
        self.nodes.push(node(name, op, inputs, output, attributes));
    }

    /// Adds a node inside layer `name`; gives its value.
    pub(super) fn step(
        &mut self,
        name: &str,
        part: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let value = format!("/{name}/{part}");
        let inputs = inputs.iter().map(|input| (*input).to_string()).collect();
        self.push(&format!("{name}/{part}"), op, inputs, &value, attributes);
        value
    }

    /// Adds a node with several outputs.
    pub(super) fn push_node(&mut self, node: NodeProto) {
        self.nodes.push(node);
    }

    /// Adds a constant unless there is one of its name; gives the name.
    pub(super) fn add_constant(&mut self, constant: TensorProto) -> String {
        let name = constant.name.clone().unwrap_or_default();
        if !self
            .initializers
            .iter()
            .any(|other| other.name == constant.name)
        {
            self.initializers.push(constant);
        }
        name
    }

    /// The name of a value in a layout, with a node that brings it there where it is not yet. A row
    /// has no layout.
    pub(super) fn in_layout(&mut self, value: &Value, layout: Layout) -> String {
        if value.layout == layout || value.shape.len() != 3 {
            return value.name.clone();
        }
        if let Some(transposed) = self.transposed.get(&value.name) {
            return transposed.clone();
        }
        let (part, order) = match layout {
            Layout::ChannelsFirst => ("channels_first", [0, 3, 1, 2]),
            Layout::ChannelsLast => ("channels_last", [0, 2, 3, 1]),
        };
        let owner = value.name.trim_start_matches('/');
        let order = vec![ints("perm", order.to_vec())];
        let transposed = self.step(owner, part, "Transpose", &[&value.name], order);
        self.transposed
            .insert(value.name.clone(), transposed.clone());
        transposed
    }

    fn channels_first(&mut self, value: &Value) -> String {
        self.in_layout(value, Layout::ChannelsFirst)
    }

    /// `Add` takes two, so more are a chain.
    fn sum(&mut self, name: &str, inputs: &[Value], output: &Value) {
        let last = inputs.len() - 1;
        let mut names: VecDeque<String> = inputs
            .iter()
            .map(|input| self.in_layout(input, output.layout))
            .collect();
        let mut sum = names.pop_front().unwrap_or_default();
        for (index, input) in (1..).zip(names) {
            sum = if index < last {
                self.step(name, &index.to_string(), "Add", &[&sum, &input], vec![])
            } else {
                self.push(name, "Add", vec![sum, input], &output.name, vec![]);
                output.name.clone()
            };
        }
    }

    /// One number per channel is broadcast over the pixels.
    fn product(&mut self, name: &str, inputs: &[Value], output: &Value) {
        let [first, second] = inputs else {
            return;
        };
        let mut factor = self.in_layout(second, output.layout);
        if first.shape.len() != second.shape.len() {
            let channels = to_i64(first.shape[0]);
            let shape = match (first.shape.len(), output.layout) {
                (1, _) => vec![0, channels],
                (_, Layout::ChannelsFirst) => vec![0, channels, 1, 1],
                (_, Layout::ChannelsLast) => vec![0, 1, 1, channels],
            };
            factor = self.reshape(name, "factor", &factor, &shape);
        }
        let names = vec![first.name.clone(), factor];
        self.push(name, "Mul", names, &output.name, vec![]);
    }

    /// Adds a node that gives a value another shape, in which 0 stands for the batch.
    pub(super) fn reshape(&mut self, name: &str, part: &str, value: &str, shape: &[i64]) -> String {
        let constant = whole_numbers(&format!("/{name}/{part}/shape"), &[shape.len()], shape);
        let constant = self.add_constant(constant);
        self.step(name, part, "Reshape", &[value, &constant], vec![])
    }

    /// A layer's tensor.
    pub(super) fn tensor(&self, layer: &str, name: &str) -> Result<&'a StateTensor, EngineError> {
        self.state
            .get(name)
            .ok_or_else(|| cannot_write(layer, "it without its tensors"))
    }

    /// Adds a tensor of the state as it is; gives its name.
    pub(super) fn constant(&mut self, layer: &str, suffix: &str) -> Result<String, EngineError> {
        let name = format!("{layer}.{suffix}");
        let tensor = self.tensor(layer, &name)?;
        self.initializers
            .push(initializer(&name, &tensor.shape, &tensor.values));
        Ok(name)
    }

    /// Adds a convolution's weight and bias, with the normalisation below it folded in.
    fn convolution_constants(
        &mut self,
        index: usize,
        layer: &Layer,
    ) -> Result<Vec<String>, EngineError> {
        let name = layer.name.as_str();
        let norm = self
            .folded
            .iter()
            .find(|(_, convolution)| *convolution == index)
            .map(|(norm, _)| &self.graph.layers[*norm]);
        let (
            Some(Layer {
                name: norm,
                op: Op::BatchNorm2d { epsilon, .. },
                ..
            }),
            Some(weight),
        ) = (norm, self.state.get(&format!("{name}.weight")))
        else {
            let mut names = vec![self.constant(name, "weight")?];
            if matches!(layer.op, Op::Conv2d { bias: true, .. }) {
                names.push(self.constant(name, "bias")?);
            }
            return Ok(names);
        };
        let shape = &weight.shape;
        let folded = fold(self.state, name, norm, *epsilon)
            .ok_or_else(|| cannot_write(name, "it without its tensors"))?;
        let names = ["weight", "bias"].map(|suffix| format!("{name}.{suffix}"));
        self.initializers
            .push(initializer(&names[0], shape, &folded.weight));
        self.initializers
            .push(initializer(&names[1], &shape[..1], &folded.bias));
        Ok(names.to_vec())
    }

    /// Gives the outputs their names; answers the embedding's description, if there is one.
    fn name_outputs(&mut self) -> Option<ValueInfoProto> {
        let value_of = |layer: Option<&str>| {
            let value = self.values.get(layer?)?;
            Some(value.name.clone())
        };
        let logits = value_of(self.graph.output_layer()).unwrap_or_default();
        let layer = self.graph.embedding_layer();
        let embedding = value_of(layer);
        self.rename(&logits, LOGITS);
        let (layer, embedding) = (layer?, embedding?);
        if embedding == logits {
            self.push(
                EMBEDDING,
                "Identity",
                vec![LOGITS.to_string()],
                EMBEDDING,
                vec![],
            );
        } else {
            self.rename(&embedding, EMBEDDING);
        }
        let info = self.infos.iter().find(|info| info.name == layer)?;
        let doc = "what the last linear layer reads: similar images are near each other";
        Some(batched(EMBEDDING, &info.output_shape, doc))
    }

    fn rename(&mut self, from: &str, to: &str) {
        for node in &mut self.nodes {
            for value in node.input.iter_mut().chain(&mut node.output) {
                if value == from {
                    *value = to.to_string();
                }
            }
        }
    }

    fn into_graph(self, embedding: Option<ValueInfoProto>) -> GraphProto {
        let classes = self.infos.last().map(|info| info.output_shape.clone());
        let logits = batched(
            LOGITS,
            &classes.unwrap_or_default(),
            "softmax gives probabilities",
        );
        let image = batched(INPUT, &self.graph.input, "normalised RGB images");
        GraphProto {
            node: self.nodes,
            name: Some(self.graph.name.clone()),
            initializer: self.initializers,
            input: vec![image],
            output: std::iter::once(logits).chain(embedding).collect(),
            ..GraphProto::default()
        }
    }
}

fn convolution_attributes(op: &Op) -> Vec<AttributeProto> {
    let Op::Conv2d {
        kernel,
        stride,
        padding: pads,
        dilation,
        groups,
        ..
    } = op
    else {
        return Vec::new();
    };
    vec![
        size("kernel_shape", *kernel),
        size("strides", *stride),
        padding(*pads),
        size("dilations", *dilation),
        int("group", to_i64(*groups)),
    ]
}

/// An error about a layer.
pub(super) fn cannot_write(layer: &str, what: &str) -> EngineError {
    EngineError::new(
        EngineErrorKind::Export,
        format!("layer `{layer}`: ONNX cannot be written for {what}"),
    )
}
