//! What is masked: names of fields and headers, as data, `rehearsal.mask/1`.
//!
//! **Invariant**: names are compared without case and punctuation, so that `patient_name`, `patientName` and `Patient-Name` are one.

use std::collections::BTreeSet;

use serde::Deserialize;

/// The format's name and major version.
const FORMAT: &str = "rehearsal.mask/1";

/// What is masked unless a file says otherwise; it is its own reference.
const SHIPPED: &str = include_str!("default.toml");

/// Which fields and headers are masked.
#[derive(Clone, Debug)]
pub struct MaskRules {
    fields: Names,
    parameters: Names,
    headers: Names,
    path: Names,
    routes: Names,
    keep: Names,
    keep_values: Vec<String>,
}

/// Why a file of mask rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct MaskRulesError {
    /// The file as the user named it.
    pub file: String,
    /// Where, what was found and what was expected.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    fields: Vec<String>,
    #[serde(default)]
    parameters: Vec<String>,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    path: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    keep_values: Vec<String>,
}

/// Names, and those with a `*` in them apart: each is held against every one of these.
#[derive(Clone, Debug, Default)]
struct Names {
    whole: BTreeSet<String>,
    patterns: Vec<Name>,
}

/// What stands around the `*` of a name, in order.
#[derive(Clone, Debug)]
struct Name(Vec<String>);

impl MaskRules {
    /// What is masked by default.
    ///
    /// # Panics
    /// Never: the shipped rules are read in a test.
    pub fn shipped() -> Self {
        Self::read("default.toml", SHIPPED).expect("the shipped rules can be read")
    }

    /// Reads `text`; `file` is the name to use in errors.
    ///
    /// # Errors
    /// Where the text is not a file of mask rules, what was found and what was expected.
    pub fn read(file: &str, text: &str) -> Result<Self, MaskRulesError> {
        let fail = |message: String| MaskRulesError {
            file: file.to_owned(),
            message,
        };
        let document: Document = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
        if document.format != FORMAT {
            return Err(fail(format!(
                "found format {:?}, expected {FORMAT:?}",
                document.format
            )));
        }
        let names = |key: &str, names: Vec<String>| {
            Names::parse(&names).map_err(|error| fail(format!("`{key}`: {error}")))
        };
        Ok(Self {
            fields: names("fields", document.fields)?,
            parameters: names("parameters", document.parameters)?,
            headers: names("headers", document.headers)?,
            path: names("path", document.path)?,
            routes: names("routes", document.routes)?,
            keep: names("keep", document.keep)?,
            keep_values: document.keep_values,
        })
    }

    /// Whether the values of a field of this name are masked.
    pub(super) fn is_field(&self, name: &str) -> bool {
        let name = normal(name);
        self.fields.has(&name) && !self.keep.has(&name)
    }

    /// Whether a value of this name is a masked field's or stands below one: `patient[name][last]` and `filter.email` are written as paths.
    pub(super) fn is_path_of_field(&self, name: &str) -> bool {
        !self.is_path_kept(name)
            && (self.is_field(name)
                || (name.contains(['[', '.']) && parts(name).any(|part| self.is_field(part))))
    }

    /// Whether what stands under this path is left as it is.
    pub(super) fn is_path_kept(&self, name: &str) -> bool {
        self.is_kept(name) || parts(name).any(|part| self.is_kept(part))
    }

    /// Whether a query or form parameter of this name is masked, or one below such a name.
    pub(super) fn is_parameter(&self, name: &str) -> bool {
        self.is_path_of_field(name)
            || (self.parameters.has(&normal(name)) && !self.is_path_kept(name))
    }

    /// Whether a segment of a path that stands behind this one is a value, whatever it looks like.
    pub(super) fn is_value_behind(&self, segment: &str, before: &str) -> bool {
        self.is_field(before)
            && self.path.has(&normal(before))
            && !self.routes.has(&normal(segment))
    }

    /// Whether a header of this name is masked whole: it is listed, or a field, behind an `X-` or not.
    pub(super) fn is_header(&self, name: &str) -> bool {
        let name = normal(name);
        let bare = name.strip_prefix('x').unwrap_or(&name);
        let listed = self.headers.has(&name) || self.fields.has(&name) || self.fields.has(bare);
        listed && !self.keep.has(&name)
    }

