//! Which shard of an exploration this process is: said by hand, or by the job system that started it.
//!
//! **Invariant**: a shard is never guessed: `auto` with no job system, with two, or with numbers that do not fit is refused. Nothing is read
//! from the environment unless `auto` was asked for.
//!
//! | system            | variables                                                                                                  |
//! |-------------------|------------------------------------------------------------------------------------------------------------|
//! | Kubernetes        | `JOB_COMPLETION_INDEX`, from 0; the number of completions is not told: `auto/N`                            |
//! | GitLab            | `CI_NODE_INDEX`, from 1, of `CI_NODE_TOTAL`                                                                |
//! | Slurm             | `SLURM_ARRAY_TASK_ID`, from `SLURM_ARRAY_TASK_MIN` in steps of `SLURM_ARRAY_TASK_STEP`, of `SLURM_ARRAY_TASK_COUNT` |
//! | Buildkite         | `BUILDKITE_PARALLEL_JOB`, from 0, of `BUILDKITE_PARALLEL_JOB_COUNT`                                        |
//! | CircleCI          | `CIRCLE_NODE_INDEX`, from 0, of `CIRCLE_NODE_TOTAL`                                                        |

use std::str::FromStr;

use rehearsal_sim::explore::Shard;

/// What `--shard` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardChoice {
    /// This one.
    Given(Shard),
    /// The job system's, of so many where it does not tell.
    Auto(Option<u32>),
}

impl FromStr for ShardChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "found {text:?}, expected i/n with i from 1 to n, such as 1/8, or auto, or auto/8"
            )
        };
        match text.strip_prefix("auto") {
            Some("") => Ok(Self::Auto(None)),
            Some(rest) => rest
                .strip_prefix('/')
                .and_then(|of| of.parse().ok())
                .filter(|of| *of > 0)
                .map(|of| Self::Auto(Some(of)))
                .ok_or_else(wrong),
            None => text.parse().map(Self::Given).map_err(|_| wrong()),
        }
    }
}

/// A job system's variables.
struct System {
    name: &'static str,
    index: &'static str,
    /// The first index: a number, or the variable that holds it.
    first: First,
    step: Option<&'static str>,
    total: Option<&'static str>,
}

enum First {
    Number(u64),
    Variable(&'static str),
}

const SYSTEMS: [System; 5] = [
    System {
        name: "Kubernetes",
        index: "JOB_COMPLETION_INDEX",
        first: First::Number(0),
        step: None,
        total: None,
    },
    System {
        name: "GitLab",
        index: "CI_NODE_INDEX",
        first: First::Number(1),
        step: None,
        total: Some("CI_NODE_TOTAL"),
    },
    System {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: First::Variable("SLURM_ARRAY_TASK_MIN"),
        step: Some("SLURM_ARRAY_TASK_STEP"),
        total: Some("SLURM_ARRAY_TASK_COUNT"),
    },
    System {
        name: "Buildkite",
        index: "BUILDKITE_PARALLEL_JOB",
        first: First::Number(0),
        step: None,
        total: Some("BUILDKITE_PARALLEL_JOB_COUNT"),
    },
    System {
        name: "CircleCI",
        index: "CIRCLE_NODE_INDEX",
        first: First::Number(0),
        step: None,
        total: Some("CIRCLE_NODE_TOTAL"),
    },
];

impl ShardChoice {
    /// The shard, with the environment's variables as `variable` tells them.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard, String> {
        let given = match self {
            Self::Given(shard) => return Ok(shard),
            Self::Auto(given) => given,
        };
        let present: Vec<&System> = SYSTEMS
            .iter()
            .filter(|system| variable(system.index).is_some())
            .collect();
        match present[..] {
            [system] => system.shard(given, &variable),
            [] => Err(format!(
                "auto: found none of {}; say i/n",
                SYSTEMS.map(|system| system.index).join(", ")
            )),
            _ => {
                let names: Vec<&str> = present.iter().map(|system| system.index).collect();
                Err(format!("auto: found {}; say i/n", names.join(" and ")))
            }
        }
    }
}

