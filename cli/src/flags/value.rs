//! The words that flags take, and what they mean.
//!
//! **Invariant**: an error says what was found and what was expected; a unit is never left out of a time.

use std::{fmt, net::Ipv6Addr, ops::Range, str::FromStr, time::Duration};

use clap::ValueEnum;
use rehearsal_core::identity::ProviderName;
use rehearsal_service::config::Roles;
use rehearsal_sim::{appointments::shadow::defect::Defect, engine::Engine, scenario::nearest};

/// What is printed to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal
    #[default]
    Human,
    /// The document that is also written
    Json,
    /// For a report or a pull request
    Markdown,
}

/// An engine, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// Ours: event-driven, virtual time
    #[default]
    Pipes,
    /// turmoil 0.7, an independent simulator, at its 1 ms tick
    Turmoil,
    /// Real sockets on loopback, in real time
    Loopback,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Pipes => Self::Pipes,
            EngineName::Turmoil => Self::Turmoil,
            EngineName::Loopback => Self::Loopback,
        }
    }
}

/// What a service process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything in one process
    #[default]
    All,
    /// Takes requests
    Api,
    /// Delivers the outbox to the providers
    Worker,
    /// Compares the rows with the providers' views
    Auditor,
}

impl From<RoleName> for Roles {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::All => Self::ALL,
            RoleName::Api => Self::API,
            RoleName::Worker => Self::WORKER,
            RoleName::Auditor => Self::AUDITOR,
        }
    }
}

/// What is wrong with the mock provider as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProviderMode {
    /// Nothing: idempotent, and a cancel stays
    #[default]
    Ok,
    /// A repeated booking books again
    NotIdempotent,
    /// Bookings and cancels take effect and are never answered
    Unanswered,
    /// No call is processed or answered
    Timeout,
    /// Every call is answered with the error status
    Outage,
}

/// A range of seeds, `A..B`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = text
            .split_once("..")
            .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        match ends {
            Some((from, to)) if from < to => Ok(Self(from..to)),
            _ => Err(format!(
                "found {text:?}, expected A..B with A less than B, such as 0..100"
            )),
        }
    }
}

/// Seeds to explore: a range, or so many from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedCount(pub Range<u64>);

impl FromStr for SeedCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => {}
            Ok(count) => return Ok(Self(0..count)),
            Err(_) => {
                if let Ok(Seeds(range)) = text.parse() {
                    return Ok(Self(range));
                }
            }
        }
        Err(format!(
            "found {text:?}, expected a number of seeds, such as 500, or A..B with A less than B"
        ))
    }
}

/// A share in percent, `5%`.
///
/// # Errors
/// What was found and what was expected.
pub fn percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .and_then(|number| number.parse::<f64>().ok())
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("found {text:?}, expected a share from 0% to 100%"))
}

/// The share of runs that an exploration repeats.
///
/// # Errors
/// What was found and what was expected.
pub fn verify_share(text: &str) -> Result<f64, String> {
    percent(text)
        .ok()
        .filter(|share| *share >= 0.05)
        .ok_or_else(|| format!("found {text:?}, expected a share from 5% to 100%"))
}

/// One side of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Simulated.
    Sim,
    /// Running, at this base URL.
    Url(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim => f.write_str("sim"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "sim" {
            return Ok(Self::Sim);
        }
        base_url(text)
            .map(|url| Self::Url(url.to_owned()))
            .ok_or_else(|| {
                format!("found {text:?}, expected sim, http://host:port or https://host:port")
            })
    }
}

/// The base URL of a running service.
///
/// # Errors
/// What was found and what was expected.
pub fn url(text: &str) -> Result<String, String> {
    base_url(text)
        .map(str::to_owned)
        .ok_or_else(|| format!("found {text:?}, expected http://host:port or https://host:port"))
}

/// The URL without a slash at its end, if it is `http://host[:port]` or `https://host[:port]`.
fn base_url(text: &str) -> Option<&str> {
    let url = text.strip_suffix('/').unwrap_or(text);
    let authority = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))?;
    is_authority(authority).then_some(url)
}

/// Whether this is a host and, perhaps, a port: one that is not understood would be left out, and another service asked.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => (address, port),
            _ => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let numbered = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let port = port.is_empty() || port.strip_prefix(':').is_some_and(numbered);
    !host.is_empty() && host.bytes().all(named) && port
}

