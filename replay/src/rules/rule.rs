//! The rules themselves, as data, and the questions that the other stages ask of them.
//!
//! **Invariant**: a rule's place in [`Rules::rules`] is its identity: counts are kept by it.

use std::borrow::Cow;

use jiff::civil::Date;

use crate::{
    capture::{Headers, Request},
    json,
    rules::{
        Absence, Endpoint, Given, Instants, Normalization, Pattern, Spelling, StatusSet, Template,
        When, Within, generic_template,
    },
};

/// One of the two services that are compared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The service that is to be replaced: its answers are the baseline.
    Legacy,
    /// The service that is to replace it.
    Candidate,
}

impl Side {
    /// `legacy` or `candidate`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Candidate => "candidate",
        }
    }
}

/// What a rule is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The answers to a request, as it was captured.
    Request {
        /// Its method.
        method: &'a str,
        /// Its path, without the query.
        path: &'a str,
    },
    /// The final state of an entity.
    State,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in reports, unique in its file.
    pub id: String,
    /// Why it is right.
    pub reason: String,
    /// Where its table begins in the file, from 1.
    pub line: usize,
    /// The last day it holds; `None` is for good.
    pub expires: Option<Date>,
    /// Whether that day has passed: it then suppresses nothing. Set by [`Rules::expire`].
    pub expired: bool,
    /// What it speaks of: any of these.
    pub endpoints: Vec<Endpoint>,
    /// Only where another field of the same answers is so.
    pub given: Option<Given>,
    /// What it does.
    pub effect: Effect,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Changes requests to one side.
    Rewrite {
        /// Which side.
        side: Side,
        /// The new path, filled from the endpoint's variables; the query is kept.
        to: Option<Template>,
        /// Headers that are set.
        set_headers: Headers,
    },
    /// Two values mean the same.
    Map {
        /// Where.
        place: Place,
        /// Which values.
        when: When,
    },
    /// Only one side has this field.
    Drop {
        /// Which side has it.
        side: Side,
        /// Which field.
        path: Pattern,
        /// Only with such a value.
        when: When,
    },
    /// A field has another name on the candidate's side.
    Rename {
        /// Where legacy has it.
        legacy: Pattern,
        /// The key the candidate has in the same object.
        candidate: String,
    },
    /// Numbers that are so near are the same.
    Tolerance {
        /// Which field.
        path: Pattern,
        /// At most this far apart.
        absolute: f64,
        /// Or at most this share of the larger one apart.
        relative: f64,
    },
    /// Times that are so near are the same, whatever their zone and precision.
    Time {
        /// Where.
        place: Place,
        /// How near, and how they are written.
        instants: Instants,
    },
    /// Texts are the same once a regular expression has rewritten them.
    Normalize {
        /// Where.
        place: Place,
        /// What is rewritten, and into what.
        normalization: Normalization,
    },
    /// `null`, a field that is not there and an empty value are the same, as far as declared.
    Absent {
        /// Which field.
        path: Pattern,
        /// Which of the three.
        absence: Absence,
    },
    /// Texts that differ only in how they are spelled are the same.
    Spelling {
        /// Where.
        place: Place,
        /// In what they may differ.
        spelling: Spelling,
    },
    /// Statuses of these sets are the same.
    Status {
        /// Legacy's.
        legacy: StatusSet,
        /// The candidate's.
        candidate: StatusSet,
    },
    /// An array's order means nothing.
    Unordered {
        /// Which array.
        path: Pattern,
        /// Items are paired by these members; without any, equal items are.
        key: Vec<String>,
    },
    /// Invented values pair up one to one over the whole run.
    Binding {
        /// Where they stand.
        place: Place,
        /// Which part of the text there is the value; `None` is all of it.
        within: Option<Within>,
        /// Rules with the same pairing share their pairs: an id and the references to it.
        pairing: String,
    },
    /// Refusals are compared by status only.
    Error {
        /// With these statuses, all at least 400.
        statuses: Vec<u16>,
    },
    /// Headers that mean nothing.
    Volatile {
        /// Their names, in lower case.
        headers: Vec<String>,
    },
    /// A known difference is forgiven: counted as ignored.
    Ignore {
        /// Where.
        place: Place,
        /// Which values; statuses, where the place is the whole answer.
        when: When,
    },
}

/// A place in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The status.
    Status,
    /// A header, by its name in lower case.
    Header(String),
    /// A cookie that is set, by its name.
    Cookie(String),
    /// Fields of the JSON body.
    Body(Pattern),
    /// The character encoding of the body.
    Encoding,
    /// All of it.
    Answer,
}

/// How the final state is read.
#[derive(Clone, Debug)]
pub struct StateReads {
    /// Requests that name an entity.
    pub create: Endpoint,
    /// Where the request's JSON body has the entity's id: a JSON pointer.
    pub id: String,
    /// Where legacy has the entity: a template over `{id}`.
    pub legacy: Template,
    /// Where the candidate has it.
    pub candidate: Template,
}

/// All rules of a replay.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What the file calls itself.
    pub name: String,
    /// In the order of the file.
    pub rules: Vec<Rule>,
    /// How the final state is read; `None` leaves it out of the comparison.
    pub state: Option<StateReads>,
    /// What day it is, if somebody said so.
    pub today: Option<Date>,
}

impl Rules {
    /// Whether any `rewrite` rule speaks of this request.
    pub fn knows(&self, method: &str, path: &str) -> bool {
        self.rules.iter().any(|rule| {
            matches!(rule.effect, Effect::Rewrite { .. })
                && rule
                    .endpoints
                    .iter()
                    .any(|endpoint| endpoint.covers(method, path))
        })
    }

