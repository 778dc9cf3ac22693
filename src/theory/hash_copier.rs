//! A transformer of two layers that copies, its weights written down rather than learnt.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use crate::layers::{Attention, AttentionConfig, Mixer};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForward, FeedForwardConfig, HiddenWidth, LanguageModel,
    LanguageModelConfig, NormConfig,
};
use crate::ops::{HardAlibi, Position};
use crate::tasks::vocabulary::{BOS, EOS, LETTERS, SIZE};
use crate::{Error, Result};

/// The explicit copier: a transformer of width `O(n log D)` that copies every string over D letters in which no n-gram
/// occurs twice, of whatever length.
///
/// It reads `$x|` and says `x.`, in the tokens of [`vocabulary`](crate::tasks::vocabulary). A token's code has a bit ±1 for
/// each of `b = ⌈log₂ D⌉` digits of its letter (0 for a marker), a flag F, −1 for letters and 1 for markers, and a bit for
/// `$`.
///
/// 1. Attention without queries and keys, head m in a window of m tokens, has the means `μ_m` of the last codes; the output
///    projection makes of them the code at offset o: `e_o = (o + 1) μ_{o+1} − o μ_o`.
/// 2. A ReLU layer keeps the codes up to the last marker: `z_o = relu(e_o − g_o) − relu(−e_o − g_o)`, where `g_o` counts the
///    markers in between: those at offsets below o for the query (o = 0 … n − 1), at offsets 1 to o − 1 and `$` itself for
///    the key (o = 1 … n).
/// 3. Attention of one head without positions compares the last n codes with those before every earlier token, and takes
///    that token: score `β ⟨z^Q, z^K⟩`. The head says the letter of that code, or `.` where it is a marker.
///
/// A uniform string has a repeated n-gram with a chance below `L² D⁻ⁿ` ([`repeat_bound`](super::repeat_bound)); in such a
/// string the copier may go on after the wrong occurrence.
///
/// ```
/// use burn::tensor::Device;
/// use burn_sequence::evaluation::accuracy;
/// use burn_sequence::{tasks::Copying, theory::HashCopier};
///
/// let model = HashCopier::new(26, 6)?.init(&Device::default());
/// assert_eq!(accuracy(&model, &Copying::new(1..=9), 50, 20, 0).string, 1.0);
/// # Ok::<(), burn_sequence::Error>(())
/// ```
///
/// # Source
///
/// arXiv 2402.01032, theorem 2.3 and lemma 2.4; the weights are this crate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCopier {
    alphabet: usize,
    n: usize,
}

/// How sharply the last layer chooses: a code that differs in one digit, by 2, weighs e^−2β less, one with a digit erased
/// e^−β.
const SHARPNESS: f64 = 20.0;

/// A key of so many letters never comes again; the matrices grow with its square.
const LONGEST_KEY: usize = 1000;

impl HashCopier {
    /// For the first `alphabet` letters, with keys of `n` of them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] unless `alphabet` is between 2 and 26 and `n` between 1 and 1,000.
    pub fn new(alphabet: usize, n: usize) -> Result<Self> {
        if !(2..=LETTERS as usize).contains(&alphabet) {
            return Err(Error::Config(format!("hash copier: alphabet must be 2 to 26, got {alphabet}")));
        }
        if !(1..=LONGEST_KEY).contains(&n) {
            return Err(Error::Config(format!("hash copier: n must be 1 to {LONGEST_KEY}, got {n}")));
        }
        Ok(Self { alphabet, n })
    }

    /// Digits of a letter's code.
    fn bits(self) -> usize {
        (usize::BITS - (self.alphabet - 1).leading_zeros()) as usize
    }

    /// Digits and flag.
    fn code(self) -> usize {
        self.bits() + 1
    }

    /// The architecture.
    pub fn config(self) -> LanguageModelConfig {
        let (place, n) = (Places { code: self.code(), n: self.n }, self.n);
        let d_model = place.width();
        let read = AttentionConfig::new(d_model)
            .with_n_heads(n + 1)
            .with_head_dim(Some(place.code))
            .with_position(Position::HardAlibi(HardAlibi { windows: (1..=n + 1).collect() }));
        let find = AttentionConfig::new(d_model)
            .with_n_heads(1)
            .with_head_dim(Some(n * place.code))
            .with_position(Position::Nope);
        let mask = FeedForwardConfig::ReluMlp(HiddenWidth { d_hidden: Some(4 * n * place.code) });
        let backbone = BackboneConfig::new(d_model)
            .with_norm(NormConfig::None)
            .with_layer(BlockConfig::new(read).with_feed_forward(mask))
            .with_layer(BlockConfig::new(find));
        LanguageModelConfig::new(SIZE, backbone)
    }

