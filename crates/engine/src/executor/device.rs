//! Which device trains, and the executor for it.

use std::{fmt, iter};

use ferrotype_core::config::schema::{DeviceConfig, OptimizerConfig};
use ferrotype_core::graph::Graph;

#[cfg(feature = "burn")]
use super::burn::{BurnExecutor, Opened};
use super::{CpuExecutor, Executor};
use crate::error::{EngineError, EngineErrorKind};

/// A device that answered, and that an executor can be made for.
#[derive(Debug, Clone)]
pub struct Device {
    kind: Kind,
    notice: Option<String>,
}

#[derive(Debug, Clone)]
enum Kind {
    Cpu,
    #[cfg(feature = "burn")]
    Burn(Opened),
}

impl Device {
    /// The processor, by our own code.
    pub const CPU: Self = Self {
        kind: Kind::Cpu,
        notice: None,
    };

    /// Finds the device that a configuration asks for, and has it compute something.
    ///
    /// # Errors
    /// The program is built without it, or it is not there or does not work.
    pub fn find(choice: DeviceConfig) -> Result<Self, EngineError> {
        match choice {
            DeviceConfig::Auto => Ok(Self::best()),
            DeviceConfig::Cpu => Ok(Self::CPU),
            DeviceConfig::BurnCpu => processor_by_burn(),
            DeviceConfig::Cuda(number) => cuda(number),
            DeviceConfig::Wgpu => wgpu(),
        }
    }

    /// A GPU if the program is built for one and one answers, else the processor; the notice then
    /// says why.
    fn best() -> Self {
        let mut reasons = Vec::new();
        let cuda = iter::once_with(|| cfg!(feature = "cuda").then(|| cuda(Some(0))));
        // Not a GPU that is imitated by the processor: our own code is faster.
        let wgpu = iter::once_with(|| cfg!(feature = "wgpu").then(real_wgpu));
        for device in cuda.chain(wgpu).flatten() {
            match device {
                Ok(device) => return device,
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Self {
            notice: (!reasons.is_empty()).then(|| {
                format!(
                    "no GPU answers, training on the processor: {}",
                    reasons.join("; ")
                )
            }),
            ..Self::CPU
        }
    }

    /// Whether it is the processor, by our own code.
    pub fn is_native(&self) -> bool {
        matches!(self.kind, Kind::Cpu)
    }

    /// Whether what a step computes lies in a memory of its own.
    pub(crate) fn has_own_memory(&self) -> bool {
        match &self.kind {
            Kind::Cpu => false,
            #[cfg(feature = "burn")]
            Kind::Burn(opened) => opened.has_own_memory(),
        }
    }

    /// As it is written in a configuration.
    pub fn config(&self) -> DeviceConfig {
        match &self.kind {
            Kind::Cpu => DeviceConfig::Cpu,
            #[cfg(feature = "burn")]
            Kind::Burn(opened) => opened.config(),
        }
    }

    /// As it calls itself, where it does.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Cpu => None,
            #[cfg(feature = "burn")]
            Kind::Burn(opened) => opened.name(),
        }
    }

    /// Why it is not the one that was hoped for.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// An executor of `graph` on it, with initial weights drawn from `seed`: the same on all.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn executor(
        &self,
        graph: &Graph,
        optimizer: &OptimizerConfig,
        seed: u64,
    ) -> Result<Box<dyn Executor>, EngineError> {
        match &self.kind {
            Kind::Cpu => Ok(Box::new(CpuExecutor::new(graph, optimizer, seed)?)),
            #[cfg(feature = "burn")]
            Kind::Burn(opened) => Ok(Box::new(BurnExecutor::on(opened, graph, optimizer, seed)?)),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.config()),
            None => write!(f, "{}", self.config()),
        }
    }
}

#[cfg(feature = "burn")]
impl From<Opened> for Device {
    fn from(opened: Opened) -> Self {
        Self {
            kind: Kind::Burn(opened),
            notice: None,
        }
    }
}

#[cfg(feature = "burn")]
fn processor_by_burn() -> Result<Device, EngineError> {
    Opened::flex().map(Device::from)
}

#[cfg(not(feature = "burn"))]
fn processor_by_burn() -> Result<Device, EngineError> {
    Err(not_built(DeviceConfig::BurnCpu, "burn"))
}

#[cfg(feature = "cuda")]
fn cuda(number: Option<usize>) -> Result<Device, EngineError> {
    Opened::cuda(number).map(Device::from)
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: Option<usize>) -> Result<Device, EngineError> {
    Err(not_built(DeviceConfig::Cuda(number), "cuda"))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, EngineError> {
    Opened::wgpu().map(Device::from)
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, EngineError> {
    Err(not_built(DeviceConfig::Wgpu, "wgpu"))
}

#[cfg(feature = "wgpu")]
fn real_wgpu() -> Result<Device, EngineError> {
    Opened::real_wgpu().map(Device::from)
}

#[cfg(not(feature = "wgpu"))]
fn real_wgpu() -> Result<Device, EngineError> {
    wgpu()
}

#[cfg(not(all(feature = "burn", feature = "cuda", feature = "wgpu")))]
fn not_built(device: DeviceConfig, feature: &str) -> EngineError {
    device_error(format!(
        "`train.device` is `{device}`, but this program is built without it"
    ))
    .with_hint(format!(
        "`cargo build --release --features {feature}` builds one with it (docs/gpu.md)"
    ))
}

/// An error of a device.
pub(super) fn device_error(message: impl Into<String>) -> EngineError {
    EngineError::new(EngineErrorKind::Device, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_there_and_has_no_name() {
        let device = Device::find(DeviceConfig::Cpu).unwrap();
        assert!(device.is_native());
        assert_eq!(device.to_string(), "cpu");
        assert_eq!(device.notice(), None);
    }

    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    #[test]
    fn a_build_without_gpus_trains_on_the_processor_and_says_nothing() {
        let device = Device::find(DeviceConfig::Auto).unwrap();
        assert!(device.is_native());
        assert_eq!(device.notice(), None);
    }

    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    #[test]
    fn a_device_that_is_not_built_in_says_how_to_build_it() {
        for (choice, feature) in [
            (DeviceConfig::Cuda(Some(1)), "cuda"),
            (DeviceConfig::Cuda(None), "cuda"),
            (DeviceConfig::Wgpu, "wgpu"),
        ] {
            let error = Device::find(choice).unwrap_err();
            assert_eq!(error.kind(), EngineErrorKind::Device);
            assert!(
                error.to_string().contains(&format!("`{choice}`")),
                "{error}"
            );
            let hint = error.hint().unwrap();
            assert!(hint.contains(&format!("--features {feature}")), "{hint}");
        }
    }

    #[cfg(feature = "burn")]
    #[test]
    fn burn_on_the_processor_answers() {
        let device = Device::find(DeviceConfig::BurnCpu).unwrap();
        assert!(!device.is_native() && !device.has_own_memory());
        assert_eq!(device.to_string(), "burn-cpu");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_gpu_that_is_not_there_is_an_error_with_a_hint() {
        let error = Device::find(DeviceConfig::Cuda(Some(999))).unwrap_err();
        assert_eq!(error.kind(), EngineErrorKind::Device);
        assert!(error.hint().is_some());
    }
}
