//! What a backtest found, printed for people. How it is added up is in `backtest::findings`.

use crate::backtest::findings::{Example, Findings, Ran, WORDS};
use crate::engine::reason::DeclineReason;
use comfy_table::{CellAlignment, Table, presets};

pub fn to_text(findings: &Findings, tried: &str, ran: &Ran) -> String {
    let mut text = format!(
        "{tried}\n{} requests in records {} to {}, {} a second\n\n",
        findings.decisions,
        ran.first,
        ran.last,
        findings.per_second(ran)
    );
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["would be", "requests", "amount"]);
    for (word, tally) in WORDS.iter().zip(&findings.changed) {
        let amounts = tally.amounts_minor.iter();
        let amounts: Vec<_> = amounts
            .map(|(currency, sum)| format!("{} {}", currency.decimal(*sum), currency.alpha()))
            .collect();
        table.add_row([
            word.replace('_', " "),
            tally.count.to_string(),
            amounts.join(", "),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text.push_str(&format!("{table}\n"));
    notes(findings, &mut text);
    text
}

fn notes(findings: &Findings, text: &mut String) {
    if findings.declined_anyway > 0 {
        let count = findings.declined_anyway;
        text.push_str(&format!("matched, and were declined anyway: {count}\n"));
    }
    if findings.failed > 0 {
        let (count, fault) = (
            findings.failed,
            findings.first_fault.as_deref().unwrap_or_default(),
        );
        text.push_str(&format!(
            "could not be evaluated: {count} (the first: {fault})\n"
        ));
    }
    if !findings.reasons.is_empty() {
        text.push_str("\nreasons\n");
    }
    for (reason, count) in &findings.reasons {
        text.push_str(&format!("{count:>8}  {}\n", reason.name()));
    }
    let merchants = findings.top_merchants();
    if !merchants.is_empty() {
        text.push_str("\nmerchants\n");
    }
    for (id, name, count) in merchants {
        text.push_str(&format!("{count:>8}  {name} {id}\n"));
    }
    if !findings.examples.is_empty() {
        text.push_str("\nexamples\n");
    }
    for example in &findings.examples {
        text.push_str(&example_text(example));
    }
}

fn example_text(example: &Example) -> String {
    format!(
        "{}  {}  {:>12} {}  {}  {} {}\n",
        example.authorization_id,
        example.at,
        example.currency.decimal(example.amount_minor),
        example.currency.alpha(),
        example.merchant_name,
        example.word.replace('_', " "),
        example.reason.map_or("", DeclineReason::name)
    )
}
