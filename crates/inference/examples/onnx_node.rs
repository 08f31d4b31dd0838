//! Runs one network on the native executor, for `tools/onnx_node_tests.py`.
//!
//! Each line of the standard input is `MODEL INPUT_NAME OUTPUT_NAME SHAPE INPUT_FILE OUTPUT_FILE`,
//! separated by tabs, the shape's sizes by commas; the answer is `ok`, or the error's kind and text.

#![allow(clippy::print_stdout)]

use std::io::BufRead;

use anyhow::{Context, Result};
use ferrotype_inference::run_natively;

fn main() -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        let [model, input, output, shape, from, to] = fields[..] else {
            anyhow::bail!("six fields are expected: {line}");
        };
        let sizes = shape.split(',').filter(|size| !size.is_empty());
        let shape: Vec<usize> = sizes
            .map(|size| size.parse().context("a size"))
            .collect::<Result<_>>()?;
        let bytes = std::fs::read(from)?;
        let (chunks, _) = bytes.as_chunks::<4>();
        let numbers: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let onnx = std::fs::read(model)?;
        match run_natively(&onnx, [input, output], &shape, &numbers) {
            Ok(answer) => {
                let bytes: Vec<u8> = answer.iter().flat_map(|x| x.to_le_bytes()).collect();
                std::fs::write(to, bytes)?;
                println!("ok");
            }
            Err(error) => println!("{}\t{error}", error.kind().as_str()),
        }
    }
    Ok(())
}
