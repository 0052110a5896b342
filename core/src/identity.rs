//! The names of things, each its own type: an appointment's id cannot be passed where a request's is expected.
//!
//! The one invariant: a value of these types obeys its rule, also when it was read from JSON.
//! It deliberately does not draw identities: they come from callers, providers and the service's entropy.

use alloc::string::ToString;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// A text that breaks the rule of its type. The text itself is not kept: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct Invalid {
    /// Which kind of name was refused, such as `request_id`.
    pub what: &'static str,
    /// The rule that it breaks, in words.
    pub rule: &'static str,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The rule in words, as an error shows it.
            pub const RULE: &'static str = $rule;

            /// Takes the text when it obeys the type's rule.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                Self::check(text).map(|()| Self(text.into()))
            }

            fn check(text: &str) -> Result<(), Invalid> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) {
                    Ok(())
                } else {
                    Err(Invalid { what: $what, rule: $rule })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl core::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = SmolStr::deserialize(deserializer)?;
                match Self::check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(invalid) => Err(de::Error::custom(invalid.to_string())),
                }
            }
        }
    };
}

fn length(text: &str, longest: usize) -> bool {
    // Bytes first: a megabyte of text is refused without being walked, and a short one taken.
    let bytes = text.len();
    let fits = bytes <= longest || bytes <= 4 * longest && text.chars().count() <= longest;
    bytes > 0 && fits
}

fn printable(text: &str) -> bool {
    // Nearly every name is ASCII, and is read back from the store many times.
    if text.is_ascii() {
        text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    } else {
        !text.chars().any(char::is_control)
    }
}

text!(
    /// What an appointment is called. It is a path segment, and the provider's idempotency key.
    AppointmentId,
    "appointment id",
    "1 to 64 characters, without control characters, '/', '?' or '#', and neither '.' nor '..'",
    |text| length(text, 64)
        && printable(text)
        && !text.bytes().any(|byte| matches!(byte, b'/' | b'?' | b'#'))
        && text != "."
        && text != ".."
);
text!(
    /// The caller's idempotency key.
    RequestId,
    "request_id",
    "1 to 128 of A-Z a-z 0-9 . _ : -",
    |text| (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
);
text!(
    /// A configured provider: the destination of a delivery.
    ProviderName,
    "provider",
    "1 to 64 of a-z 0-9 -",
    |text| (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);
text!(
    /// Whose appointment it is. Keys of different tenants never meet.
    Tenant,
    "tenant",
    "1 to 64 characters, without control characters",
    |text| length(text, 64) && printable(text)
);
text!(
    /// The provider's own name of a booking.
    Reference,
    "reference",
    "1 to 128 characters, without control characters",
    |text| length(text, 128) && printable(text)
);

impl Default for Tenant {
    /// The tenant of an installation that knows only one.
    fn default() -> Self {
        Self(SmolStr::new_static("default"))
    }
}

/// One worker process's life. A restarted worker is another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub u64);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w-{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(text: &str, parse: fn(&str) -> Result<T, Invalid>, fits: bool) {
        assert_eq!(parse(text).is_ok(), fits, "{text:?}");
    }

    #[test]
    fn appointment_ids_are_path_segments() {
        for good in [
            "a",
            "a-1",
            "Ärztin 7",
            &"x".repeat(64),
            &"ä".repeat(64),
            "...",
        ] {
            check(good, AppointmentId::parse, true);
        }
        for bad in ["", "a/b", "a?b", "a#b", "a\nb", ".", "..", &"x".repeat(65)] {
            check(bad, AppointmentId::parse, false);
        }
    }

    #[test]
    fn request_ids_are_plain_ascii() {
        check("r-1:2.3_4", RequestId::parse, true);
        check(&"r".repeat(128), RequestId::parse, true);
        for bad in ["", "r 1", "r/1", "ä", &"r".repeat(129)] {
            check(bad, RequestId::parse, false);
        }
    }

    #[test]
    fn providers_are_lowercase() {
        check("acme-2", ProviderName::parse, true);
        check("Acme", ProviderName::parse, false);
        check("", ProviderName::parse, false);
    }

    #[test]
    fn json_obeys_the_same_rule() {
        assert!(serde_json::from_str::<RequestId>("\"r-1\"").is_ok());
        let error = serde_json::from_str::<RequestId>("\"r 1\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("A-Z a-z 0-9"), "{error}");
        assert_eq!(
            serde_json::to_string(&Tenant::default()).unwrap(),
            "\"default\""
        );
    }
}
