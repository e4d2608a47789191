//! Files of rows: JSON Lines and CSV here, Parquet beside; one way to write and one to read for all three.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::parquet::{ParquetReader, ParquetWriter};
use super::{ExchangeError, Format, Histories, Row};

/// Longest line that is read, in bytes: a record with a report and a screenshot.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Longest line of histories, in bytes.
const HISTORIES_BYTES_MAX: u64 = 64 << 20;

/// A line of JSON Lines: `{"histories": {...}}` or a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoriesLine {
    /// The histories of what follows.
    pub histories: Histories,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> ExchangeError {
    let path = path.display().to_string();
    move |source| ExchangeError::File { path, source }
}

/// Writes rows. What was written counts only after [`Self::finish`].
pub struct Writer {
    path: PathBuf,
    to: To,
}

enum To {
    Jsonl(Box<dyn Write>),
    Csv(Box<csv::Writer<Box<dyn Write>>>),
    Parquet(Box<ParquetWriter>),
}

impl Writer {
    /// Begins a file that must not exist yet; `-` is stdout.
    ///
    /// # Errors
    /// When it exists or cannot be made; Parquet cannot go to stdout.
    pub fn create(path: &Path, format: Format, histories: &Histories) -> Result<Self, ExchangeError> {
        let stdout = path == Path::new("-");
        if stdout && format == Format::Parquet {
            let source = std::io::Error::other("a Parquet file is written in two goes: name a file");
            return Err(file_error(path)(source));
        }
        let open = || File::create_new(path).map_err(file_error(path));
        let text = || -> Result<Box<dyn Write>, ExchangeError> {
            if stdout { Ok(Box::new(BufWriter::new(std::io::stdout()))) } else { Ok(Box::new(BufWriter::new(open()?))) }
        };
        let to = match format {
            Format::Jsonl => {
                let mut out = text()?;
                let line = serde_json::to_string(&serde_json::json!({ "histories": histories }));
                let line = line.map_err(|error| file_error(path)(error.into()))?;
                writeln!(out, "{line}").map_err(file_error(path))?;
                To::Jsonl(out)
            }
            Format::Csv => To::Csv(Box::new(csv::Writer::from_writer(text()?))),
            Format::Parquet => To::Parquet(Box::new(ParquetWriter::new(open()?, path, histories)?)),
        };
        Ok(Self { path: path.to_owned(), to })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the disk is full, or stdout is closed.
    pub fn write(&mut self, row: Row) -> Result<(), ExchangeError> {
        match &mut self.to {
            To::Jsonl(out) => {
                let mut line = serde_json::to_value(&row).map_err(|error| file_error(&self.path)(error.into()))?;
                if let Some(line) = line.as_object_mut() {
                    line.retain(|_, value| !value.is_null());
                }
                writeln!(out, "{line}").map_err(file_error(&self.path))
            }
            To::Csv(out) => out.serialize(row).map_err(|error| file_error(&self.path)(std::io::Error::other(error))),
            To::Parquet(out) => out.write(row),
        }
    }

    /// Ends the file and brings it to the disk.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn finish(self) -> Result<(), ExchangeError> {
        let path = self.path;
        match self.to {
            To::Jsonl(mut out) => out.flush().map_err(file_error(&path))?,
            To::Csv(mut out) => out.flush().map_err(file_error(&path))?,
            To::Parquet(out) => out.finish()?,
        }
        if path != Path::new("-") {
            File::open(&path).and_then(|file| file.sync_all()).map_err(file_error(&path))?;
        }
        Ok(())
    }
}

/// Something read from a file.
#[derive(Debug)]
pub enum Item {
    /// The histories of what follows.
    Histories(Box<Histories>),
    /// A record.
    Row(Box<Row>),
}

/// Reads a file.
pub struct Reader {
    path: PathBuf,
    from: From,
    /// Counts lines or rows, from 1.
    at: u64,
}

enum From {
    Jsonl(Box<dyn BufRead>),
    Csv(Box<csv::DeserializeRecordsIntoIter<Box<dyn Read>, Row>>),
    Parquet(Box<ParquetReader>),
}

impl Reader {
    /// Opens a file; `-` is stdin.
    ///
    /// # Errors
    /// When it is not there, or no file of that format; Parquet cannot come from stdin.
    pub fn open(path: &Path, format: Format) -> Result<Self, ExchangeError> {
        let stdin = path == Path::new("-");
        let bytes = || -> Result<Box<dyn Read>, ExchangeError> {
            if stdin {
                Ok(Box::new(std::io::stdin()))
            } else {
                Ok(Box::new(File::open(path).map_err(file_error(path))?))
            }
        };
        let from = match format {
            Format::Jsonl => From::Jsonl(Box::new(BufReader::new(bytes()?))),
            Format::Csv => From::Csv(Box::new(csv::Reader::from_reader(bytes()?).into_deserialize())),
            Format::Parquet if stdin => {
                let source = std::io::Error::other("a Parquet file is read from its end: name a file");
                return Err(file_error(path)(source));
            }
            Format::Parquet => From::Parquet(Box::new(ParquetReader::open(path)?)),
        };
        Ok(Self { path: path.to_owned(), from, at: 0 })
    }

    /// Where the last item stands: `line 12`.
    pub fn place(&self) -> String {
        match &self.from {
            From::Jsonl(_) => format!("line {}", self.at),
            // The header is the first line.
            From::Csv(_) => format!("line {}", self.at + 1),
            From::Parquet(_) => format!("row {}", self.at),
        }
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or what stands there makes no sense.
    pub fn read(&mut self) -> Result<Option<Item>, ExchangeError> {
        self.at += 1;
        let row = match &mut self.from {
            From::Jsonl(lines) => {
                let mut line = Vec::new();
                let longest = if self.at == 1 { HISTORIES_BYTES_MAX } else { LINE_BYTES_MAX };
                let read = lines.take(longest + 1).read_until(b'\n', &mut line).map_err(file_error(&self.path))?;
                if read == 0 {
                    return Ok(None);
                }
                if read as u64 > longest {
                    return Err(self.content(format!("the line has more than {longest} bytes")));
                }
                return self.line(&line).map(Some);
            }
            From::Csv(rows) => rows.next().map(|row| row.map_err(|error| error.to_string())),
            From::Parquet(rows) => {
                if let Some(histories) = rows.take_histories() {
                    self.at -= 1;
                    return Ok(Some(Item::Histories(Box::new(histories))));
                }
                rows.next()
            }
        };
        match row {
            None => Ok(None),
            Some(Ok(row)) => Ok(Some(Item::Row(Box::new(row)))),
            Some(Err(what)) => Err(self.content(what)),
        }
    }

    fn line(&self, line: &[u8]) -> Result<Item, ExchangeError> {
        if line.starts_with(b"{\"histories\"") {
            let read: Result<HistoriesLine, _> = serde_json::from_slice(line);
            return read
                .map(|read| Item::Histories(Box::new(read.histories)))
                .map_err(|error| self.content(error.to_string()));
        }
        serde_json::from_slice(line)
            .map(|row| Item::Row(Box::new(row)))
            .map_err(|error| self.content(error.to_string()))
    }

    /// That what stands at the last item's place is wrong.
    pub fn content(&self, what: String) -> ExchangeError {
        ExchangeError::Content { path: self.path.display().to_string(), place: self.place(), what }
    }
}
