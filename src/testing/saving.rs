//! Parameters and configurations survive files.

use super::outcome::Outputs;
use super::subject::{Recipe, Subject};
use super::trial::{Trial, alone};
use crate::models::Draw;
use burn::module::Module;
use burn::tensor::Tensor;

pub(super) fn saving<R: Recipe>(trial: &mut Trial<R::Subject>, recipe: &R) {
    let (x, after) = (trial.tokens(2, 9).detach(), trial.tokens(2, 3).detach());
    let expected = outputs(&trial.subject, &x, &after);
    let same = |name: &str, subject: &R::Subject, x: &Tensor<3>, after: &Tensor<3>| {
        trial.assert(outputs(subject, x, after) == expected, || format!("{name} gives other outputs"));
    };

    let json = serde_json::to_string(recipe).expect("a configuration is plain data");
    let reread: R = serde_json::from_str(&json).unwrap_or_else(|problem| panic!("{json}: {problem}"));
    trial.assert(&reread == recipe, || format!("{recipe:?} became {reread:?} on its way through {json}"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("parameters.bpk");
    trial.subject.clone().save_file(&path).expect("the parameters can be saved");
    // Parameters are drawn when they are first read.
    let fresh = alone(|| {
        let fresh = reread.build(&trial.device);
        fresh.visit(&mut Draw);
        fresh
    });
    let differs = fresh.num_params() == 0 || outputs(&fresh, &x, &after) != expected;
    trial.assert(differs, || "outputs do not depend on parameters".into());
    same("a loaded module", &fresh.load_file(&path), &x, &after);
    same("a moved module", &trial.subject.clone().to_device(&trial.device), &x, &after);
    let plain = trial.device.clone().inner();
    let (x, after) = (x.to_device(&plain), after.to_device(&plain));
    same("a module without gradients", &trial.subject.valid(), &x, &after);
}

fn outputs<S: Subject>(subject: &S, x: &Tensor<3>, after: &Tensor<3>) -> Vec<Vec<f32>> {
    let mut outputs = Outputs::default();
    let (y, mut state) = subject.forward(x.clone(), None, None);
    outputs.push("outputs", y);
    for t in 0..after.dims()[1] {
        let (y, after) = subject.step(after.clone().narrow(1, t, 1).squeeze_dim(1), state);
        outputs.push("going on", y.unsqueeze_dim(1));
        state = after;
    }
    outputs.into_values()
}