    /// The model.
    pub fn init(self, device: &Device) -> LanguageModel {
        let mut model = self.config().init(device);
        let place = Places { code: self.code(), n: self.n };
        let set = |weight: &mut Param<Tensor<2>>, matrix: Matrix| {
            *weight = Param::from_tensor(matrix.tensor(device));
        };
        set(&mut model.embedding.weight, self.codes(place));
        let [first, second] = &mut model.backbone.blocks[..] else { unreachable!("two layers") };
        self.read(place, attention(&mut first.mixer), set);
        let Some(FeedForward::ReluMlp(mask)) = &mut first.feed_forward else { unreachable!("a ReLU") };
        let bias = self.mask(place, &mut mask.up_proj, &mut mask.down_proj, set);
        mask.up_proj.bias = Some(Param::from_tensor(Tensor::from_data(&bias[..], device)));
        self.find(place, attention(&mut second.mixer), set);
        let head = model.head.as_mut().expect("a head of its own");
        set(&mut head.weight, self.say(place));
        model
    }

    /// Every token's code: the embedding.
    fn codes(self, place: Places) -> Matrix {
        let mut codes = Matrix::zeros(SIZE, place.width());
        for token in 0..SIZE {
            let letter = token < self.alphabet;
            codes.set(token, place.own(self.bits()), if letter { -1.0 } else { 1.0 });
            for digit in (0..self.bits()).filter(|_| letter) {
                codes.set(token, place.own(digit), if token >> digit & 1 == 1 { 1.0 } else { -1.0 });
            }
        }
        codes.set(BOS as usize, place.begin(), 1.0);
        codes
    }

    /// Layer 1: the codes at offsets 0 to n, from the means.
    fn read(self, place: Places, layer: &mut Attention, set: impl Fn(&mut Param<Tensor<2>>, Matrix)) {
        let Places { code, n } = place;
        let (width, heads) = (place.width(), (n + 1) * code);
        let (mut values, mut output) = (Matrix::zeros(width, heads), Matrix::zeros(heads, width));
        for head in 0..=n {
            for digit in 0..code {
                values.set(place.own(digit), head * code + digit, 1.0);
                // (o + 1) μ_{o+1} − o μ_o, where head o has μ_{o+1}.
                output.set(head * code + digit, place.at(head, digit), (head + 1) as f32);
                if head < n {
                    output.set(head * code + digit, place.at(head + 1, digit), -((head + 1) as f32));
                }
            }
        }
        set(&mut layer.q_proj.weight, Matrix::zeros(width, heads));
        set(&mut layer.k_proj.weight, Matrix::zeros(width, heads));
        set(&mut layer.v_proj.weight, values);
        set(&mut layer.o_proj.weight, output);
    }

    /// The ReLU layer: nothing beyond a marker. Sets the weights and returns the bias.
    fn mask(
        self,
        place: Places,
        up: &mut Linear,
        down: &mut Linear,
        set: impl Fn(&mut Param<Tensor<2>>, Matrix),
    ) -> Vec<f32> {
        let Places { code, n } = place;
        let hidden = 4 * n * code;
        let (mut above, mut below) =
            (Matrix::zeros(place.width(), hidden), Matrix::zeros(hidden, place.width()));
        let mut bias = vec![0.0; hidden];
        let flag = self.bits();
        let mut unit = 0;
        for key in [false, true] {
            for index in 0..n {
                let offset = index + usize::from(key);
                for digit in 0..code {
                    for sign in [1.0, -1.0] {
                        above.add(place.at(offset, digit), unit, sign);
                        for between in usize::from(key)..offset {
                            // −(F + 1) / 2
                            above.add(place.at(between, flag), unit, -0.5);
                            bias[unit] -= 0.5;
                        }
                        if key {
                            above.add(place.begin(), unit, -1.0);
                        }
                        below.set(unit, place.kept(key, index, digit), sign);
                        unit += 1;
                    }
                }
            }
        }
        set(&mut up.weight, above);
        set(&mut down.weight, below);
        bias
    }

    /// Layer 2: the token whose past is like the present.
    fn find(self, place: Places, layer: &mut Attention, set: impl Fn(&mut Param<Tensor<2>>, Matrix)) {
        let Places { code, n } = place;
        let (width, head_dim) = (place.width(), n * code);
        let [mut queries, mut keys, mut values] = [(); 3].map(|()| Matrix::zeros(width, head_dim));
        let mut output = Matrix::zeros(head_dim, width);
        // Attention divides by this root.
        let scale = (SHARPNESS * (head_dim as f64).sqrt()) as f32;
        for index in 0..n {
            for digit in 0..code {
                queries.set(place.kept(false, index, digit), index * code + digit, scale);
                keys.set(place.kept(true, index, digit), index * code + digit, 1.0);
            }
        }
        for digit in 0..code {
            values.set(place.own(digit), digit, 1.0);
            output.set(digit, place.found(digit), 1.0);
        }
        set(&mut layer.q_proj.weight, queries);
        set(&mut layer.k_proj.weight, keys);
        set(&mut layer.v_proj.weight, values);
        set(&mut layer.o_proj.weight, output);
    }

