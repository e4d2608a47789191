//! `/api/v1/slos`: promises with their error budgets.

use axum::Json;
use axum::extract::{Path, State};
use sitepulse_daemon::clock;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::present::Present;
use crate::present::dto::slo::{SloHistoryView, SloView};
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::slo::failed;
use crate::present::view::slo::{history_view, slo_view};
use crate::slo;

/// Single promises that are judged at a time; more wait.
static SEATS: Semaphore = Semaphore::const_new(2);

/// `GET /api/v1/slos`
pub async fn slos(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<SloView>> {
    list.page.of_all(present.slos().await?.to_vec(), |slo| slo.id.clone())
}

/// `GET /api/v1/slos/{id}`
pub async fn slo(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<SloView>> {
    let now = clock::now();
    let asked = id.clone();
    let held = judging(&present, move |app| slo::one(app, &asked, now)).await?;
    held.map(|held| Json(slo_view(&held, now))).ok_or_else(|| not_found(&id))
}

/// `GET /api/v1/slos/{id}/history`
pub async fn history(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<SloHistoryView>> {
    let now = clock::now();
    let asked = id.clone();
    let days = judging(&present, move |app| slo::history(app, &asked, now)).await?;
    let (promise, days) = days.ok_or_else(|| not_found(&id))?.map_err(|fault| Problem::new(Code::Conflict, fault))?;
    Ok(Json(history_view(&promise, &days)))
}

/// Works beside the tasks, when it is its turn.
async fn judging<T: Send + 'static>(present: &Present, work: impl FnOnce(&App) -> T + Send + 'static) -> Answer<T> {
    let seat = SEATS.acquire().await.map_err(|_| failed())?;
    let app = present.app().clone();
    let work = move || {
        // Also where nobody waits for the answer any more.
        let _seat = seat;
        work(&app)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| failed())
}

fn not_found(id: &str) -> Problem {
    Problem::not_found("slo", id)
}
