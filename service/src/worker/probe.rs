//! Probes of idle providers: a breaker that opened, and that nobody asks for a call any more, is asked here.
//!
//! **Invariant**: it probes only where the breaker lets a call through and nothing is queued for the provider; work that waits is its own
//! probe. A probe is a look-up of a key that no booking has, and passes the breaker like any other call.
//! It deliberately does not decide anything: the breaker does, by the answer.

use std::sync::Arc;

use rehearsal_core::{breaker::CallClass, identity::ProviderName, log::Evt};

use super::Worker;

/// Not an id that the service makes. Should an appointment bear it, its look-up is as good a probe.
const KEY: &str = "breaker-probe";

impl Worker {
    /// Starts a probe of each provider whose breaker waits for one while nothing is queued for it.
    pub(super) async fn probe_idle(self: &Arc<Self>) {
        let waiting = self.lanes.awaiting_probe();
        if waiting.is_empty() || *self.stopping.borrow() {
            return;
        }
        // A store that fails is reported by the next claim.
        let Ok(depths) = self.store.depths().await else {
            return;
        };
        for provider in waiting {
            let queued = depths.iter().any(|depth| {
                depth.state != "dead" && depth.entries > 0 && depth.destination == provider
            });
            if !queued {
                let worker = self.clone();
                self.telemetry.host.spawn(worker.probe(provider));
            }
        }
    }

    async fn probe(self: Arc<Self>, name: ProviderName) {
        let telemetry = &self.telemetry;
        let Some(provider) = self.providers.get(&name) else {
            return;
        };
        let Ok(call) = self.lanes.admit(&name) else {
            return;
        };
        let event = telemetry
            .event(Evt::ProbeStarted, "asks an idle provider whether it works")
            .with("provider", name.as_str());
        telemetry.log(event);
        let answer = provider.view(KEY).await;
        call.finish(answer.class);
        let event = telemetry
            .event(Evt::Probed, "the idle provider's answer")
            .with("provider", name.as_str())
            .with("good", answer.class == CallClass::Success)
            .with("cause", answer.meaning.err());
        telemetry.log(event);
        if let Some(asked) = answer.retry_after {
            self.lanes
                .pause(&name, asked.min(self.policy.retry_after_cap));
        }
    }
}
