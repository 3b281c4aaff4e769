//! A request to the console whose caller is proven: what pages are made of and forms are judged by.

use http::request::Parts;
use maud::{Markup, html};
use secrecy::SecretString;

use crate::access::session::Session;
use crate::api::console::fields::Fields;
use crate::api::console::text::Text;
use crate::api::rest::Language;
use crate::domain::call::{Call, Subject, permits};
use crate::domain::ids::ClusterId;
use crate::domain::status::Risk;
use crate::domain::task::Task;
use crate::service::Caller;

/// A proven caller at a page.
pub struct Visit {
    pub caller: Caller,
    pub language: Language,
    /// `None`: authentication is off.
    pub session: Option<Session>,
    pub token: Option<SecretString>,
    /// What every form carries.
    pub form_token: String,
    /// Parameters of the path.
    pub path: Fields,
    pub query: Fields,
    /// Empty but for a form.
    pub form: Fields,
    /// The head of the request.
    pub head: Parts,
}

impl Visit {
    pub const fn say(&self, text: Text) -> &'static str {
        text.in_language(self.language)
    }

    /// Whether the caller may do this; what it may not is not offered.
    pub fn may(&self, call: Call, subject: Subject, risks: &[Risk]) -> bool {
        permits(&self.caller.rights, call, subject, risks).is_ok()
    }

    pub fn may_on_cluster(&self, call: Call, cluster: ClusterId) -> bool {
        self.may(call, Subject::Cluster(cluster.get()), &[])
    }

    pub fn may_on_task(&self, call: Call, task: &Task, risks: &[Risk]) -> bool {
        let subject = Subject::Task { task: task.spec.id.get(), cluster: Some(task.spec.cluster.id.get()) };
        self.may(call, subject, risks)
    }

    /// The hidden field that every form begins with.
    pub fn form_field(&self) -> Markup {
        html! { input type="hidden" name="form_token" value=(self.form_token); }
    }
}
