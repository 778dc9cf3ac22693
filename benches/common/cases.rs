//! The mixers that are timed.

use burn_sequence::layers::{BuildMixer, MixerConfig, MixerList};

/// Width of the models.
pub const D_MODEL: usize = 128;

/// Every mixer of the list with its options at their defaults, and its name.
pub fn mixers() -> impl Iterator<Item = (String, MixerConfig)> {
    // `parallel` has no branches by default.
    let configs = MixerConfig::defaults(D_MODEL).into_iter().filter(|config| config.check().is_ok());
    configs.map(|config| (name(&config), config))
}

fn name(config: &MixerConfig) -> String {
    // A configuration is an object whose one key is the mixer's name.
    let json = serde_json::to_value(config).expect("a configuration is data");
    json.as_object().and_then(|object| object.keys().next().cloned()).expect("an object with one key")
}
