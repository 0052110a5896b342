//! base64 as recorders write it: with or without padding, broken into lines or not.
//!
//! **Invariant**: nothing but white space is passed over.
//! It deliberately is not what our own format is read with, whose writer is known.

use std::borrow::Cow;

use base64::{
    DecodeError, Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes that `text` means.
///
/// # Errors
/// What is no base64.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let bytes = text.as_bytes();
    let compact = if bytes.iter().any(u8::is_ascii_whitespace) {
        let kept = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
        Cow::Owned(kept.copied().collect())
    } else {
        Cow::Borrowed(bytes)
    };
    ANY_PADDING.decode(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_line_ends_do_not_matter() {
        for text in ["aGkh", "aG\nkh", " aGkh\r\n"] {
            assert_eq!(decode(text).as_deref(), Ok(&b"hi!"[..]), "{text:?}");
        }
        assert_eq!(decode("aGk").as_deref(), Ok(&b"hi"[..]));
        assert_eq!(decode("aGk=").as_deref(), Ok(&b"hi"[..]));
        assert!(decode("a*k=").is_err() && decode("a").is_err());
    }
}
