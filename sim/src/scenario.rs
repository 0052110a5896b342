//! A scenario: one question, as a TOML file, with ranges where each seed may differ.
//!
//! **Invariant**: an unknown key is refused, with its place and the nearest valid spelling; nothing that was read is ignored.
//! It draws nothing: that is the plan's work.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};

use crate::{
    condition::Condition,
    fault::{LossAs, Spec, matching},
    range::Latency,
    swarm::Swarm,
    system::Tables,
};

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.scenario/1";

/// A scenario of a system whose tables are `T`.
#[derive(Clone, Debug)]
pub struct Scenario<T> {
    /// Its name: the file's, by custom.
    pub name: String,
    /// The one question it answers.
    pub question: String,
    /// The network.
    pub network: Network,
    /// The bounds of its phases.
    pub phases: Phases,
    /// Whether each seed keeps a subset of its own of what goes wrong.
    pub swarm: Option<Swarm>,
    /// What goes wrong.
    pub faults: Vec<Spec>,
    /// What it promises its users: a miss fails the run.
    pub slo: BTreeMap<String, Condition>,
    /// What else must be true at its end: a miss fails the run.
    pub expect: BTreeMap<String, Condition>,
    /// The system's own tables.
    pub tables: T,
}

/// The network between the hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// One way, for each segment.
    pub latency: Latency,
    /// The share of segments that are lost.
    pub loss: f64,
    /// What becomes of a lost segment.
    #[serde(skip_serializing_if = "LossAs::is_delay")]
    pub loss_as: LossAs,
    /// Links that are not like the rest; where two speak of the same link, the later wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkSpec>,
}

/// A `[[network.links]]` table: links between two groups of hosts. A host's link to itself is never one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// A host's name or a pattern with `*`.
    pub from: String,
    /// A host's name or a pattern with `*`.
    pub to: String,
    /// Only `from` to `to`, not the way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// In place of the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// In place of the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// In place of the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_as: Option<LossAs>,
}

impl Default for Network {
    /// 1 to 5 ms one way, nothing lost.
    fn default() -> Self {
        Self {
            latency: Latency::UniformMs([1.0, 5.0]),
            loss: 0.0,
            loss_as: LossAs::Delay,
            links: Vec::new(),
        }
    }
}

impl Network {
    /// Latency, loss and what a loss is, from one host to another.
    pub fn between(&self, from: &str, to: &str) -> (Latency, f64, LossAs) {
        let mut found = (self.latency, self.loss, self.loss_as);
        for link in &self.links {
            let is = |a: &str, b: &str| {
                crate::fault::glob(&link.from, a) && crate::fault::glob(&link.to, b)
            };
            if is(from, to) || (!link.one_way && is(to, from)) {
                found = (
                    link.latency.unwrap_or(found.0),
                    link.loss.unwrap_or(found.1),
                    link.loss_as.unwrap_or(found.2),
                );
            }
        }
        found
    }

    /// Refuses what cannot be drawn from, and links of hosts that are not among `hosts`, when these are known.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self, hosts: Option<&[String]>) -> Result<(), String> {
        check_latency("network.latency", self.latency)?;
        check_loss("network.loss", self.loss)?;
        for (number, link) in self.links.iter().enumerate() {
            let place = |key: &str| format!("network.links[{number}].{key}");
            if let Some(latency) = link.latency {
                check_latency(&place("latency"), latency)?;
            }
            if let Some(loss) = link.loss {
                check_loss(&place("loss"), loss)?;
            }
            if (link.latency, link.loss, link.loss_as) == (None, None, None) {
                return Err(format!(
                    "{}: missing, and so are loss and loss_as; what is special about this link?",
                    place("latency")
                ));
            }
            if let Some(hosts) = hosts {
                for (key, pattern) in [("from", &link.from), ("to", &link.to)] {
                    matching(pattern, hosts).map_err(|error| format!("{}: {error}", place(key)))?;
                }
            }
        }
        Ok(())
    }
}

fn check_latency(key: &str, latency: Latency) -> Result<(), String> {
    latency.check().map_err(|error| format!("{key}: {error}"))
}

fn check_loss(key: &str, loss: f64) -> Result<(), String> {
    if (0.0..1.0).contains(&loss) {
        return Ok(());
    }
    Err(format!(
        "{key}: found {loss}, expected 0 or more and less than 1"
    ))
}

/// The bounds of a run's phases, in virtual seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phases {
    /// Operations that have not ended this long after the last was started count as unknown.
    pub safety_grace_s: f64,
    /// After the heal, the system has to become quiet within this.
    pub converge_within_s: f64,
}

impl Default for Phases {
    /// 30 s for the last operations to end, 300 s to become quiet.
    fn default() -> Self {
        Self {
            safety_grace_s: 30.0,
            converge_within_s: 300.0,
        }
    }
}