impl System {
    fn shard(
        &self,
        given: Option<u32>,
        variable: &impl Fn(&str) -> Option<String>,
    ) -> Result<Shard, String> {
        let number = |name: &str| -> Result<u64, String> {
            let text = variable(name).ok_or_else(|| {
                format!(
                    "auto: {} sets {}, but found no {name}",
                    self.name, self.index
                )
            })?;
            text.trim()
                .parse()
                .map_err(|_| format!("auto: {name}: found {text:?}, expected a number"))
        };
        let index = number(self.index)?;
        let first = match self.first {
            First::Number(first) => first,
            First::Variable(name) => number(name)?,
        };
        // A step that is not told is 1.
        let step = match self.step {
            Some(name) if variable(name).is_some() => number(name)?.max(1),
            _ => 1,
        };
        let total = match (self.total, given) {
            (None, None) => {
                return Err(format!(
                    "auto: {} does not tell how many shards there are; say auto/N",
                    self.name
                ));
            }
            (None, Some(given)) => u64::from(given),
            (Some(name), given) => {
                let total = number(name)?;
                if let Some(given) = given.filter(|given| u64::from(*given) != total) {
                    return Err(format!("auto/{given}: {name} says {total}"));
                }
                total
            }
        };
        let place = index.checked_sub(first).filter(|place| place % step == 0);
        place
            .and_then(|place| Shard::new(u32::try_from(place / step + 1).ok()?, u32::try_from(total).ok()?))
            .ok_or_else(|| {
                format!(
                    "auto: {}: found {index}, expected one of {total} numbers from {first} in steps of {step}",
                    self.index
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(choice: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            let known = environment.iter().find(|(key, _)| *key == name);
            known.map(|(_, value)| (*value).to_owned())
        };
        let shard = choice.parse::<ShardChoice>()?.resolve(variable)?;
        Ok(shard.to_string())
    }

    #[test]
    fn each_system_counts_in_its_own_way() {
        let slurm = |id, min, step, count| {
            vec![
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_STEP", step),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ]
        };
        for (choice, environment, expect) in [
            ("3/8", vec![("CI_NODE_INDEX", "1")], "3/8"),
            ("auto/8", vec![("JOB_COMPLETION_INDEX", "0")], "1/8"),
            ("auto/8", vec![("JOB_COMPLETION_INDEX", "7")], "8/8"),
            (
                "auto",
                vec![("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "4")],
                "2/4",
            ),
            (
                "auto/4",
                vec![("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "4")],
                "2/4",
            ),
            ("auto", slurm("0", "0", "1", "16"), "1/16"),
            ("auto", slurm("16", "1", "1", "16"), "16/16"),
            ("auto", slurm("5", "1", "2", "4"), "3/4"),
            (
                "auto",
                vec![
                    ("BUILDKITE_PARALLEL_JOB", "0"),
                    ("BUILDKITE_PARALLEL_JOB_COUNT", "3"),
                ],
                "1/3",
            ),
            (
                "auto",
                vec![("CIRCLE_NODE_INDEX", "2"), ("CIRCLE_NODE_TOTAL", "3")],
                "3/3",
            ),
        ] {
            assert_eq!(
                resolved(choice, &environment).as_deref(),
                Ok(expect),
                "{environment:?}"
            );
        }
    }

    #[test]
    fn a_shard_is_never_guessed() {
        let kubernetes = ("JOB_COMPLETION_INDEX", "8");
        let gitlab = [("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "2")];
        for (choice, environment, expect) in [
            ("auto", vec![], "found none of JOB_COMPLETION_INDEX"),
            ("auto", vec![kubernetes], "say auto/N"),
            (
                "auto/8",
                vec![kubernetes],
                "found 8, expected one of 8 numbers from 0",
            ),
            (
                "auto",
                vec![kubernetes, gitlab[0]],
                "JOB_COMPLETION_INDEX and CI_NODE_INDEX",
            ),
            ("auto", vec![gitlab[0]], "found no CI_NODE_TOTAL"),
            ("auto/3", gitlab.to_vec(), "auto/3: CI_NODE_TOTAL says 2"),
            (
                "auto",
                vec![("CI_NODE_INDEX", "x"), gitlab[1]],
                "CI_NODE_INDEX: found \"x\"",
            ),
            (
                "auto",
                vec![("CI_NODE_INDEX", "0"), gitlab[1]],
                "CI_NODE_INDEX: found 0",
            ),
            ("autos", vec![], "expected i/n"),
            ("auto/0", vec![], "expected i/n"),
            ("0/2", vec![], "expected i/n"),
        ] {
            let error = resolved(choice, &environment).unwrap_err();
            assert!(error.contains(expect), "{choice} {environment:?}: {error}");
        }
    }
}
