//! Every law, over every kind of mixer, with several sets of options, and over hybrids.
//!
//! `BURN_DEVICE` chooses the backend: `BURN_DEVICE=ndarray cargo test --release --features ndarray --test laws`.
#![cfg(feature = "autodiff")]
#![recursion_limit = "256"]

/// One test for each subject and law, so that a failure has the names of both.
macro_rules! subjects {
    ($check:path; $Config:ty; $($name:ident: $config:expr;)+) => {
        subjects!(@all $check; [
            stepping Stepping, splitting Splitting, causality Causality, rows Rows, documents Documents,
            padding Padding, growth Growth, values Values, saving Saving, gradients Gradients, extremes Extremes,
            misuse Misuse,
        ]; $($name: $config;)+);

        /// Every subject, by name.
        pub fn subjects() -> Vec<(&'static str, $Config)> {
            vec![ $( (stringify!($name), $config.into()) ),+ ]
        }
    };
    (@all $check:path; $laws:tt; $($name:ident: $config:expr;)+) => {
        $( subjects!(@one $check; $laws; $name: $config); )+
    };
    (@one $check:path; [$($law:ident $Law:ident,)+]; $name:ident: $config:expr) => {
        mod $name {
            use super::*;

            // A law without a line above does not compile.
            const LAWS: [Law; Law::ALL.len()] = [$( Law::$Law ),+];

            $( #[test] fn $law() { $check(Law::$Law, &$config); } )+

            #[test]
            fn every_law() {
                assert_eq!(LAWS, Law::ALL);
            }
        }
    };
}

#[path = "laws/broken.rs"]
mod broken;
#[path = "laws/hybrids.rs"]
mod hybrids;
#[path = "laws/mixers.rs"]
mod mixers;

use burn_sequence::layers::{MixerConfig, MixerList};
use burn_sequence::testing::Law;

/// The mixer's name in JSON.
fn kind(config: &MixerConfig) -> String {
    let json = serde_json::to_value(config).expect("a configuration is plain data");
    json.as_object().and_then(|object| object.keys().next()).expect("an enum's variant").clone()
}

#[test]
fn every_kind_of_mixer_is_a_subject() {
    let tested: Vec<String> = mixers::subjects().iter().map(|(_, config)| kind(config)).collect();
    for config in MixerConfig::defaults(16) {
        let kind = kind(&config);
        assert!(tested.contains(&kind), "tests/laws/mixers.rs has no line for {kind}");
    }
}

#[test]
fn summary() {
    let (mixers, hybrids, laws) = (mixers::subjects().len(), hybrids::subjects().len(), Law::ALL.len());
    println!("{laws} laws × ({mixers} mixers + {hybrids} hybrids) = {} tests", laws * (mixers + hybrids));
    assert!(mixers >= MixerConfig::defaults(16).len() && hybrids >= 4);
}
