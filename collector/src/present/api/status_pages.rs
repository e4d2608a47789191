//! `/api/v1/status-pages`: what is published, with the checks behind it.

use axum::Json;
use axum::extract::{Path, State};

use crate::present::Present;
use crate::present::dto::status::StatusPageView;
use crate::present::list::{List, Listed, Nothing};
use crate::present::problem::{Answer, Problem};
use crate::present::status::view;

/// `GET /api/v1/status-pages`
pub async fn status_pages(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<StatusPageView>> {
    let living: Vec<String> = {
        let book = present.app().book();
        book.objects().status_pages.living().map(|(id, _)| id.to_owned()).collect()
    };
    let mut views = Vec::with_capacity(living.len());
    for id in living {
        views.extend(view(&present, &id).await?);
    }
    list.page.of_all(views, |page| page.id.clone())
}

/// `GET /api/v1/status-pages/{id}`
pub async fn status_page(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<StatusPageView>> {
    view(&present, &id).await?.map(Json).ok_or_else(|| Problem::not_found("status page", &id))
}
