//! A configuration to the text of a pattern.

use serde_json::Value;

use super::build::Names;
use super::fold::{Layer, fold};
use super::kinds::json;
use crate::layers::MixerList;
use crate::models::{BackboneConfig, BlockConfig, LayerConfig, NormPlacement, Residual};

/// The pattern of a backbone.
pub(super) fn backbone<C: MixerList>(config: &BackboneConfig<C>) -> String {
    let names = Names::new(config.d_model);
    let layers: Vec<_> = config.layers.iter().map(|layer| names.layer(layer)).collect();
    fold(&layers)
}

impl<C: MixerList> Names<C> {
    fn layer(&self, layer: &LayerConfig<C>) -> Layer {
        match layer {
            LayerConfig::Block(block) => self.block(block),
            LayerConfig::Shared(earlier) => Layer::simple(format!("@{}", earlier + 1)),
        }
    }

    fn block(&self, block: &BlockConfig<C>) -> Layer {
        let mixer = self.mixer(&json(&block.mixer));
        let mixer = match block.norm_placement {
            NormPlacement::Before => mixer,
            NormPlacement::After => Layer::simple(format!("~{}", mixer.grouped())),
        };
        let Some(feed_forward) = &block.feed_forward else { return mixer };
        let sign = match block.residual {
            Residual::Sequential => '+',
            Residual::Parallel => '&',
        };
        Layer::compound(format!(
            "{} {sign} {}",
            mixer.grouped(),
            self.feed_forwards.text(&json(feed_forward))
        ))
    }

    fn mixer(&self, config: &Value) -> Layer {
        match self.mixers.branches(config) {
            None => Layer::simple(self.mixers.text(config)),
            Some(branches) => {
                let branches: Vec<_> = branches.iter().map(|branch| self.mixer(branch).grouped()).collect();
                Layer::compound(branches.join(" | "))
            }
        }
    }
}
