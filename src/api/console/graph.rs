//! Where the nodes of a task's graph stand: each in the layer behind the last of its upstreams, and within its layer near
//! them, so that branches that run side by side are drawn as columns. Pure.

use std::collections::BTreeMap;

/// A node with the nodes that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: i64,
    pub upstreams: Vec<i64>,
}

/// A node in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub id: i64,
    /// From 0, top down.
    pub layer: usize,
    /// From the left, in halves of a column, so that a short layer stands in the middle.
    pub half: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// By layer, from left to right.
    pub nodes: Vec<Placed>,
    pub layers: usize,
    /// Nodes of the widest layer.
    pub columns: usize,
}

impl Layout {
    /// Nodes on a circle, which no task has, stand where they are reached first; edges to nowhere do not count.
    pub fn of(nodes: &[Node]) -> Self {
        let depths = depths(nodes);
        let mut layers: Vec<Vec<&Node>> = vec![Vec::new(); depths.values().map(|depth| depth + 1).max().unwrap_or(0)];
        for node in nodes {
            if let Some(layer) = depths.get(&node.id).and_then(|depth| layers.get_mut(*depth)) {
                layer.push(node);
            }
        }
        let columns = layers.iter().map(Vec::len).max().unwrap_or(0);
        let mut halves: BTreeMap<i64, usize> = BTreeMap::new();
        let mut placed = Vec::with_capacity(nodes.len());
        for (depth, layer) in layers.iter().enumerate() {
            let mut ordered: Vec<(usize, i64)> = layer.iter().map(|node| (over(node, &halves), node.id)).collect();
            ordered.sort_unstable();
            let first = columns - ordered.len();
            for (place, (_, id)) in ordered.into_iter().enumerate() {
                let half = first + 2 * place;
                halves.insert(id, half);
                placed.push(Placed { id, layer: depth, half });
            }
        }
        Self { nodes: placed, layers: layers.len(), columns }
    }
}

/// The middle of what a node hangs from, in sixteenths of a column.
fn over(node: &Node, halves: &BTreeMap<i64, usize>) -> usize {
    let above: Vec<usize> = node.upstreams.iter().filter_map(|id| halves.get(id)).copied().collect();
    8 * above.iter().sum::<usize>() / above.len().max(1)
}

/// The longest way to each node.
fn depths(nodes: &[Node]) -> BTreeMap<i64, usize> {
    let mut depths: BTreeMap<i64, usize> = nodes.iter().map(|node| (node.id, 0)).collect();
    // Every round settles at least one layer.
    for _ in nodes {
        let mut moved = false;
        for node in nodes {
            let above = node.upstreams.iter().filter_map(|id| depths.get(id)).max().map_or(0, |depth| depth + 1);
            if above < nodes.len() && depths.get(&node.id).is_some_and(|depth| *depth < above) {
                depths.insert(node.id, above);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id(upstream,upstream)` separated by blanks; answers with a line for each layer, `id@half`.
    fn laid(graph: &str) -> Vec<String> {
        let nodes: Vec<Node> = graph
            .split(' ')
            .map(|node| {
                let (id, upstreams) = node.trim_end_matches(')').split_once('(').unwrap();
                let upstreams = upstreams.split(',').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap());
                Node { id: id.parse().unwrap(), upstreams: upstreams.collect() }
            })
            .collect();
        let layout = Layout::of(&nodes);
        let line = |layer| {
            let nodes = layout.nodes.iter().filter(|node| node.layer == layer);
            nodes.map(|node| format!("{}@{}", node.id, node.half)).collect::<Vec<_>>().join(" ")
        };
        (0..layout.layers).map(line).collect()
    }

    #[test]
    fn a_chain_is_a_column() {
        let chain = "1() 2(1) 3(2) 4(3) 5(4) 6(5) 7(6) 8(7)";
        assert_eq!(laid(chain), ["1@0", "2@0", "3@0", "4@0", "5@0", "6@0", "7@0", "8@0"]);
    }

    #[test]
    fn branches_are_columns_and_meet_in_the_middle() {
        // Two batches of two, a gate behind each, as a rollout has them.
        let rollout = "1() 2(1) 3(2) 4(1) 5(4) 6(3,5) 7(6) 8(7) 9(6) 10(9) 11(8,10)";
        assert_eq!(laid(rollout), ["1@1", "2@0 4@2", "3@0 5@2", "6@1", "7@0 9@2", "8@0 10@2", "11@1"]);
        assert_eq!(laid("1() 2(1) 3(1) 4(1) 6(2) 5(4) 7(3)"), ["1@2", "2@0 3@2 4@4", "6@0 7@2 5@4"], "none crosses");
    }

    #[test]
    fn a_node_stands_behind_the_last_of_its_upstreams() {
        assert_eq!(laid("1() 2(1) 3(2) 4(1,3)"), ["1@0", "2@0", "3@0", "4@0"]);
        assert_eq!(laid("3(1) 2() 1()"), ["1@0 2@2", "3@1"], "in whatever order they are given");
    }

    #[test]
    fn what_no_task_has_is_laid_out_too() {
        assert!(Layout::of(&[]).nodes.is_empty());
        assert_eq!(laid("1(7)"), ["1@0"]);
        assert_eq!(
            Layout::of(&[Node { id: 1, upstreams: vec![2] }, Node { id: 2, upstreams: vec![1] }]).nodes.len(),
            2
        );
    }
}
