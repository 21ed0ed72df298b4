//! `cardswitch journal verify` checks a journal from its first byte to its last; `journal dump` prints its
//! records (as `record_json` has them). Both read beside a running switch.

use super::record_json;
use super::serve::load;
use crate::engine::record::{self, RecordError};
use crate::journal::{
    FileStorage, FrameInfo, JournalError, Reader, Report, Sequence, Storage, verify, verify_records,
};
use anyhow::{Context, Result};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Check or print the journal.
///
/// Example: cardswitch journal verify --config config/cardswitch.toml
#[derive(clap::Subcommand)]
pub enum Journal {
    Verify(Verify),
    Dump(Dump),
}

/// Check every frame and record of the journal: checksums, chain, sequence, and that this program can read each record.
///
/// Beside a running switch it checks what is written by then.
///
/// Example: cardswitch journal verify --config config/cardswitch.toml
#[derive(clap::Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Print the journal's records, up to the last durable one: a JSON object a line, without card numbers.
///
/// Ends with 1 if the first record asked for is not there.
///
/// Example: cardswitch journal dump --config config/cardswitch.toml --from 1000 --limit 10
#[derive(clap::Args)]
pub struct Dump {
    #[command(flatten)]
    place: Place,
    /// The first record.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 1)]
    from: Sequence,
    /// How many records at the most.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The configuration file that names the data folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder itself.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Place {
    pub fn storage(&self) -> Result<Arc<dyn Storage>> {
        let data = match (&self.data, &self.config) {
            (Some(data), _) => data.clone(),
            (None, Some(config)) => load(config)?.data.dir,
            (None, None) => unreachable!("clap requires one of the two"),
        };
        open(&data)
    }
}

/// The journal of a data folder, for reading.
pub fn open(data: &Path) -> Result<Arc<dyn Storage>> {
    let folder = data.join("journal");
    let storage = FileStorage::existing(&folder);
    Ok(storage.with_context(|| format!("there is no journal in {}", data.display()))?)
}

pub fn run(journal: &Journal) -> Result<u8> {
    match journal {
        Journal::Verify(verify) => run_verify(verify),
        Journal::Dump(dump) => run_dump(dump),
    }
}

fn run_verify(options: &Verify) -> Result<u8> {
    let storage = options.place.storage()?;
    let bar = indicatif::ProgressBar::new_spinner();
    let mut frames = 0u64;
    let progress = |frame: &FrameInfo| {
        frames += 1;
        if frames.is_multiple_of(4_096) {
            bar.set_message(format!("record {}", frame.first_sequence));
            bar.tick();
        }
    };
    let report = verify_records(&storage, progress, |_, bytes| readable(bytes));
    bar.finish_and_clear();
    let report = report?;
    let journal_id = report.journal_id.map(|id| format!("{id:032x}"));
    if options.json {
        let json = json!({
            "result": "sound", "journal_id": journal_id, "segments": report.segments,
            "compressed_segments": report.compressed_segments, "frames": report.frames,
            "marks": report.marks, "records": report.records, "first_sequence": report.first_sequence,
            "last_sequence": report.last_sequence, "durable_sequence": report.durable_sequence,
            "bytes": report.bytes, "unfinished_bytes": report.unfinished_bytes,
            "in_use": report.in_use,
        });
        println!("{json:#}");
        return Ok(0);
    }
    tell(&report);
    println!(
        "journal {}",
        journal_id.unwrap_or_else(|| "without records".into())
    );
    Ok(0)
}

/// Whether this program can read a record whose checksum is right.
fn readable(bytes: &[u8]) -> Result<(), String> {
    match record::read(bytes) {
        Ok(_) => Ok(()),
        Err(RecordError::Unreadable(error)) => Err(format!(
            "it cannot be read ({error}), though its checksum is right: another version of this program wrote it; use that one"
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn tell(report: &Report) {
    println!(
        "sound: {} records, proven durable up to record {}",
        report.records, report.durable_sequence
    );
    if report.records > 0 {
        let (first, last) = (report.first_sequence, report.last_sequence);
        let earlier = match first {
            1 => "",
            _ => "; earlier ones are not kept",
        };
        println!("records {first} to {last}{earlier}");
    }
    println!(
        "{} frames in {} segments ({} compressed), {} bytes",
        report.frames, report.segments, report.compressed_segments, report.bytes
    );
    match (report.in_use, report.unfinished_bytes) {
        (true, 0) => println!("a running switch writes to it: this is what was there"),
        (true, bytes) => println!(
            "a running switch writes to it: this is what was there, without {bytes} bytes that are being written"
        ),
        (false, 0) => {}
        (false, bytes) => println!(
            "{bytes} bytes of an unfinished write at the end, which the next start cuts off"
        ),
    }
}

fn run_dump(dump: &Dump) -> Result<u8> {
    use std::io::Write;
    let mut reader = match Reader::open(dump.place.storage()?, dump.from) {
        Err(error @ JournalError::NotKept { oldest, .. }) => {
            anyhow::bail!("{error}; begin there with `--from {oldest}`")
        }
        opened => opened?,
    };
    let limit = dump.limit.unwrap_or(usize::MAX);
    let mut left = limit;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    while left > 0 {
        let Some((sequence, bytes)) = reader.next()? else {
            break;
        };
        let record = record::read(bytes).with_context(|| format!("record {sequence}"))?;
        match writeln!(out, "{}", record_json::line(sequence, &record)) {
            // Whoever reads, `head` for one, has enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
            written => written?,
        }
        left -= 1;
    }
    out.flush().or_else(|error| {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Ok(())
        } else {
            Err(error)
        }
    })?;
    if left == limit && limit > 0 {
        let newest = match reader.position().sequence {
            0 => {
                // Damage at the beginning looks like an end.
                verify(&dump.place.storage()?, |_| {})?;
                "it holds no record".to_owned()
            }
            sequence => format!("its newest durable record is {sequence}"),
        };
        anyhow::bail!("record {} is not in the journal: {newest}", dump.from);
    }
    Ok(0)
}
