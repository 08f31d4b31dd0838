//! The devices that Burn knows, opened with care: what it answers with a panic becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use ferrotype_core::config::schema::DeviceConfig;

use super::tensors::{from_values, into_values};
use crate::error::EngineError;
use crate::executor::device::device_error;

/// A device of Burn's that has computed something.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    device: Device,
    config: DeviceConfig,
    name: Option<String>,
}

impl Opened {
    /// The processor.
    pub(crate) fn flex() -> Result<Self, EngineError> {
        Self::checked(DeviceConfig::BurnCpu, || (Device::flex(), None))
    }

    /// An NVIDIA GPU by its number, or the first. Errors name it as it was asked for.
    ///
    /// # Errors
    /// There is none of that number, or it does not compute.
    #[cfg(feature = "cuda")]
    pub(crate) fn cuda(number: Option<usize>) -> Result<Self, EngineError> {
        use burn::tensor::DeviceType;

        const HINT: &str = "`nvidia-smi` lists the GPUs that the driver sees; in a container it has to be passed on (`--gpus all`)";
        let asked = DeviceConfig::Cuda(number);
        let number = number.unwrap_or_default();
        let there = quietly(|| Device::enumerate(DeviceType::Cuda).len())
            .map_err(|problem| cannot_use(asked, &problem).with_hint(HINT))?;
        match there {
            0 => Err(device_error("there is no NVIDIA GPU, or no driver for it").with_hint(HINT)),
            _ if number >= there => Err(device_error(format!(
                "there is no GPU `{asked}`: there {} numbered from 0",
                if there == 1 {
                    "is 1,".into()
                } else {
                    format!("are {there},")
                }
            ))
            .with_hint(HINT)),
            _ => {
                let opened = Self::checked(asked, || {
                    let device = Device::cuda(number);
                    let name = device.identity().map(|identity| identity.name);
                    (device, name)
                })?;
                // A run keeps which one it was.
                Ok(Self {
                    config: DeviceConfig::Cuda(Some(number)),
                    ..opened
                })
            }
        }
    }

    /// The GPU that the system's graphics interface says is best, be it one that the processor
    /// imitates.
    ///
    /// # Errors
    /// There is none, or it does not compute.
    #[cfg(feature = "wgpu")]
    pub(crate) fn wgpu() -> Result<Self, EngineError> {
        use burn::tensor::{DeviceKind, DeviceType};

        let there = quietly(|| Device::enumerate(DeviceType::Wgpu).len())
            .map_err(|problem| cannot_use(DeviceConfig::Wgpu, &problem))?;
        if there == 0 {
            return Err(device_error("no GPU answers by Vulkan, Metal or DirectX 12")
                .with_hint("on Linux `vulkaninfo --summary` lists what answers; the GPU's Vulkan driver has to be installed"));
        }
        Self::checked(DeviceConfig::Wgpu, || {
            let device = Device::wgpu(DeviceKind::DefaultDevice);
            let name = device.identity().map(|identity| identity.name);
            (device, name)
        })
    }

    /// As [`Opened::wgpu`], and not one that the processor imitates.
    ///
    /// # Errors
    /// There is none, or it does not compute.
    #[cfg(feature = "wgpu")]
    pub(crate) fn real_wgpu() -> Result<Self, EngineError> {
        let opened = Self::wgpu()?;
        let is_card = quietly(|| {
            let identity = opened.device.identity();
            identity.is_some_and(|identity| identity.physical.is_some())
        });
        match is_card {
            Ok(true) => Ok(opened),
            _ => Err(device_error(format!(
                "`{}` is no GPU",
                opened.name().unwrap_or_default()
            ))),
        }
    }

    /// Opens a device and has it add two numbers.
    fn checked(
        config: DeviceConfig,
        open: impl FnOnce() -> (Device, Option<String>),
    ) -> Result<Self, EngineError> {
        let answer = quietly(|| {
            let (device, name) = open();
            let numbers: Tensor<1> = from_values(vec![1.0, 2.0], [2], &device);
            into_values(numbers + 1.0).map(|sum| (device, name, sum))
        });
        match answer {
            Ok(Ok((device, name, sum))) if sum == [2.0, 3.0] => Ok(Self {
                device,
                config,
                name,
            }),
            Ok(Ok(_)) => Err(cannot_use(config, "it adds wrongly")),
            Ok(Err(error)) => Err(cannot_use(config, &error.to_string())),
            Err(problem) => Err(cannot_use(config, &problem)),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn config(&self) -> DeviceConfig {
        self.config
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it computes in a memory of its own.
    pub(crate) fn has_own_memory(&self) -> bool {
        self.config != DeviceConfig::BurnCpu
    }
}

fn cannot_use(config: DeviceConfig, problem: &str) -> EngineError {
    device_error(format!("`{config}` cannot be used: {problem}"))
        .with_hint("`train.device=cpu` trains on the processor")
}

/// What `work` gives, or what it panicked with.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("it panicked").trim().to_string()
    })
}

/// As [`caught`], and the panic's message is not printed: a driver that is not there is no
/// failure of the program.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // The hook belongs to the process: one at a time.
    static HOOK: Mutex<()> = Mutex::new(());
    let _one = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = caught(work);
    std::panic::set_hook(hook);
    result
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    caught(work)
}
