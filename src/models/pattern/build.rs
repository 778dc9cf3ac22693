//! The tree of a pattern to a configuration.

use super::cursor::{Cursor, error};
use super::grammar::{Item, Mixer, pattern};
use super::kinds::Kinds;
use super::values::Call;
use crate::Result;
use crate::check::check_sizes;
use crate::layers::MixerList;
use crate::models::{BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LayerConfig, Residual};

/// Layers of a pattern with its repeats written out, at most.
const MAX_LAYERS: usize = 10_000;
/// Bytes of a pattern with its repeats written out, at most: bounds what few characters can make us allocate.
const MAX_LEN: usize = 1_000_000;

/// What the names in a pattern stand for, at one width.
pub(super) struct Names<C> {
    pub mixers: Kinds<C>,
    pub feed_forwards: Kinds<FeedForwardConfig>,
}

impl<C: MixerList> Names<C> {
    pub fn new(d_model: usize) -> Self {
        let width = HiddenWidth::default;
        let kinds = [
            FeedForwardConfig::Mlp,
            FeedForwardConfig::ReluMlp,
            FeedForwardConfig::Swiglu,
            FeedForwardConfig::Geglu,
        ];
        let feed_forwards = kinds.map(|kind| kind(width()));
        Self {
            mixers: Kinds::new("mixer", &C::defaults(d_model)),
            feed_forwards: Kinds::new("feed-forward", &feed_forwards),
        }
    }
}

/// Reads the backbone that a pattern describes.
pub(super) fn backbone<C: MixerList>(text: &str, d_model: usize) -> Result<BackboneConfig<C>> {
    if text.len() > MAX_LEN {
        return Err(error(text, 0, format!("longer than {MAX_LEN} bytes")));
    }
    check_sizes("pattern", &[("d_model", d_model)])?;
    let items = pattern(&mut Cursor::new(text))?;
    let mut builder = Builder { text, d_model, names: Names::new(d_model), layers: Vec::new(), len: 0 };
    builder.items(&items)?;
    let config = BackboneConfig { layers: builder.layers, ..BackboneConfig::new(d_model) };
    config.check()?;
    Ok(config)
}

struct Builder<'a, C> {
    text: &'a str,
    d_model: usize,
    names: Names<C>,
    layers: Vec<LayerConfig<C>>,
    len: usize,
}

impl<C: MixerList> Builder<'_, C> {
    fn items(&mut self, items: &[Item]) -> Result<()> {
        for item in items {
            match item {
                Item::Layer { mixer, feed_forward, norm_placement, text_len } => {
                    let at = mixer.at();
                    self.grow(at, 1, *text_len)?;
                    let block = self.block(mixer, feed_forward.as_ref())?;
                    self.layers.push(LayerConfig::Block(block.with_norm_placement(*norm_placement)));
                }
                Item::Shared { at, layer } => {
                    self.grow(*at, 1, 1)?;
                    let own = self.layers.len() + 1;
                    if *layer >= own {
                        let problem =
                            format!("layer {own} cannot share with layer {layer}, which is not earlier");
                        return Err(error(self.text, *at, problem));
                    }
                    self.layers.push(LayerConfig::Shared(layer - 1));
                }
                Item::Repeat { at, count, items } => {
                    let (start, len) = (self.layers.len(), self.len);
                    self.items(items)?;
                    let (again, end) = (count - 1, self.layers.len());
                    let (layers, len) =
                        (again.saturating_mul(end - start), again.saturating_mul(self.len - len));
                    self.grow(*at, layers, len)?;
                    for _ in 0..again {
                        self.layers.extend_from_within(start..end);
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes sure that there is room for this many layers more, of this many bytes.
    fn grow(&mut self, at: usize, layers: usize, len: usize) -> Result<()> {
        self.len = self.len.saturating_add(len);
        let layers = self.layers.len().saturating_add(layers);
        let problem = if layers > MAX_LAYERS {
            format!("more than {MAX_LAYERS} layers")
        } else if self.len > MAX_LEN {
            format!("longer than {MAX_LEN} bytes with the repeats written out")
        } else {
            return Ok(());
        };
        Err(error(self.text, at, problem))
    }

    fn block(&self, mixer: &Mixer, feed_forward: Option<&(Residual, Call)>) -> Result<BlockConfig<C>> {
        let mixer = self.mixer(mixer)?;
        let Some((residual, call)) = feed_forward else { return Ok(BlockConfig::new(mixer)) };
        let feed_forward = self.names.feed_forwards.read(self.text, call)?;
        feed_forward.check().map_err(|problem| error(self.text, call.at, problem))?;
        Ok(BlockConfig::new(mixer).with_feed_forward(feed_forward).with_residual(*residual))
    }

    fn mixer(&self, mixer: &Mixer) -> Result<C> {
        let Self { text, d_model, names, .. } = self;
        let config = match mixer {
            Mixer::One(call) => names.mixers.read(text, call)?,
            Mixer::Parallel { at, .. } if !names.mixers.has_parallel() => {
                return Err(error(text, *at, "this list of mixers has no kind `parallel`"));
            }
            Mixer::Parallel { at, branches } => {
                let branches =
                    branches.iter().map(|branch| self.mixer(branch)).collect::<Result<Vec<_>>>()?;
                names.mixers.parallel(&branches).map_err(|problem| error(text, *at, problem))?
            }
        };
        config.check().map_err(|problem| error(text, mixer.at(), problem))?;
        if config.d_model() != *d_model {
            let problem = format!("d_model is {}, expected {d_model}", config.d_model());
            return Err(error(text, mixer.at(), problem));
        }
        Ok(config)
    }
}

impl Mixer {
    /// Where it is named, or its first `|`.
    fn at(&self) -> usize {
        match self {
            Self::One(call) => call.at,
            Self::Parallel { at, .. } => *at,
        }
    }
}
