//! Reads graphs from JSON-like values, as a configuration or an ONNX file's metadata holds them.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Graph, GraphError, GraphErrorKind, Initialization, Layer, MAX_LAYERS, Op, options};

/// Stands for the number of classes in `out_features` and `out_channels`.
const CLASSES: &str = "classes";

impl Graph {
    /// Reads a whole graph, as its serde form writes it, and checks its shapes.
    ///
    /// # Errors
    /// A [`GraphError`] that names the layer, what was expected and what was got.
    pub fn from_value(value: Value) -> Result<Self, GraphError> {
        let count = value["layers"].as_array().map_or(0, Vec::len);
        check_layer_count(count)?;
        let graph: Self = serde_json::from_value(value).map_err(|error| {
            GraphError::graph(
                GraphErrorKind::Malformed,
                format!("not a layer graph: {error}"),
            )
        })?;
        graph.shapes()?;
        Ok(graph)
    }

    /// Reads the user's own list of layers and checks its shapes.
    ///
    /// Each layer is a mapping with `op`, the operation's hyper-parameters, an optional `name`
    /// (`relu1`, `relu2` … when absent) and optional `inputs`; an operation without
    /// hyper-parameters may stand as its bare name. `classes` in `out_features` or
    /// `out_channels` stands for the number of classes.
    ///
    /// # Errors
    /// A [`GraphError`] that names the layer, what was expected and what was got.
    pub fn from_layers(
        name: &str,
        input: [usize; 3],
        classes: usize,
        layers: &Value,
    ) -> Result<Self, GraphError> {
        let Value::Array(items) = layers else {
            return Err(GraphError::graph(
                GraphErrorKind::Malformed,
                format!(
                    "`layers` is {}, expected a list of layers",
                    describe(layers)
                ),
            ));
        };
        check_layer_count(items.len())?;
        let mut namer = Namer::default();
        let layers = items
            .iter()
            .enumerate()
            .map(|(index, item)| read_layer(index, item, classes, &mut namer))
            .collect::<Result<_, _>>()?;
        let graph = Self {
            name: name.to_string(),
            input,
            layers,
            embedding: None,
            initialization: Initialization::default(),
        };
        graph.shapes()?;
        Ok(graph)
    }
}

fn check_layer_count(count: usize) -> Result<(), GraphError> {
    if count <= MAX_LAYERS {
        return Ok(());
    }
    Err(GraphError::graph(
        GraphErrorKind::TooLarge,
        format!("the graph has {count} layers, over the limit of {MAX_LAYERS}"),
    ))
}

/// Names layers that have no name of their own: `relu1`, `relu2` …
#[derive(Default)]
struct Namer {
    seen: HashMap<&'static str, usize>,
}

impl Namer {
    fn default_name(&mut self, op: &'static str) -> String {
        let count = self.seen.entry(op).or_default();
        *count += 1;
        format!("{op}{}", *count)
    }
}

fn read_layer(
    index: usize,
    item: &Value,
    classes: usize,
    namer: &mut Namer,
) -> Result<Layer, GraphError> {
    let mut fields = layer_fields(index, item)?;
    let own_name = take_name(index, &mut fields)?;
    let label = own_name
        .clone()
        .unwrap_or_else(|| format!("number {}", index + 1));
    let op_name = operation_name(&label, &fields)?;
    let default_name = namer.default_name(op_name);
    let inputs = take_inputs(&label, &mut fields)?;
    put_class_count(&mut fields, classes);
    options::check(&label, op_name, &fields)?;
    let op: Op = serde_json::from_value(Value::Object(fields)).map_err(|error| {
        GraphError::layer(
            GraphErrorKind::Malformed,
            &label,
            format!("`{op_name}`: {error}"),
        )
    })?;
    Ok(Layer {
        name: own_name.unwrap_or(default_name),
        op,
        inputs,
    })
}

fn layer_fields(index: usize, item: &Value) -> Result<Map<String, Value>, GraphError> {
    match item {
        Value::Object(fields) => Ok(fields.clone()),
        Value::String(op) => Ok(Map::from_iter([(
            "op".to_string(),
            Value::from(op.as_str()),
        )])),
        other => Err(GraphError::layer(
            GraphErrorKind::Malformed,
            &format!("number {}", index + 1),
            format!("it is {}, expected a mapping with `op`", describe(other)),
        )),
    }
}

fn take_name(index: usize, fields: &mut Map<String, Value>) -> Result<Option<String>, GraphError> {
    match fields.shift_remove("name") {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        // Torch-like names such as `0` are numbers to YAML.
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(GraphError::layer(
            GraphErrorKind::Malformed,
            &format!("number {}", index + 1),
            format!("`name` is {}, expected text", describe(&other)),
        )),
    }
}

fn operation_name(label: &str, fields: &Map<String, Value>) -> Result<&'static str, GraphError> {
    let written = match fields.get("op") {
        Some(Value::String(op)) => op.as_str(),
        Some(other) => {
            let message = format!("`op` is {}, expected an operation's name", describe(other));
            return Err(GraphError::layer(GraphErrorKind::Malformed, label, message));
        }
        None => {
            return Err(
                GraphError::layer(GraphErrorKind::Malformed, label, "it has no `op`")
                    .with_hint(format!("operations: {}", Op::NAMES.join(", "))),
            );
        }
    };
    let canonical = match written {
        "swish" => "silu",
        "hardswish" => "hard_swish",
        "hardsigmoid" => "hard_sigmoid",
        "drop_path" => "stochastic_depth",
        other => other,
    };
    if let Some(known) = Op::NAMES.into_iter().find(|name| *name == canonical) {
        return Ok(known);
    }
    let error = GraphError::layer(
        GraphErrorKind::UnknownOperation,
        label,
        format!("no operation is named `{written}`"),
    );
    Err(match super::error::nearest(written, Op::NAMES) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error.with_hint(format!("operations: {}", Op::NAMES.join(", "))),
    })
}

fn take_inputs(label: &str, fields: &mut Map<String, Value>) -> Result<Vec<String>, GraphError> {
    let named = |value: &Value| match value {
        Value::String(name) => Ok(name.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(GraphError::layer(
            GraphErrorKind::Malformed,
            label,
            format!("`inputs` holds {}, expected layer names", describe(other)),
        )),
    };
    match fields.shift_remove("inputs") {
        None => Ok(Vec::new()),
        Some(Value::Array(names)) => names.iter().map(named).collect(),
        Some(single) => Ok(vec![named(&single)?]),
    }
}

fn put_class_count(fields: &mut Map<String, Value>, classes: usize) {
    for key in ["out_features", "out_channels"] {
        if fields.get(key).and_then(Value::as_str) == Some(CLASSES) {
            fields.insert(key.to_string(), Value::from(classes));
        }
    }
}

/// A value as an error shows it.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_string(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "a mapping".to_string(),
    }
}
