//! Every address of the console.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_response;
use axum::routing::{MethodRouter, get, post};
use futures::FutureExt;
use tower::ServiceExt;

use crate::api::console::answer::Problem;
use crate::api::console::assets::{self, Asset};
use crate::api::console::exchange::{Handler, Way, is_for_people, visited};
use crate::api::console::frame::secured;
use crate::api::console::{
    ConsoleState, access, access_forms, approval, audit, changes, cluster, clusters, log, plan, registration, rollout,
    sign_in, start, task, tasks, verbs,
};

/// The pages that need no parameter.
pub const PAGES: &[&str] = &["/", "/tasks", "/changes", "/audit", "/access"];

/// The console before the gateway.
pub fn router(state: &Arc<ConsoleState>, rest: Router) -> Router {
    let page = |handle: Handler| get(way(state, Way::Page, handle));
    let live = |handle: Handler| get(way(state, Way::Live, handle));
    let form = |handle: Handler| post(way(state, Way::Form, handle));
    let both = |shown: Handler, sent: Handler| page(shown).merge(form(sent));
    // Of whatever the address names.
    let stops =
        || both(|state, visit| plan::page(state, visit).boxed(), |state, visit| plan::stop(state, visit).boxed());
    let starts =
        || both(|state, visit| start::page(state, visit).boxed(), |state, visit| start::start(state, visit).boxed());
    let asset = |asset: Asset| get(move |request: Request| async move { assets::answer(asset, &request) });
    let [signing_in, submitting, choosing, behind] = std::array::from_fn(|_| Arc::clone(state));
    let sign_in: MethodRouter = get(move |request: Request| sign_in::form(Arc::clone(&signing_in), request))
        .post(move |request: Request| sign_in::submit(Arc::clone(&submitting), request));
    Router::new()
        .route("/console.css", asset(Asset::Style))
        .route("/console.js", asset(Asset::Script))
        .route("/console.svg", asset(Asset::Icon))
        .route("/sign-in", sign_in)
        .route("/sign-out", form(|state, visit| sign_in::out(state, visit).boxed()))
        .route("/language", get(move |request: Request| sign_in::language(Arc::clone(&choosing), request)))
        .route("/", page(|state, visit| clusters::page(state, visit).boxed()))
        .route("/clusters/live", live(|state, visit| clusters::live(state, visit).boxed()))
        .route("/clusters/{cluster}", page(|state, visit| cluster::page(state, visit).boxed()))
        .route("/clusters/{cluster}/live", live(|state, visit| cluster::live(state, visit).boxed()))
        .route(
            "/clusters/register",
            both(
                |state, visit| registration::new_page(state, visit).boxed(),
                |state, visit| registration::register(state, visit).boxed(),
            ),
        )
        .route(
            "/clusters/{cluster}/settings",
            both(
                |state, visit| registration::page(state, visit).boxed(),
                |state, visit| registration::change(state, visit).boxed(),
            ),
        )
        .route(
            "/clusters/{cluster}/rollout",
            both(
                |state, visit| rollout::page(state, visit).boxed(),
                |state, visit| rollout::start(state, visit).boxed(),
            ),
        )
        .route("/clusters/{cluster}/stop", stops())
        .route("/clusters/{cluster}/start", starts())
        .route("/clusters/{cluster}/zones/{zone}/stop", stops())
        .route("/clusters/{cluster}/zones/{zone}/start", starts())
        .route("/clusters/{cluster}/servers/{server}/stop", stops())
        .route("/clusters/{cluster}/servers/{server}/start", starts())
        .route(
            "/clusters/{cluster}/servers/{server}/freeze",
            both(
                |state, visit| start::freeze_page(state, visit).boxed(),
                |state, visit| start::freeze(state, visit).boxed(),
            ),
        )
        .route("/tasks", page(|state, visit| tasks::page(state, visit).boxed()))
        .route("/tasks/live", live(|state, visit| tasks::live(state, visit).boxed()))
        .route("/tasks/{task}", page(|state, visit| task::page(state, visit).boxed()))
        .route("/tasks/{task}/plan", page(|state, visit| approval::page(state, visit).boxed()))
        .route("/tasks/{task}/live", live(|state, visit| task::live(state, visit).boxed()))
        .route("/tasks/{task}/verbs", form(|state, visit| verbs::ask(state, visit).boxed()))
        .route("/tasks/{task}/subtasks/{subtask}/log", page(|state, visit| log::page(state, visit).boxed()))
        .route(
            "/changes",
            both(
                |state, visit| changes::page(state, visit).boxed(),
                |state, visit| changes::change(state, visit).boxed(),
            ),
        )
        .route("/audit", page(|state, visit| audit::page(state, visit).boxed()))
        .route(
            "/access",
            both(
                |state, visit| access::page(state, visit).boxed(),
                |state, visit| access_forms::change(state, visit).boxed(),
            ),
        )
        .layer(map_response(secured))
        .fallback(move |request: Request| {
            let (state, rest) = (Arc::clone(&behind), rest.clone());
            async move {
                if is_for_people(&request) {
                    let no_page: Handler = |_, _| std::future::ready(Err(Problem::NoPage)).boxed();
                    return secured(visited(state, Way::Page, no_page, request).await).await;
                }
                rest.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
            }
        })
}

fn way(
    state: &Arc<ConsoleState>,
    way: Way,
    handle: Handler,
) -> impl Fn(Request) -> futures::future::BoxFuture<'static, axum::response::Response> + Clone + Send + Sync + 'static {
    let state = Arc::clone(state);
    move |request| visited(Arc::clone(&state), way, handle, request).boxed()
}
