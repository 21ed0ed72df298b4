//! What is a rule and what is not, and evaluation against the interpreter of the `cel` crate.

use super::*;
use crate::engine::risk::expression::{Facts, Fault};
use crate::engine::risk::fact_list::{NumberFact, TextFact, TruthFact};
use cel::{Context, Program};
use proptest::prelude::*;

fn read(source: &str) -> Condition {
    compile(source)
        .unwrap_or_else(|error| panic!("{source}: {error}"))
        .condition
}

/// The message, with its place before it.
fn refused(source: &str) -> String {
    match compile(source) {
        Err(error) => error.to_string(),
        Ok(condition) => panic!("{source} is a rule: {condition:?}"),
    }
}

#[test]
fn a_word_that_a_fact_can_never_be_is_refused_in_new_rules() {
    for (source, expected) in [
        (
            "channel == 'ecom'",
            "column 12: `channel` is never 'ecom'; it is one of unknown, point_of_sale, ",
        ),
        (
            "amount > 1 && 'Chip' != entry_mode",
            "column 15: `entry_mode` is never 'Chip'",
        ),
        (
            "kind in ['purchase', 'cash']",
            "column 9: `kind` is never 'cash'",
        ),
        (
            "country == 'GER'",
            "column 12: `country` is never 'GER'; countries are two",
        ),
        ("currency == '978'", "column 13: `currency` is never '978'"),
        (
            "mcc == '742'",
            "column 8: `mcc` is never '742'; an MCC is text of four",
        ),
        (
            "weekday_utc == 'monday'",
            "column 16: `weekday_utc` is never 'monday'",
        ),
        (
            "cvv == 'none'",
            "column 8: `cvv` is never 'none'; it is one of absent, match",
        ),
    ] {
        let error = compile_new(source).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{source}: {error}");
        // What is a rule already stays one.
        assert!(compile(source).is_ok(), "{source}");
    }
    for source in [
        "channel == 'unknown' || kind in ['other', 'purchase'] || country == 'ZZ'",
        "mcc == '0000' || currency in ['USD', 'USDT'] || card_type == 'physical'",
        "merchant_name == 'anything' && network == 'visa' && merchant_id in ['x']",
        "channel.startsWith('e') && pin == cvv",
    ] {
        assert!(
            compile_new(source).is_ok(),
            "{source}: {:?}",
            compile_new(source)
        );
    }
}

#[test]
fn what_is_wrong_is_told_at_its_column() {
    for (source, expected) in [
        (
            "amount > 10 && amout < 5",
            "column 16: there is no fact `amout`",
        ),
        (
            "'ö' == mcc && amout < 5",
            "column 15: there is no fact `amout`",
        ),
        (
            "amount == '5'",
            "column 8: `==` does not take int and string",
        ),
        ("amount > 1.5", "column 10: numbers with a decimal point"),
        ("amount > 1e3", "column 10: numbers with a decimal point"),
        ("amount > 1u", "column 10: unsigned numbers"),
        ("mcc == null", "column 8: null"),
        ("mcc == b'5411'", "column 8: bytes"),
        ("mcc == \"\"\"a\"\"\"", "column 8: strings in triple quotes"),
        ("amount", "column 1: a rule must be true or false, not int"),
        ("mcc", "column 1: a rule must be true or false, not string"),
        ("mcc in ['5411', 5]", "column 17: a list holds numbers only"),
        ("mcc in [country]", "column 9: a list holds"),
        (
            "mcc in [5411]",
            "column 5: `in` does not take string and a list of int",
        ),
        (
            "['a', 'b'].exists(x, x == mcc)",
            "column 12: `exists` is not allowed",
        ),
        (
            "[1, 2].all(x, x > amount)",
            "column 8: `all` is not allowed",
        ),
        ("has(mcc.a)", "column 1: `has` is not allowed"),
        (
            "mcc.matches('5.*')",
            "column 5: there is no function `matches`",
        ),
        (
            "duration('1s') > duration('2s')",
            "column 1: there is no function `duration`",
        ),
        (
            "merchant_name.startsWith(5)",
            "column 15: `startsWith` does not take string and int",
        ),
        (
            "startsWith(merchant_name, 'a')",
            "column 1: `startsWith` does not take string and string",
        ),
        ("size() > 1", "column 1: `size` takes something"),
        ("size(amount) > 1", "column 1: `size` does not take int"),
        (
            "amount ? true : false",
            "column 8: `? :` takes a bool and two values of one type, not int and bool and bool",
        ),
        ("true ? 1 : 'a'", "column 6: `? :` takes"),
        ("-mcc == '5'", "column 1: `-` does not take string"),
        ("!amount", "column 1: `!` does not take int"),
        (
            "mcc + mcc == '5'",
            "column 5: `+` does not take string and string",
        ),
        ("true < false", "column 6: `<` does not take bool and bool"),
        ("card.age > 5", "column 1: there is no fact `card`"),
        ("mcc.size > 5", "column 5: facts have no fields"),
        ("{'a': 1}.a == 1", "column 1: maps are not allowed"),
        (
            "[1, 2][0] == 1",
            "column 7: lists have no places to look up; use `in`",
        ),
        (
            "amount >\n  amout",
            "line 2, column 3: there is no fact `amout`",
        ),
    ] {
        let error = refused(source);
        assert!(error.starts_with(expected), "{source}\n    {error}");
    }
}

