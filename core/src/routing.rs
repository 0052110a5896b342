//! Where a booking goes.
//!
//! The one invariant: a destination is always a configured provider.
//! It deliberately has no weights yet: v2 books where the client asked, or not at all.

use alloc::collections::BTreeSet;

use crate::identity::ProviderName;

/// The configured provider that `requested` names, or `None`.
pub fn destination<'a>(
    requested: &str,
    configured: &'a BTreeSet<ProviderName>,
) -> Option<&'a ProviderName> {
    configured.get(&ProviderName::parse(requested).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_providers_are_destinations() {
        let configured = BTreeSet::from([ProviderName::parse("acme").unwrap()]);
        assert_eq!(destination("acme", &configured).unwrap().as_str(), "acme");
        assert_eq!(destination("zenith", &configured), None);
        assert_eq!(destination("ACME", &configured), None);
    }
}
