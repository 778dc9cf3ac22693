//! Text that is no pattern, and what is said about it.

use proptest::prelude::*;

use crate::layers::MixerConfig;
use crate::models::BackboneConfig;

fn error(pattern: &str) -> String {
    BackboneConfig::<MixerConfig>::parse(pattern, 128).expect_err(pattern).to_string()
}

#[test]
fn errors_point_at_the_character() {
    for (pattern, expected) in [
        ("", "1: a pattern has at least one layer"),
        ("  ", "1: a pattern has at least one layer"),
        (
            "2*(mamba, lstm, mambo)",
            "17: unknown mixer \"mambo\"; known: attention, mamba, mamba2, \
             linear_attention, retention, gla, delta_net, gated_delta_net, rg_lru, min_gru, s4d, lstm, parallel",
        ),
        ("attention(n_heads=6)", "1: attention: n_heads (6) must divide d_model (128)"),
        ("lstm, mamba | attention(n_heads=6)", "15: attention: n_heads (6) must divide d_model (128)"),
        (
            "attention(n_head=4)",
            "11: attention has no argument \"n_head\"; known: bias, head_dim, n_heads, \
            n_kv_heads, norm_epsilon, out_bias, position, qk_norm, soft_cap, window",
        ),
        ("lstm(width=4)", "6: lstm has no argument \"width\", nor any other"),
        ("lstm(d_model=4)", "6: lstm: d_model comes from the model and is no argument"),
        ("attention(window=1, window=2)", "21: argument window is given twice"),
        (
            "attention(n_heads=eight)",
            "19: attention: n_heads: invalid type: string \"eight\", expected usize",
        ),
        ("attention(n_heads=-1)", "19: attention: n_heads: invalid value: integer `-1`, expected usize"),
        ("attention(n_heads=none)", "19: attention: n_heads: invalid type: null, expected usize"),
        ("attention(bias=1)", "16: attention: bias: invalid type: integer `1`, expected a boolean"),
        (
            "attention(position=ropy)",
            "20: attention: position: expected rope, rope(base=…, fraction=…, pairs=…, scaling=…), \
            nope, alibi, hard_alibi or hard_alibi(windows=[…])",
        ),
        ("attention(window=1.2.3)", "18: \"1.2.3\" is not a number"),
        ("attention(soft_cap=1e999)", "20: \"1e999\" is not a number"),
        ("attention(window 3)", "18: expected \"=\" and the value of window, found \"3\""),
        ("attention(window=)", "18: expected a value, found \")\""),
        ("attention(window=\"a)", "18: this quote is not closed"),
        ("attention(window=3", "10: this \"(\" is not closed"),
        ("attention(position=hard_alibi(windows=[1, 2)", "44: expected \",\" or \"]\", found \")\""),
        ("attention(position=hard_alibi(windows=[1,]))", "42: expected a value, found \"]\""),
        ("2*(mamba, lstm", "3: this \"(\" is not closed"),
        ("mamba)", "6: expected \",\" or the end, found \")\""),
        ("mamba lstm", "7: expected \",\" or the end, found \"l\""),
        ("(mamba lstm)", "8: expected \",\" or \")\", found \"l\""),
        ("mamba,", "7: expected a layer, found the end"),
        ("mamba, , lstm", "8: expected a layer, found \",\""),
        ("()", "2: expected a layer, found \")\""),
        ("3 lstm", "3: expected \"*\", found \"l\""),
        ("0*lstm", "1: a layer repeats at least once, not 0 times"),
        ("lstm, @0", "8: layers are counted from 1"),
        ("lstm, @2", "7: layer 2 cannot share with layer 2, which is not earlier"),
        ("lstm, @9", "7: layer 2 cannot share with layer 9, which is not earlier"),
        ("lstm, @x", "8: expected the number of an earlier layer, found \"x\""),
        ("lstm + conv", "8: unknown feed-forward \"conv\"; known: mlp, relu_mlp, swiglu, geglu"),
        ("lstm + mlp(d_hidden=0)", "8: feed-forward: d_hidden must be at least 1, got 0"),
        ("lstm + mlp + mlp", "12: expected \",\" or the end, found \"+\""),
        ("lstm +", "7: expected a feed-forward, found the end"),
        (
            "(lstm, mamba) + mlp",
            "1: what has a feed-forward must be one mixer, without \"~\" or a feed-forward of its own",
        ),
        ("lstm | (mamba + mlp)", "8: a branch must be one mixer, without \"~\" or a feed-forward of its own"),
        (
            "(~lstm) + mlp",
            "1: what has a feed-forward must be one mixer, without \"~\" or a feed-forward of its own",
        ),
        ("lstm, ~(mamba, lstm)", "7: \"~\" stands before one layer, once"),
        ("~(~lstm)", "1: \"~\" stands before one layer, once"),
        ("~@1", "2: expected a layer, found \"@\""),
        ("lstm | ~mamba", "8: expected a layer, found \"~\""),
        ("parallel", "1: parallel: at least one branch is needed"),
        (
            "lstm, λ",
            "7: unknown mixer \"λ\"; known: attention, mamba, mamba2, linear_attention, retention, \
             gla, delta_net, gated_delta_net, rg_lru, min_gru, s4d, lstm, parallel",
        ),
        ("2*(lstm,\u{a0}→)", "10: expected a layer, found \"→\""),
    ] {
        assert_eq!(error(pattern), format!("pattern, character {expected}"), "{pattern}");
    }
}

#[test]
fn little_text_cannot_ask_for_much() {
    assert_eq!(error("10001*lstm"), "pattern, character 1: more than 10000 layers");
    assert_eq!(error("lstm, 100*(100*lstm)"), "pattern, character 7: more than 10000 layers");
    let huge = "99999999999999999999*lstm";
    assert_eq!(error(huge), "pattern, character 1: 99999999999999999999 is too many");
    assert_eq!(error("18446744073709551615*2*lstm"), "pattern, character 1: more than 10000 layers");
    assert!(error(&["lstm"; 10_001].join(",")).ends_with("more than 10000 layers"));
    assert!(error(&"lstm, ".repeat(1_000_000)).ends_with("longer than 1000000 bytes"));
    let wide = format!("10000*({})", ["lstm"; 100].join("|"));
    assert_eq!(error(&wide), "pattern, character 1: longer than 1000000 bytes with the repeats written out");
    for deep in ["(", "2*", "attention(window=[", "attention(window=a("] {
        assert!(error(&deep.repeat(100_000)).len() < 200, "{deep}");
    }
    for (open, close) in [("[", "]"), ("a(", ")"), ("(a=", ")")] {
        let deep = format!("attention(window={}1{})", open.repeat(64), close.repeat(64));
        assert!(error(&deep).ends_with("nested more than 64 deep"), "{}", error(&deep));
    }
    assert!(
        error(&format!("{}lstm{}", "(".repeat(65), ")".repeat(65))).ends_with("nested more than 64 deep")
    );
    let deep = format!("{}lstm{}", "(".repeat(64), ")".repeat(64));
    assert!(BackboneConfig::<MixerConfig>::parse(&deep, 128).is_ok());
}

proptest! {
    /// Whatever the text, an answer and no panic; and what was read prints and reads back.
    #[test]
    fn any_text_gets_an_answer(text in "([a-z@*+&|~(),=0-9. \"λ\\[\\]-]|lstm|mamba|attention|mlp|3\\*|bias=true){0,24}") {
        if let Ok(config) = BackboneConfig::<MixerConfig>::parse(&text, 16) {
            prop_assert_eq!(BackboneConfig::parse(&config.pattern(), 16).unwrap(), config);
        }
    }
}
