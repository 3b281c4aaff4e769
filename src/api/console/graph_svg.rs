//! The graph of a task as SVG: a box for each subtask that leads to what is said of it below, and a line for each edge. Only
//! presentation attributes: inline style is what the policy of pages forbids. Pure.

use maud::{Markup, html};

use crate::api::console::graph::{Layout, Node, Placed};
use crate::api::console::text::{self, Text};
use crate::api::rest::Language;
use crate::clock::Timestamp;
use crate::domain::task::{Subtask, Task};

use super::moments::duration;

const BOX_WIDTH: usize = 216;
const BOX_HEIGHT: usize = 52;
/// From one column to the next, and from one layer to the next.
const COLUMN: usize = 236;
const LAYER: usize = 80;
const MARGIN: usize = 8;
/// Letters of a name that fit into a box.
const LETTERS: usize = 27;

/// The whole graph.
pub fn drawn(task: &Task, language: Language, now: Timestamp) -> Markup {
    let layout = Layout::of(&nodes(task));
    let (width, height) = (extent(layout.columns, COLUMN, BOX_WIDTH), extent(layout.layers, LAYER, BOX_HEIGHT));
    let label = format!("{}: {}", Text::Graph.in_language(language), task.spec.graph.operation.name);
    html! {
        div .wide tabindex="0" role="region" aria-label=(label) {
            svg .graph role="group" aria-label=(label) viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) {
                @for node in &layout.nodes { (edges(task, &layout, node)) }
                @for node in &layout.nodes {
                    @if let Some(subtask) = of(task, node.id) { (boxed(subtask, node, language, now)) }
                }
            }
        }
    }
}

/// Of so many boxes in a row, with a margin around them.
const fn extent(count: usize, step: usize, size: usize) -> usize {
    count.saturating_sub(1) * step + size + 2 * MARGIN
}

/// What of a task decides where its nodes stand.
pub fn nodes(task: &Task) -> Vec<Node> {
    let node = |subtask: &Subtask| Node {
        id: subtask.spec.id.get(),
        upstreams: subtask.spec.upstreams.iter().map(|id| id.get()).collect(),
    };
    task.subtasks.iter().map(node).collect()
}

fn of(task: &Task, id: i64) -> Option<&Subtask> {
    task.subtasks.iter().find(|subtask| subtask.spec.id.get() == id)
}

/// Left upper corner.
const fn corner(node: &Placed) -> (usize, usize) {
    (MARGIN + node.half * COLUMN / 2, MARGIN + node.layer * LAYER)
}

fn edges(task: &Task, layout: &Layout, node: &Placed) -> Markup {
    let upstreams = of(task, node.id).map(|subtask| subtask.spec.upstreams.as_slice()).unwrap_or_default();
    let above = upstreams.iter().filter_map(|id| layout.nodes.iter().find(|placed| placed.id == id.get()));
    let (left, y) = corner(node);
    let x = left + BOX_WIDTH / 2;
    html! {
        @for from in above {
            @let (from_left, from_top) = corner(from);
            @let (from_x, from_y) = (from_left + BOX_WIDTH / 2, from_top + BOX_HEIGHT);
            @let middle = (from_y + y) / 2;
            path .edge d={ "M" (from_x) " " (from_y) "C" (from_x) " " (middle) " " (x) " " (middle) " " (x) " " (y) } {}
        }
    }
}

fn boxed(subtask: &Subtask, node: &Placed, language: Language, now: Timestamp) -> Markup {
    let (x, y) = corner(node);
    let name = &subtask.spec.name;
    let state = text::subtask_state(language, subtask.state);
    let elapsed = elapsed(subtask, now).map(|elapsed| format!(" · {elapsed}")).unwrap_or_default();
    let again = if subtask.run_time > 1 { format!(" · ×{}", subtask.run_time) } else { String::new() };
    html! {
        a href={ "#subtask-" (node.id) } {
            g .node.{ "state-" (subtask.state) } {
                @if shortened(name) != *name { title { (name) } }
                rect x=(x) y=(y) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="6" {}
                text x=(x + 10) y=(y + 21) { (shortened(name)) }
                text .detail x=(x + 10) y=(y + 41) { (state) (elapsed) (again) }
            }
        }
    }
}

/// How long its last execution has taken so far, or took; `None`: it has not begun.
pub fn elapsed(subtask: &Subtask, now: Timestamp) -> Option<String> {
    let began = subtask.started_at?;
    let ended = subtask.finished_at.filter(|ended| *ended >= began).unwrap_or(now);
    Some(duration(ended.since(began)))
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