/// A file that cannot be used: where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct Refused {
    /// The file.
    pub file: PathBuf,
    /// Line, key, what was found, what was expected.
    pub message: String,
}

impl Refused {
    /// A refusal of `file`.
    pub fn new(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            message: message.into(),
        }
    }
}

impl<T: Tables> Scenario<T> {
    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// [`Refused`], with the place in the file.
    pub fn load(file: &Path) -> Result<Self, Refused> {
        Self::parse(file, &read(file)?)
    }

    /// Reads a scenario from text; `file` is for messages.
    ///
    /// # Errors
    /// [`Refused`], with the place in the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Refused> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| Refused::new(file, explain(&error)))?;
        scenario
            .check()
            .map_err(|message| Refused::new(file, message))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        self.network.check(None)?;
        for (key, value) in [
            ("safety_grace_s", self.phases.safety_grace_s),
            ("converge_within_s", self.phases.converge_within_s),
        ] {
            if !(value.is_finite() && (0.001..=1e7).contains(&value)) {
                return Err(format!(
                    "phases.{key}: found {value}, expected 0.001 to 10000000 seconds"
                ));
            }
        }
        self.swarm.map_or(Ok(()), |swarm| swarm.check())?;
        self.tables.check()
    }
}

/// Reads a text file.
///
/// # Errors
/// [`Refused`], also for text that is not UTF-8, with the offset.
pub fn read(file: &Path) -> Result<String, Refused> {
    let bytes = std::fs::read(file)
        .map_err(|error| Refused::new(file, format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        Refused::new(
            file,
            format!(
                "is not UTF-8 from byte {} on",
                error.utf8_error().valid_up_to()
            ),
        )
    })
}

/// A TOML error in full, with the nearest valid spelling of an unknown key.
pub fn explain(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    if !error.message().starts_with("unknown") {
        return text.to_owned();
    }
    let Some(found) = quoted.next() else {
        return text.to_owned();
    };
    match nearest(found, quoted) {
        Some(name) => format!("{text}\nhint: did you mean `{name}`?"),
        None => text.to_owned(),
    }
}

/// The spelling in `names` that is nearest to `found`, if any is near.
pub fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min()
        .map(|(_, name)| name)
}

impl<'de, T: Tables> Deserialize<'de> for Scenario<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(std::marker::PhantomData<T>);
        impl<'de, T: Tables> Visitor<'de> for Fields<T> {
            type Value = Scenario<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scenario")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scenario<T>, A::Error> {
                let mut format: Option<String> = None;
                let mut scenario = Scenario {
                    name: String::new(),
                    question: String::new(),
                    network: Network::default(),
                    phases: Phases::default(),
                    swarm: None,
                    faults: Vec::new(),
                    slo: BTreeMap::new(),
                    expect: BTreeMap::new(),
                    tables: T::default(),
                };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "format" => format = Some(map.next_value()?),
                        "name" => scenario.name = map.next_value()?,
                        "question" => scenario.question = map.next_value()?,
                        "network" => scenario.network = map.next_value()?,
                        "phases" => scenario.phases = map.next_value()?,
                        "swarm" => scenario.swarm = Some(map.next_value()?),
                        "faults" => scenario.faults = map.next_value()?,
                        "slo" => scenario.slo = map.next_value()?,
                        "expect" => scenario.expect = map.next_value()?,
                        own if T::KEYS.contains(&own) => scenario.tables.read(own, &mut map)?,
                        other => return Err(unknown::<T, A::Error>(other)),
                    }
                }
                check_format(format.as_deref(), FORMAT).map_err(A::Error::custom)?;
                for (key, value) in [("name", &scenario.name), ("question", &scenario.question)] {
                    if value.trim().is_empty() {
                        return Err(A::Error::custom(format!("`{key}` is missing or empty")));
                    }
                }
                Ok(scenario)
            }
        }
        deserializer.deserialize_map(Fields(std::marker::PhantomData))
    }
}

fn unknown<T: Tables, E: Error>(key: &str) -> E {
    let known: Vec<String> = [
        "format", "name", "question", "network", "phases", "swarm", "faults", "slo", "expect",
    ]
    .iter()
    .chain(T::KEYS)
    .map(|key| format!("`{key}`"))
    .collect();
    E::custom(format!(
        "unknown key `{key}`, expected one of {}",
        known.join(", ")
    ))
}

/// Whether `found` is a format that this version reads: the same name and the same major version.
///
/// # Errors
/// A sentence with what was found and what was expected.
pub fn check_format(found: Option<&str>, expected: &str) -> Result<(), String> {
    match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!(
            "format: found {found:?}, this version reads {expected:?}"
        )),
        None => Err(format!("format: missing, expected format = {expected:?}")),
    }
}
