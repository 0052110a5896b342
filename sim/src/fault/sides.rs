//! Who is on which side of a fault on links.
//!
//! **Invariant**: no host is on both sides, and neither is empty.

use rand::{Rng, seq::SliceRandom};

use super::{Shape, Spec, pattern::matching};

impl Spec {
    /// The two groups of a fault on links.
    pub(super) fn sides(
        &self,
        target: String,
        matched: &[String],
        hosts: &[String],
        rng: &mut impl Rng,
    ) -> Result<(Vec<String>, Vec<String>), String> {
        let shape = self.shape.unwrap_or(Shape::Pair);
        if shape == Shape::Pair {
            let peers = self.peers(&target, hosts)?;
            return Ok((vec![target], peers));
        }
        if self.peer.is_some() {
            return Err(
                "peer: only for shape = \"pair\"; the other shapes have their own".to_owned(),
            );
        }
        if shape == Shape::Isolate {
            let peers = self.peers(&target, hosts)?;
            return Ok((vec![target], peers));
        }
        let mut group = matched.to_vec();
        group.shuffle(rng);
        let least = if shape == Shape::Bridge { 3 } else { 2 };
        if group.len() < least {
            return Err(format!(
                "target: {:?} matches {} host(s), this shape needs {least} or more",
                self.target,
                group.len()
            ));
        }
        if shape == Shape::Bridge {
            // This one reaches both halves.
            group.pop();
        }
        let other = group.split_off(group.len() / 2);
        Ok((group, other))
    }

    /// The other side: all that match `peer` but the target.
    fn peers(&self, target: &String, hosts: &[String]) -> Result<Vec<String>, String> {
        let mut peers = match &self.peer {
            Some(pattern) => matching(pattern, hosts).map_err(|error| format!("peer: {error}"))?,
            None => hosts.to_vec(),
        };
        peers.retain(|host| host != target);
        if peers.is_empty() {
            return Err(format!(
                "peer: {:?} leaves no host besides the target {target:?}",
                self.peer.as_deref().unwrap_or("*")
            ));
        }
        Ok(peers)
    }
}
