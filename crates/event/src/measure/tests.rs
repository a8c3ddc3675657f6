//! All measures together: what they tell, and that neither order nor split matters.

use proptest::prelude::*;

use super::*;

const SHAPES: [Shape; 8] = [
    Shape::Count,
    Shape::Sum,
    Shape::Min,
    Shape::Max,
    Shape::Mean,
    Shape::Distinct,
    Shape::Quantile(0.5),
    Shape::Quantile(0.95),
];

#[derive(Clone, Debug)]
enum Given {
    Int(i64),
    Double(f64),
    Text(String),
}

fn add(measure: &mut Measure, value: &Given) {
    let shape = measure.shape();
    measure.add(match value {
        Given::Int(int) => shape.step_of_int((*int).into()),
        Given::Double(double) => shape.step_of_f64(*double),
        Given::Text(text) => shape.step_of_text(text.as_bytes()),
    });
}

fn all_of(values: &[Given]) -> Vec<Measure> {
    SHAPES
        .iter()
        .map(|shape| {
            let mut measure = shape.empty();
            values.iter().for_each(|value| add(&mut measure, value));
            measure
        })
        .collect()
}

fn told(measure: &Measure) -> String {
    let mut out = String::new();
    measure.write_json(&mut out);
    out
}

fn bytes(measures: &[Measure]) -> Vec<u8> {
    let mut out = Vec::new();
    measures.iter().for_each(|measure| measure.encode(&mut out));
    out
}

#[test]
fn nothing_is_told_as_nothing_and_zero_as_a_value() {
    let none: Vec<_> = all_of(&[]).iter().map(told).collect();
    assert_eq!(none, ["0", "0", "null", "null", "null", "0", "null", "null"]);
    let zero: Vec<_> = all_of(&[Given::Int(0), Given::Double(-0.0)]).iter().map(told).collect();
    assert_eq!(zero, ["2", "0", "0", "0", "0", "1", "0", "0"]);
    let negative: Vec<_> = all_of(&[Given::Int(-4), Given::Double(-1.5)])[..6].iter().map(told).collect();
    assert_eq!(negative, ["2", "-5.5", "-4", "-1.5", "-2.75", "2"]);
}

/// Vectors of the domain «learning analytics».
#[test]
fn means_are_over_the_values_that_are_there() {
    let check = |values: &[Given], expected: &str| assert_eq!(told(&all_of(values)[4]), expected, "{values:?}");
    check(&[2_000, 3_000, 1_000].map(Given::Int), "2000");
    check(&[1, 0, 1].map(Given::Int), "0.6666666666666666");
    check(&[0.1; 3].map(Given::Double), "0.09999999999999999");
    check(&[Given::Double(f64::NAN), Given::Text("3".to_owned())], "null");
}

#[test]
fn one_value_is_one_however_it_is_written() {
    let same = [Given::Int(1), Given::Double(1.0), Given::Text("1".to_owned())];
    assert_eq!(told(&all_of(&same)[5]), "1");
    let same =
        [Given::Double(2.5), Given::Text("2.5".to_owned()), Given::Double(1e20), Given::Text(1_u128.to_string())];
    assert_eq!(told(&all_of(&same)[5]), "3");
    assert_eq!(hash_of_int(100_000_000_000_000_000_000), hash_of_f64(1e20));
    // A change here would change what was written down before.
    assert_eq!(xxh3_64(b"1"), hash_of_int(1));
}

#[test]
fn other_kinds_are_passed_over() {
    for mut measure in all_of(&[Given::Int(3)]) {
        let before = measure.clone();
        for other in all_of(&[Given::Int(5)]) {
            if other.shape() != measure.shape() {
                measure.merge(&other);
                assert_eq!(measure, before);
            }
        }
        assert!(size_of::<Measure>() <= 40);
    }
}

fn value() -> impl Strategy<Value = Given> {
    let double = prop_oneof![
        4 => -1e4..1e4_f64,
        2 => (-50_i32..50).prop_map(|n| f64::from(n) / 10.0),
        1 => prop::num::f64::ANY,
    ];
    prop_oneof![
        any::<i8>().prop_map(|n| Given::Int(n.into())),
        any::<i64>().prop_map(Given::Int),
        double.prop_map(Given::Double),
        "[a-d]{0,2}".prop_map(Given::Text),
    ]
}

proptest! {
    #[test]
    fn order_and_split_do_not_matter(
        values in prop::collection::vec(value(), 0..60),
        owners in prop::collection::vec(0_usize..4, 60),
        order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
        many in prop::option::weighted(0.2, 700_u64..900),
    ) {
        // Sometimes enough different ones for the dense form.
        let more = (0..many.unwrap_or_default()).map(|i| Given::Text(format!("{i} of many")));
        let values: Vec<_> = values.into_iter().chain(more).collect();
        let whole = all_of(&values);
        let pieces: Vec<_> = (0..4)
            .map(|owner| {
                let mine = values.iter().enumerate().filter(|(i, _)| owners[i % owners.len()] == owner);
                all_of(&mine.map(|(_, value)| value.clone()).rev().collect::<Vec<_>>())
            })
            .collect();
        for (i, whole) in whole.iter().enumerate() {
            // ((a b) c) d, and a (b (c d)).
            let mut left = SHAPES[i].empty();
            order.iter().for_each(|at| left.merge(&pieces[*at][i]));
            let right = order.iter().rev().fold(SHAPES[i].empty(), |sum, at| {
                let mut piece = pieces[*at][i].clone();
                piece.merge(&sum);
                piece
            });
            prop_assert_eq!(&left, whole);
            prop_assert_eq!(&right, whole);
            prop_assert_eq!(bytes(&[left]), bytes(std::slice::from_ref(whole)));
            prop_assert_eq!(right.weight(), whole.weight());
        }
    }

    #[test]
    fn measures_come_back_from_their_bytes(values in prop::collection::vec(value(), 0..60)) {
        let measures = all_of(&values);
        let bytes = bytes(&measures);
        let mut rest = &bytes[..];
        let back: Vec<_> = std::iter::from_fn(|| Measure::decode(&mut rest)).collect();
        prop_assert_eq!(back, measures);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..8) {
        let bytes = [&[kind], &bytes[..]].concat();
        if let Some(mut measure) = Measure::decode(&mut &bytes[..]) {
            told(&measure);
            measure.merge(&measure.clone());
            let mut out = Vec::new();
            measure.encode(&mut out);
            prop_assert_eq!(Measure::decode(&mut &out[..]), Some(measure));
        }
    }

    #[test]
    fn sums_are_the_decimals_that_were_sent(cents in prop::collection::vec(-100_000_000_i64..100_000_000, 1..50)) {
        let values: Vec<_> = cents.iter().map(|cents| Given::Double(*cents as f64 / 100.0)).collect();
        let sum: f64 = told(&all_of(&values)[1]).parse().unwrap();
        prop_assert!((sum - cents.iter().sum::<i64>() as f64 / 100.0).abs() < 1e-8);
    }
}
