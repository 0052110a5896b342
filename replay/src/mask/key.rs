//! The key of a masking, and what is derived from it: permutations and tokens, all by HMAC-SHA-256.
//!
//! **Invariant**: the key is shown nowhere: not in `Debug`, not in a file; its id, which tells two keys apart, says nothing else about it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::capture::hex;

/// A key has at least this many bytes: 128 bits, out of reach of trial.
const LEAST: usize = 16;

/// A secret that masks are made with.
#[derive(Clone)]
pub struct MaskKey(Hmac<Sha256>);

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskKey({})", self.id())
    }
}

impl MaskKey {
    /// A key from its bytes; blanks around them, such as a file's last line feed, are no part of it.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn new(secret: &[u8]) -> Result<Self, String> {
        let secret = secret.trim_ascii();
        if secret.len() < LEAST {
            return Err(format!(
                "found {} bytes, expected a key of at least {LEAST}",
                secret.len()
            ));
        }
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Ok(Self(mac))
    }

    /// Tells this key from others.
    pub fn id(&self) -> String {
        hex(&self.digest(&[b"rehearsal mask key id"]))[..16].to_owned()
    }

    /// A name for `text` that stands for it where only equality counts.
    pub(super) fn token(&self, text: &str) -> String {
        hex(&self.digest(&[b"token", text.as_bytes()]))[..16].to_owned()
    }

    /// A digest of `parts`, none of which can be taken for a part of its neighbor.
    pub(super) fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_and_never_shown() {
        let secret = b"correct horse battery staple\n";
        let key = MaskKey::new(secret).expect("a key");
        assert!(!format!("{key:?}").contains("horse"));
        assert_eq!(
            key.id(),
            MaskKey::new(&secret[..secret.len() - 1])
                .expect("a key")
                .id()
        );
        assert_ne!(
            key.id(),
            MaskKey::new(b"correct horse battery stapl3")
                .expect("a key")
                .id()
        );
        let error = MaskKey::new(b"short \n").expect_err("too short");
        assert_eq!(error, "found 5 bytes, expected a key of at least 16");
    }
}
