//! Reads an expression into a condition. What is not part of the language that rules have, or does not
//! fit in type, is an error at its column. Nothing is evaluated here.
//!
//! The language is a part of CEL, read by hand: the parsers at hand take so much stack for each bracket
//! that a short expression could end the process. A test holds this one against the `cel` crate.

use super::expression::{Condition, Number, Text};
use super::fact_list::Fact;
use super::tokens::{Placed, Token, tokens};
use super::typing::{self, Part};

/// Bounds both the tree and the time that evaluating it takes.
pub const EXPRESSION_BYTES_MAX: usize = 1_000;

/// How deep parts of an expression may be nested, by brackets, signs and `? :`.
pub const DEPTH_MAX: usize = 16;

pub const FUNCTIONS: &[&str] = &["contains", "endsWith", "size", "startsWith"];

/// What CEL has to go through lists, and to ask for fields.
const MACROS: &[&str] = &["all", "exists", "exists_one", "filter", "has", "map"];

/// Why an expression is no rule, and where: columns and lines count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}column {column}: {message}", line_text(*line))]
pub struct ExpressionError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

fn line_text(line: usize) -> String {
    match line {
        1 => String::new(),
        line => format!("line {line}, "),
    }
}

impl ExpressionError {
    pub fn at_byte(source: &str, byte: usize, message: impl Into<String>) -> ExpressionError {
        // A place within a character is at that character.
        let starts = source.char_indices().map(|(start, _)| start);
        let start = starts.take_while(|start| *start <= byte).last();
        let start = if byte < source.len() { start } else { None };
        let before = &source[..start.unwrap_or(source.len())];
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        ExpressionError {
            line: before.matches('\n').count() + 1,
            column: last_line.chars().count() + 1,
            message: message.into(),
        }
    }
}

/// An expression, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub condition: Condition,
    /// It names a fact of the card's history.
    pub reads_history: bool,
}

/// As `compile`, of what nobody has as a rule yet: what a fact is compared with must be something that it can be.
pub fn compile_new(source: &str) -> Result<Compiled, ExpressionError> {
    compile_as(source, true)
}

pub fn compile(source: &str) -> Result<Compiled, ExpressionError> {
    compile_as(source, false)
}

fn compile_as(source: &str, is_new: bool) -> Result<Compiled, ExpressionError> {
    if source.len() > EXPRESSION_BYTES_MAX {
        let bytes = source.len();
        let message =
            format!("an expression may have {EXPRESSION_BYTES_MAX} bytes, this one has {bytes}");
        return Err(ExpressionError::at_byte(
            source,
            EXPRESSION_BYTES_MAX,
            message,
        ));
    }
    let mut reader = Reader {
        source,
        tokens: tokens(source)?,
        next: 0,
        depth: 0,
        reads_history: false,
        is_new,
    };
    let part = reader.whole()?;
    if *reader.token() != Token::End {
        return Err(reader.unexpected("an operator"));
    }
    match part {
        Part::Condition(condition) => Ok(Compiled {
            condition,
            reads_history: reader.reads_history,
        }),
        other => {
            let message = format!("a rule must be true or false, not {}", other.described());
            Err(ExpressionError::at_byte(source, 0, message))
        }
    }
}

type Read = Result<Part, ExpressionError>;

struct Reader<'a> {
    source: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
    reads_history: bool,
    is_new: bool,
}

