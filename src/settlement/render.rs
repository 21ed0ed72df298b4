//! The settlement report as JSON, CSV, a table for a terminal, or a page by itself. JSON and CSV have
//! minor units, for programs; table and page have decimals, for people.

use super::report::SettlementReport;
use crate::engine::money::Currency;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Csv,
    Json,
    Html,
}

impl Format {
    pub const ALL: &'static [(Format, &'static str)] = &[
        (Format::Table, "table"),
        (Format::Csv, "csv"),
        (Format::Json, "json"),
        (Format::Html, "html"),
    ];

    pub fn from_name(name: &str) -> Option<Format> {
        let found = Format::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(format, _)| *format)
    }
}

pub fn render(report: &SettlementReport, format: Format) -> String {
    match format {
        Format::Table => table(report),
        Format::Csv => csv(report),
        Format::Json => json(report),
        Format::Html => html(report),
    }
}

fn json(report: &SettlementReport) -> String {
    // A report is strings and numbers, which JSON can always hold.
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    text + "\n"
}

const CSV_HEADER: [&str; 12] = [
    "business_date",
    "network",
    "status",
    "currency",
    "type",
    "count",
    "gross",
    "interchange",
    "fees",
    "net",
    "posted",
    "authorized",
];

/// The lines without their totals, so that a column can be added up.
fn csv(report: &SettlementReport) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let date = report.business_date.to_string();
    let network = report.network.as_deref().unwrap_or_default();
    // Writing to memory cannot fail.
    let _ = writer.write_record(CSV_HEADER);
    for line in &report.lines {
        let numbers = [line.gross, line.interchange, line.fees, line.net];
        let [gross, interchange, fees, net] = numbers.map(|number| number.to_string());
        let (posted, authorized) = (line.posted.to_string(), line.authorized.to_string());
        let _ = writer.write_record([
            &date,
            network,
            report.status.name(),
            line.currency,
            &line.kind,
            &line.count.to_string(),
            &gross,
            &interchange,
            &fees,
            &net,
            &posted,
            &authorized,
        ]);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

const COLUMNS: [&str; 9] = [
    "Currency",
    "Type",
    "Count",
    "Posted",
    "Authorized",
    "Gross",
    "Interchange",
    "Fees",
    "Net",
];

fn title(report: &SettlementReport) -> String {
    let network = report.network.as_deref().unwrap_or("all networks");
    let (date, status) = (report.business_date, report.status.name());
    format!("Settlement {date}, {network}: {status}")
}

fn note(report: &SettlementReport) -> String {
    format!(
        "From {} to {}, up to journal record {}. Basis: {}, so interchange and fees are not known yet. \
         Amounts above zero are owed to the network. Gross is what was posted on this date, and what was \
         authorized on it, is still open and not posted yet.",
        report.from, report.until, report.projected_through, report.basis
    )
}

/// Lines and totals as cells; a total has no type.
fn cells(report: &SettlementReport) -> Vec<[String; COLUMNS.len()]> {
    let row = |currency: &str, kind: &str, count: u64, amounts: [i64; 6]| {
        let [posted, authorized, gross, interchange, fees, net] =
            amounts.map(|amount| decimal(amount, currency));
        let (currency, kind) = (currency.to_owned(), kind.to_owned());
        [
            currency,
            kind,
            count.to_string(),
            posted,
            authorized,
            gross,
            interchange,
            fees,
            net,
        ]
    };
    let mut cells = Vec::with_capacity(report.lines.len() + report.totals.len());
    for line in &report.lines {
        let (gross, net) = (line.gross, line.net);
        let (posted, authorized) = (line.posted, line.authorized);
        let amounts = [posted, authorized, gross, line.interchange, line.fees, net];
        cells.push(row(line.currency, &line.kind, line.count, amounts));
    }
    for total in &report.totals {
        let (gross, net) = (total.gross, total.net);
        let (posted, authorized) = (total.posted, total.authorized);
        let amounts = [
            posted,
            authorized,
            gross,
            total.interchange,
            total.fees,
            net,
        ];
        cells.push(row(total.currency, "total", total.count, amounts));
    }
    cells
}

/// 123456 USD as `1234.56`.
fn decimal(amount_minor: i64, currency: &str) -> String {
    match Currency::from_alpha(currency) {
        Some(currency) => currency.decimal(amount_minor),
        None => amount_minor.to_string(),
    }
}

fn table(report: &SettlementReport) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(COLUMNS);
    for row in cells(report) {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n{table}\n{}\n", title(report), note(report))
}

fn html(report: &SettlementReport) -> String {
    let title = escaped(&title(report));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;margin:2rem}}\
         table{{border-collapse:collapse}}th,td{{padding:.3rem .8rem;border-bottom:1px solid #ddd}}\
         td{{text-align:right;font-variant-numeric:tabular-nums}}\
         td:nth-child(-n+2),th:nth-child(-n+2){{text-align:left}}\
         tr.total{{font-weight:600}}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n<tr>"
    );
    for column in COLUMNS {
        let _ = write!(page, "<th>{column}</th>");
    }
    page.push_str("</tr>\n");
    for row in cells(report) {
        let class = if row[1] == "total" {
            " class=\"total\""
        } else {
            ""
        };
        let _ = write!(page, "<tr{class}>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escaped(&cell));
        }
        page.push_str("</tr>\n");
    }
    let note = escaped(&note(report));
    let _ = write!(page, "</table>\n<p>{note}</p>\n</body>\n</html>\n");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::super::report::{ReportLine, ReportStatus, ReportTotal};
    use super::*;

    fn report() -> SettlementReport {
        let (currency, interchange, fees) = ("USD", 0, 0);
        let (gross, net, count) = (123_456, 123_456, 3);
        let (posted, authorized) = (100_000, 23_456);
        SettlementReport {
            business_date: jiff::civil::date(2026, 11, 24),
            network: Some("<visa>".to_owned()),
            status: ReportStatus::Closed,
            basis: "messages",
            from: "2026-11-24T00:00:00.000Z".to_owned(),
            until: "2026-11-25T00:00:00.000Z".to_owned(),
            projected_through: 42,
            lines: vec![ReportLine {
                currency,
                kind: "purchase".to_owned(),
                count,
                gross,
                interchange,
                fees,
                net,
                posted,
                authorized,
            }],
            totals: vec![ReportTotal {
                currency,
                count,
                gross,
                interchange,
                fees,
                net,
                posted,
                authorized,
            }],
        }
    }

    #[test]
    fn json_has_the_names_that_outside_tools_rely_on() {
        let value: serde_json::Value =
            serde_json::from_str(&render(&report(), Format::Json)).unwrap();
        let expected = serde_json::json!({
            "business_date": "2026-11-24", "network": "<visa>", "status": "closed",
            "basis": "messages", "from": "2026-11-24T00:00:00.000Z",
            "until": "2026-11-25T00:00:00.000Z", "projected_through": 42,
            "lines": [{"currency": "USD", "type": "purchase", "count": 3, "gross": 123456,
                       "interchange": 0, "fees": 0, "net": 123456, "posted": 100000,
                       "authorized": 23456}],
            "totals": [{"currency": "USD", "count": 3, "gross": 123456, "interchange": 0,
                        "fees": 0, "net": 123456, "posted": 100000, "authorized": 23456}],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn csv_table_and_page_say_the_same() {
        let csv = render(&report(), Format::Csv);
        assert_eq!(
            csv.lines().nth(1),
            Some("2026-11-24,<visa>,closed,USD,purchase,3,123456,0,0,123456,100000,23456")
        );
        let table = render(&report(), Format::Table);
        assert!(
            table.contains("1234.56") && table.contains("234.56") && table.contains("total"),
            "{table}"
        );
        let page = render(&report(), Format::Html);
        assert!(
            page.contains("<td>1234.56</td>") && page.contains("&lt;visa&gt;"),
            "{page}"
        );
        assert!(!page.contains("<visa>"));
    }

    #[test]
    fn decimals_follow_the_currency() {
        for (amount, currency, expected) in [
            (5, "USD", "0.05"),
            (-123_456, "USD", "-1234.56"),
            (1_000, "JPY", "1000"),
            (1_500_000, "USDT", "1.500000"),
            (i64::MIN, "USD", "-92233720368547758.08"),
        ] {
            assert_eq!(decimal(amount, currency), expected);
        }
    }
}
