//! Cuts an expression into tokens, each with its place. What they mean together does not live here.

use super::compile::ExpressionError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name, `true`, `false`, `null` or `in`.
    Word(String),
    /// Without its sign; at most 2^63, which is a number only with a minus before it.
    Number(u64),
    Text(Box<str>),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer ones before those that they begin with.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}",
];

/// A token and where it begins, in bytes.
pub type Placed = (Token, usize);

pub fn tokens(source: &str) -> Result<Vec<Placed>, ExpressionError> {
    let mut cutting = Cutting { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        cutting.skip_space();
        let at = cutting.at;
        let token = cutting.next()?;
        let end = token == Token::End;
        tokens.push((token, at));
        if end {
            return Ok(tokens);
        }
    }
}

struct Cutting<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Cutting<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ExpressionError {
        ExpressionError::at_byte(self.source, at, message)
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let spaces = rest.len()
                - rest
                    .trim_start_matches([' ', '\t', '\r', '\n', '\x0c'])
                    .len();
            self.at += spaces;
            if !self.rest().starts_with("//") {
                return;
            }
            let comment = self.rest().find('\n').unwrap_or(self.rest().len());
            self.at += comment;
        }
    }

    /// Takes the longest beginning of the rest whose letters fit.
    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn next(&mut self) -> Result<Token, ExpressionError> {
        let Some(first) = self.rest().chars().next() else {
            return Ok(Token::End);
        };
        if first.is_ascii_digit() {
            return self.number();
        }
        if first == '\'' || first == '"' {
            return self.text(first);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let word = self.take_while(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            if self.rest().starts_with(['\'', '"']) {
                let message = "bytes and raw strings are not allowed in a rule";
                return Err(self.error(self.at - word.len(), message));
            }
            return Ok(Token::Word(word.into()));
        }
        let sign = SIGNS.iter().find(|sign| self.rest().starts_with(**sign));
        let sign = sign.ok_or_else(|| self.error(self.at, unreadable(first)))?;
        self.at += sign.len();
        Ok(Token::Sign(sign))
    }

    fn number(&mut self) -> Result<Token, ExpressionError> {
        let at = self.at;
        let hexadecimal = self.rest().starts_with("0x");
        if hexadecimal {
            self.at += 2;
        }
        let digits = self.take_while(|letter| match hexadecimal {
            true => letter.is_ascii_hexdigit(),
            false => letter.is_ascii_digit(),
        });
        let mut after = self.rest().chars();
        match (after.next(), after.next()) {
            (Some('.'), Some('0'..='9')) | (Some('e' | 'E'), _) => {
                let message = "numbers with a decimal point or exponent are not allowed in a rule; amounts are \
                    whole minor units";
                return Err(self.error(at, message));
            }
            (Some('u' | 'U'), _) => {
                let message = "unsigned numbers are not allowed in a rule; leave the `u` out";
                return Err(self.error(at, message));
            }
            (Some(letter), _) if letter.is_alphanumeric() || letter == '_' => {
                return Err(self.error(at, "a number is followed by a letter"));
            }
            _ => {}
        }
        let number = u64::from_str_radix(digits, if hexadecimal { 16 } else { 10 });
        let number = number.ok().filter(|number| *number <= 1 << 63);
        let number = number.ok_or_else(|| self.error(at, "this is no whole number of 64 bits"))?;
        Ok(Token::Number(number))
    }

    fn text(&mut self, quote: char) -> Result<Token, ExpressionError> {
        let at = self.at;
        let triple: String = [quote; 3].iter().collect();
        if self.rest().starts_with(&triple) {
            let message = "strings in triple quotes are not allowed in a rule";
            return Err(self.error(at, message));
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let piece =
                self.take_while(|letter| letter != quote && letter != '\\' && letter != '\n');
            text.push_str(piece);
            match self.rest().chars().next() {
                Some('\\') => text.push(self.escaped()?),
                Some(letter) if letter == quote => {
                    self.at += 1;
                    return Ok(Token::Text(text.into()));
                }
                _ => return Err(self.error(at, "this string has no end")),
            }
        }
    }

    /// What a backslash and what follows it stand for.
    fn escaped(&mut self) -> Result<char, ExpressionError> {
        let at = self.at;
        let after = self.rest().chars().nth(1);
        self.at += 1 + after.map_or(0, char::len_utf8);
        let letter = match after {
            Some('\\' | '\'' | '"' | '`' | '?') => after,
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => {
                let digits = self.rest().get(..4);
                self.at += digits.map_or(0, str::len);
                let hexadecimal = |digits: &&str| digits.bytes().all(|b| b.is_ascii_hexdigit());
                let number = digits.filter(hexadecimal);
                let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                number.and_then(char::from_u32)
            }
            _ => None,
        };
        let message = "after a backslash may come `\\`, `'`, `\"`, `n`, `r`, `t`, or `u` and four hexadecimal digits";
        letter.ok_or_else(|| self.error(at, message))
    }
}

fn unreadable(letter: char) -> String {
    match letter {
        '=' => "to compare, write `==`".into(),
        '&' => "for both, write `&&`".into(),
        '|' => "for either, write `||`".into(),
        letter => format!("`{}` has no meaning here", letter.escape_debug()),
    }
}
