//! A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere. Printed on
//! A4 it is a document to file.
//!
//! All content is a stranger's. It gets into the page as text alone (`Html::text` escapes it), and the page's own
//! policy (Content-Security-Policy) forbids whatever a page could fetch, run or send.

use askama::Template;
use xinqiao_ledger::wire;

use crate::{
    Error, Lang, Occasion,
    view::{Content, Page},
};

#[derive(Template)]
#[template(path = "report.html")]
struct Report<'a> {
    page: &'a Page,
}

/// The page of a report.
///
/// # Errors
/// [`Error::NoCatalogue`] when the answer was not asked for with its catalogue, [`Error::Catalogue`] when that is
/// not well formed.
pub fn report(
    answer: &wire::QueryReportResponse,
    occasion: &Occasion,
    lang: Lang,
) -> Result<String, Error> {
    let page = Page::new(answer, occasion, lang)?;
    Ok(Report { page: &page }.render()?)
}
