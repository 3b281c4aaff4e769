//! Rules that the repository keeps about itself: layers, dependencies, citations.

pub mod citations;
pub mod dependencies;
pub mod layers;
