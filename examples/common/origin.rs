//! Where a record was made.

use std::process::Command;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// By which code on which machine; what older records do not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Of the backend, one or several.
    pub device: String,
    /// And how many threads there are.
    pub processor: String,
    /// The commit that is checked out, when this runs, where it was built, `-dirty` if that was changed; empty without git.
    pub revision: String,
}

impl Origin {
    /// This machine, this code.
    pub fn here(device: String) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { device, processor: format!("{}, {threads} threads", processor()), revision: revision() }
    }
}

/// What a device is called in records.
pub fn called(device: &Device) -> String {
    format!("{device:?}").trim_start_matches("Device<").trim_end_matches('>').into()
}

#[cfg(target_arch = "x86_64")]
fn processor() -> String {
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string();
    brand.map_or_else(|| std::env::consts::ARCH.into(), |brand| brand.as_str().trim().into())
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> String {
    std::env::consts::ARCH.into()
}

fn revision() -> String {
    let mut describe = Command::new("git");
    describe.args(["--no-optional-locks", "-C", env!("CARGO_MANIFEST_DIR")]);
    describe.args(["describe", "--always", "--dirty", "--exclude=*"]);
    let said = describe.output().ok().filter(|said| said.status.success());
    said.map_or_else(String::new, |said| String::from_utf8_lossy(&said.stdout).trim().into())
}