    /// The endpoint's name in reports: the first declared template that covers the request, or one guessed from its path.
    pub fn label(&self, method: &str, path: &str) -> String {
        let declared = self
            .templates()
            .find(|endpoint| endpoint.covers(method, path));
        match declared {
            Some(Endpoint::Path { template, .. }) => format!("{method} {}", template.text()),
            _ => format!("{method} {}", generic_template(path).0),
        }
    }

    /// The entity that a request touches: from its body where `[state]` says so, else from its path's variable `id`, else a segment
    /// or a body's member `id` that looks like one.
    pub fn entity(&self, request: &Request) -> Option<String> {
        if let Some(id) = self.created(request) {
            return Some(id);
        }
        let path = request.path();
        let declared = self.templates().find_map(|endpoint| match endpoint {
            Endpoint::Path { template, .. } if endpoint.covers(&request.method, path) => template
                .capture(path)?
                .into_iter()
                .find(|(name, _)| *name == "id"),
            _ => None,
        });
        if let Some((_, id)) = declared {
            return Some(id.to_owned());
        }
        if let (_, Some(id)) = generic_template(path) {
            return Some(id.to_owned());
        }
        body_text(request, "/id")
    }

    /// The id of the entity that a request creates, as `[state]` finds it.
    pub fn created(&self, request: &Request) -> Option<String> {
        let state = self.state.as_ref()?;
        if !state.create.covers(&request.method, request.path()) {
            return None;
        }
        body_text(request, &state.id)
    }

    /// The request as `side` gets it.
    pub fn rewrite<'r>(&self, side: Side, request: &'r Request) -> Cow<'r, Request> {
        let mut rewritten = Cow::Borrowed(request);
        let mut moved = false;
        for rule in &self.rules {
            let Effect::Rewrite {
                side: wanted,
                to,
                set_headers,
            } = &rule.effect
            else {
                continue;
            };
            let fitting = rule
                .endpoints
                .iter()
                .find(|endpoint| endpoint.covers(&request.method, request.path()));
            let (true, Some(Endpoint::Path { template, .. })) = (*wanted == side, fitting) else {
                continue;
            };
            if let (Some(to), false) = (to, moved)
                && let Some(path) = template
                    .capture(request.path())
                    .and_then(|values| to.fill(&values))
            {
                let query = request.origin_form().find('?');
                let query = query.map_or("", |at| &request.origin_form()[at..]);
                rewritten.to_mut().target = path + query;
                moved = true;
            }
            for (name, value) in set_headers {
                let headers = &mut rewritten.to_mut().headers;
                headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                headers.push((name.clone(), value.clone()));
            }
        }
        rewritten
    }

    /// Marks the rules whose last day was before `today`: they suppress nothing from here on.
    ///
    /// The library reads no clock: who runs it says what day it is.
    pub fn expire(&mut self, today: Date) {
        self.today = Some(today);
        for rule in &mut self.rules {
            rule.expired = rule.expires.is_some_and(|last| last < today);
        }
    }

    /// The `Host` that a `rewrite` rule sets for `side`. The captured one is the captured service's and is never repeated by itself.
    pub fn host(&self, side: Side, request: &Request) -> Option<&str> {
        self.rules.iter().rev().find_map(|rule| match &rule.effect {
            Effect::Rewrite {
                side: wanted,
                set_headers,
                ..
            } if *wanted == side => {
                let mut covering = rule.endpoints.iter();
                covering
                    .any(|endpoint| endpoint.covers(&request.method, request.path()))
                    .then(|| crate::capture::header(set_headers, "host"))?
            }
            _ => None,
        })
    }

    /// Whether `rule` speaks of `subject`.
    pub(crate) fn speaks(&self, rule: &Rule, subject: &Subject<'_>) -> bool {
        !rule.expired
            && rule
                .endpoints
                .iter()
                .any(|endpoint| endpoint.fits(subject, self))
    }

    fn templates(&self) -> impl Iterator<Item = &Endpoint> {
        let created = self.state.iter().map(|state| &state.create);
        self.rules
            .iter()
            .flat_map(|rule| &rule.endpoints)
            .chain(created)
    }
}

impl Effect {
    /// The kind's name in the file and in reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rewrite { .. } => "rewrite",
            Self::Map { .. } => "map",
            Self::Drop { .. } => "drop",
            Self::Rename { .. } => "rename",
            Self::Tolerance { .. } => "tolerance",
            Self::Time { .. } => "time",
            Self::Normalize { .. } => "normalize",
            Self::Absent { .. } => "absent",
            Self::Spelling { .. } => "spelling",
            Self::Status { .. } => "status",
            Self::Unordered { .. } => "unordered",
            Self::Binding { .. } => "binding",
            Self::Error { .. } => "error",
            Self::Volatile { .. } => "volatile",
            Self::Ignore { .. } => "ignore",
        }
    }
}

fn body_text(request: &Request, pointer: &str) -> Option<String> {
    let body = crate::capture::decoded(&request.headers, request.body.whole()?).ok()?;
    if !json::unmarked(&body).trim_ascii_start().starts_with(b"{") {
        return None;
    }
    match json::parse(&body).ok()?.pointer(pointer)? {
        json::Json::String(text) if !text.is_empty() => Some(text.to_string()),
        json::Json::Number(number) => Some(number.text().to_owned()),
        _ => None,
    }
}
