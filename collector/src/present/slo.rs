//! What everybody is shown of promises: judged once for all readers, and not again before it is worth it.

use std::sync::{Arc, Mutex, PoisonError};

use sitepulse_daemon::clock;
use tokio::sync::Mutex as Turn;

use crate::app::App;
use crate::book::{Book, Histories};
use crate::present::Present;
use crate::present::dto::slo::SloView;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::view::slo::slo_view;
use crate::slo;

/// Figures serve at least so long, in microseconds of the monotonic clock.
const SERVES_US_MIN: u64 = 900_000;
/// And at most so long: a minute.
const SERVES_US_MAX: u64 = 60_000_000;
/// Between the two, so many times as long as it took to make them: a fiftieth of one processor's time at most goes into them.
const SERVES_TIMES: u64 = 50;

/// The figures that serve all readers.
#[derive(Default)]
pub(super) struct Shelf {
    newest: Mutex<Option<Judged>>,
    /// Who judges anew holds it.
    turn: Turn<()>,
}

#[derive(Clone)]
struct Judged {
    /// What was defined then: a change is seen at once.
    defined: (u64, usize),
    /// Good until then, on the monotonic clock.
    until: u64,
    views: Arc<Vec<SloView>>,
}

impl Shelf {
    fn newest(&self) -> Option<Judged> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Grows with every change of what the figures are defined by.
fn defined(book: &Book) -> (u64, usize) {
    fn versions<T>(histories: &Histories<T>) -> usize {
        histories.iter().map(|(_, versions)| versions.len()).sum()
    }
    let objects = book.objects();
    (book.version(), versions(&objects.slos) + versions(&objects.policies) + versions(&objects.windows))
}

impl Present {
    /// Every promise, by id: a second old at most where there are few, a minute where there are very many, and never older than a change of what they are defined by.
    /// While one reader has them judged anew, the others get what was.
    ///
    /// # Errors
    /// When the computation was cut short by a stop.
    pub async fn slos(&self) -> Answer<Arc<Vec<SloView>>> {
        let shelf = self.slo_shelf();
        let now_defined = defined(&self.app().book());
        let known = shelf.newest().filter(|judged| judged.defined == now_defined);
        if let Some(judged) = known.as_ref().filter(|judged| clock::monotonic().0 < judged.until) {
            return Ok(Arc::clone(&judged.views));
        }
        let _turn = match (shelf.turn.try_lock(), known) {
            (Ok(turn), _) => turn,
            (Err(_), Some(judged)) => return Ok(judged.views),
            (Err(_), None) => shelf.turn.lock().await,
        };
        // Whoever had the turn before may have done it.
        if let Some(judged) = shelf.newest()
            && judged.defined == defined(&self.app().book())
            && clock::monotonic().0 < judged.until
        {
            return Ok(judged.views);
        }
        let app = self.app().clone();
        let judged = tokio::task::spawn_blocking(move || judge(&app)).await.map_err(|_| failed())?;
        *shelf.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(judged.clone());
        Ok(judged.views)
    }
}

fn judge(app: &App) -> Judged {
    let began = clock::monotonic().0;
    let defined = defined(&app.book());
    let now = clock::now();
    let views = slo::all(app, now).iter().map(|held| slo_view(held, now)).collect();
    let ended = clock::monotonic().0;
    let serves = ended.saturating_sub(began).saturating_mul(SERVES_TIMES).clamp(SERVES_US_MIN, SERVES_US_MAX);
    Judged { defined, until: ended.saturating_add(serves), views: Arc::new(views) }
}

pub(super) fn failed() -> Problem {
    Problem::new(Code::Internal, "the figures could not be computed; see the collector's log")
}
