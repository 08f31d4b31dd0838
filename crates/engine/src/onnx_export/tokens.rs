//! Layers over the channels of each pixel, and those of transformers, whose tokens are pixels.

use ferrotype_core::onnx::NodeProto;

use super::build::Builder;
use super::nodes::{float, initializer, int, ints, node, to_i64, whole_numbers};
use super::value::{Layout, Value};
use crate::error::EngineError;

impl Builder<'_> {
    /// Adds a matrix product over the channels.
    ///
    /// # Errors
    /// A tensor is missing.
    pub(super) fn linear(
        &mut self,
        name: &str,
        input: &Value,
        bias: bool,
        output: &Value,
    ) -> Result<(), EngineError> {
        if input.shape.len() == 1 {
            let mut inputs = vec![input.name.clone(), self.constant(name, "weight")?];
            if bias {
                inputs.push(self.constant(name, "bias")?);
            }
            self.push(name, "Gemm", inputs, &output.name, vec![int("transB", 1)]);
            return Ok(());
        }
        let read = self.in_layout(input, Layout::ChannelsLast);
        let weight = self.transposed_weight(name)?;
        if !bias {
            self.push(name, "MatMul", vec![read, weight], &output.name, vec![]);
            return Ok(());
        }
        let bias = self.constant(name, "bias")?;
        let product = self.step(name, "product", "MatMul", &[&read, &weight], vec![]);
        self.push(name, "Add", vec![product, bias], &output.name, vec![]);
        Ok(())
    }

    /// A linear layer's weight as `[in_features, out_features]`: `MatMul` cannot transpose it.
    fn transposed_weight(&mut self, name: &str) -> Result<String, EngineError> {
        let tensor = self.tensor(name, &format!("{name}.weight"))?;
        let (outputs, inputs) = (tensor.shape[0], tensor.shape[1]);
        let mut values = vec![0.0; tensor.values.len()];
        for (output, row) in tensor.values.chunks_exact(inputs.max(1)).enumerate() {
            for (input, value) in row.iter().enumerate() {
                values[input * outputs + output] = *value;
            }
        }
        let weight = initializer(&format!("/{name}/weight"), &[inputs, outputs], &values);
        Ok(self.add_constant(weight))
    }

    /// Adds a normalisation over the channels.
    ///
    /// # Errors
    /// A tensor is missing.
    pub(super) fn layer_norm(
        &mut self,
        name: &str,
        input: &Value,
        epsilon: f64,
        output: &Value,
    ) -> Result<(), EngineError> {
        let inputs = vec![
            self.in_layout(input, Layout::ChannelsLast),
            self.constant(name, "weight")?,
            self.constant(name, "bias")?,
        ];
        let attributes = vec![to_last_axis(), float("epsilon", epsilon as f32)];
        self.push(name, "LayerNormalization", inputs, &output.name, attributes);
        Ok(())
    }

    /// Adds a product with one number per channel.
    ///
    /// # Errors
    /// The tensor is missing.
    pub(super) fn layer_scale(
        &mut self,
        name: &str,
        input: &Value,
        output: &Value,
    ) -> Result<(), EngineError> {
        let key = format!("{name}.gamma");
        let gamma = self.tensor(name, &key)?;
        let channels = gamma.values.len();
        let has_channels_last = input.shape.len() == 1 || input.layout == Layout::ChannelsLast;
        let dims = match has_channels_last {
            true => vec![channels],
            false => vec![channels, 1, 1],
        };
        let gamma = self.add_constant(initializer(&key, &dims, &gamma.values));
        self.push(
            name,
            "Mul",
            vec![input.name.clone(), gamma],
            &output.name,
            vec![],
        );
        Ok(())
    }

    /// Adds the class token before the pixels.
    ///
    /// # Errors
    /// The tensor is missing.
    pub(super) fn class_token(
        &mut self,
        name: &str,
        input: &Value,
        output: &Value,
    ) -> Result<(), EngineError> {
        let channels = input.shape[0];
        let tokens = self.pixels_in_a_column(name, input);
        let token = self.tensor(name, name)?;
        let token = self.add_constant(initializer(name, &[1, 1, 1, channels], &token.values));
        // One for each image, however many there are.
        let batch = vec![int("start", 0), int("end", 1)];
        let batch = self.step(name, "batch", "Shape", &[&tokens], batch);
        let rest = whole_numbers(&format!("/{name}/rest"), &[3], &[1, 1, to_i64(channels)]);
        let rest = self.add_constant(rest);
        let axis = || vec![int("axis", 0)];
        let shape = self.step(name, "shape", "Concat", &[&batch, &rest], axis());
        let expanded = self.step(name, "expanded", "Expand", &[&token, &shape], vec![]);
        let axis = vec![int("axis", 1)];
        self.push(name, "Concat", vec![expanded, tokens], &output.name, axis);
        Ok(())
    }

    /// The pixels one below the other, `[batch, pixels, 1, channels]`.
    fn pixels_in_a_column(&mut self, name: &str, input: &Value) -> String {
        let read = self.in_layout(input, Layout::ChannelsLast);
        if input.shape[2] == 1 {
            return read;
        }
        let shape = [0, pixels(input), 1, to_i64(input.shape[0])];
        self.reshape(name, "tokens", &read, &shape)
    }

    /// Adds a sum with one number per element.
    ///
    /// # Errors
    /// The tensor is missing.
    pub(super) fn position_embedding(
        &mut self,
        name: &str,
        input: &Value,
        output: &Value,
    ) -> Result<(), EngineError> {
        let read = self.in_layout(input, Layout::ChannelsLast);
        let positions = self.tensor(name, name)?;
        let dims = [1, input.shape[1], input.shape[2], input.shape[0]];
        let positions = self.add_constant(initializer(name, &dims, &positions.values));
        self.push(name, "Add", vec![read, positions], &output.name, vec![]);
        Ok(())
    }

    /// Adds `softmax(Q·Kᵀ/√d)·V` of each head, from channels `[Q, K, V][head][d]`.
    pub(super) fn attention(&mut self, name: &str, input: &Value, heads: usize, output: &Value) {
        let channels = output.shape[0];
        let size = channels / heads.max(1);
        let read = self.in_layout(input, Layout::ChannelsLast);
        let shape = [0, pixels(input), to_i64(3 * heads), to_i64(size)];
        let parted = self.reshape(name, "heads", &read, &shape);
        let swap = || vec![ints("perm", vec![0, 2, 1, 3])];
        let by_head = self.step(name, "by_head", "Transpose", &[&parted], swap());
        let [queries, keys, values] = self.thirds(name, &by_head, heads);
        let scale = 1.0 / (size as f32).sqrt();
        let scale = self.add_constant(initializer(&format!("/{name}/scale"), &[], &[scale]));
        let scaled = self.step(name, "scaled", "Mul", &[&queries, &scale], vec![]);
        let turn = vec![ints("perm", vec![0, 1, 3, 2])];
        let turned = self.step(name, "turned", "Transpose", &[&keys], turn);
        let scores = self.step(name, "scores", "MatMul", &[&scaled, &turned], vec![]);
        let shares = self.step(name, "shares", "Softmax", &[&scores], vec![to_last_axis()]);
        let mixed = self.step(name, "mixed", "MatMul", &[&shares, &values], vec![]);
        let together = self.step(name, "together", "Transpose", &[&mixed], swap());
        let shape = [
            0,
            to_i64(output.shape[1]),
            to_i64(output.shape[2]),
            to_i64(channels),
        ];
        let constant = whole_numbers(&format!("/{name}/shape"), &[4], &shape);
        let inputs = vec![together, self.add_constant(constant)];
        self.push(name, "Reshape", inputs, &output.name, vec![]);
    }

    /// Queries, keys and values, `[batch, heads, tokens, size]` each.
    fn thirds(&mut self, name: &str, value: &str, heads: usize) -> [String; 3] {
        let sizes = whole_numbers(&format!("/{name}/sizes"), &[3], &[to_i64(heads); 3]);
        let inputs = vec![value.to_string(), self.add_constant(sizes)];
        let names = ["queries", "keys", "values"].map(|part| format!("/{name}/{part}"));
        self.push_node(NodeProto {
            output: names.to_vec(),
            ..node(
                &format!("{name}/split"),
                "Split",
                inputs,
                "",
                vec![int("axis", 1)],
            )
        });
        names
    }

    /// Adds the choice of one token.
    pub(super) fn select_token(&mut self, name: &str, input: &Value, index: usize, output: &Value) {
        let read = self.in_layout(input, Layout::ChannelsLast);
        let shape = [0, pixels(input), to_i64(input.shape[0])];
        let rows = self.reshape(name, "rows", &read, &shape);
        let index = whole_numbers(&format!("/{name}/index"), &[], &[to_i64(index)]);
        let inputs = vec![rows, self.add_constant(index)];
        self.push(name, "Gather", inputs, &output.name, vec![int("axis", 1)]);
    }
}

fn pixels(value: &Value) -> i64 {
    to_i64(value.shape.iter().skip(1).product())
}

fn to_last_axis() -> ferrotype_core::onnx::AttributeProto {
    int("axis", -1)
}
