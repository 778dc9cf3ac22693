#![recursion_limit = "256"]
use burn::tensor::Device;
use burn_sequence::evaluation::*;
use burn_sequence::layers::*;
use burn_sequence::models::*;
use burn_sequence::ops::*;
use burn_sequence::tasks::*;
use burn_sequence::training::*;
use std::ops::ControlFlow;

struct Print;
impl Observer for Print {
    fn on_step(&mut self, r: &StepReport) -> ControlFlow<()> {
        if r.step % 50 == 0 || r.step == 5 {
            println!(
                "{} loss {:.3} acc {:.3} gnorm {:.2} {:.1} ms/step",
                r.step,
                r.loss,
                r.accuracy,
                r.gradient_norm,
                r.elapsed.as_secs_f64() * 1e3 / r.step as f64
            );
        }
        ControlFlow::Continue(())
    }
    fn on_evaluation(&mut self, p: &CurvePoint) {
        println!("  eval {p:?}");
    }
}

fn main() {
    let kind = std::env::args().nth(1).unwrap();
    let steps: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let d = 128;
    let mlp = || FeedForwardConfig::Mlp(HiddenWidth { d_hidden: None });
    let attn = |p: Position| {
        BlockConfig::<MixerConfig>::new(AttentionConfig::new(d).with_position(p)).with_feed_forward(mlp())
    };
    let hard = || Position::HardAlibi(HardAlibi { windows: vec![1, 2, 3, 4, 5, 6] });
    let b = BackboneConfig::new(d);
    let b = match kind.as_str() {
        "hard" => b.with_layer(attn(hard())).with_layer(attn(hard())),
        "rope" => b
            .with_layer(attn(Position::Rope(Rope::default())))
            .with_layer(attn(Position::Rope(Rope::default()))),
        "mamba" => (0..4).fold(b, |b, _| b.with_layer(BlockConfig::new(MambaConfig::new(d)))),
        "mamba2" => (0..4).fold(b, |b, _| b.with_layer(BlockConfig::new(Mamba2Config::for_width(d)))),
        "linear" => (0..2).fold(b, |b, _| {
            b.with_layer(BlockConfig::new(LinearAttentionConfig::new(d)).with_feed_forward(mlp()))
        }),
        "lstm" => (0..3).fold(b, |b, _| b.with_layer(BlockConfig::new(LstmConfig::new(d)))),
        "hybrid" => b
            .with_layer(attn(hard()))
            .with_layer(BlockConfig::new(AttentionConfig::new(d).with_position(hard())))
            .with_layer(BlockConfig::new(Mamba2Config::for_width(d))),
        _ => panic!(),
    };
    let device = Device::default();
    device.seed(0);
    let config = LanguageModelConfig::new(30, b);
    let model = config.init(&device.clone().autodiff());
    println!("{kind}: {} parameters", burn::module::Module::num_params(&model));
    let task = Copying::new(5..=16);
    let cfg = TrainingConfig::new(steps).with_evaluate_every(250);
    let out = fit(model, &task, &cfg, &mut Print).unwrap();
    for (l, a) in accuracy_by_length(&out.model, &task, &[16, 24, 32, 64, 128], 256, 9) {
        println!("{l}: {:.3} {:.3}", a.string, a.char);
    }
}
