//! A piece of SQL with its parameters, numbered from `$1`, that can become part of a longer one.

use super::database::Value;

#[derive(Debug, Clone, Default)]
pub(super) struct Sql {
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    pub fn of(text: &str) -> Sql {
        Sql {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// A column held against a value.
    pub fn compare(column: &str, comparison: &str, value: Value) -> Sql {
        let mut sql = Sql::of(&format!("{column} {comparison} "));
        sql.bind(value);
        sql
    }

    pub fn equal(column: &str, value: impl ToString) -> Sql {
        Sql::compare(column, "=", Value::Text(value.to_string()))
    }

    pub fn one_of(column: &str, values: &[String]) -> Sql {
        let mut sql = Sql::of(&format!("{column} IN ("));
        for (place, value) in values.iter().enumerate() {
            sql.push(if place > 0 { ", " } else { "" });
            sql.bind(Value::Text(value.clone()));
        }
        sql.push(")");
        sql
    }

    pub fn either(one: &Sql, other: &Sql) -> Sql {
        let mut sql = Sql::of("(");
        sql.append(one);
        sql.push(" OR ");
        sql.append(other);
        sql.push(")");
        sql
    }

    /// All of these.
    pub fn all(clauses: &[Sql]) -> Sql {
        let mut sql = Sql::default();
        for (place, clause) in clauses.iter().enumerate() {
            sql.push(if place > 0 { " AND " } else { "" });
            sql.append(clause);
        }
        sql
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A further parameter.
    pub fn bind(&mut self, value: Value) {
        self.values.push(value);
        self.text.push_str(&format!("${}", self.values.len()));
    }

    /// As it can be pasted into a database's own shell: for a look at its plan.
    pub fn inlined(&self) -> String {
        let mut pieces = self.text.split('$');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = piece.split_at(digits);
            let place = number.parse::<usize>().unwrap_or_default();
            match self.values.get(place.wrapping_sub(1)) {
                Some(Value::Int(value)) => text.push_str(&value.to_string()),
                Some(Value::Text(value)) => {
                    text.push_str(&format!("'{}'", value.replace('\'', "''")));
                }
                Some(Value::Null) => text.push_str("NULL"),
                None => text.push('$'),
            }
            text.push_str(rest);
        }
        text
    }

    /// Another piece, its parameters behind those that are there.
    pub fn append(&mut self, other: &Sql) {
        let by = self.values.len();
        let mut pieces = other.text.split('$');
        self.text.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = piece.split_at(digits);
            let number = number.parse::<usize>().unwrap_or_default() + by;
            self.text.push_str(&format!("${number}{rest}"));
        }
        self.values.extend(other.values.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_piece_come_behind_those_before_it() {
        let mut sql = Sql::of("SELECT id FROM t WHERE ");
        sql.append(&Sql::equal("a", "x"));
        sql.push(" AND ");
        sql.append(&Sql::either(&Sql::equal("b", "y"), &Sql::equal("c", "z")));
        assert_eq!(
            sql.text,
            "SELECT id FROM t WHERE a = $1 AND (b = $2 OR c = $3)"
        );
        assert_eq!(sql.values.len(), 3);
    }
}
