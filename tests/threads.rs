//! The same bits whatever the number of threads.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Gradients, Tensor};
use burn_sequence::layers::{AttentionConfig, BuildMixer, MambaConfig, MixerConfig, MixerList};
use burn_sequence::models::{Backbone, BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth};
use burn_sequence::ops::{Implementation, WeightLayout, linear};

const D_MODEL: usize = 48;

struct Collect<'a> {
    gradients: &'a Gradients,
    bits: Vec<u32>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.bits.extend(bits(gradient));
        }
    }
}

fn bits<const D: usize>(x: Tensor<D>) -> Vec<u32> {
    x.into_data().iter::<f32>().map(f32::to_bits).collect()
}

fn on<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    pool.install(run)
}

/// What a layer with a feed-forward gives for `x`, and all its gradients, on a pool of so many threads.
fn run(model: &Backbone, x: &Tensor<3>, threads: usize) -> Vec<u32> {
    on(threads, || {
        let x = x.clone().require_grad();
        let (y, _) = model.forward(x.clone(), None, None);
        let gradients = y.clone().square().sum().backward();
        let mut collect = Collect { gradients: &gradients, bits: Vec::new() };
        model.visit(&mut collect);
        let mut all = bits(y);
        all.extend(bits(x.grad(&gradients).expect("a gradient of the input")));
        all.extend(collect.bits);
        all
    })
}

#[test]
fn threads_change_no_bit() {
    let device = Device::default().autodiff();
    // Long enough that every kernel has several tasks.
    let x = Tensor::<3>::random([3, 300, D_MODEL], Distribution::Normal(0.0, 1.0), &device);
    for mut mixer in MixerConfig::defaults(D_MODEL) {
        if let MixerConfig::Parallel(parallel) = &mut mixer {
            parallel.branches = vec![AttentionConfig::new(D_MODEL).into(), MambaConfig::new(D_MODEL).into()];
        }
        let feed_forward = FeedForwardConfig::Mlp(HiddenWidth::default());
        let config: BackboneConfig = BackboneConfig::new(D_MODEL)
            .with_layer(BlockConfig::new(mixer.clone()).with_feed_forward(feed_forward));
        let model = config.init(&device).train();
        let one = run(&model, &x, 1);
        for threads in [2, 5] {
            assert!(one == run(&model, &x, threads), "{threads} threads gave other bits than one: {mixer:?}");
        }
        assert!(one.len() > 2 * 3 * 300 * D_MODEL && mixer.d_model() == D_MODEL);
    }
}

/// Decoding's products: parts of the inputs, and of the outputs.
#[test]
fn threads_change_no_bit_of_a_few_rows() {
    let device = Device::default();
    for [rows, d_input, d_output] in [[1, 1040, 520], [4, 1040, 520], [7, 45, 2100], [20, 384, 1536]] {
        let random = |dims| Tensor::<2>::random(dims, Distribution::Normal(0.0, 1.0), &device);
        let (x, weight) = (random([rows, d_input]), random([d_input, d_output]));
        let product = || {
            let layout = WeightLayout::InputFirst;
            bits(linear(x.clone(), weight.clone(), None, layout, Implementation::Auto))
        };
        let one = on(1, product);
        for threads in [2, 5] {
            assert!(one == on(threads, product), "{threads} threads gave other bits than one: {rows} rows");
        }
    }
}
