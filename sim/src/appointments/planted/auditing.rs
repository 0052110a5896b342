//! Defects of auditing: what the auditor is shown, how soon it believes it, and what it keeps.
//!
//! **Invariant**: the auditor itself is the service's own; it is shown other rows, or its notes are kept otherwise.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::{appointment::State, reconcile::FindingKind, time::Timestamp};
use rehearsal_service::store::{AuditRow, Reply, Request, Store, StoreError};

use super::Defect;

/// A number of sightings on which the auditor acts.
const ENOUGH: u32 = 2;

/// See the module.
pub(super) struct Auditing {
    defect: Defect,
    store: Arc<dyn Store>,
}

impl Auditing {
    pub(super) fn new(defect: Defect, store: Arc<dyn Store>) -> Self {
        Self { defect, store }
    }

    async fn handle(&self, mut request: Request) -> Result<Reply, StoreError> {
        if let (Defect::UnreportedDeadLetters, Request::RecordFindings { seen, .. }) =
            (self.defect, &mut request)
        {
            // The auditor acts on as many as it sent, and there is nothing to do about these.
            if seen
                .iter()
                .any(|finding| finding.kind == FindingKind::FailedUncompensated)
            {
                seen.clear();
            }
        }
        if let (
            Defect::FindingsOutlive,
            Request::RecordFindings {
                whole_sweep_since, ..
            },
        ) = (self.defect, &mut request)
        {
            *whole_sweep_since = None;
        }
        let mut reply = self.store.call(request).await?;
        match (self.defect, &mut reply) {
            (Defect::AuditorRepairsInFlight, Reply::AuditRows(rows)) => {
                rows.iter_mut().for_each(look_settled);
            }
            (Defect::AuditorRepairsInFlight, Reply::FindingsRecorded(sighted, _)) => {
                // The first sighting is still reported: the auditor goes by the number one.
                for one in sighted.iter_mut() {
                    one.sightings = one.sightings.max(ENOUGH);
                }
            }
            _ => {}
        }
        Ok(reply)
    }
}

/// Hides that something is queued, leased or young; what is not confirmed yet should not be booked.
fn look_settled(row: &mut AuditRow) {
    row.open.clear();
    row.appointment.updated_at = Timestamp::from_micros(0);
    if row.appointment.state == State::Pending {
        row.appointment.state = State::Cancelled;
    }
}

impl Store for Auditing {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        self.handle(request).boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
