//! Variables of the environment that override keys of the configuration file: how they name a key, and what they set.

use super::ConfigError;

/// What the name of an overriding variable begins with.
const PREFIX: &str = "CARDSWITCH__";

/// A variable that has set a key, and the way to that key: `["network", "0", "listen"]`.
pub struct Variable {
    pub name: String,
    pub path: Vec<String>,
}

/// Those of the environment that override, in the order of their names.
pub fn overriding(
    environment: impl Iterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, String)> {
    let mut found: Vec<_> = environment
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    found.sort();
    found.into_iter()
}

/// Where `CARDSWITCH__SECTION__KEY`, or `CARDSWITCH__NETWORK__NAME__KEY`, leads to in the table.
pub fn find(table: &toml::Table, name: String) -> Result<Variable, ConfigError> {
    let path = name[PREFIX.len()..].to_lowercase();
    let steps: Vec<&str> = path.split("__").collect();
    let path = match steps[..] {
        ["network", network, key] => {
            let Some(number) = network_number(table, network) else {
                let what = format!("no [[network]] section has the name `{network}`");
                return Err(ConfigError::Variable {
                    variable: name,
                    what,
                });
            };
            vec!["network".to_owned(), number.to_string(), key.to_owned()]
        }
        ["network", ..] => return Err(unusable(name, "CARDSWITCH__NETWORK__NAME__KEY")),
        [section, key] => vec![section.to_owned(), key.to_owned()],
        _ => return Err(unusable(name, "CARDSWITCH__SECTION__KEY")),
    };
    Ok(Variable { name, path })
}

fn unusable(variable: String, shape: &str) -> ConfigError {
    ConfigError::Variable {
        variable,
        what: format!("the name of such a variable is as {shape}"),
    }
}

/// A network by its name as variables write it: other characters than letters and digits are `_`.
fn network_number(table: &toml::Table, wanted: &str) -> Option<usize> {
    let networks = table.get("network")?.as_array()?;
    let plain = |character: char| match character.is_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '_',
    };
    networks.iter().position(|network| {
        let name = network.get("name").and_then(toml::Value::as_str);
        name.is_some_and(|name| name.chars().map(plain).eq(wanted.chars()))
    })
}

/// Puts the value into the table, as the type that it reads as.
pub fn set(table: &mut toml::Table, variable: &Variable, value: &str) -> Result<(), ConfigError> {
    let value = match value.parse::<toml::Value>() {
        Ok(toml::Value::Integer(number)) => toml::Value::Integer(number),
        Ok(toml::Value::Boolean(flag)) => toml::Value::Boolean(flag),
        _ => toml::Value::String(value.to_owned()),
    };
    let section = match &variable.path[..] {
        [section, number, _] => table
            .get_mut(section)
            .and_then(|networks| networks.get_mut(number.parse::<usize>().ok()?)),
        path => path.first().map(|section| {
            table
                .entry(section.to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()))
        }),
    };
    let section = section.and_then(toml::Value::as_table_mut);
    let (Some(section), Some(key)) = (section, variable.path.last()) else {
        return Err(ConfigError::Variable {
            variable: variable.name.clone(),
            what: "this section is not a table".to_owned(),
        });
    };
    section.insert(key.to_owned(), value);
    Ok(())
}
