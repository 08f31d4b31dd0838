//! The names that a pickle of weights may use. All else is refused.

use super::super::element::Element;
use super::super::error::unsupported;
use crate::error::{EngineError, EngineErrorKind};

/// A name that is known, and what it stands for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Global {
    /// `collections.OrderedDict` or `dict`.
    Dict,
    /// `torch.Size`, `list`, `tuple`, `set`: a call gives the items of its argument.
    Sequence,
    /// A typed storage, such as `torch.FloatStorage`; none for `UntypedStorage`.
    Storage(Option<Element>),
    /// A number format, such as `torch.float32`.
    Dtype(Element),
    /// `torch._utils._rebuild_tensor` and `…_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`, which names its number format.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter`: the tensor itself.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: calls its first argument.
    RebuildFromType,
    /// Not weights and harmless; whatever is made of it is one opaque value.
    Ignored,
}

const fn whole(bytes: u8) -> Element {
    Element::Whole { bytes }
}

/// Looks a name up.
///
/// # Errors
/// It is not one that weights are made of.
pub(super) fn find(module: &str, name: &str) -> Result<Global, EngineError> {
    known(module, name).ok_or_else(|| refused(module, name))
}

fn known(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict" | "defaultdict" | "Counter") => Global::Dict,
        ("builtins" | "__builtin__", "dict") => Global::Dict,
        ("builtins" | "__builtin__", "list" | "tuple" | "set" | "frozenset")
        | ("torch", "Size") => Global::Sequence,
        ("torch" | "torch.storage", "UntypedStorage" | "_UntypedStorage") => Global::Storage(None),
        ("torch", _) => return torch(name),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Global::RebuildParameter
        }
        ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
        ("torch.nn.parameter" | "torch._tensor", "Parameter" | "Buffer" | "Tensor")
        | ("torch.serialization", "_get_layout")
        | ("builtins" | "__builtin__", "complex" | "slice" | "bytearray" | "object")
        | ("copyreg" | "copy_reg", "_reconstructor")
        | ("_codecs", "encode")
        | ("argparse", "Namespace")
        | ("types", "SimpleNamespace")
        | ("pathlib" | "pathlib._local", "PosixPath" | "WindowsPath" | "PurePosixPath" | "Path")
        | ("datetime", "datetime" | "date" | "timedelta" | "timezone")
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("numpy", "dtype" | "ndarray" | "float64" | "float32" | "int64" | "int32" | "bool_") => {
            Global::Ignored
        }
        ("numpy.dtypes", _) => Global::Ignored,
        _ => return None,
    })
}

/// The names of the module `torch` itself.
fn torch(name: &str) -> Option<Global> {
    let storage = |element| Global::Storage(Some(element));
    Some(match name {
        "HalfStorage" => storage(Element::F16),
        "BFloat16Storage" => storage(Element::Bf16),
        "FloatStorage" => storage(Element::F32),
        "DoubleStorage" => storage(Element::F64),
        "BoolStorage" | "ByteStorage" | "CharStorage" => storage(whole(1)),
        "ShortStorage" => storage(whole(2)),
        "IntStorage" => storage(whole(4)),
        "LongStorage" => storage(whole(8)),
        "QInt8Storage" | "QUInt8Storage" => storage(Element::Other { bytes: 1 }),
        "QInt32Storage" => storage(Element::Other { bytes: 4 }),
        "ComplexFloatStorage" => storage(Element::Other { bytes: 8 }),
        "ComplexDoubleStorage" => storage(Element::Other { bytes: 16 }),
        "float16" | "half" => Global::Dtype(Element::F16),
        "bfloat16" => Global::Dtype(Element::Bf16),
        "float32" | "float" => Global::Dtype(Element::F32),
        "float64" | "double" => Global::Dtype(Element::F64),
        "bool" | "uint8" | "int8" => Global::Dtype(whole(1)),
        "int16" | "uint16" => Global::Dtype(whole(2)),
        "int32" | "uint32" => Global::Dtype(whole(4)),
        "int64" | "uint64" => Global::Dtype(whole(8)),
        "complex64" => Global::Dtype(Element::Other { bytes: 8 }),
        "complex128" => Global::Dtype(Element::Other { bytes: 16 }),
        name if name.starts_with("float8_") => Global::Dtype(Element::Other { bytes: 1 }),
        "device" | "strided" | "contiguous_format" | "preserve_format" => Global::Ignored,
        _ => return None,
    })
}

fn refused(module: &str, name: &str) -> EngineError {
    let called = format!("{module}.{name}");
    if is_part_of_a_model(module) {
        return unsupported(format!(
            "it holds a whole Python object of the class `{called}`, not weights by name"
        ));
    }
    EngineError::new(
        EngineErrorKind::UnsupportedWeights,
        format!("the weights were refused: the file asks Python to use `{called}`, which no weights need; nothing was executed"),
    )
    .with_hint("do not load this file with Python's pickle unless you trust who made it; ask for the weights as safetensors, or as `torch.save(model.state_dict(), FILE)`")
}

/// Whether classes of this module are networks or parts of training scripts, as `torch.save(model)`
/// leaves them in the file; the rest is suspicious.
fn is_part_of_a_model(module: &str) -> bool {
    const FIRST: [&str; 14] = [
        "__main__",
        "__torch__",
        "detectron2",
        "efficientnet_pytorch",
        "fastai",
        "lightning",
        "mmcv",
        "model",
        "models",
        "monai",
        "pytorch_lightning",
        "timm",
        "torchvision",
        "ultralytics",
    ];
    let first = module.split('.').next().unwrap_or(module);
    FIRST.contains(&first)
        || module.starts_with("torch.nn")
        || module.starts_with("torch.fx")
        || module.starts_with("torch.jit")
        || module.starts_with("torch.optim")
}
