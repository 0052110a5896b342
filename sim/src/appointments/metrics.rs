//! Reads the Prometheus text that the service publishes, as any monitoring would.
//!
//! **Invariant**: a line that does not follow the format is skipped, never guessed at. It knows no metric by name.

use std::collections::BTreeMap;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// The metric's name.
    pub(super) name: &'a str,
    /// Its labels.
    pub(super) labels: BTreeMap<&'a str, &'a str>,
    /// Its value.
    pub(super) value: f64,
}

/// Every figure of a metric, in order. The other metrics' lines are not read.
pub(super) fn samples<'a>(text: &'a str, name: &str) -> impl Iterator<Item = Sample<'a>> {
    text.lines()
        .filter(move |line| line.starts_with(name))
        .filter_map(sample)
        .filter(move |sample| sample.name == name)
}

/// The sum of a metric over the rows whose label `key` is `value`; over all rows when `key` is empty.
pub(super) fn sum(text: &str, name: &str, key: &str, value: &str) -> f64 {
    let wanted = |sample: &Sample<'_>| key.is_empty() || sample.labels.get(key) == Some(&value);
    samples(text, name)
        .filter(wanted)
        .fold(0.0, |sum, sample| sum + sample.value)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (head, value) = line.trim_end().rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
    };
    let mut found = BTreeMap::new();
    for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        found.insert(key, value.trim_matches('"'));
    }
    Some(Sample {
        name,
        labels: found,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP x y\n# TYPE x counter\nx{a=\"1\",b=\"two\"} 3\nx{a=\"2\",b=\"two\"} 4.5\nplain 7\nbroken{ 1\nnot a number x\n";

    #[test]
    fn figures_are_read_and_the_rest_is_skipped() {
        let found: Vec<_> = samples(TEXT, "x").collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].labels, BTreeMap::from([("a", "1"), ("b", "two")]));
        let plain: Vec<_> = samples(TEXT, "plain").collect();
        assert_eq!((plain.len(), plain[0].value), (1, 7.0));
        for none in ["#", "plai", "broken", "not a number x", ""] {
            assert_eq!(samples(TEXT, none).count(), 0, "{none:?}");
        }
    }

    #[test]
    fn sums_go_by_label() {
        let check = |key, value, expect: f64| {
            assert!(
                (sum(TEXT, "x", key, value) - expect).abs() < 1e-9,
                "{key}={value}"
            );
        };
        check("", "", 7.5);
        check("a", "2", 4.5);
        check("b", "two", 7.5);
        check("a", "3", 0.0);
    }
}
