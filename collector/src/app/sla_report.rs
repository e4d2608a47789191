//! Stored reports: kept and read.

use sitepulse_model::id::{Bucket, CheckNo};

use super::{App, AppError};
use crate::sla_report::SlaReport;
use crate::store::sla_report;

impl App {
    /// Keeps a report; its name must be new, for a report never changes.
    pub async fn keep_sla_report(&self, report: SlaReport) -> Result<SlaReport, AppError> {
        let kept = self.inner.writer.run(move |engine| {
            let added = engine.store.write(|tables| sla_report::insert(tables, &report))?;
            if added { Ok(report) } else { Err(taken(&report.name)) }
        });
        kept.await?
    }

    /// A report; `None` where there is none of that name.
    pub async fn sla_report(&self, name: &str) -> Result<Option<SlaReport>, AppError> {
        let name = name.to_owned();
        self.read_store(move |tables| sla_report::one(tables, &name)).await
    }

    /// All reports, the newest first.
    pub async fn sla_reports(&self) -> Result<Vec<SlaReport>, AppError> {
        self.read_store(sla_report::all).await
    }

    /// The numbers of checks' newest amendments, in their order.
    pub async fn newest_amendments(&self, checks: Vec<(Bucket, CheckNo)>) -> Result<Vec<u64>, AppError> {
        self.read_store(move |tables| {
            checks.iter().map(|(bucket, check)| sla_report::newest_amendment(tables, *bucket, *check)).collect()
        })
        .await
    }

    /// How many amendments that are about a report's time came since it was made, for each of its checks; `numbers` are the checks' own.
    pub async fn amended_since(
        &self,
        report: &SlaReport,
        numbers: Vec<Option<(Bucket, CheckNo)>>,
    ) -> Result<Vec<usize>, AppError> {
        let period = report.period();
        let known: Vec<u64> = report.checks.iter().map(|check| check.amendment).collect();
        self.read_store(move |tables| {
            let one = |(number, known): (&Option<(Bucket, CheckNo)>, &u64)| match number {
                Some(check) => sla_report::amended_since(tables, *check, *known, period),
                None => Ok(0),
            };
            numbers.iter().zip(&known).map(one).collect()
        })
        .await
    }
}

fn taken(name: &str) -> AppError {
    AppError::Conflict(format!("there is a report {name} already, and reports never change: choose another name"))
}
