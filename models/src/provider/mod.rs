//! What may compute a model beside the processor, what is it called, and how is a session
//! told? Which of them an ONNX Runtime has is a question to the library that was loaded.

mod choose;
mod towers;

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProvider};
use ort::session::builder::SessionBuilder;

pub use self::towers::Provided;

/// An execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// The processor. Every library has it.
    #[default]
    Cpu,
    /// Graphics processors of Nvidia.
    Cuda,
    /// The same by engines that TensorRT builds of a graph.
    TensorRt,
    /// Apple's.
    CoreMl,
    /// Whatever DirectX knows, on Windows.
    DirectMl,
    /// Intel's.
    OpenVino,
}

impl Provider {
    /// All, in the order of their names in messages.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::Cuda, Self::TensorRt, Self::CoreMl, Self::DirectMl, Self::OpenVino];

    /// Those that are tried if none is named. Not TensorRT: it builds an engine for each
    /// shape of input, which takes minutes, and a choice would be over before that.
    pub const AUTO: [Self; 4] = [Self::Cuda, Self::CoreMl, Self::DirectMl, Self::OpenVino];

    /// Its name, as the option has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
            Self::OpenVino => "openvino",
        }
    }

    /// Whether the library that was loaded was built with it, which does not say that it
    /// works on this machine. No library may be asked before one is loaded.
    pub(crate) fn is_in_the_library(self) -> bool {
        let found = match self {
            Self::Cpu => Ok(true),
            Self::Cuda => ep::CUDA::is_available(),
            Self::TensorRt => ep::TensorRT::is_available(),
            Self::CoreMl => ep::CoreML::is_available(),
            Self::DirectMl => ep::DirectML::is_available(),
            Self::OpenVino => ep::OpenVINO::is_available(),
        };
        found.unwrap_or(false)
    }

    /// Has sessions computed by it; what it cannot compute, the processor does.
    pub(crate) fn register(self, builder: SessionBuilder) -> Result<SessionBuilder, ort::Error> {
        // Sums are to be those of 32-bit floats, which Nvidia's would shorten by themselves.
        let cuda = || ep::CUDA::default().with_tf32(false).build().error_on_failure();
        let providers = match self {
            Self::Cpu => return Ok(builder),
            Self::Cuda => vec![cuda()],
            Self::TensorRt => vec![ep::TensorRT::default().build().error_on_failure(), cuda()],
            Self::CoreMl => vec![ep::CoreML::default().build().error_on_failure()],
            Self::DirectMl => vec![ep::DirectML::default().build().error_on_failure()],
            Self::OpenVino => vec![ep::OpenVINO::default().build().error_on_failure()],
        };
        // As DirectML's documentation asks for.
        let builder = match self {
            Self::DirectMl => builder.with_memory_pattern(false)?,
            _ => builder,
        };
        Ok(builder.with_execution_providers(providers)?)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
            Self::CoreMl => "CoreML",
            Self::DirectMl => "DirectML",
            Self::OpenVino => "OpenVINO",
        })
    }
}

/// What is to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderChoice {
    /// The fastest of [`Provider::AUTO`] and the processor that gives the right answers.
    Auto,
    /// This one, if it works.
    Only(Provider),
}

impl Default for ProviderChoice {
    fn default() -> Self {
        Self::Only(Provider::Cpu)
    }
}

impl fmt::Display for ProviderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(provider) => f.write_str(provider.name()),
        }
    }
}

impl FromStr for ProviderChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_ascii_lowercase();
        if wanted == "auto" {
            return Ok(Self::Auto);
        }
        let named = Provider::ALL.into_iter().find(|provider| provider.name() == wanted);
        named.map(Self::Only).ok_or_else(|| {
            let names = Provider::ALL.map(Provider::name).join(", ");
            format!("expected auto or one of {names}, got {text:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_read_by_its_name() {
        for provider in Provider::ALL {
            let choice = ProviderChoice::Only(provider);
            assert_eq!(provider.name().parse(), Ok(choice));
            assert_eq!(provider.to_string().parse(), Ok(choice), "as messages have it");
            assert_eq!(choice.to_string(), provider.name());
        }
        assert_eq!(" AUTO".parse(), Ok(ProviderChoice::Auto));
        let error = "gpu".parse::<ProviderChoice>().expect_err("no such provider");
        assert!(error.contains("cuda, tensorrt") && error.contains("\"gpu\""), "{error}");
    }
}
