//! The statistics equal SciPy's and statsmodels' on random and degenerate numbers (`scripts/reference/paired_tests.py`), and keep
//! what they promise.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use aelab_report::Spread;
use aelab_report::statistics::{PairedTest, friedman, half_width, holm, mean_ranks};
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/statistics.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance * expected.abs() + 1e-300, "{what}: found {found:e}, expected {expected:e}");
}

#[test]
fn paired_tests_intervals_and_ranks_are_those_of_scipy_and_statsmodels() {
    let mut num_compared = 0;
    for case in golden()["paired"].as_array().unwrap() {
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        let differences: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x - y).collect();
        let what = format!("{x:?} and {y:?}");
        let t = PairedTest::PairedT.p_value(&differences);
        match case["paired_t"].as_f64() {
            // Equal differences: SciPy divides by a deviation of 0 or of rounding, and has no doubt.
            Some(expected) if t.is_none() => assert!(expected < 1e-15, "{what}"),
            Some(expected) => assert_near(t.unwrap(), expected, 1e-10, &what),
            // SciPy divides 0 by 0; two things that never differ do not differ.
            None => assert_eq!(t, Some(1.0), "{what}"),
        }
        let signed_ranks = PairedTest::Wilcoxon.p_value(&differences).unwrap();
        match &case["wilcoxon"] {
            Value::String(_) => {}
            Value::Null => assert_eq!(signed_ranks, 1.0, "{what}"),
            expected => {
                assert_near(signed_ranks, expected.as_f64().unwrap(), 1e-10, &what);
                num_compared += 1;
            }
        }
        assert_near(half_width(&Spread::of(&x).unwrap()).unwrap(), case["half_width"].as_f64().unwrap(), 1e-9, &what);
        assert_eq!(mean_ranks(&x), numbers(&case["ranks"]), "{what}");
    }
    assert!(num_compared > 35, "{num_compared}");
}

#[test]
fn holm_is_that_of_statsmodels() {
    for case in golden()["holm"].as_array().unwrap() {
        let p_values = numbers(&case["p_values"]);
        for (found, expected) in holm(&p_values, p_values.len()).into_iter().zip(numbers(&case["corrected"])) {
            assert_near(found, expected, 1e-14, &format!("{p_values:?}"));
        }
    }
}

#[test]
fn friedman_is_that_of_scipy() {
    for case in golden()["friedman"].as_array().unwrap() {
        let blocks: Vec<Vec<f64>> = case["blocks"].as_array().unwrap().iter().map(numbers).collect();
        let found = friedman(&blocks).unwrap();
        match case["statistic"].as_f64() {
            Some(expected) => {
                assert_near(found.statistic, expected, 1e-11, "statistic");
                assert_near(found.p_value, case["p_value"].as_f64().unwrap(), 1e-10, "p-value");
            }
            None => assert_eq!((found.statistic, found.p_value), (0.0, 1.0), "where everything ties nothing differs"),
        }
    }
    assert!(friedman(&[vec![1.0, 2.0], vec![1.0, 2.0]]).is_none() && friedman(&[vec![1.0, 2.0, 3.0]]).is_none());
}

#[test]
fn a_single_value_has_no_interval() {
    assert_eq!(half_width(&Spread::of(&[3.0]).unwrap()), None);
    assert_eq!(half_width(&Spread::of(&[3.0, 3.0]).unwrap()), Some(0.0));
}