    /// The head: ⟨digits found, digits of the letter⟩, and `.` for a marker.
    fn say(self, place: Places) -> Matrix {
        let codes = self.codes(place);
        let mut head = Matrix::zeros(place.width(), SIZE);
        for letter in 0..self.alphabet {
            for digit in 0..self.bits() {
                head.set(place.found(digit), letter, codes.get(letter, place.own(digit)));
            }
        }
        head.set(place.found(self.bits()), EOS as usize, place.code as f32);
        head
    }
}

fn attention(mixer: &mut Mixer) -> &mut Attention {
    match mixer {
        Mixer::Attention(attention) => attention,
        _ => unreachable!("layers of attention"),
    }
}

/// Where everything stands in the residual stream.
#[derive(Clone, Copy)]
struct Places {
    code: usize,
    n: usize,
}

impl Places {
    /// The token's own code.
    fn own(self, digit: usize) -> usize {
        digit
    }

    /// Whether the token is `$`.
    fn begin(self) -> usize {
        self.code
    }

    /// `e_o`, o = 0 … n.
    fn at(self, offset: usize, digit: usize) -> usize {
        self.code + 1 + offset * self.code + digit
    }

    /// `z`, of the query or of the key.
    fn kept(self, key: bool, index: usize, digit: usize) -> usize {
        self.at(self.n + 1 + usize::from(key) * self.n + index, digit)
    }

    /// What the last layer takes.
    fn found(self, digit: usize) -> usize {
        self.at(3 * self.n + 1, digit)
    }

    fn width(self) -> usize {
        self.found(self.code)
    }
}

/// A matrix written place by place.
struct Matrix {
    values: Vec<f32>,
    shape: [usize; 2],
}

impl Matrix {
    fn zeros(rows: usize, columns: usize) -> Self {
        Self { values: vec![0.0; rows * columns], shape: [rows, columns] }
    }

    fn get(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.shape[1] + column]
    }

    fn set(&mut self, row: usize, column: usize, value: f32) {
        self.values[row * self.shape[1] + column] = value;
    }

    fn add(&mut self, row: usize, column: usize, value: f32) {
        self.set(row, column, self.get(row, column) + value);
    }

    fn tensor(self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.values, self.shape), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{accuracy, accuracy_of_each};
    use crate::generation::GenerateOptions;
    use crate::tasks::{Copying, vocabulary};
    use crate::theory::repeats;

    #[test]
    fn copies_where_no_ngram_repeats() {
        // Chances of a repeat: below 1e-2 each for 20 strings.
        for (alphabet, n, length) in [(2, 20, 30), (3, 12, 20), (4, 8, 8), (26, 4, 10), (26, 8, 150)] {
            let model = HashCopier::new(alphabet, n).unwrap().init(&Device::default());
            let task = Copying::new(1..=1).with_alphabet(alphabet as u32);
            assert_eq!(accuracy(&model, &task, length, 20, 1).string, 1.0, "D {alphabet} n {n} L {length}");
        }
    }

    /// Shorter than the key, of one letter, and with a repeat that the marker tells apart.
    #[test]
    fn says_the_end_itself() {
        let model = HashCopier::new(26, 3).unwrap().init(&Device::default());
        let stop = GenerateOptions::default().with_max_tokens(40).with_stop_tokens(vec![EOS]);
        for string in ["a", "z", "ab", "abc", "abab", "zyxwvutsrq", "aabab"] {
            let prompt = vocabulary::encode(&format!("${string}|")).unwrap();
            let said = &model.generate(&[prompt], &stop).unwrap()[0].tokens;
            assert_eq!(vocabulary::decode(said).unwrap().trim_end_matches('.'), string);
        }
    }

    /// `abcabd`: after the first `abc` in the copy, with keys of two, it cannot know.
    #[test]
    fn a_repeated_ngram_can_mislead() {
        let says = |n: usize| {
            let model = HashCopier::new(26, n).unwrap().init(&Device::default());
            let options = GenerateOptions::default().with_max_tokens(6);
            let prompt = vocabulary::encode("$abcabd|").unwrap();
            vocabulary::decode(&model.generate(&[prompt], &options).unwrap()[0].tokens).unwrap()
        };
        assert_eq!(says(3), "abcabd");
        assert_ne!(says(2), "abcabd");
    }

    /// What is not copied has an n-gram twice, and nothing else goes wrong.
    #[test]
    fn every_mistake_has_a_repeat() {
        let (n, length, task) = (5, 40, Copying::new(1..=1).with_alphabet(4));
        let model = HashCopier::new(4, n).unwrap().init(&Device::default());
        let mut wrong = 0;
        accuracy_of_each(&model, &task, length, 200, 0, |example, exact| {
            assert!(exact || repeats(&example.tokens[1..=length], n), "{:?}", example.tokens);
            wrong += usize::from(!exact);
        });
        assert!((1..200).contains(&wrong), "{wrong}");
    }

    #[test]
    fn what_cannot_be() {
        assert_eq!(
            HashCopier::new(1, 2).unwrap_err().to_string(),
            "hash copier: alphabet must be 2 to 26, got 1"
        );
        assert_eq!(HashCopier::new(2, 0).unwrap_err().to_string(), "hash copier: n must be 1 to 1000, got 0");
    }
}
