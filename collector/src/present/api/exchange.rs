//! `POST /api/v1/import`.

use axum::extract::State;
use axum::{Extension, Json};
use sitepulse_daemon::clock;

use super::{Answer, Body, body};
use crate::present::Present;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::exchange::{ImportBody, ImportView, RefusedView};

/// Takes histories and records in. Doing it again changes nothing.
pub async fn import(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    request: Body<ImportBody>,
) -> Answer<Json<ImportView>> {
    let request = body(request)?;
    let mut view = ImportView::default();
    // Told again with what came of it; a part may be in where the rest is refused.
    let with = if request.histories.is_some() { "histories and " } else { "" };
    note.tell(format!("import of {with}{} records, cut short", request.records.len()));
    if let Some(histories) = request.histories {
        let imported = present.app().import_histories(histories, caller.author).await?;
        (view.checks, view.agents) = (imported.checks, imported.agents);
        (view.events, view.objects) = (imported.events, imported.objects);
    }
    let mut records = Vec::with_capacity(request.records.len());
    let mut places = Vec::with_capacity(request.records.len());
    for (index, row) in request.records.into_iter().enumerate() {
        match row.into_named() {
            Ok(named) => {
                records.push(named);
                places.push(index);
            }
            Err(why) => view.refused.push(RefusedView { index, why }),
        }
    }
    let imported = present.app().import_records(records, clock::now()).await?;
    view.stored = imported.stored;
    view.known = imported.known;
    view.without_place = imported.without_place;
    let refused = imported.refused.into_iter().map(|(index, why)| RefusedView { index: places[index], why });
    view.refused.extend(refused);
    view.refused.sort_by_key(|refused| refused.index);
    note.tell(format!(
        "import: {} checks, {} agents, {} events, {} objects; {} records stored, {} known, {} refused",
        view.checks,
        view.agents,
        view.events,
        view.objects,
        view.stored,
        view.known,
        view.refused.len()
    ));
    Ok(Json(view))
}
