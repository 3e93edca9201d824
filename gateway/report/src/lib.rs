//! The composite report: what verified items of several sources come to, and how it is shown.
//!
//! ```text
//! verified items ─┐
//! what parts did ─┼─▶ composite: marks, conflicts, what is missing ─▶ wire ─▶ json | html (zh, en, both)
//! catalogue ──────┘                 (in the agent)                       (at whoever reads it)
//! ```
//!
//! Nothing is merged and nothing dropped: every source's version of an item is shown as it is, what contradicts
//! another is marked, and what does not conform or did not come is said with the reason. Verifying is not done
//! here (`xinqiao_dispatch::opening`): what arrives here has been verified.

pub mod compare;
pub mod composite;
pub mod html;
pub mod json;
pub mod lines;
mod show;
mod view;
mod wording;

pub use wording::Lang;

use xinqiao_ledger::malformed::Malformed;

/// What is known about a query beside its answer.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// The unified social credit code that was asked for.
    pub uscc: String,
    /// Code of the purpose.
    pub purpose: String,
    /// Who asked, as the institution knows them.
    pub user: String,
    /// What a reason code means, in Chinese and English; `None` for one that is not known.
    pub reason: fn(&str) -> Option<(&'static str, &'static str)>,
}

/// Why an answer cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It came without the catalogue that it is read with.
    #[error("the answer came without its catalogue: ask for it with `with_catalogue`")]
    NoCatalogue,
    /// Its catalogue is not well formed.
    #[error("the answer's catalogue cannot be used: {0}")]
    Catalogue(#[from] Malformed),
    /// A page could not be put together.
    #[error("the page could not be put together: {0}")]
    Page(#[from] askama::Error),
}
