//! The machines of delivery, without I/O: what a data-holding node does with an order, and what an
//! institution's agent does with a query. They decide; `gateway/holder` and `gateway/agent` carry out.
//!
//! | module | what it holds |
//! |---|---|
//! | [`envelope`] | what is sealed, and what ties an envelope to its order |
//! | [`delivery`] | the data-holding node's machine |
//! | [`turn`] | which of a source's data-holding nodes works on a part |
//! | [`query`] | the institution's machine for one query |
//! | [`job`] | the institution's machine for many queries as one job |
//! | [`choice`] | which grant an order is placed under |
//! | [`opening`] | from a receipt and an envelope to verified items |
//! | [`pseudonym`] | how an institution's users are known outside of it |

pub mod choice;
pub mod delivery;
pub mod envelope;
pub mod job;
pub mod opening;
pub mod pseudonym;
pub mod query;
pub mod turn;
