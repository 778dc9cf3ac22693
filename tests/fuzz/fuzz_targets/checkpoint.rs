//! Whatever `config.json` and `model.safetensors` hold, loading ends in a model or an error.
//!
//! An input is `config.json`, a zero byte, and the header of the safetensors file; the numbers after it are zeros, as many as
//! fit into 64 KiB.
#![no_main]

use std::sync::LazyLock;

use burn::tensor::Device;
use burn_sequence::checkpoint;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

const NUMBERS: [u8; 1 << 16] = [0; 1 << 16];

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|&byte| byte == 0).unwrap_or(input.len());
    let header = input.get(end + 1..).unwrap_or_default();
    // The numbers end where the header says that the last tensor does, if it says so plainly.
    let text = String::from_utf8_lossy(header);
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    let len = numbers.filter(|&len: &usize| len <= NUMBERS.len()).max().unwrap_or_default();
    let file = [&(header.len() as u64).to_le_bytes(), header, &NUMBERS[..len]].concat();
    std::fs::write(FOLDER.path().join("config.json"), &input[..end]).expect("room for a file");
    std::fs::write(FOLDER.path().join("model.safetensors"), file).expect("room for a file");
    if let Err(error) = checkpoint::load(FOLDER.path(), &Device::default()) {
        assert!(!error.to_string().is_empty());
    }
});
