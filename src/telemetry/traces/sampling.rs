//! Which traces are sent. Pure.

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::config::SampleRatio;

/// Of a trace that began elsewhere its caller has decided; of those that begin here so many are sent.
pub(super) fn sampler(ratio: SampleRatio) -> Sampler {
    Sampler::ParentBased(Box::new(Requests(Sampler::TraceIdRatioBased(ratio.get()))))
}

/// A trace begins with a request. What is done without one, such as the periodic reading of a cluster, is in none.
#[derive(Clone, Debug)]
struct Requests(Sampler);

impl ShouldSample for Requests {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if *kind == SpanKind::Server {
            return self.0.should_sample(parent, trace, name, kind, attributes, links);
        }
        let (decision, attributes, trace_state) = (SamplingDecision::Drop, Vec::new(), TraceState::default());
        SamplingResult { decision, attributes, trace_state }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags};

    use super::*;

    #[test]
    fn the_parent_decides_and_only_requests_begin_traces() {
        let trace = TraceId::from(7_u128 << 64 | 7);
        let decided = |ratio, parent: Option<TraceFlags>, kind| {
            let context = parent.map(|flags| {
                let parent = SpanContext::new(trace, SpanId::from(1), flags, true, TraceState::default());
                Context::new().with_remote_span_context(parent)
            });
            let sampler = sampler(SampleRatio::new(ratio).unwrap());
            sampler.should_sample(context.as_ref(), trace, "", &kind, &[], &[]).decision
        };
        let (sampled, not) = (Some(TraceFlags::SAMPLED), Some(TraceFlags::NOT_SAMPLED));
        for (ratio, parent, kind, decision) in [
            (1.0, None, SpanKind::Server, SamplingDecision::RecordAndSample),
            (0.0, None, SpanKind::Server, SamplingDecision::Drop),
            (1.0, None, SpanKind::Client, SamplingDecision::Drop),
            (0.0, sampled, SpanKind::Server, SamplingDecision::RecordAndSample),
            (0.0, sampled, SpanKind::Client, SamplingDecision::RecordAndSample),
            (1.0, not, SpanKind::Server, SamplingDecision::Drop),
        ] {
            assert_eq!(decided(ratio, parent, kind.clone()), decision, "{ratio} {parent:?} {kind:?}");
        }
    }
}
