//! What fits together: the parts of an expression by their types, and what operators and functions make
//! of them. Reading text does not live here (see `compile.rs`).

use super::expression::{Condition, Number, Operation, Relation, Search, Text};
use super::fact_list::Type;

/// A part of an expression, by its type.
pub enum Part {
    Condition(Condition),
    Number(Number),
    Text(Text),
    Numbers(Vec<i64>),
    Texts(Vec<Box<str>>),
    EmptyList,
}

impl Part {
    pub fn described(&self) -> &'static str {
        match self {
            Part::Condition(_) => Type::Truth.name(),
            Part::Number(_) => Type::Number.name(),
            Part::Text(_) => Type::Text.name(),
            Part::Numbers(_) => "a list of int",
            Part::Texts(_) => "a list of string",
            Part::EmptyList => "a list",
        }
    }
}

pub fn does_not_fit(name: &str, described: &[&str]) -> String {
    let among = described.join(" and ");
    match name {
        "? :" => format!("`? :` takes a bool and two values of one type, not {among}"),
        name if described.is_empty() => format!("`{name}` takes something"),
        name => format!("`{name}` does not take {among}"),
    }
}

pub fn unary(sign: &str, part: Part) -> Option<Part> {
    match (sign, part) {
        ("!", Part::Condition(condition)) => {
            Some(Part::Condition(Condition::Not(Box::new(condition))))
        }
        ("-", Part::Number(number)) => Some(Part::Number(Number::Negated(Box::new(number)))),
        _ => None,
    }
}

/// A function of the list in `compile.rs`; `on_target` says that it was called as in `a.size()`.
pub fn call(name: &str, on_target: bool, parts: Vec<Part>) -> Option<Part> {
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Part::Text(text)), None, None) if name == "size" => {
            Some(Part::Number(Number::Size(Box::new(text))))
        }
        (Some(text), Some(sought), None) if on_target => search(name, text, sought),
        _ => None,
    }
}

fn search(name: &str, text: Part, sought: Part) -> Option<Part> {
    let search = match name {
        "startsWith" => Search::StartsWith,
        "endsWith" => Search::EndsWith,
        "contains" => Search::Contains,
        _ => return None,
    };
    match (text, sought) {
        (Part::Text(text), Part::Text(sought)) => {
            let search = Condition::Search(search, Box::new((text, sought)));
            Some(Part::Condition(search))
        }
        _ => None,
    }
}

pub fn choice(condition: Part, yes: Part, no: Part) -> Option<Part> {
    let Part::Condition(condition) = condition else {
        return None;
    };
    Some(match (yes, no) {
        (Part::Condition(yes), Part::Condition(no)) => {
            Part::Condition(Condition::If(Box::new((condition, yes, no))))
        }
        (Part::Number(yes), Part::Number(no)) => {
            Part::Number(Number::If(Box::new((condition, yes, no))))
        }
        (Part::Text(yes), Part::Text(no)) => Part::Text(Text::If(Box::new((condition, yes, no)))),
        _ => return None,
    })
}

pub fn binary(name: &str, left: Part, right: Part) -> Option<Part> {
    Some(match (left, right) {
        (Part::Condition(left), Part::Condition(right)) => {
            let sides = Box::new((left, right));
            Part::Condition(match name {
                "&&" => Condition::And(sides),
                "||" => Condition::Or(sides),
                "==" => Condition::Same(sides),
                "!=" => Condition::Not(Box::new(Condition::Same(sides))),
                _ => return None,
            })
        }
        (Part::Number(left), Part::Number(right)) => {
            let sides = Box::new((left, right));
            match (relation(name), operation(name)) {
                (Some(relation), _) => Part::Condition(Condition::Numbers(relation, sides)),
                (_, Some(operation)) => Part::Number(Number::Calculated(operation, sides)),
                _ => return None,
            }
        }
        (Part::Text(left), Part::Text(right)) => {
            let sides = Box::new((left, right));
            Part::Condition(Condition::Texts(relation(name)?, sides))
        }
        (part, list) if name == "in" => Part::Condition(within(part, list)?),
        _ => return None,
    })
}

fn within(part: Part, list: Part) -> Option<Condition> {
    Some(match (part, list) {
        (Part::Number(number), Part::Numbers(list)) => {
            Condition::NumberIn(Box::new(number), list.into())
        }
        (Part::Number(number), Part::EmptyList) => {
            Condition::NumberIn(Box::new(number), Box::default())
        }
        (Part::Text(text), Part::Texts(list)) => Condition::TextIn(Box::new(text), list.into()),
        (Part::Text(text), Part::EmptyList) => Condition::TextIn(Box::new(text), Box::default()),
        _ => return None,
    })
}

fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        "==" => Relation::Equal,
        "!=" => Relation::NotEqual,
        "<" => Relation::Less,
        "<=" => Relation::LessOrEqual,
        ">" => Relation::Greater,
        ">=" => Relation::GreaterOrEqual,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "+" => Operation::Add,
        "-" => Operation::Subtract,
        "*" => Operation::Multiply,
        "/" => Operation::Divide,
        "%" => Operation::Remainder,
        _ => return None,
    })
}
