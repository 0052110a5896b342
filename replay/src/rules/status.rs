//! Sets of statuses: single ones and classes (`2xx`).
//!
//! **Invariant**: a set is never empty, and holds statuses from 100 to 599 only.

/// Some statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Reads `404` or `4xx`, one or several.
    ///
    /// # Errors
    /// For people: what was found.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        let ranges: Result<Vec<(u16, u16)>, String> = texts
            .into_iter()
            .map(|text| {
                let found = || format!("{text:?}");
                if let Some(class) = text.strip_suffix("xx") {
                    let class: u16 = class.parse().map_err(|_| found())?;
                    let fits = (1..=5).contains(&class);
                    return fits
                        .then_some((class * 100, class * 100 + 99))
                        .ok_or_else(found);
                }
                let status: u16 = text.parse().map_err(|_| found())?;
                let fits = (100..600).contains(&status);
                fits.then_some((status, status)).ok_or_else(found)
            })
            .collect();
        match ranges? {
            ranges if ranges.is_empty() => Err("no status".to_owned()),
            ranges => Ok(Self(ranges)),
        }
    }

    /// Whether it holds `status`.
    pub fn holds(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&status))
    }

    /// Its lowest and highest status.
    pub fn span(&self) -> (u16, u16) {
        let low = self.0.iter().map(|(low, _)| *low).min().unwrap_or(0);
        let high = self.0.iter().map(|(_, high)| *high).max().unwrap_or(0);
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_classes_are_read() {
        let set = StatusSet::parse(["2xx", "304"]).expect("statuses");
        assert!(set.holds(200) && set.holds(299) && set.holds(304));
        assert!(!set.holds(300) && !set.holds(404));
        assert_eq!(set.span(), (200, 304));
        for text in ["", "6xx", "xx", "99", "600", "ok"] {
            assert!(StatusSet::parse([text]).is_err(), "{text}");
        }
        assert!(StatusSet::parse([]).is_err());
    }
}
