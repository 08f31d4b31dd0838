//! What computes the training steps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What computes the training steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceConfig {
    /// A GPU, if the program is built for one and one answers, else the processor.
    #[default]
    Auto,
    /// The processor, by our own code.
    Cpu,
    /// The processor, by Burn.
    BurnCpu,
    /// An NVIDIA GPU by its number, as `nvidia-smi` has it; absent means the first.
    Cuda(Option<usize>),
    /// The GPU that Vulkan, Metal or DirectX 12 say is best.
    Wgpu,
}

impl DeviceConfig {
    /// What may be written; `N` is a number.
    pub const NAMES: [&'static str; 6] = ["auto", "cpu", "cuda", "cuda:N", "wgpu", "burn-cpu"];
}

impl fmt::Display for DeviceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::BurnCpu => f.write_str("burn-cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
            Self::Wgpu => f.write_str("wgpu"),
        }
    }
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no device `{0}`")]
pub struct UnknownDevice(String);

impl FromStr for DeviceConfig {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice(text.to_string());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "burn-cpu" => Ok(Self::BurnCpu),
            "cuda" => Ok(Self::Cuda(None)),
            "wgpu" => Ok(Self::Wgpu),
            _ => {
                let number = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                let is_plain =
                    number == "0" || number.starts_with(|c: char| ('1'..='9').contains(&c));
                // The driver's numbers are `int`s.
                match number.parse::<u16>() {
                    Ok(number) if is_plain => Ok(Self::Cuda(Some(number.into()))),
                    _ => Err(unknown()),
                }
            }
        }
    }
}

impl TryFrom<String> for DeviceConfig {
    type Error = UnknownDevice;

    fn try_from(text: String) -> Result<Self, UnknownDevice> {
        text.parse()
    }
}

impl From<DeviceConfig> for String {
    fn from(device: DeviceConfig) -> Self {
        device.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_as_it_is_read() {
        for text in [
            "auto", "cpu", "burn-cpu", "cuda", "cuda:0", "cuda:12", "wgpu",
        ] {
            assert_eq!(text.parse::<DeviceConfig>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_device_is_refused() {
        for text in [
            "",
            "gpu",
            "CPU",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda:01",
            "cuda:N",
            "cuda:99999",
            "wgpu:0",
        ] {
            assert!(text.parse::<DeviceConfig>().is_err(), "{text}");
        }
    }
}
