use super::*;
use proptest::prelude::*;

fn n(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

/// Results read off a PostgreSQL 15 server.
type Binary = fn(&Numeric, &Numeric) -> Result<Numeric, SqlError>;
type Unary = fn(&Numeric) -> Result<Numeric, SqlError>;

#[test]
fn results_of_postgresql() {
    let binary: [(&str, Binary, &str, &str); 22] = [
        ("1", Numeric::div, "3", "0.33333333333333333333"),
        ("10", Numeric::div, "3", "3.3333333333333333"),
        ("100000", Numeric::div, "3", "33333.333333333333"),
        ("1", Numeric::div, "30000", "0.000033333333333333333333"),
        ("-7", Numeric::div, "2", "-3.5000000000000000"),
        ("0", Numeric::div, "7", "0.00000000000000000000"),
        ("1.5", Numeric::mul, "-2.25", "-3.375"),
        ("1.10", Numeric::add, "2.2", "3.30"),
        ("-5.5", Numeric::rem, "2", "-1.5"),
        ("2", Numeric::power, "0.5", "1.4142135623730950"),
        ("10", Numeric::power, "-3", "0.0010000000000000"),
        ("1.0001", Numeric::power, "10000", "2.7181459268252249"),
        ("0.001", Numeric::power, "3", "0.0000000010000000"),
        ("3", Numeric::power, "2.5", "15.588457268119896"),
        ("2.5", Numeric::power, "-1.5", "0.2529822128134703"),
        ("7", Numeric::power, "1e-3", "1.0019478046608600"),
        ("-2", Numeric::power, "3", "-8.0000000000000000"),
        ("0", Numeric::power, "0", "1.0000000000000000"),
        ("1e50", |a, b| a.log(b), "10", "50.00000000000000"),
        ("1.0000001", |a, b| a.log(b), "10", "0.00000004342944601885292"),
        ("Infinity", Numeric::add, "-Infinity", "NaN"),
        ("5", Numeric::div, "Infinity", "0"),
    ];
    for (a, compute, b, expected) in binary {
        assert_eq!(compute(&n(a), &n(b)).unwrap().to_string(), expected, "{a}, {b}");
    }
    let unary: [(Unary, &str, &str); 19] = [
        (Numeric::sqrt, "2", "1.414213562373095"),
        (Numeric::sqrt, "1e10", "100000.00000000000"),
        (Numeric::sqrt, "1e-20", "0.0000000001000000000000000"),
        (Numeric::sqrt, "0", "0.000000000000000"),
        (Numeric::sqrt, "3.14159265358979323846", "1.77245385090551602730"),
        (Numeric::sqrt, "1e40", "100000000000000000000"),
        (Numeric::exp, "1", "2.7182818284590452"),
        (Numeric::exp, "-5", "0.006737946999085467"),
        (Numeric::exp, "100", "26881171418161354484126255515800135873611119"),
        (Numeric::exp, "50.5", "8548134287298057692257.9"),
        (Numeric::exp, "-100", "0.00000000000000000000000000000000000000000003720075976020836"),
        (Numeric::ln, "2", "0.6931471805599453"),
        (Numeric::ln, "1", "0.0000000000000000"),
        (Numeric::ln, "0.001", "-6.9077552789821371"),
        (Numeric::ln, "1.0000001", "0.00000009999999500000033"),
        (Numeric::ln, "1e50", "115.12925464970228"),
        (Numeric::ln, "99.99999999999999999999", "4.60517018598809136804"),
        (Numeric::floor, "-0.5", "-1"),
        (Numeric::ceil, "0.5", "1"),
    ];
    for (compute, a, expected) in unary {
        assert_eq!(compute(&n(a)).unwrap().to_string(), expected, "{a}");
    }
}

#[test]
fn text_is_read_as_postgresql_reads_it() {
    for (text, expected) in [
        (" 1.50 ", "1.50"),
        ("1e3", "1000"),
        ("1.5e-3", "0.0015"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-0.0", "0.0"),
        ("+Infinity", "Infinity"),
        ("-inf", "-Infinity"),
        ("nan", "NaN"),
        ("0e1000000", "0"),
    ] {
        assert_eq!(n(text).to_string(), expected, "{text}");
    }
    for text in ["", " ", "x", "1x", "1e", "--1", "1.2.3", ".", "e5", "1e99999999999"] {
        let error = Numeric::parse(text).unwrap_err();
        assert_eq!(error.message, format!("invalid input syntax for type numeric: \"{text}\""));
    }
    for text in ["1e1000000", "1e131072", "1e-16384"] {
        assert_eq!(Numeric::parse(text).unwrap_err().message, "value overflows numeric format", "{text}");
    }
    assert_eq!(n("1e131071").to_string().len(), 131_072);
}

#[test]
fn fields_overflow_as_in_postgresql() {
    assert_eq!(n("12.345").fit(4, 2).unwrap().to_string(), "12.35");
    assert_eq!(n("1250").fit(3, -2).unwrap().to_string(), "1300");
    let error = n("999.995").fit(5, 2).unwrap_err();
    assert_eq!(error.message, "numeric field overflow");
    assert_eq!(
        error.detail.as_deref(),
        Some("A field with precision 5, scale 2 must round to an absolute value less than 10^3.")
    );
    assert_eq!(
        n("Infinity").fit(5, 2).unwrap_err().detail.as_deref(),
        Some("A field with precision 5, scale 2 cannot hold an infinite value.")
    );
    assert_eq!(n("1e30").to_i64().unwrap_err().message, "bigint out of range");
    assert_eq!(n("2.5").to_i32().unwrap(), 3);
}

#[test]
fn extremes_are_errors_not_floods() {
    assert!(n("1e131071").mul(&n("10")).is_err());
    assert!(n("10").power(&n("131072")).is_err());
    assert!(n("10").power(&n("2000000000")).is_err());
    assert!(n("7").power(&n("1e20")).is_err());
    assert!(n("6000").exp().is_err());
    assert!(n("-1e100").exp().unwrap().is_zero());
    assert!(n("0.5").power(&n("2000000000")).unwrap().is_zero());
    assert_eq!(Numeric::from(i128::MIN).neg().neg(), Numeric::from(i128::MIN));
    assert_eq!(Numeric::from(i128::MIN).abs().to_string(), i128::MIN.unsigned_abs().to_string());
}

proptest! {
    #[test]
    fn integers_agree_with_i128(a in any::<i64>(), b in any::<i64>()) {
        let (x, y) = (Numeric::from(a), Numeric::from(b));
        let (a, b) = (i128::from(a), i128::from(b));
        prop_assert_eq!(x.add(&y).unwrap().to_string(), (a + b).to_string());
        prop_assert_eq!(x.sub(&y).unwrap().to_string(), (a - b).to_string());
        prop_assert_eq!(x.mul(&y).unwrap().to_string(), (a * b).to_string());
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        if b != 0 {
            prop_assert_eq!(x.rem(&y).unwrap().to_string(), (a % b).to_string());
            prop_assert_eq!(x.div_trunc(&y).unwrap().to_string(), (a / b).to_string());
        }
    }

    #[test]
    fn small_and_big_agree(a in any::<i64>(), b in any::<i64>(), scale_a in 0_u16..9, scale_b in 0_u16..9) {
        // The same values, made big by zeros behind the point.
        let grow = |x: &Numeric| x.round(60).unwrap();
        let (x, y) = (Numeric::from_parts(i128::from(a), scale_a), Numeric::from_parts(i128::from(b), scale_b));
        let (big_x, big_y) = (grow(&x), grow(&y));
        prop_assert_eq!(&x, &big_x);
        prop_assert_eq!(x.cmp(&y), big_x.cmp(&big_y));
        prop_assert_eq!(x.add(&y).unwrap(), big_x.add(&big_y).unwrap());
        prop_assert_eq!(x.mul(&y).unwrap(), big_x.mul(&big_y).unwrap());
        prop_assert_eq!(x.round(2).unwrap().to_string(), big_x.round(2).unwrap().to_string());
        prop_assert_eq!(x.trunc(-3).unwrap().to_string(), big_x.trunc(-3).unwrap().to_string());
        prop_assert_eq!(x.leading_group(), big_x.leading_group());
    }

    #[test]
    fn text_comes_back(text in "-?[1-9][0-9]{0,50}(\\.[0-9]{1,50})?") {
        prop_assert_eq!(n(&text).to_string(), text);
    }

    #[test]
    fn any_text_is_an_answer(text in "[-+0-9eE. infa]{0,12}") {
        let _ = Numeric::parse(&text);
    }

    #[test]
    fn functions_do_not_panic(a in -1_000_000_i64..1_000_000, scale in 0_u16..8, b in -400_i64..400, c in 0_u16..3) {
        let (x, y) = (Numeric::from_parts(i128::from(a), scale), Numeric::from_parts(i128::from(b), c));
        let _ = (x.sqrt(), x.ln(), y.exp(), x.log(&y), x.power(&y));
    }

    #[test]
    fn floats_come_back(value in any::<f64>()) {
        if value.is_finite() && value != 0.0 && value.abs() > 1e-300 {
            let back = Numeric::from_f64(value).to_f64().unwrap();
            prop_assert!((back - value).abs() <= value.abs() * 1e-14);
        }
    }
}
