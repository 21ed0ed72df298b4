//! A condition as a tree of nodes with known types, and its evaluation by the rules of CEL. How one is
//! read from text does not live here (see `compile.rs`).
//!
//! Evaluating allocates nothing. A fault in one side of `&&` or `||` does not matter where the other side
//! decides alone, whichever comes first: so the language has it.

use super::fact_list::{NumberFact, TextFact, TruthFact};
use std::cmp::Ordering;

/// True or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Literal(bool),
    Fact(TruthFact),
    Not(Box<Condition>),
    And(Box<(Condition, Condition)>),
    Or(Box<(Condition, Condition)>),
    If(Box<(Condition, Condition, Condition)>),
    Numbers(Relation, Box<(Number, Number)>),
    Texts(Relation, Box<(Text, Text)>),
    Same(Box<(Condition, Condition)>),
    NumberIn(Box<Number>, Box<[i64]>),
    TextIn(Box<Text>, Box<[Box<str>]>),
    Search(Search, Box<(Text, Text)>),
}

/// A whole number of 64 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    Literal(i64),
    Fact(NumberFact),
    Negated(Box<Number>),
    Calculated(Operation, Box<(Number, Number)>),
    /// How many characters (Unicode code points) a text has.
    Size(Box<Text>),
    If(Box<(Condition, Number, Number)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Literal(Box<str>),
    Fact(TextFact),
    If(Box<(Condition, Text, Text)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What is sought in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    StartsWith,
    EndsWith,
    Contains,
}

/// Where facts come from.
pub trait Facts {
    fn number(&self, fact: NumberFact) -> Result<i64, Fault>;
    fn text(&self, fact: TextFact) -> &str;
    fn truth(&self, fact: TruthFact) -> bool;
}

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a number left the range of 64 bits")]
    Overflow,
    #[error("a number was divided by zero")]
    DivisionByZero,
    #[error("`{}` is not known of this request", .0.name())]
    Unknown(NumberFact),
}

impl Condition {
    pub fn evaluate(&self, facts: &impl Facts) -> Result<bool, Fault> {
        match self {
            Condition::Literal(value) => Ok(*value),
            Condition::Fact(fact) => Ok(facts.truth(*fact)),
            Condition::Not(condition) => condition.evaluate(facts).map(|value| !value),
            Condition::And(sides) => either(false, sides, facts),
            Condition::Or(sides) => either(true, sides, facts),
            Condition::If(parts) => match parts.0.evaluate(facts)? {
                true => parts.1.evaluate(facts),
                false => parts.2.evaluate(facts),
            },
            Condition::Numbers(relation, sides) => {
                let (left, right) = (sides.0.evaluate(facts)?, sides.1.evaluate(facts)?);
                Ok(relation.holds(left.cmp(&right)))
            }
            Condition::Texts(relation, sides) => {
                let (left, right) = (sides.0.evaluate(facts)?, sides.1.evaluate(facts)?);
                // Bytes of UTF-8 are in the order of the code points that CEL compares.
                Ok(relation.holds(left.cmp(right)))
            }
            Condition::Same(sides) => Ok(sides.0.evaluate(facts)? == sides.1.evaluate(facts)?),
            Condition::NumberIn(number, list) => Ok(list.contains(&number.evaluate(facts)?)),
            Condition::TextIn(text, list) => {
                let text = text.evaluate(facts)?;
                Ok(list.iter().any(|listed| **listed == *text))
            }
            Condition::Search(search, sides) => {
                let (text, sought) = (sides.0.evaluate(facts)?, sides.1.evaluate(facts)?);
                Ok(match search {
                    Search::StartsWith => text.starts_with(sought),
                    Search::EndsWith => text.ends_with(sought),
                    Search::Contains => text.contains(sought),
                })
            }
        }
    }
}

/// `&&` and `||`: whichever side is `decisive` decides; without one a fault is the outcome.
fn either(
    decisive: bool,
    sides: &(Condition, Condition),
    facts: &impl Facts,
) -> Result<bool, Fault> {
    let left = sides.0.evaluate(facts);
    if left == Ok(decisive) {
        return left;
    }
    match sides.1.evaluate(facts) {
        right if right == Ok(decisive) => right,
        right => left.and(right),
    }
}

impl Number {
    pub fn evaluate(&self, facts: &impl Facts) -> Result<i64, Fault> {
        match self {
            Number::Literal(value) => Ok(*value),
            Number::Fact(fact) => facts.number(*fact),
            Number::Negated(number) => number.evaluate(facts)?.checked_neg().ok_or(Fault::Overflow),
            Number::Calculated(operation, sides) => {
                operation.of(sides.0.evaluate(facts)?, sides.1.evaluate(facts)?)
            }
            Number::Size(text) => Ok(text.evaluate(facts)?.chars().count() as i64),
            Number::If(parts) => match parts.0.evaluate(facts)? {
                true => parts.1.evaluate(facts),
                false => parts.2.evaluate(facts),
            },
        }
    }
}

impl Text {
    pub fn evaluate<'a>(&'a self, facts: &'a impl Facts) -> Result<&'a str, Fault> {
        match self {
            Text::Literal(text) => Ok(text),
            Text::Fact(fact) => Ok(facts.text(*fact)),
            Text::If(parts) => match parts.0.evaluate(facts)? {
                true => parts.1.evaluate(facts),
                false => parts.2.evaluate(facts),
            },
        }
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Relation::Equal => order.is_eq(),
            Relation::NotEqual => order.is_ne(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Operation {
    fn of(self, left: i64, right: i64) -> Result<i64, Fault> {
        let by_zero = matches!(self, Operation::Divide | Operation::Remainder) && right == 0;
        if by_zero {
            return Err(Fault::DivisionByZero);
        }
        let value = match self {
            Operation::Add => left.checked_add(right),
            Operation::Subtract => left.checked_sub(right),
            Operation::Multiply => left.checked_mul(right),
            Operation::Divide => left.checked_div(right),
            Operation::Remainder => left.checked_rem(right),
        };
        value.ok_or(Fault::Overflow)
    }
}
