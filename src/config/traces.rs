//! Where the spans of traces are sent.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// How spans travel to a collector.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum TracesProtocol {
    /// OTLP over gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP/1.1, in protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

impl TracesProtocol {
    /// The port that collectors listen on for it.
    pub const fn port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::HttpProtobuf => 4318,
        }
    }
}

/// A part of all traces, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatio(f64);

// It is never NaN.
impl Eq for SampleRatio {}

impl SampleRatio {
    pub const ALL: Self = Self(1.0);

    /// `None`: it is none.
    pub fn new(ratio: f64) -> Option<Self> {
        (0.0..=1.0).contains(&ratio).then_some(Self(ratio))
    }

    pub const fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for SampleRatio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ratio = f64::deserialize(deserializer)?;
        Self::new(ratio).ok_or_else(|| D::Error::custom(format!("{ratio} is no part of all traces, write 0.0 to 1.0")))
    }
}

/// Traces, over OTLP.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector, as `http://host:port` or `https://host:port`; without it no span is made.
    pub endpoint: Option<String>,
    pub protocol: TracesProtocol,
    /// File with a header a line, `name: value`, which may hold secrets; without it none are sent.
    pub headers_file: Option<PathBuf>,
    /// Authorities of its certificate, in PEM; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// How many of the traces that begin here are sent. Of a trace that began elsewhere its caller has decided.
    pub sample_ratio: SampleRatio,
    /// Within which a batch of spans must be taken.
    pub timeout_seconds: u64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: TracesProtocol::Grpc,
            headers_file: None,
            ca_file: None,
            sample_ratio: SampleRatio::ALL,
            timeout_seconds: 10,
        }
    }
}

impl TracesConfig {
    /// Clamped to 1 to 60 s.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.clamp(1, 60))
    }
}
