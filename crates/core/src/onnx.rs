//! ONNX
