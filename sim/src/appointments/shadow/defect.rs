//! Planted differences: what a replacement may get wrong, put between the service and its store for a drill.
//!
//! A gate that has never failed proves nothing; each of these has to be found and named. **Invariant**: the service's own code is untouched.

use std::fmt;

use futures_util::future::BoxFuture;
use rehearsal_core::{command::NewAppointment, identity::ProviderName};
use rehearsal_service::store::{Reply, Request, Store, StoreError};

/// Characters that [`Defect::TruncatePatientName`] keeps.
const KEPT: usize = 12;

/// A planted difference, by its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Patient names are cut after twelve characters.
    TruncatePatientName,
    /// Patient names are stored in upper case.
    UppercasePatientName,
    /// The appointment's time loses its zone and is stored as if it were UTC.
    DropTimeZone,
    /// The appointment's time is stored an hour later.
    ShiftTimeByHour,
    /// Characters beyond ASCII become question marks in patient names.
    AsciiPatientName,
    /// The first word of a patient's name goes to its end.
    SwapPatientName,
    /// Patient names are stored as the log shows them.
    MaskPatientName,
    /// A client's cancel is acknowledged and forgotten.
    LoseCancel,
    /// Every appointment goes to the first provider.
    FirstProvider,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::TruncatePatientName,
        Self::UppercasePatientName,
        Self::DropTimeZone,
        Self::ShiftTimeByHour,
        Self::AsciiPatientName,
        Self::SwapPatientName,
        Self::MaskPatientName,
        Self::LoseCancel,
        Self::FirstProvider,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TruncatePatientName => "truncate-patient-name",
            Self::UppercasePatientName => "uppercase-patient-name",
            Self::DropTimeZone => "drop-time-zone",
            Self::ShiftTimeByHour => "shift-time-by-hour",
            Self::AsciiPatientName => "ascii-patient-name",
            Self::SwapPatientName => "swap-patient-name",
            Self::MaskPatientName => "mask-patient-name",
            Self::LoseCancel => "lose-cancel",
            Self::FirstProvider => "first-provider",
        }
    }

    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|defect| defect.name() == name)
    }

    fn spoil(self, new: &mut NewAppointment) {
        let details = &mut new.details;
        match self {
            Self::TruncatePatientName => {
                details.patient_name = details.patient_name.chars().take(KEPT).collect();
            }
            Self::UppercasePatientName => {
                details.patient_name = details.patient_name.to_uppercase();
            }
            Self::DropTimeZone => {
                // RFC 3339: the zone is `Z` or the last sign's `+hh:mm` behind the `T`.
                let clock = details.time.find(['T', 't', ' ']).unwrap_or(0);
                let zone = details.time[clock..]
                    .find(['Z', 'z', '+', '-'])
                    .map_or(details.time.len(), |at| clock + at);
                details.time.truncate(zone);
                details.time.push('Z');
            }
            Self::ShiftTimeByHour => {
                // The hour stands behind the `T`; 23 becomes 00 of the same day, as a mistake would.
                if let Some(digits) = details.time.get(11..13)
                    && let Ok(hour) = digits.parse::<u8>()
                {
                    let later = format!("{:02}", (hour + 1) % 24);
                    details.time.replace_range(11..13, &later);
                }
            }
            Self::AsciiPatientName => {
                let plain = |c: char| if c.is_ascii() { c } else { '?' };
                details.patient_name = details.patient_name.chars().map(plain).collect();
            }
            Self::SwapPatientName => {
                if let Some((first, rest)) = details.patient_name.split_once(' ') {
                    details.patient_name = format!("{rest} {first}");
                }
            }
            Self::MaskPatientName => {
                let first: String = details.patient_name.chars().take(1).collect();
                details.patient_name = first + "***";
            }
            Self::FirstProvider => {
                new.provider = ProviderName::parse(super::PROVIDERS[0]).expect("a valid name");
            }
            Self::LoseCancel => {}
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A store with a defect in front of it.
pub(super) struct Defective<S> {
    store: S,
    defect: Defect,
}

impl<S: Store> Defective<S> {
    pub(super) fn new(store: S, defect: Defect) -> Self {
        Self { store, defect }
    }

    async fn forget_cancel(&self, read: Request) -> Result<Reply, StoreError> {
        match self.store.call(read).await? {
            Reply::Appointment(Some(appointment)) => {
                Ok(Reply::Cancelled(Ok((appointment, Vec::new()))))
            }
            Reply::Appointment(None) => Ok(Reply::Cancelled(Err(
                rehearsal_core::rejection::Rejection::NotFound,
            ))),
            other => Ok(other),
        }
    }
}

impl<S: Store> Store for Defective<S> {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        match request {
            Request::Accept {
                mut new,
                answer,
                now,
            } => {
                self.defect.spoil(&mut new);
                self.store.call(Request::Accept { new, answer, now })
            }
            Request::Cancel { tenant, id, .. } if self.defect == Defect::LoseCancel => {
                Box::pin(self.forget_cancel(Request::Read { tenant, id }))
            }
            other => self.store.call(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_core::{
        appointment::Details,
        identity::{AppointmentId, RequestId, Tenant},
    };

    use super::*;

    #[test]
    fn each_defect_of_the_row_changes_it() {
        let new = NewAppointment {
            tenant: Tenant::default(),
            id: AppointmentId::parse("a-1").unwrap(),
            request_id: RequestId::parse("r-1").unwrap(),
            provider: ProviderName::parse("globex").unwrap(),
            details: Details {
                time: "2026-03-01T09:30:00-05:00".to_owned(),
                patient_name: "Maximiliana Fëatherstonehaugh".to_owned(),
                email: None,
                note: None,
            },
        };
        for defect in Defect::ALL {
            let mut spoilt = new.clone();
            defect.spoil(&mut spoilt);
            assert_eq!(spoilt == new, defect == Defect::LoseCancel, "{defect}");
            assert_eq!(Defect::named(defect.name()), Some(defect));
        }
        let mut spoilt = new;
        Defect::DropTimeZone.spoil(&mut spoilt);
        assert_eq!(spoilt.details.time, "2026-03-01T09:30:00Z");
    }
}
