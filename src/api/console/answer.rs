//! What a page of the console comes to: a page to be framed, a way on, a stream; or why not.

use axum::body::Body;
use http::Response;
use maud::Markup;

use crate::domain::refusal::Refusal;

/// A page, before its frame.
pub struct Page {
    pub title: String,
    pub body: Markup,
}

/// What a request is answered with.
pub enum Answer {
    Page(Page),
    /// To another page, by GET: a form that was sent is not sent again by reloading.
    SeeOther(String),
    /// As it is.
    Whole(Response<Body>),
}

/// Why a request comes to nothing.
#[derive(Debug)]
pub enum Problem {
    Refused(Refusal),
    /// No page of this address.
    NoPage,
    /// A form that was not made for this session, or comes from another site.
    ForeignForm,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Answer {
    pub fn page(title: impl Into<String>, body: Markup) -> Result<Self, Problem> {
        Ok(Self::Page(Page { title: title.into(), body }))
    }
}
