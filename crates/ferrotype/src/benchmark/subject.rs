//! The network that is measured: an ONNX file with what has to be known of it.

use std::num::NonZeroUsize;

use anyhow::Context as _;
use ferrotype_core::manifest::ModelManifest;
use ferrotype_inference::{
    Dimension, ElementType, NetworkOptions, OnnxSummary, TensorInfo, inspect,
};

use crate::failure::Failure;

/// Channels of an image where the file does not tell.
const CHANNELS: usize = 3;

/// Numbers of an image at most: 2,048 by 2,048 pixels of three channels.
const MOST_NUMBERS: usize = 3 * 2048 * 2048;

/// A network that can be measured.
pub(crate) struct Subject {
    /// What it is called.
    pub(crate) title: String,
    /// The file.
    pub(crate) onnx: Vec<u8>,
    /// How an image becomes its input; none in somebody else's file.
    pub(crate) manifest: Option<ModelManifest>,
    /// Channels, height and width of an image.
    pub(crate) image_shape: [usize; 3],
    /// The only number of images that it takes, if it insists on one.
    pub(crate) fixed_batch: Option<usize>,
    input_name: String,
    output_name: String,
    embedding_name: Option<String>,
}

impl Subject {
    /// Reads what the file says. `image_size` is `[height, width]` where it says nothing.
    ///
    /// # Errors
    /// It is no ONNX file, takes no images, or the size is missing or another.
    pub(crate) fn new(
        title: String,
        onnx: Vec<u8>,
        image_size: Option<[usize; 2]>,
    ) -> anyhow::Result<Self> {
        let summary = inspect(&onnx).with_context(|| format!("cannot measure {title}"))?;
        let manifest = summary.manifest().ok();
        let input = match &manifest {
            Some(manifest) => named(&summary, &manifest.input_name)?,
            None => summary.image_input()?,
        };
        let known = manifest.as_ref().map(|manifest| {
            let size = &manifest.preprocessing;
            [size.height as usize, size.width as usize]
        });
        let (fixed_batch, image_shape) = shape(input, known, image_size)?;
        let output_name = match &manifest {
            Some(manifest) => manifest.output_name.clone(),
            None => summary.answer_output(0)?.name.clone(),
        };
        Ok(Self {
            title,
            image_shape,
            fixed_batch,
            input_name: input.name.clone(),
            output_name,
            embedding_name: manifest.as_ref().and_then(|m| m.embedding_name.clone()),
            manifest,
            onnx,
        })
    }

    /// Numbers of an image.
    pub(crate) fn image_numbers(&self) -> usize {
        self.image_shape.iter().product()
    }

    pub(super) fn options(&self, threads: NonZeroUsize) -> NetworkOptions {
        NetworkOptions {
            input_name: self.input_name.clone(),
            output_name: self.output_name.clone(),
            embedding_name: self.embedding_name.clone(),
            image_shape: self.image_shape,
            fixed_batch: self.fixed_batch,
            threads,
        }
    }
}

fn named<'a>(summary: &'a OnnxSummary, name: &str) -> Result<&'a TensorInfo, Failure> {
    let mut inputs = summary.inputs.iter();
    inputs.find(|input| input.name == name).ok_or_else(|| {
        Failure::new(format!(
            "the network has no input `{name}`, which its manifest names"
        ))
        .hint("export the model again, or import it with `ferrotype models import`")
    })
}

/// The batch that the network insists on, and the shape of an image.
fn shape(
    input: &TensorInfo,
    manifest_size: Option<[usize; 2]>,
    given_size: Option<[usize; 2]>,
) -> Result<(Option<usize>, [usize; 3]), Failure> {
    if input.element_type != ElementType::Float32 {
        return Err(Failure::new(format!(
            "the network's input `{input}` takes `{}`, expected `float32`",
            input.element_type
        )));
    }
    let unknown = || Dimension::Dynamic("?".into());
    let dimensions = match &input.shape {
        None => [unknown(), unknown(), unknown(), unknown()],
        Some(shape) => <[Dimension; 4]>::try_from(shape.clone()).map_err(|_| {
            Failure::new(format!(
                "the network's input is `{input}`, expected [batch, channels, height, width]"
            ))
        })?,
    };
    let [batch, channels, height, width] = dimensions.map(|dimension| match dimension {
        Dimension::Fixed(size) => usize::try_from(size).ok(),
        Dimension::Dynamic(_) => None,
    });
    let side = |fixed: Option<usize>, axis: usize| {
        let given = given_size.map(|size| size[axis]);
        match fixed.or(manifest_size.map(|size| size[axis])) {
            Some(known) if given.is_some_and(|given| given != known) => Err(Failure::usage(
                format!("`--image-size` differs from the network's input, which is `{input}`"),
            )
            .hint("leave `--image-size` away")),
            Some(known) => Ok(known),
            None => given.ok_or_else(|| {
                Failure::usage(format!(
                    "the file does not tell the size of its images: its input is `{input}`"
                ))
                .hint("pass it: `--image-size 224` or `--image-size 320x240`")
            }),
        }
    };
    let shape = [
        channels.unwrap_or(CHANNELS),
        side(height, 0)?,
        side(width, 1)?,
    ];
    let numbers = shape.iter().try_fold(1_usize, |product, side| {
        product
            .checked_mul(*side)
            .filter(|numbers| *numbers <= MOST_NUMBERS)
    });
    match numbers {
        Some(_) => Ok((batch, shape)),
        None => Err(Failure::new(format!(
            "an image of {shape:?} has more numbers than the limit of `{MOST_NUMBERS}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(shape: &[i64]) -> TensorInfo {
        let dimension = |size: &i64| match size {
            0 => Dimension::Dynamic("n".into()),
            size => Dimension::Fixed(*size),
        };
        TensorInfo {
            name: "image".into(),
            element_type: ElementType::Float32,
            shape: Some(shape.iter().map(dimension).collect()),
        }
    }

    #[test]
    fn the_size_comes_from_the_file_or_else_from_the_caller() {
        let fixed = input(&[0, 3, 8, 16]);
        assert_eq!(shape(&fixed, None, None).unwrap(), (None, [3, 8, 16]));
        let of_four = input(&[4, 1, 8, 8]);
        assert_eq!(shape(&of_four, None, None).unwrap(), (Some(4), [1, 8, 8]));
        let dynamic = input(&[0, 3, 0, 0]);
        let given = shape(&dynamic, None, Some([32, 48])).unwrap();
        assert_eq!(given, (None, [3, 32, 48]));
        let of_manifest = shape(&dynamic, Some([5, 6]), None).unwrap();
        assert_eq!(of_manifest, (None, [3, 5, 6]));
    }

    #[test]
    fn what_is_missing_or_contradicts_is_told() {
        let told = |input: &TensorInfo, given| shape(input, None, given).unwrap_err().to_string();
        let dynamic = input(&[0, 3, 0, 0]);
        assert!(told(&dynamic, None).contains("does not tell the size"));
        assert!(told(&dynamic, Some([100_000, 100_000])).contains("limit"));
        assert!(told(&input(&[0, 3, 8, 8]), Some([9, 9])).contains("differs"));
        assert!(told(&input(&[0, 3]), None).contains("expected [batch"));
        let bytes = TensorInfo {
            element_type: ElementType::Uint8,
            ..dynamic
        };
        assert!(told(&bytes, None).contains("uint8"));
    }
}
