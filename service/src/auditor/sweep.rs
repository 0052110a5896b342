//! One pass over one provider: its list merged with our rows, page by page in the order of keys.
//!
//! **Invariant**: memory is bounded by a page on each side, and a sweep says whether it saw everything; only then may the absence of a
//! difference resolve a finding.
//! It deliberately records nothing.

use std::collections::BTreeMap;

use rehearsal_core::{
    appointment::Appointment,
    identity::ProviderName,
    reconcile::{Finding, ProviderView, Repair, given_up, reconcile},
    time::Timestamp,
};

use super::Auditor;
use crate::{
    config::Config,
    provider::{Page, Provider},
    store::{AuditRow, StoreError},
};

/// At most this many suspicions are followed up in one sweep; a provider that lost everything must not be asked for each key at once.
const SUSPECTS_PER_SWEEP: usize = 1000;
/// After so many look-ups without an answer a sweep asks no more: each may cost a whole timeout.
const FAILED_LOOK_UPS: u32 = 20;
/// At most this many pages of a provider's list are read; with the default page that is 50 million bookings.
const PAGES_PER_SWEEP: u32 = 100_000;

/// A difference that held when both sides were asked again.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) finding: Finding,
    pub(super) repair: Repair,
    /// The row it was made on.
    pub(super) row: Option<Appointment>,
}

/// See the module.
pub(super) struct Sweep<'a> {
    auditor: &'a Auditor,
    config: &'a Config,
    name: &'a ProviderName,
    provider: &'a Provider,
    /// Keys whose sides seemed to differ.
    suspects: Vec<String>,
    /// Rows and bookings compared.
    pub(super) compared: u64,
    pub(super) sightings: Vec<Sighting>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        auditor: &'a Auditor,
        config: &'a Config,
        name: &'a ProviderName,
        provider: &'a Provider,
    ) -> Self {
        Self {
            auditor,
            config,
            name,
            provider,
            suspects: Vec::new(),
            compared: 0,
            sightings: Vec::new(),
        }
    }

    /// Whether it saw everything.
    pub(super) async fn run(&mut self) -> Result<bool, StoreError> {
        let compared = self.compare_all().await?;
        let all_asked = self.suspects.len() <= SUSPECTS_PER_SWEEP;
        self.suspects.truncate(SUSPECTS_PER_SWEEP);
        let confirmed = self.follow_up().await?;
        let whole = compared && all_asked && confirmed;
        if !whole {
            self.audit_dead().await?;
        }
        Ok(whole)
    }

    async fn compare_all(&mut self) -> Result<bool, StoreError> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_PER_SWEEP {
            let Some(page) = self.page(after.as_deref()).await else {
                return Ok(false);
            };
            // A list that does not move on would never end.
            if page.next.is_some() && page.next <= after {
                return Ok(false);
            }
            let next = page.next;
            self.compare(after, next.clone(), &page.bookings).await?;
            match next {
                Some(_) => after = next,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn page(&self, after: Option<&str>) -> Option<Page> {
        if !self.auditor.lanes.calm(self.name) {
            return None;
        }
        let answer = self.provider.page(after, self.config.audit_page).await;
        answer.meaning.ok()
    }

    /// Merges one page of bookings with our rows of the same range of keys.
    async fn compare(
        &mut self,
        mut after: Option<String>,
        through: Option<String>,
        bookings: &[ProviderView],
    ) -> Result<(), StoreError> {
        let mut views: BTreeMap<&str, &ProviderView> = bookings
            .iter()
            .map(|view| (view.key.as_str(), view))
            .collect();
        let limit = self.config.audit_page;
        loop {
            let rows = self
                .auditor
                .store
                .audit_page(self.name.clone(), after, through.clone(), limit)
                .await?;
            for row in &rows {
                let view = views.remove(row.appointment.id.as_str());
                self.compared += 1;
                if self.difference(Some(row), view).is_some() {
                    self.suspects.push(row.appointment.id.to_string());
                }
            }
            match rows.last() {
                Some(last) if rows.len() == limit as usize => {
                    after = Some(last.appointment.id.to_string());
                }
                _ => break,
            }
        }
        for (key, view) in views {
            self.compared += 1;
            if self.difference(None, Some(view)).is_some() {
                self.suspects.push(key.to_owned());
            }
        }
        Ok(())
    }

    fn difference(
        &self,
        row: Option<&AuditRow>,
        view: Option<&ProviderView>,
    ) -> Option<(Finding, Repair)> {
        let (open, dead) = row.map_or((&[][..], &[][..]), |row| (&row.open, &row.dead));
        // How old a row is can only be told by the clock that wrote it. Without a row it does not matter.
        let now = row.map_or_else(Timestamp::default, |row| row.read_at);
        let row = row.map(|row| &row.appointment);
        reconcile(row, open, dead, view, now, self.config.audit_horizon)
    }

    /// Asks both sides again for every suspect; whether all could be asked. A look-up that fails costs its own key and no other's: what is
    /// suspect in every sweep would hide whatever comes behind it for ever.
    async fn follow_up(&mut self) -> Result<bool, StoreError> {
        let (mut all, mut failed) = (true, 0);
        for key in std::mem::take(&mut self.suspects) {
            if !self.auditor.lanes.calm(self.name) {
                return Ok(false);
            }
            // The provider first: what we commit after its answer makes the row younger than the horizon.
            let Ok(view) = self.provider.view(&key).await.meaning else {
                (all, failed) = (false, failed + 1);
                if failed == FAILED_LOOK_UPS {
                    break;
                }
                continue;
            };
            let row = self.auditor.store.audit_one(self.name.clone(), key).await?;
            if let Some((finding, repair)) = self.difference(row.as_ref(), view.as_ref()) {
                self.sightings.push(Sighting {
                    finding,
                    repair,
                    row: row.map(|row| row.appointment),
                });
            }
        }
        Ok(all)
    }

    /// What our side alone can tell: rows whose cancel lies in the dead-letter queue.
    async fn audit_dead(&mut self) -> Result<(), StoreError> {
        let limit = self.config.audit_page;
        let rows = self
            .auditor
            .store
            .audit_dead(self.name.clone(), limit)
            .await?;
        for row in rows {
            let key = row.appointment.id.as_str();
            if self.sightings.iter().any(|it| it.finding.key == key) {
                continue;
            }
            self.compared += 1;
            let horizon = self.config.audit_horizon;
            let found = given_up(&row.appointment, &row.open, &row.dead, row.read_at, horizon);
            if let Some(finding) = found {
                self.sightings.push(Sighting {
                    finding,
                    repair: Repair::None,
                    row: Some(row.appointment),
                });
            }
        }
        Ok(())
    }
}
