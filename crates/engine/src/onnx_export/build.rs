//! The ONNX model of a graph.

use std::collections::HashMap;

use ferrotype_core::graph::{Graph, IMAGE, Layer, LayerInfo, Op, Size};
use ferrotype_core::manifest::{GRAPH_KEY, MANIFEST_KEY, ModelManifest};
use ferrotype_core::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};

use super::fold::{fold, foldable};
use super::nodes::{batched, float, initializer, int, node, padding, size};
use super::{EMBEDDING, INPUT, IR_VERSION, LOGITS, OPSET};
use crate::error::{EngineError, EngineErrorKind};
use crate::state::State;

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

struct Builder<'a> {
    graph: &'a Graph,
    state: &'a State,
    infos: Vec<LayerInfo>,
    /// Normalisations that are part of the convolution above them: normalisation to convolution.
    folded: Vec<(usize, usize)>,
    /// The value that holds each layer's output.
    values: HashMap<&'a str, String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph, state: &'a State) -> Result<Self, EngineError> {
        Ok(Self {
            graph,
            state,
            infos: graph.shapes()?,
            folded: foldable(graph),
            values: HashMap::from([(IMAGE, INPUT.to_string())]),
            nodes: Vec::new(),
            initializers: Vec::new(),
        })
    }

    /// Adds the nodes and constants of layer number `index`.
    fn layer(&mut self, index: usize) -> Result<(), EngineError> {
        let layer = &self.graph.layers[index];
        let inputs: Vec<String> = self
            .graph
            .inputs_of(index)
            .into_iter()
            .filter_map(|name| self.values.get(name).cloned())
            .collect();
        let is_part_of_above = self.folded.iter().any(|(norm, _)| *norm == index);
        let value = if is_part_of_above || matches!(layer.op, Op::Dropout { .. }) {
            inputs.first().cloned().unwrap_or_default()
        } else {
            // Layer names have no slash, so this is never a constant's name.
            let value = format!("/{}", layer.name);
            self.operation(index, layer, inputs, &value)?;
            value
        };
        self.values.insert(&layer.name, value);
        Ok(())
    }

    fn operation(
        &mut self,
        index: usize,
        layer: &Layer,
        mut inputs: Vec<String>,
        output: &str,
    ) -> Result<(), EngineError> {
        let name = layer.name.as_str();
        let (op, attributes) = match &layer.op {
            Op::Conv2d { .. } => {
                inputs.extend(self.convolution_constants(index, layer)?);
                ("Conv", convolution_attributes(&layer.op))
            }
            Op::BatchNorm2d { epsilon, .. } => {
                let suffixes = ["weight", "bias", "running_mean", "running_var"];
                for suffix in suffixes {
                    inputs.push(self.constant(name, suffix)?);
                }
                (
                    "BatchNormalization",
                    vec![float("epsilon", *epsilon as f32)],
                )
            }
            Op::Linear { .. } if self.infos[index].output_shape.len() > 1 => {
                return Err(cannot_write(name, "`linear` on pixels"));
            }
            Op::Linear { bias, .. } => {
                inputs.push(self.constant(name, "weight")?);
                if *bias {
                    inputs.push(self.constant(name, "bias")?);
                }
                ("Gemm", vec![int("transB", 1)])
            }
            Op::Silu {} => {
                let sigmoid = format!("{output}/sigmoid");
                self.push(
                    &format!("{name}/sigmoid"),
                    "Sigmoid",
                    inputs.clone(),
                    &sigmoid,
                    vec![],
                );
                inputs.push(sigmoid);
                ("Mul", vec![])
            }
            Op::Add {} => return self.sum(name, inputs, output),
            Op::MaxPool2d {
                kernel,
                stride,
                padding,
            } => ("MaxPool", pooling_attributes(*kernel, *stride, *padding)),
            Op::AvgPool2d {
                kernel,
                stride,
                padding,
            } => {
                let mut attributes = pooling_attributes(*kernel, *stride, *padding);
                attributes.push(int("count_include_pad", 1));
                ("AveragePool", attributes)
            }
            Op::Relu {} => ("Relu", vec![]),
            Op::Sigmoid {} => ("Sigmoid", vec![]),
            Op::HardSwish {} => ("HardSwish", vec![]),
            Op::GlobalAvgPool {} => ("GlobalAveragePool", vec![]),
            Op::Flatten {} => ("Flatten", vec![int("axis", 1)]),
            Op::Concat {} => ("Concat", vec![int("axis", 1)]),
            op => return Err(cannot_write(name, op.name())),
        };
        self.push(name, op, inputs, output, attributes);
        Ok(())
    }

    fn push(
        &mut self,
        name: &str,
        op: &str,
        inputs: Vec<String>,
        output: &str,
        attributes: Vec<AttributeProto>,
    ) {
        self.nodes.push(node(name, op, inputs, output, attributes));
    }

    /// `Add` takes two, so more are a chain.
    fn sum(&mut self, name: &str, inputs: Vec<String>, output: &str) -> Result<(), EngineError> {
        let last = inputs.len() - 1;
        let mut inputs = inputs.into_iter();
        let mut sum = inputs.next().unwrap_or_default();
        for (index, input) in (1..).zip(inputs) {
            let (node, value) = if index == last {
                (name.to_string(), output.to_string())
            } else {
                (format!("{name}/{index}"), format!("{output}/{index}"))
            };
            self.push(&node, "Add", vec![sum, input], &value, vec![]);
            sum = value;
        }
        Ok(())
    }

    /// Adds a tensor of the state as it is; gives its name.
    fn constant(&mut self, layer: &str, suffix: &str) -> Result<String, EngineError> {
        let name = format!("{layer}.{suffix}");
        let tensor = self
            .state
            .get(&name)
            .ok_or_else(|| cannot_write(layer, "it without its tensors"))?;
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
        let value_of = |layer: Option<&str>| layer.and_then(|name| self.values.get(name)).cloned();
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
        int("group", super::nodes::to_i64(*groups)),
    ]
}

fn pooling_attributes(kernel: Size, stride: Option<Size>, pads: Size) -> Vec<AttributeProto> {
    vec![
        size("kernel_shape", kernel),
        size("strides", stride.unwrap_or(kernel)),
        padding(pads),
    ]
}

fn cannot_write(layer: &str, what: &str) -> EngineError {
    EngineError::new(
        EngineErrorKind::Export,
        format!("layer `{layer}`: ONNX cannot be written for {what}"),
    )
}