/// Operators between two parts, those that bind least first.
const LEVELS: [&[&str]; 5] = [
    &["||"],
    &["&&"],
    &["<", "<=", ">", ">=", "==", "!=", "in"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Reader<'_> {
    fn token(&self) -> &Token {
        // The last token is the end, which is never gone past.
        &self.tokens[self.next].0
    }

    fn place(&self) -> usize {
        self.tokens[self.next].1
    }

    fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.token(), Token::Sign(found) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        if is {
            self.advance();
        }
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExpressionError> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{sign}`"))),
        }
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ExpressionError {
        ExpressionError::at_byte(self.source, at, message)
    }

    fn unexpected(&self, wanted: &str) -> ExpressionError {
        let found = match self.token() {
            Token::End => "the expression ends".into(),
            Token::Sign(sign) => format!("`{sign}` comes"),
            Token::Word(word) => format!("`{word}` comes"),
            Token::Number(_) => "a number comes".into(),
            Token::Text(_) => "a string comes".into(),
        };
        self.error(self.place(), format!("{found} where {wanted} should be"))
    }

    /// Runs a step one level deeper.
    fn deeper(&mut self, step: impl FnOnce(&mut Self) -> Read) -> Read {
        if self.depth == DEPTH_MAX {
            let message = format!("parts may be nested {DEPTH_MAX} deep; take two rules");
            return Err(self.error(self.place(), message));
        }
        self.depth += 1;
        let part = step(self);
        self.depth -= 1;
        part
    }

    fn whole(&mut self) -> Read {
        let condition = self.level(0)?;
        let at = self.place();
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.deeper(|reader| reader.level(0))?;
        self.expect(":")?;
        let no = self.deeper(Self::whole)?;
        let described = [&condition, &yes, &no].map(Part::described);
        typing::choice(condition, yes, no)
            .ok_or_else(|| self.error(at, typing::does_not_fit("? :", &described)))
    }

    /// Parts with operators of this level between them, from left to right.
    fn level(&mut self, level: usize) -> Read {
        let Some(operators) = LEVELS.get(level) else {
            return self.signed();
        };
        let starts_at = self.place();
        let mut left = self.level(level + 1)?;
        loop {
            let at = self.place();
            let found = match self.token() {
                Token::Sign(sign) => *sign,
                Token::Word(word) if word == "in" => "in",
                _ => return Ok(left),
            };
            if !operators.contains(&found) {
                return Ok(left);
            }
            self.advance();
            let right_at = self.place();
            let right = self.level(level + 1)?;
            if self.is_new {
                self.check_words(&left, &right, right_at)?;
                self.check_words(&right, &left, starts_at)?;
            }
            let described = [&left, &right].map(Part::described);
            left = typing::binary(found, left, right)
                .ok_or_else(|| self.error(at, typing::does_not_fit(found, &described)))?;
        }
    }

    /// Refuses a word, at its place, that a fact can never be.
    fn check_words(&self, fact: &Part, words: &Part, at: usize) -> Result<(), ExpressionError> {
        let Part::Text(Text::Fact(fact)) = fact else {
            return Ok(());
        };
        let words = match words {
            Part::Text(Text::Literal(word)) => std::slice::from_ref(word),
            Part::Texts(words) => words,
            _ => return Ok(()),
        };
        match words.iter().find(|word| !fact.can_be(word)) {
            None => Ok(()),
            Some(word) => {
                // What is as long as a card number is not repeated.
                let word = match word.len() {
                    0..12 => format!("'{word}'"),
                    _ => "that".to_owned(),
                };
                let message = format!("`{}` is never {word}; {}", fact.name(), fact.can_only_be());
                Err(self.error(at, message))
            }
        }
    }

    fn signed(&mut self) -> Read {
        let at = self.place();
        if self.take("-") {
            if let Token::Number(number) = *self.token() {
                self.advance();
                // The least number has no counterpart above zero.
                let negated = 0i64.checked_sub_unsigned(number);
                return negated
                    .map(|number| Part::Number(Number::Literal(number)))
                    .ok_or_else(|| self.error(at, "this is no whole number of 64 bits"));
            }
            return self.with_sign("-", at);
        }
        if self.take("!") {
            return self.with_sign("!", at);
        }
        self.member()
    }

    fn with_sign(&mut self, sign: &str, at: usize) -> Read {
        let part = self.deeper(Self::signed)?;
        let described = [part.described()];
        typing::unary(sign, part)
            .ok_or_else(|| self.error(at, typing::does_not_fit(sign, &described)))
    }

    /// A value and the functions that are called on it.
    fn member(&mut self) -> Read {
        let mut part = self.primary()?;
        loop {
            if self.is("[") {
                let message = "lists have no places to look up; use `in`";
                return Err(self.error(self.place(), message));
            }
            if !self.take(".") {
                return Ok(part);
            }
            let at = self.place();
            let Token::Word(name) = self.token().clone() else {
                return Err(self.unexpected("the name of a function"));
            };
            self.advance();
            if !self.is("(") {
                return Err(self.error(at, "facts have no fields: write the fact's name alone"));
            }
            part = self.call(&name, at, Some(part))?;
        }
    }

    /// A call, from the bracket on.
    fn call(&mut self, name: &str, at: usize, target: Option<Part>) -> Read {
        if MACROS.contains(&name) {
            let message = format!(
                "`{name}` is not allowed: a rule does not go through lists, and facts have no fields"
            );
            return Err(self.error(at, message));
        }
        if !FUNCTIONS.contains(&name) {
            let known = FUNCTIONS.join("`, `");
            let message = format!("there is no function `{name}`; there are `{known}`");
            return Err(self.error(at, message));
        }
        self.expect("(")?;
        let on_target = target.is_some();
        let mut parts: Vec<Part> = target.into_iter().collect();
        if !self.is(")") {
            parts.push(self.deeper(Self::whole)?);
        }
        while self.take(",") {
            parts.push(self.deeper(Self::whole)?);
        }
        self.expect(")")?;
        let described: Vec<_> = parts.iter().map(Part::described).collect();
        typing::call(name, on_target, parts)
            .ok_or_else(|| self.error(at, typing::does_not_fit(name, &described)))
    }

    fn primary(&mut self) -> Read {
        let at = self.place();
        let token = self.token().clone();
        if let Token::Word(_) | Token::Number(_) | Token::Text(_) = token {
            self.advance();
        }
        match token {
            Token::Text(text) => Ok(Part::Text(Text::Literal(text))),
            Token::Number(number) => match i64::try_from(number) {
                Ok(number) => Ok(Part::Number(Number::Literal(number))),
                Err(_) => Err(self.error(at, "this is no whole number of 64 bits")),
            },
            Token::Word(word) => self.word(&word, at),
            Token::Sign("(") => {
                self.advance();
                let part = self.deeper(Self::whole)?;
                self.expect(")")?;
                Ok(part)
            }
            Token::Sign("[") => self.list(),
            Token::Sign("{") => Err(self.error(at, "maps are not allowed in a rule")),
            Token::Sign(_) | Token::End => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &str, at: usize) -> Read {
        let fact = Fact::from_name(word);
        self.reads_history |= fact.is_some_and(Fact::is_of_history);
        match (word, fact) {
            (_, _) if self.is("(") => self.call(word, at, None),
            ("true", _) => Ok(Part::Condition(Condition::Literal(true))),
            ("false", _) => Ok(Part::Condition(Condition::Literal(false))),
            ("null", _) => Err(self.error(at, "null is not allowed: every fact has a value")),
            (_, Some(Fact::Number(fact))) => Ok(Part::Number(Number::Fact(fact))),
            (_, Some(Fact::Text(fact))) => Ok(Part::Text(Text::Fact(fact))),
            (_, Some(Fact::Truth(fact))) => Ok(Part::Condition(Condition::Fact(fact))),
            (_, None) => {
                let message = format!("there is no fact `{word}`; docs/risk-rules.md has them all");
                Err(self.error(at, message))
            }
        }
    }

    /// A list is of literals of one type.
    fn list(&mut self) -> Read {
        self.expect("[")?;
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        while !self.is("]") {
            let at = self.place();
            match self.deeper(Self::signed)? {
                Part::Number(Number::Literal(number)) if texts.is_empty() => numbers.push(number),
                Part::Text(Text::Literal(text)) if numbers.is_empty() => texts.push(text),
                _ => {
                    let message = "a list holds numbers only or strings only, and no facts";
                    return Err(self.error(at, message));
                }
            }
            if !self.take(",") {
                break;
            }
        }
        self.expect("]")?;
        Ok(match (numbers.is_empty(), texts.is_empty()) {
            (true, true) => Part::EmptyList,
            (false, _) => Part::Numbers(numbers),
            (true, false) => Part::Texts(texts),
        })
    }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
