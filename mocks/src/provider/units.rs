//! How durations and seeds are written in plans and journals.
//!
//! **Invariant**: what is written reads back as the same value, to the microsecond. It deliberately has no human units (`"30s"`): the field's
//! name carries the unit.

/// A duration as a number of milliseconds, exact to the microsecond.
pub(crate) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// A year: longer is a mistake in the unit.
    const LONGEST_MS: f64 = 366.0 * 86_400_000.0;

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_micros() as f64 / 1e3)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let found = f64::deserialize(deserializer)?;
        if !(0.0..=LONGEST_MS).contains(&found) {
            return Err(D::Error::custom(format!(
                "found {found}, expected milliseconds from 0 to {LONGEST_MS}"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above to be within 0 and a year"
        )]
        Ok(Duration::from_micros((found * 1e3).round() as u64))
    }
}

/// An optional duration in milliseconds.
pub(crate) mod maybe_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Milliseconds(#[serde(with = "super::milliseconds")] Duration);

    #[expect(
        clippy::ref_option,
        reason = "serde's `with` passes the field by reference"
    )]
    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Milliseconds).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let found = Option::<Milliseconds>::deserialize(deserializer)?;
        Ok(found.map(|Milliseconds(duration)| duration))
    }
}

/// A seed as 16 hexadecimal digits.
pub(crate) mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `with` passes the field by reference"
    )]
    pub(crate) fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{seed:016x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let found = String::deserialize(deserializer)?;
        u64::from_str_radix(&found, 16).map_err(|_| {
            D::Error::custom(format!(
                "found {found:?}, expected 1 to 16 hexadecimal digits"
            ))
        })
    }
}
