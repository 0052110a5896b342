//! Masking: names, addresses, phone numbers and credentials of a capture, replaced so that it can still be replayed and joined.
//!
//! A [`Masker`] walks target, headers and bodies of an exchange, decoding what is encoded. What is masked is found by the name of its
//! field ([`MaskRules`]), by its pattern (emails, phone numbers, bearer tokens, JWTs), and, in any other text, by being the value of such a
//! field elsewhere in what was learned. A mask has the length and shape of its value and depends on nothing but the value and the key.
//!
//! **Invariant**: one value has one mask under one key, wherever it stands, and two values never have the same: joins hold. Neither the key nor
//! any pair of value and mask is ever written: what was learned is kept as digests, and a bounded number of recent masks in memory.
//!
//! It deliberately does not make a capture anonymous: words are masked one by one, so that how often a first name occurs can still be counted,
//! and whoever has the key can try values. What has no field, no pattern and was never learned is not found.

mod body;
mod charset;
mod digests;
mod encoding;
mod fields;
mod headers;
mod key;
mod known;
mod markup;
mod masker;
mod multipart;
mod number;
mod pairs;
mod permutation;
mod target;
mod text;
mod value;
mod words;
mod wrapped;

pub use fields::{MaskRules, MaskRulesError};
pub use key::MaskKey;
pub use masker::{MaskCounts, Masker};
