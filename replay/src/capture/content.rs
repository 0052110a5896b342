//! Content codings: the bytes a body means, behind gzip, deflate, zstd or brotli.
//!
//! **Invariant**: a body never grows past [`LIMIT`], so a small hostile one cannot fill the memory.
//! It deliberately knows no other codings: such a body stays coded, and the comparison says so.

use std::{borrow::Cow, io::Read};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

use crate::capture::Headers;

/// A decoded body has at most this many bytes: far above any JSON answer, far below a machine's memory.
const LIMIT: u64 = 64 << 20;

/// A body is coded at most so often.
const CODINGS: usize = 4;

/// `body` without the content codings that `headers` name, of several the last one first.
///
/// # Errors
/// For people: a coding is not known, the bytes are not in it, or they grow past [`LIMIT`].
pub fn decoded<'a>(headers: &Headers, body: &'a Bytes) -> Result<Cow<'a, [u8]>, String> {
    let mut plain = Cow::Borrowed(&body[..]);
    let codings = codings(headers);
    if codings.is_empty() || body.is_empty() {
        return Ok(plain);
    }
    if codings.split(',').count() > CODINGS {
        return Err(format!("more than {CODINGS} content codings"));
    }
    for coding in codings.rsplit(',') {
        let coding = coding.trim().to_ascii_lowercase();
        let bytes = &plain[..];
        let undone = match coding.as_str() {
            "" | "identity" => continue,
            "gzip" | "x-gzip" => read_all(MultiGzDecoder::new(bytes)),
            // Senders disagree on what "deflate" is: the RFC says zlib, some send the bare stream.
            "deflate" => {
                read_all(ZlibDecoder::new(bytes)).or_else(|_| read_all(DeflateDecoder::new(bytes)))
            }
            "zstd" => StreamingDecoder::new(bytes)
                .map_err(|error| error.to_string())
                .and_then(read_all),
            "br" => read_all(Decompressor::new(bytes, 4096)),
            other => return Err(format!("content coding {other:?} is not read")),
        };
        plain = Cow::Owned(undone.map_err(|error| format!("not valid {coding}: {error}"))?);
    }
    Ok(plain)
}

/// The content codings that all headers together name, in order: several headers of a name are one list (RFC 9110, 5.3).
pub(crate) fn codings(headers: &Headers) -> Cow<'_, str> {
    let mut all = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"))
        .map(|(_, value)| value.as_str());
    let first = Cow::Borrowed(all.next().unwrap_or_default());
    all.fold(first, |list, more| Cow::Owned(format!("{list},{more}")))
}

fn read_all(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    reader
        .take(LIMIT + 1)
        .read_to_end(&mut plain)
        .map_err(|error| error.to_string())?;
    if plain.len() as u64 > LIMIT {
        return Err(format!("more than {LIMIT} bytes when decoded"));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

    use super::*;

    fn headers(coding: &str) -> Headers {
        vec![("Content-Encoding".into(), coding.into())]
    }

    #[test]
    fn gzip_and_deflate_are_read() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"hello").expect("memory");
        let gzip = Bytes::from(gzip.finish().expect("memory"));
        assert_eq!(&*decoded(&headers("gzip"), &gzip).expect("gzip"), b"hello");
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"hello").expect("memory");
        let zlib = Bytes::from(zlib.finish().expect("memory"));
        assert_eq!(
            &*decoded(&headers("deflate"), &zlib).expect("deflate"),
            b"hello"
        );
    }

    #[test]
    fn zstd_brotli_and_several_codings_are_read() {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(&b"hello"[..], level);
        let mut twice = GzEncoder::new(Vec::new(), Compression::fast());
        twice.write_all(&zstd).expect("memory");
        let (zstd, twice) = (
            Bytes::from(zstd),
            Bytes::from(twice.finish().expect("memory")),
        );
        assert_eq!(&*decoded(&headers("zstd"), &zstd).expect("zstd"), b"hello");
        let both = decoded(&headers("zstd, gzip"), &twice);
        assert_eq!(&*both.expect("both"), b"hello");
        let apart: Headers = [headers("zstd"), headers("gzip")].concat();
        let both = decoded(&apart, &twice);
        assert_eq!(&*both.expect("both"), b"hello", "in headers of their own");
        // RFC 7932, 9.2: one metablock of five literals, not compressed, then an empty last one.
        let brotli = Bytes::from_static(b"\x0b\x02\x80hello\x03");
        assert_eq!(&*decoded(&headers("br"), &brotli).expect("br"), b"hello");
    }

    #[test]
    fn what_cannot_be_decoded_says_so() {
        let body = Bytes::from_static(b"hello");
        assert!(decoded(&headers("gzip"), &body).is_err());
        assert!(decoded(&headers("br"), &body).is_err());
        assert!(decoded(&headers("zstd"), &body).is_err());
        assert!(decoded(&headers("compress"), &body).is_err());
        assert!(decoded(&headers("gzip,gzip,gzip,gzip,gzip"), &body).is_err());
        assert_eq!(&*decoded(&Vec::new(), &body).expect("plain"), b"hello");
    }
}
