//! Pages for people: server-rendered, useful without scripts, in the words of the verdicts. One page has
//! a script: it takes the digest of a file that never leaves the browser.
//!
//! Everything that a stranger wrote is shown through [`printable`](countersign_attest::escape::printable) and escaped by the templates. A page
//! never says that an artifact is good for anything: it says what was built and what was found.

use askama::Template;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

mod page;
mod shell;

use crate::api::problem::Problem;
use crate::api::view::ViewError;
use crate::api::{Page, Shared, find_difference};
pub(crate) use page::{About, Retired, SigningKey};

/// The pages.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(index))
        .route("/releases/{id}", get(release))
        .route("/releases/{id}/differences/{digest}", get(difference))
        .route("/by-digest", get(by_file))
        .route("/operator", get(operator))
        .route("/style.css", get(style))
        .route("/search.js", get(script))
}

async fn index(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let list = async {
        let page = Page::parse(query.as_deref())?;
        let (releases, next) = page.read(&*shared.views).await?;
        render(&page::IndexPage::new(
            &shared.about,
            &page.query,
            &releases,
            next,
        ))
    };
    list.await.unwrap_or_else(|problem| error_page(&problem))
}

async fn release(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let shown = async {
        let unknown = || Problem::NotFound("No release has this number.");
        let id = id
            .ok()
            .and_then(|Path(id)| id.parse().ok())
            .ok_or_else(unknown)?;
        let release = shared.views.release(id).await?.ok_or_else(unknown)?;
        render(&page::ReleasePage::new(&shared.about, &release))
    };
    shown.await.unwrap_or_else(|problem| error_page(&problem))
}

async fn difference(
    State(shared): State<Shared>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let shown = async {
        let release = path.as_ref().ok().map(|Path((id, _))| id.clone());
        let found = find_difference(&shared, path).await?;
        render(&page::DifferencePage::new(
            &release.unwrap_or_default(),
            &found,
        ))
    };
    shown.await.unwrap_or_else(|problem| error_page(&problem))
}

async fn operator(State(shared): State<Shared>) -> Response {
    render(&page::OperatorPage::new(&shared.about)).unwrap_or_else(|problem| error_page(&problem))
}

/// The one page that runs a script, ours alone.
async fn by_file() -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                          base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    match render(&page::ByFilePage) {
        Ok(page) => ([(header::CONTENT_SECURITY_POLICY, POLICY)], page).into_response(),
        Err(problem) => error_page(&problem),
    }
}

async fn script() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (headers, include_str!("../../templates/search.js")).into_response()
}

async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (headers, include_str!("../../templates/style.css")).into_response()
}

/// Says to a person why there is no page.
pub(crate) fn error_page(problem: &Problem) -> Response {
    let (status, detail) = problem.tell();
    let title = status.canonical_reason().unwrap_or_default();
    match (page::ErrorPage { title, detail }).render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => (status, detail).into_response(),
    }
}

fn render(page: &impl Template) -> Result<Response, Problem> {
    let html = page.render().map_err(|e| ViewError(e.into()))?;
    Ok(Html(html).into_response())
}

#[cfg(test)]
mod tests;