#[test]
fn what_cannot_be_read_is_told_at_its_column() {
    for (source, expected) in [
        ("", "column 1: the expression ends where a value should be"),
        (
            "amount >",
            "column 9: the expression ends where a value should be",
        ),
        (
            "amount > (5",
            "column 12: the expression ends where `)` should be",
        ),
        (
            "amount > 5 amount",
            "column 12: `amount` comes where an operator should be",
        ),
        ("amount = 5", "column 8: to compare, write `==`"),
        ("amount > 5 & true", "column 12: for both, write `&&`"),
        ("amount > 5 # why", "column 12: `#` has no meaning here"),
        (
            "amount > 99999999999999999999",
            "column 10: this is no whole number of 64 bits",
        ),
        (
            "amount > 9223372036854775808",
            "column 10: this is no whole number of 64 bits",
        ),
        (
            "amount > -9223372036854775809",
            "column 11: this is no whole number of 64 bits",
        ),
        ("mcc == '5411", "column 8: this string has no end"),
        ("mcc == '\\q'", "column 9: after a backslash may come"),
        ("mcc == '\\u12'", "column 9: after a backslash may come"),
        (
            "size(mcc,) > 1",
            "column 10: `)` comes where a value should be",
        ),
        (
            "true ? true",
            "column 12: the expression ends where `:` should be",
        ),
        ("true)", "column 5: `)` comes where an operator should be"),
    ] {
        let error = refused(source);
        assert!(error.starts_with(expected), "{source}\n    {error}");
    }
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let long = format!("mcc == '{}'", "5".repeat(EXPRESSION_BYTES_MAX));
    assert!(refused(&long).starts_with("column 1001: an expression may have 1000 bytes"));
    let nested = |depth| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(refused(&nested(17)).starts_with("column 18: parts may be nested 16 deep"));
    assert_eq!(read(&nested(16)), Condition::Literal(true));
    assert!(refused(&format!("{}true", "!".repeat(17))).contains("16 deep"));
    assert!(refused(&format!("{}true", "true ? true : ".repeat(17))).contains("16 deep"));
}