/// A provider and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAddress {
    /// Its name.
    pub name: ProviderName,
    /// Its base URL.
    pub url: String,
}

impl FromStr for ProviderAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("found {text:?}, expected NAME=http://host:port");
        let (name, url) = text.split_once('=').ok_or_else(wrong)?;
        let name =
            ProviderName::parse(name).map_err(|error| format!("the name {name:?}: {error}"))?;
        let url = base_url(url)
            .filter(|url| url.starts_with("http://"))
            .ok_or_else(wrong)?
            .to_owned();
        Ok(Self { name, url })
    }
}

impl fmt::Display for ProviderAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.url)
    }
}

/// A time with its unit: `200ms`, `1.5s`, `2m`, `1h`.
///
/// # Errors
/// What was found and what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("found {text:?}, expected a time with its unit, such as 200ms, 1.5s, 2m or 1h");
    let unit = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// A time with its unit, longer than none.
///
/// # Errors
/// What was found and what was expected.
pub fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| match time {
        Duration::ZERO => Err(format!("found {text:?}, expected more than no time")),
        time => Ok(time),
    })
}

/// A share from 0 to 1.
///
/// # Errors
/// What was found and what was expected.
pub fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.0..=1.0).contains(rate))
        .ok_or_else(|| format!("found {text:?}, expected a share from 0 to 1"))
}

/// A planted difference, by its name.
///
/// # Errors
/// The valid names, and the nearest one.
pub fn defect(text: &str) -> Result<Defect, String> {
    Defect::named(text).ok_or_else(|| {
        let names = Defect::ALL.map(Defect::name);
        let near = nearest(text, names.into_iter())
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        format!("found {text:?}, expected one of {}{near}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let check = |text: &str, ms: Option<u64>| {
            assert_eq!(duration(text).ok(), ms.map(Duration::from_millis), "{text}");
        };
        check("200ms", Some(200));
        check("1.5s", Some(1_500));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        for text in ["", "5", "-1s", "5 s", "5d", "s", "NaNs", "1e400s"] {
            check(text, None);
        }
    }

    #[test]
    fn seeds_are_a_range_with_something_in_it() {
        assert_eq!("3..5".parse(), Ok(Seeds(3..5)));
        for text in ["5", "5..5", "5..3", "..", "a..b", "1...3"] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }

    #[test]
    fn seeds_to_explore_are_a_number_or_a_range() {
        assert_eq!("500".parse(), Ok(SeedCount(0..500)));
        assert_eq!("7..9".parse(), Ok(SeedCount(7..9)));
        for text in ["0", "9..7", "", "-1", "1e3"] {
            assert!(text.parse::<SeedCount>().is_err(), "{text}");
        }
        assert_eq!(percent("12.5%"), Ok(0.125));
        assert_eq!(verify_share("5%"), Ok(0.05));
        for text in ["5", "101%", "-1%", "%", "NaN%"] {
            assert!(percent(text).is_err(), "{text}");
        }
        assert!(verify_share("4%").is_err());
    }

    #[test]
    fn targets_and_providers_are_base_urls() {
        assert_eq!("sim".parse(), Ok(Target::Sim));
        assert_eq!(
            "http://h:1/".parse(),
            Ok(Target::Url("http://h:1".to_owned()))
        );
        for text in [
            "http://h",
            "https://a-b.c_d:65535",
            "http://[::1]:80",
            "http://[::1]",
        ] {
            assert_eq!(text.parse(), Ok(Target::Url(text.to_owned())));
        }
        for text in [
            "",
            "simulated",
            "ftp://h",
            "http://",
            "http://h/path",
            "http://u@h",
            "http://h:99999",
            "http://h:abc",
            "http://h:",
            "http://h:0",
            "http://:80",
            "http://::1:80",
            "http://[::1",
            "http://[x]:80",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!(
            "acme=http://h:1"
                .parse::<ProviderAddress>()
                .unwrap()
                .to_string(),
            "acme=http://h:1"
        );
        for text in ["acme", "=http://h", "acme=h:1", "a b=http://h"] {
            assert!(text.parse::<ProviderAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_defect_lists_the_valid_ones() {
        let error = defect("truncate-patient-nam").unwrap_err();
        for name in Defect::ALL.map(Defect::name) {
            assert!(error.contains(name), "{error}");
        }
        assert!(
            error.contains("did you mean truncate-patient-name?"),
            "{error}"
        );
    }
}
