//! The names that merchants were told by, each once: which of them are new in a batch of records.

use super::batch::Batch;
use super::columns::TableRow;
use super::database::Store;
use super::error::StoreError;
use super::rows::table;
use super::sql::Sql;
use arrayvec::ArrayString;
use std::collections::{BTreeSet, HashSet};

/// Names are remembered up to this many, then asked for again.
const NAMES_MAX: usize = 1 << 17;
/// Names that one query asks about.
const ASK_MAX: usize = 500;

table! {
    MerchantNameRow in "merchant_names" {
        merchant_name: ArrayString<40>,
        merchant_id: ArrayString<15>,
    }
}

type Named = (ArrayString<40>, ArrayString<15>);

/// Names that the tables have.
#[derive(Debug, Default)]
pub(super) struct MerchantNames(HashSet<Named>);

impl MerchantNames {
    /// Those of a batch that the tables lack.
    pub async fn lacking(
        &mut self,
        store: &Store,
        batch: &Batch,
    ) -> Result<Vec<MerchantNameRow>, StoreError> {
        if self.0.len() > NAMES_MAX {
            self.0.clear();
        }
        let authorized = batch.authorizations.iter();
        let authorized = authorized.map(|row| (row.merchant_name, row.merchant_id));
        let posted = batch.transactions.iter();
        let posted = posted.map(|row| (row.merchant_name, row.merchant_id));
        let unknown = authorized
            .chain(posted)
            .filter(|name| !self.0.contains(name));
        let unknown: BTreeSet<Named> = unknown.collect();
        let names: BTreeSet<&str> = unknown.iter().map(|(name, _)| name.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        for names in names.chunks(ASK_MAX) {
            let columns = MerchantNameRow::select();
            let mut sql = Sql::of(&format!("SELECT {columns} FROM merchant_names WHERE "));
            sql.append(&Sql::one_of("merchant_name", names));
            let read = store.fetch(sql.text, &sql.values, |row| MerchantNameRow::take(row, 0));
            let known = read.await?.into_iter();
            self.0
                .extend(known.map(|row| (row.merchant_name, row.merchant_id)));
        }
        let lacking = unknown.iter().filter(|name| !self.0.contains(*name));
        let row = |(merchant_name, merchant_id): &Named| MerchantNameRow {
            merchant_name: *merchant_name,
            merchant_id: *merchant_id,
        };
        Ok(lacking.map(row).collect())
    }

    /// The tables have these now.
    pub fn written(&mut self, rows: &[MerchantNameRow]) {
        self.0
            .extend(rows.iter().map(|row| (row.merchant_name, row.merchant_id)));
    }
}