#[test]
fn words_and_signs_of_the_language() {
    for (source, text) in [
        (r"'\u005a\u00fcrich'", "Zürich"),
        (r#""\"\'\\""#, "\"'\\"),
        (r"'a\nb\tc'", "a\nb\tc"),
        ("'a' // and a comment", "a"),
    ] {
        let condition = read(&format!("mcc == {source}"));
        let table = Table::of(text);
        assert_eq!(condition.evaluate(&table), Ok(true), "{source}");
        assert_eq!(by_the_crate(&format!("mcc == {source}"), &table), Ok(true));
    }
    assert_eq!(read("0x1F == 31").evaluate(&Table::of("")), Ok(true));
}

/// As long and as deep as the bounds let them be, on a quarter of the stack of a thread of ours.
#[test]
fn the_longest_expressions_take_little_stack() {
    let repeated = |part: &str| part.repeat(EXPRESSION_BYTES_MAX / part.len());
    let longest = [
        repeated("!"),
        repeated("-"),
        repeated("a."),
        repeated("a?b:"),
        repeated("["),
        repeated("("),
        repeated("f("),
        repeated("'"),
        repeated("\\"),
        repeated("\u{10ffff}"),
        format!("{}1 > 0", &repeated("1 + ")[8..]),
        format!("{}true", &repeated("true || ")[8..]),
        format!("{}true", &repeated("1 + 1 > 0 && ")[13..]),
        "(1 + 0) * ".repeat(90) + "1 > 0",
    ];
    let on_a_small_stack = std::thread::Builder::new().stack_size(512 << 10);
    let thread = on_a_small_stack.spawn(move || {
        let compiled = longest.iter().filter_map(|source| compile(source).ok());
        let table = Table::of("");
        compiled
            .filter(|compiled| compiled.condition.evaluate(&table).is_ok())
            .count()
    });
    assert_eq!(thread.unwrap().join().unwrap(), 4);
}

/// Values for every fact; one number is not known.
#[derive(Debug, Clone)]
struct Table {
    numbers: Vec<i64>,
    texts: Vec<String>,
    truths: Vec<bool>,
}

impl Table {
    /// With one text for all.
    fn of(text: &str) -> Table {
        Table {
            numbers: vec![0; NumberFact::ALL.len()],
            texts: vec![text.to_owned(); TextFact::ALL.len()],
            truths: vec![false; TruthFact::ALL.len()],
        }
    }
}

const UNKNOWN: NumberFact = NumberFact::Amount;

impl Facts for Table {
    fn number(&self, fact: NumberFact) -> Result<i64, Fault> {
        match fact {
            UNKNOWN => Err(Fault::Unknown(fact)),
            fact => Ok(self.numbers[fact as usize]),
        }
    }

    fn text(&self, fact: TextFact) -> &str {
        &self.texts[fact as usize]
    }

    fn truth(&self, fact: TruthFact) -> bool {
        self.truths[fact as usize]
    }
}

const TEXTS: &[&str] = &[
    "",
    "5411",
    "US",
    "AMAZON",
    "Zürich",
    "a",
    "AMAZON MKTPLACE",
    "𝔘",
];
const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    7,
    100,
    -100,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    3_037_000_500,
];

fn a_number() -> impl Strategy<Value = i64> {
    prop_oneof![proptest::sample::select(NUMBERS), -5i64..5]
}

fn a_text() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(TEXTS)
}

fn any_table() -> impl Strategy<Value = Table> {
    let numbers = proptest::collection::vec(a_number(), NumberFact::ALL.len());
    let texts = proptest::collection::vec(a_text().prop_map(str::to_owned), TextFact::ALL.len());
    let truths = proptest::collection::vec(any::<bool>(), TruthFact::ALL.len());
    (numbers, texts, truths).prop_map(|(numbers, texts, truths)| Table {
        numbers,
        texts,
        truths,
    })
}

