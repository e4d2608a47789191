//! Rows as a Parquet file, with the histories under [`HISTORIES_KEY`] in its metadata.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::record::Field;
use ::parquet::record::reader::RowIter;
use ::parquet::schema::parser::parse_message_type;
use sitepulse_model::time::UtcMicros;

use super::row::{Cell, CellKind};
use super::{ExchangeError, Histories, Row};

/// Under which name the histories stand in the file's metadata.
pub const HISTORIES_KEY: &str = "sitepulse.histories";
/// Rows of a row group: bounds the memory of writer and reader.
const GROUP_ROWS: usize = 50_000;

fn failed(path: &Path) -> impl Fn(ParquetError) -> ExchangeError {
    let path = path.display().to_string();
    move |error| ExchangeError::Content { path: path.clone(), place: "Parquet".into(), what: error.to_string() }
}

/// Writes a Parquet file.
pub struct ParquetWriter {
    path: std::path::PathBuf,
    writer: SerializedFileWriter<BufWriter<File>>,
    rows: Vec<Row>,
}

impl ParquetWriter {
    pub(super) fn new(file: File, path: &Path, histories: &Histories) -> Result<Self, ExchangeError> {
        let mut message = String::from("message record {");
        for (name, kind) in Row::COLUMNS {
            let column = match kind {
                CellKind::Text => format!("optional binary {name} (UTF8);"),
                CellKind::Number => format!("optional int64 {name};"),
                CellKind::Instant => format!("optional int64 {name} (TIMESTAMP(MICROS,true));"),
            };
            message.push_str(&column);
        }
        message.push('}');
        let histories =
            serde_json::to_string(histories).map_err(|error| failed(path)(ParquetError::General(error.to_string())))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(vec![KeyValue::new(HISTORIES_KEY.to_owned(), histories)]))
            .build();
        let schema = parse_message_type(&message).map_err(failed(path))?;
        let writer = SerializedFileWriter::new(BufWriter::new(file), Arc::new(schema), Arc::new(properties));
        Ok(Self { path: path.to_owned(), writer: writer.map_err(failed(path))?, rows: Vec::new() })
    }

    pub(super) fn write(&mut self, row: Row) -> Result<(), ExchangeError> {
        self.rows.push(row);
        if self.rows.len() >= GROUP_ROWS { self.group().map_err(failed(&self.path)) } else { Ok(()) }
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        let cells: Vec<Vec<Cell>> = self.rows.drain(..).map(|row| row.cells()).collect();
        let mut group = self.writer.next_row_group()?;
        for at in 0..Row::COLUMNS.len() {
            let Some(mut column) = group.next_column()? else { break };
            let (mut there, mut numbers, mut texts) = (Vec::with_capacity(cells.len()), Vec::new(), Vec::new());
            for row in &cells {
                let is_there = match row.get(at) {
                    Some(Cell::Text(Some(text))) => {
                        texts.push(ByteArray::from(text.as_str()));
                        true
                    }
                    Some(Cell::Number(Some(number))) => {
                        numbers.push(*number);
                        true
                    }
                    Some(Cell::Instant(Some(instant))) => {
                        numbers.push(instant.0);
                        true
                    }
                    Some(Cell::Text(None) | Cell::Number(None) | Cell::Instant(None)) | None => false,
                };
                there.push(i16::from(is_there));
            }
            if Row::COLUMNS[at].1 == CellKind::Text {
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&there), None)?;
            } else {
                column.typed::<Int64Type>().write_batch(&numbers, Some(&there), None)?;
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), ExchangeError> {
        if !self.rows.is_empty() {
            self.group().map_err(failed(&self.path))?;
        }
        self.writer.close().map_err(failed(&self.path))?;
        Ok(())
    }
}

/// Reads a Parquet file.
pub struct ParquetReader {
    histories: Option<Histories>,
    rows: RowIter<'static>,
}

impl ParquetReader {
    pub(super) fn open(path: &Path) -> Result<Self, ExchangeError> {
        let file =
            File::open(path).map_err(|source| ExchangeError::File { path: path.display().to_string(), source })?;
        let reader = SerializedFileReader::new(file).map_err(failed(path))?;
        let metadata = reader.metadata().file_metadata().key_value_metadata();
        let histories = metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == HISTORIES_KEY));
        let histories = match histories.and_then(|pair| pair.value.as_deref()) {
            None => None,
            Some(text) => Some(serde_json::from_str(text).map_err(|error| ExchangeError::Content {
                path: path.display().to_string(),
                place: format!("metadata {HISTORIES_KEY}"),
                what: error.to_string(),
            })?),
        };
        Ok(Self { histories, rows: RowIter::from_file_into(Box::new(reader)) })
    }

    pub(super) fn take_histories(&mut self) -> Option<Histories> {
        self.histories.take()
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the format's other types are none of ours, new ones too")]
    pub(super) fn next(&mut self) -> Option<Result<Row, String>> {
        let read = match self.rows.next()? {
            Ok(read) => read,
            Err(error) => return Some(Err(error.to_string())),
        };
        let mut row = Row::default();
        for (name, field) in read.get_column_iter() {
            let cell = match field {
                Field::Null => continue,
                Field::Str(text) => Cell::Text(Some(text.clone())),
                Field::Long(number) => Cell::Number(Some(*number)),
                Field::TimestampMicros(instant) => Cell::Instant(Some(UtcMicros(*instant))),
                _ => return Some(Err(format!("column {name} holds something that no row has"))),
            };
            if !row.set(name, cell) {
                let known: Vec<&str> = Row::COLUMNS.iter().map(|(name, _)| *name).collect();
                return Some(Err(format!("column {name} is none, or of another type: known are {}", known.join(", "))));
            }
        }
        Some(Ok(row))
    }
}
