//! What shrinking may try with the appointment service's tables.
//!
//! **Invariant**: each is simpler in one respect and otherwise the same, and a table with nothing left to simplify yields none. The layout
//! stays: it is part of the question.

use super::{
    database::Database,
    operation::Operation,
    provider::{ErrorRule, Provider},
    tables::Tables,
    workload::Workload,
};
use crate::{
    range::{Latency, Range},
    system::{Step, Tables as _},
};

/// Simpler tables, the greatest gain first.
pub(super) fn of(tables: &Tables, steps: &[Step<Operation>]) -> Vec<Tables> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Tables)| {
        let mut simpler = tables.clone();
        change(&mut simpler);
        if simpler != *tables && simpler.check().is_ok() {
            all.push(simpler);
        }
    };
    offer(&|tables| {
        tables.providers.values_mut().for_each(healthy);
    });
    offer(&|tables| {
        let used = |name: &String| steps.iter().any(|step| is_for(&step.operation, name));
        if tables.providers.keys().any(used) {
            tables.providers.retain(|name, _| used(name));
        }
    });
    offer(&|tables| tables.database = Database::default());
    for (name, provider) in &tables.providers {
        let mut change = |change: &dyn Fn(&mut Provider)| {
            offer(&|tables| {
                if let Some(provider) = tables.providers.get_mut(name) {
                    change(provider);
                }
            });
        };
        change(&healthy);
        change(&|provider| provider.windows.clear());
        change(&|provider| provider.garbled.clear());
        change(&|provider| provider.listing_lag = None);
        change(&|provider| provider.errors.clear());
        change(&|provider| provider.hang_rate = Range::fixed(0.0));
        change(&|provider| provider.processed_but_unanswered = Range::fixed(0.0));
        for window in 0..provider.windows.len() {
            change(&|provider| {
                provider.windows.remove(window);
            });
        }
        for rule in 0..provider.errors.len() {
            change(&|provider| {
                provider.errors.remove(rule);
            });
            change(&|provider| plain(&mut provider.errors[rule]));
        }
        for rule in 0..provider.garbled.len() {
            change(&|provider| {
                provider.garbled.remove(rule);
            });
        }
        change(&|provider| provider.idempotent = true);
        change(&|provider| provider.tombstones = true);
        change(&|provider| {
            if !matches!(provider.latency, Latency::FixedMs(_)) {
                provider.latency = Latency::FixedMs(20.0);
            }
        });
    }
    let clients = steps.iter().map(|step| step.client + 1).max().unwrap_or(1);
    offer(&|tables| tables.topology.clients = tables.topology.clients.min(clients));
    offer(&|tables| tables.topology.workers = 1);
    offer(&|tables| tables.topology.api = 1);
    offer(&|tables| tables.topology.workers = tables.topology.workers.div_ceil(2));
    offer(&|tables| tables.topology.api = tables.topology.api.div_ceil(2));
    offer(&|tables| tables.logs = super::logs::Logs::default());
    // Once it is drawn, the workload stands in the steps; the table has but to agree with them.
    offer(&|tables| {
        tables.workload = Workload {
            requests: Range::fixed(steps.len().max(1) as f64),
            client_timeout_ms: tables.workload.client_timeout_ms,
            ..Workload::default()
        };
    });
    all
}

fn healthy(provider: &mut Provider) {
    *provider = Provider {
        latency: provider.latency,
        idempotent: provider.idempotent,
        tombstones: provider.tombstones,
        seed: provider.seed,
        ..Provider::default()
    };
}

/// An error that comes with every call it strikes, and says nothing besides.
fn plain(rule: &mut ErrorRule) {
    rule.rate = Range::fixed(1.0);
    rule.retry_after_s = None;
}

fn is_for(operation: &Operation, provider: &str) -> bool {
    matches!(operation, Operation::Submit(submission) if submission.provider == provider)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appointments::topology::Layout;

    #[test]
    fn taking_what_is_offered_ends_at_a_healthy_world() {
        let mut tables = Tables::default();
        tables.topology.layout = Layout::Cluster;
        (
            tables.topology.workers,
            tables.topology.api,
            tables.topology.clients,
        ) = (5, 3, 4);
        tables.workload.duplicates = 0.5;
        let provider: Provider = toml::from_str(
            "errors = [{ status = 503, rate = 0.2 }, { status = 429, rate = 0.1, retry_after_s = 5 }]\nhang_rate = 0.1\nwindows = [{ from_s = 1, to_s = 2 }]\nidempotent = false",
        )
        .unwrap();
        tables.providers.insert("acme".to_owned(), provider.clone());
        tables.providers.insert("zeta".to_owned(), provider);
        let steps = [Step {
            id: 7,
            at_ms: 10,
            client: 1,
            operation: Operation::Submit(crate::appointments::operation::Submission::new(
                1, "acme",
            )),
        }];
        let mut taken = 0;
        // The last offer each time, which is the smallest: the longest way down.
        while let Some(simpler) = of(&tables, &steps).pop() {
            simpler.check().unwrap();
            tables = simpler;
            taken += 1;
            assert!(taken < 100, "no end of {tables:?}");
        }
        assert_eq!(tables.topology.layout, Layout::Cluster);
        assert_eq!(
            (
                tables.topology.workers,
                tables.topology.api,
                tables.topology.clients
            ),
            (1, 1, 2)
        );
        let providers: Vec<_> = tables.providers.keys().collect();
        assert_eq!(providers, ["acme"]);
        let healthy = Provider {
            latency: Latency::FixedMs(20.0),
            ..Provider::default()
        };
        assert_eq!(tables.providers["acme"], healthy);
    }
}
