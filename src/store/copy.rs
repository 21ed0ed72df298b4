//! Rows in the binary form of Postgres' COPY. Sending them does not live here.
//! (Postgres documentation, COPY, "Binary Format".)

use super::columns::{Sink, TableRow};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

struct Buffer(Vec<u8>);

impl Buffer {
    fn field(&mut self, bytes: &[u8]) {
        // A column is a name, a number or a trace: far below 2 GiB.
        self.0
            .extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }
}

impl Sink for Buffer {
    fn null(&mut self) {
        self.0.extend_from_slice(&(-1i32).to_be_bytes());
    }

    fn int(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.field(value.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.field(value);
    }
}

/// All rows as one COPY stream, header and trailer included.
pub(super) fn encode<R: TableRow>(rows: &[R]) -> Vec<u8> {
    let mut buffer = Buffer(Vec::with_capacity(32 + rows.len() * R::COLUMNS.len() * 14));
    buffer.0.extend_from_slice(SIGNATURE);
    // No flags, no header extension.
    buffer.0.extend_from_slice(&[0; 8]);
    for row in rows {
        let columns = R::COLUMNS.len() as i16;
        buffer.0.extend_from_slice(&columns.to_be_bytes());
        row.put(&mut buffer);
    }
    buffer.0.extend_from_slice(&(-1i16).to_be_bytes());
    buffer.0
}
