//! Defects of the log: what it says too much, and what it leaves out.
//!
//! **Invariant**: a line that the defect is not about is passed on as it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::{
    identity::RequestId,
    log::{Evt, LogEvent},
};
use rehearsal_service::{
    journal::Journal,
    store::{Reply, Request, Store, StoreError},
};

use super::Defect;

/// The patients of the entries that a worker has claimed, by request. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Patients(Arc<Mutex<BTreeMap<RequestId, String>>>);

/// A log with a defect.
pub(super) struct Defective {
    pub(super) defect: Defect,
    pub(super) patients: Patients,
    pub(super) journal: Arc<dyn Journal>,
}

impl Journal for Defective {
    fn log(&self, mut event: LogEvent) {
        match (self.defect, event.evt) {
            (Defect::PersonalErrorText, Evt::ProviderError | Evt::ProviderTimeout) => {
                let patients = self.patients.0.lock();
                let patients = patients.unwrap_or_else(PoisonError::into_inner);
                if let Some(patient) = event.request_id.as_ref().and_then(|id| patients.get(id)) {
                    event = event.with("err", format!("no booking for {patient}"));
                }
            }
            (Defect::LogWithoutRequestId, Evt::Confirmed | Evt::Failed | Evt::Cancelled) => {
                event.request_id = None;
            }
            (Defect::UnloggedCompensation, Evt::CompensationQueued) => return,
            _ => {}
        }
        self.journal.log(event);
    }
}

/// A store that notes whose entries are claimed, for [`Defective`].
pub(super) struct Noting {
    pub(super) patients: Patients,
    pub(super) store: Arc<dyn Store>,
}

impl Noting {
    async fn handle(&self, request: Request) -> Result<Reply, StoreError> {
        let reply = self.store.call(request).await?;
        if let Reply::Claims(claims) = &reply {
            let patients = self.patients.0.lock();
            let mut patients = patients.unwrap_or_else(PoisonError::into_inner);
            for one in &claims.claimed {
                let patient = one.appointment.details.patient_name.clone();
                patients.insert(one.entry.request_id.clone(), patient);
            }
        }
        Ok(reply)
    }
}

impl Store for Noting {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        self.handle(request).boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
