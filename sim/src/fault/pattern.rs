//! Hosts by pattern: a name, or a text in which `*` stands for any run of characters.
//!
//! **Invariant**: a pattern that matches nothing is refused with the nearest name; hosts come in the order of the deployment.

/// The hosts that match `pattern`, in their order.
pub(crate) fn matching(pattern: &str, hosts: &[String]) -> Result<Vec<String>, String> {
    let found: Vec<_> = hosts
        .iter()
        .filter(|host| glob(pattern, host))
        .cloned()
        .collect();
    if found.is_empty() {
        let nearest = hosts
            .iter()
            .max_by(|a, b| strsim::jaro(pattern, a).total_cmp(&strsim::jaro(pattern, b)));
        let hint = nearest
            .map(|name| format!("; did you mean {name:?}?"))
            .unwrap_or_default();
        return Err(format!(
            "{pattern:?} matches no host of this scenario ({}){hint}",
            hosts.join(", ")
        ));
    }
    Ok(found)
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters.
pub fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, expect) in [
            ("worker-*", "worker-1", true),
            ("worker-*", "api", false),
            ("*", "x", true),
            ("api", "api", true),
            ("api", "api-1", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(glob(pattern, name), expect, "{pattern} {name}");
        }
    }
}