    /// Whether what stands under this name is left as it is.
    pub(super) fn is_kept(&self, name: &str) -> bool {
        !self.keep.is_empty() && self.keep.has(&normal(name))
    }

    /// Whether this value is never masked.
    pub(super) fn keeps_value(&self, value: &str) -> bool {
        self.keep_values.iter().any(|kept| kept == value)
    }
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        if normal(text).is_empty() {
            return Err(format!(
                "found {text:?}, expected a name such as `patient_name` or `*_name`"
            ));
        }
        Ok(Self(text.split('*').map(normal).collect()))
    }

    /// Whether there is a `*` in it and `name` fits around that.
    fn is(&self, name: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return false;
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            let Some((_, behind)) = rest.split_once(part.as_str()) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last.as_str())
    }
}

impl Names {
    fn parse(names: &[String]) -> Result<Self, String> {
        let mut all = Self::default();
        for name in names {
            let name = Name::parse(name)?;
            match name.0.as_slice() {
                [whole] => {
                    all.whole.insert(whole.clone());
                }
                _ => all.patterns.push(name),
            }
        }
        Ok(all)
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.patterns.is_empty()
    }

    fn has(&self, name: &str) -> bool {
        self.whole.contains(name) || self.patterns.iter().any(|known| known.is(name))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['[', ']', '.']).filter(|part| !part.is_empty())
}

fn normal(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_no_punctuation() {
        let rules = MaskRules::shipped();
        for name in [
            "name",
            "patient_name",
            "patientName",
            "Patient-Name",
            "contactEmail",
            "PHONE",
            "ssn",
            "access_token",
            "password",
            "billing_name",
            "cardholderName",
            "customer_full_name",
            "guest_name",
            "fname",
            "mobileNumber",
            "secret_key",
            "stripe_secret_key",
            "privateKey",
            "passphrase",
        ] {
            assert!(rules.is_field(name), "{name}");
        }
        for name in [
            "id",
            "request_id",
            "state",
            "provider",
            "time",
            "filename",
            "hostname",
            "attempts",
            "provider_name",
            "file_name",
            "username_taken",
            "key",
            "sort_key",
            "code",
            "mobile_app",
        ] {
            assert!(!rules.is_field(name), "{name}");
        }
        assert!(rules.is_header("X-Api-Key") && rules.is_header("x-forwarded-for"));
        for name in [
            "X-Patient-Name",
            "x-customer-name",
            "X-Auth",
            "X-Auth-Token",
        ] {
            assert!(rules.is_header(name), "{name}");
        }
        assert!(!rules.is_header("content-type") && !rules.is_header("host"));
        for name in [
            "sig",
            "code",
            "X-Amz-Signature",
            "patient[name][last]",
            "filter.email",
        ] {
            assert!(rules.is_parameter(name), "{name}");
        }
        assert!(!rules.is_parameter("state") && !rules.is_parameter("page[size]"));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let error = |text: &str| {
            MaskRules::read("m.toml", text)
                .expect_err("wrong")
                .to_string()
        };
        assert!(
            error("format = \"rehearsal.mask/2\"\nfields = []")
                .contains("expected \"rehearsal.mask/1\"")
        );
        let unknown = error("format = \"rehearsal.mask/1\"\nfeilds = []");
        assert!(
            unknown.contains("line 2") && unknown.contains("`fields`"),
            "{unknown}"
        );
        assert!(error("format = \"rehearsal.mask/1\"\nfields = [\"*\"]").contains("found \"*\""));
    }

    #[test]
    fn a_file_may_keep_what_the_defaults_mask() {
        let rules = MaskRules::read(
            "m.toml",
            "format = \"rehearsal.mask/1\"\nfields = [\"*name\"]\nkeep = [\"provider_name\"]",
        )
        .expect("rules");
        assert!(
            rules.is_field("clinicName")
                && !rules.is_field("providerName")
                && rules.is_kept("provider-name")
        );
    }
}
