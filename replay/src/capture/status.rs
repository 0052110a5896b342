//! Statuses of answers, and which answers have no body, the same for all formats.
//!
//! **Invariant**: a status is from 100 to 999; what a format writes where there was no answer is for its parser to know.

/// A status (RFC 9110, 15: three digits, and those above 599 are seen).
///
/// # Errors
/// For people: what it is instead.
pub(crate) fn checked(number: u64) -> Result<u16, String> {
    u16::try_from(number)
        .ok()
        .filter(|status| (100..1000).contains(status))
        .ok_or_else(|| format!("status {number}, expected 100 to 999"))
}

/// A status that was written as text.
///
/// # Errors
/// For people: what it is instead.
pub(crate) fn read(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .and_then(|number| checked(number).ok())
        .ok_or_else(|| format!("status {text:?}, expected 100 to 999"))
}

/// Whether an answer of this status to this method has no body, whatever its head declares (RFC 9112, 6.3).
pub(crate) fn bodiless(method: &str, status: u16) -> bool {
    method == "HEAD" || matches!(status, 100..=199 | 204 | 304)
}