/// Sources of the three types, each as deep as `depth` says.
fn conditions(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        proptest::sample::select(TruthFact::ALL).prop_map(|fact| fact.name().to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let below = || conditions(depth - 1);
    let relation = proptest::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let search = proptest::sample::select(&["startsWith", "endsWith", "contains"][..]);
    let listed_numbers = proptest::collection::vec(a_number(), 0..4);
    let listed_texts = proptest::collection::vec(a_text(), 0..4);
    prop_oneof![
        1 => leaf,
        3 => (below(), proptest::sample::select(&["&&", "||", "==", "!="][..]), below())
            .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
        1 => (below(), below(), below()).prop_map(|(a, b, c)| format!("{a} || {b} && {c}")),
        1 => below().prop_map(|a| format!("!({a})")),
        1 => (below(), below(), below()).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        4 => (numbers(depth - 1), relation.clone(), numbers(depth - 1))
            .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
        2 => (texts(depth - 1), relation, texts(depth - 1))
            .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
        1 => (numbers(depth - 1), listed_numbers).prop_map(|(a, list)| format!("({a}) in {list:?}")),
        1 => (texts(depth - 1), listed_texts).prop_map(|(a, list)| format!("({a}) in {list:?}")),
        2 => (texts(depth - 1), search, texts(depth - 1))
            .prop_map(|(a, name, b)| format!("({a}).{name}({b})")),
    ]
    .boxed()
}

fn numbers(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        a_number().prop_map(|number| number.to_string()),
        proptest::sample::select(NumberFact::ALL).prop_map(|fact| fact.name().to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let below = || numbers(depth - 1);
    let operator = || proptest::sample::select(&["+", "-", "*", "/", "%"][..]);
    prop_oneof![
        2 => leaf,
        2 => (below(), operator(), below()).prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
        2 => (below(), operator(), below(), operator(), below())
            .prop_map(|(a, one, b, two, c)| format!("{a} {one} {b} {two} {c}")),
        1 => below().prop_map(|a| format!("-({a})")),
        1 => texts(depth - 1).prop_map(|a| format!("size({a})")),
        1 => texts(depth - 1).prop_map(|a| format!("({a}).size()")),
        1 => (conditions(depth - 1), below(), below())
            .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
    ]
    .boxed()
}

fn texts(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        a_text().prop_map(|text| format!("'{text}'")),
        proptest::sample::select(TextFact::ALL).prop_map(|fact| fact.name().to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    prop_oneof![
        4 => leaf,
        1 => (conditions(depth - 1), texts(depth - 1), texts(depth - 1))
            .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
    ]
    .boxed()
}

/// What the interpreter of the `cel` crate makes of it.
fn by_the_crate(source: &str, table: &Table) -> Result<bool, String> {
    let mut context = Context::default();
    for fact in NumberFact::ALL.iter().filter(|fact| **fact != UNKNOWN) {
        context.add_variable_from_value(fact.name(), table.numbers[*fact as usize]);
    }
    for fact in TextFact::ALL {
        context.add_variable_from_value(fact.name(), table.texts[*fact as usize].clone());
    }
    for fact in TruthFact::ALL {
        context.add_variable_from_value(fact.name(), table.truths[*fact as usize]);
    }
    match Program::compile(source).unwrap().execute(&context) {
        Ok(cel::Value::Bool(value)) => Ok(value),
        Ok(other) => panic!("{source} is {other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conditions_come_to_what_the_crate_says(source in conditions(3), table in any_table()) {
        prop_assume!(source.len() <= EXPRESSION_BYTES_MAX);
        let condition = match compile(&source) {
            Ok(compiled) => compiled.condition,
            Err(error) => return Err(TestCaseError::fail(format!("{source}: {error}"))),
        };
        let own = condition.evaluate(&table);
        let theirs = by_the_crate(&source, &table);
        prop_assert_eq!(own.ok(), theirs.clone().ok(), "{} is {:?}, to the crate {:?}", source, own, theirs);
    }

    #[test]
    fn no_text_breaks_the_reader(source in "\\PC{0,60}") {
        drop(compile(&source));
    }

    #[test]
    fn no_words_break_the_reader(words in proptest::collection::vec(
        proptest::sample::select(&["amount", "mcc", "(", ")", "[", "]", "{", "}", "?", ":", ".", ",", "'", "\"", "1",
            "in", "&&", "||", "!", "-", "+", "has", "map", "x", "==", "size", "r", "b", "\n", "//"][..]), 0..30)
    ) {
        drop(compile(&words.concat()));
        drop(compile(&words.join(" ")));
    }
}

#[test]
fn a_fault_matters_only_where_nothing_else_decides() {
    let table = Table::of("");
    for (source, expected) in [
        ("amount > 1", Err(Fault::Unknown(NumberFact::Amount))),
        ("amount > 1 || true", Ok(true)),
        ("true || amount > 1", Ok(true)),
        ("amount > 1 && false", Ok(false)),
        ("false && amount > 1", Ok(false)),
        (
            "amount > 1 && true",
            Err(Fault::Unknown(NumberFact::Amount)),
        ),
        (
            "amount > 1 ? true : true",
            Err(Fault::Unknown(NumberFact::Amount)),
        ),
        ("1 / held == 0", Err(Fault::DivisionByZero)),
        ("1 % held == 0", Err(Fault::DivisionByZero)),
        ("9223372036854775807 + 1 > 0", Err(Fault::Overflow)),
        ("-9223372036854775808 / -1 > 0", Err(Fault::Overflow)),
    ] {
        let condition = read(source);
        assert_eq!(condition.evaluate(&table), expected, "{source}");
    }
}
