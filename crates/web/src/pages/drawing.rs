//! Where the boxes and lines of a layer graph go. One column, the picture on top, the answer at
//! the bottom; connections that skip layers run in lanes on the right.

use std::collections::HashMap;

use ferrotype_core::graph::IMAGE;
use serde::Serialize;

use crate::views::graph::{GraphView, LayerView};

const NODE_WIDTH: f64 = 450.0;
const NODE_HEIGHT: f64 = 46.0;
const GAP: f64 = 22.0;
const MARGIN: f64 = 4.0;
const LANE: f64 = 16.0;
/// Lanes beyond which connections lie on top of each other.
const MOST_LANES: usize = 6;
/// Characters of the settings that fit into a box, beside the count of parameters.
const DETAIL_CHARACTERS: usize = 48;
/// Characters of the layer's name that fit into a box, beside operation and shape.
const NAME_CHARACTERS: usize = 24;

/// A graph ready to be drawn; lengths in pixels.
#[derive(Debug, Serialize)]
pub(super) struct Drawing {
    width: f64,
    height: f64,
    node_width: f64,
    node_height: f64,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

#[derive(Debug, Serialize)]
struct Node {
    x: f64,
    y: f64,
    /// `end` for the picture and the answer, `weights` for layers that learn.
    class: &'static str,
    title: String,
    name: String,
    detail: String,
    shape: String,
    cost: String,
    tooltip: String,
}

#[derive(Debug, Serialize)]
struct Edge {
    path: String,
    skips: bool,
}

impl Drawing {
    pub(super) fn new(graph: &GraphView) -> Self {
        let mut nodes = vec![end_node(0, "picture", shape(&graph.input))];
        nodes.extend(
            graph
                .layers
                .iter()
                .enumerate()
                .map(|(index, layer)| layer_node(index + 1, layer)),
        );
        let (edges, lanes) = edges(graph);
        let rows = nodes.len() as f64;
        Self {
            width: NODE_WIDTH + 2.0 * MARGIN + lanes as f64 * LANE,
            height: rows * NODE_HEIGHT + (rows - 1.0) * GAP + 2.0 * MARGIN,
            node_width: NODE_WIDTH,
            node_height: NODE_HEIGHT,
            nodes,
            edges,
        }
    }
}

fn top(row: usize) -> f64 {
    MARGIN + row as f64 * (NODE_HEIGHT + GAP)
}

fn end_node(row: usize, title: &str, shape: String) -> Node {
    Node {
        x: MARGIN,
        y: top(row),
        class: "end",
        title: title.to_string(),
        name: String::new(),
        detail: "red, green, blue".to_string(),
        shape,
        cost: String::new(),
        tooltip: title.to_string(),
    }
}

fn layer_node(row: usize, layer: &LayerView) -> Node {
    Node {
        x: MARGIN,
        y: top(row),
        class: if layer.parameters > 0 { "weights" } else { "" },
        title: layer.op.clone(),
        name: shortened(&layer.name, NAME_CHARACTERS),
        tooltip: format!("{}: {} {}", layer.name, layer.op, layer.settings),
        detail: shortened(&layer.settings.replace('_', " "), DETAIL_CHARACTERS),
        shape: shape(&layer.output_shape),
        cost: match layer.parameters {
            0 => String::new(),
            count => format!("{} parameters", grouped(count)),
        },
    }
}

/// The lines, and how many lanes they take.
fn edges(graph: &GraphView) -> (Vec<Edge>, usize) {
    let mut rows: HashMap<&str, usize> = HashMap::from([(IMAGE, 0)]);
    let mut edges = Vec::new();
    // The row at which each lane becomes free.
    let mut free_at: Vec<usize> = Vec::new();
    for (index, layer) in graph.layers.iter().enumerate() {
        let to = index + 1;
        for input in &layer.inputs {
            let Some(&from) = rows.get(input.as_str()) else {
                continue;
            };
            if from + 1 == to {
                edges.push(Edge {
                    path: straight(from, to),
                    skips: false,
                });
            } else {
                let lane = take_lane(&mut free_at, from, to);
                edges.push(Edge {
                    path: around(from, to, lane),
                    skips: true,
                });
            }
        }
        rows.insert(&layer.name, to);
    }
    (edges, free_at.len())
}

fn take_lane(free_at: &mut Vec<usize>, from: usize, to: usize) -> usize {
    let lane = match free_at.iter().position(|free| *free <= from) {
        Some(lane) => lane,
        None if free_at.len() < MOST_LANES => {
            free_at.push(0);
            free_at.len() - 1
        }
        None => MOST_LANES - 1,
    };
    free_at[lane] = to;
    lane
}

fn straight(from: usize, to: usize) -> String {
    let x = MARGIN + NODE_WIDTH / 2.0;
    format!("M{x} {} V{}", top(from) + NODE_HEIGHT, top(to))
}

/// From the right side of a box, down a lane, and back into the right side of another.
fn around(from: usize, to: usize, lane: usize) -> String {
    let side = MARGIN + NODE_WIDTH;
    let x = side + (lane + 1) as f64 * LANE - LANE / 4.0;
    let start = top(from) + NODE_HEIGHT * 0.7;
    let end = top(to) + NODE_HEIGHT * 0.3;
    let corner = LANE / 2.0;
    format!(
        "M{side} {start} H{} Q{x} {start} {x} {} V{} Q{x} {end} {} {end} H{side}",
        x - corner,
        start + corner,
        end - corner,
        x - corner,
    )
}

fn shape(sizes: &[usize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    sizes.join(" × ")
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = Vec::new();
    if first > 0 {
        groups.push(&digits[..first]);
    }
    let (mut at, end) = (first, digits.len());
    while at < end {
        groups.push(&digits[at..at + 3]);
        at += 3;
    }
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, inputs: &[&str]) -> LayerView {
        LayerView {
            name: name.into(),
            op: "relu".into(),
            settings: String::new(),
            inputs: inputs.iter().map(ToString::to_string).collect(),
            output_shape: vec![8, 4, 4],
            parameters: 0,
            flops: 1,
        }
    }

    #[test]
    fn a_connection_that_skips_a_layer_runs_in_a_lane() {
        let graph = GraphView {
            name: "residual".into(),
            input: vec![3, 4, 4],
            layers: vec![
                layer("a", &["input"]),
                layer("b", &["a"]),
                layer("sum", &["b", "a"]),
                layer("c", &["sum"]),
                layer("sum2", &["c", "sum"]),
            ],
            embedding: None,
            parameters: 0,
            flops: 5,
        };
        let drawing = Drawing::new(&graph);
        assert_eq!(drawing.nodes.len(), 6);
        assert_eq!(drawing.edges.len(), 7);
        assert_eq!(drawing.edges.iter().filter(|edge| edge.skips).count(), 2);
        // The second connection begins where the first ends and takes its lane again.
        assert_eq!(drawing.width, NODE_WIDTH + 2.0 * MARGIN + LANE);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(94_598), "94,598");
    }
}
