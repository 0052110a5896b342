//! Content codings: the bytes a body means, behind gzip or deflate.
//!
//! **Invariant**: a body never grows past [`LIMIT`], so a small hostile one cannot fill the memory.
//! It deliberately does not decode brotli or zstd: such a body stays coded, and the comparison says so.

use std::{borrow::Cow, io::Read};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::capture::{Headers, header};

/// A decoded body has at most this many bytes: far above any JSON answer, far below a machine's memory.
const LIMIT: u64 = 64 << 20;

/// `body` without the content coding that `headers` name.
///
/// # Errors
/// For people: the coding is not known, the bytes are not in it, or they grow past [`LIMIT`].
pub fn decoded<'a>(headers: &Headers, body: &'a Bytes) -> Result<Cow<'a, [u8]>, String> {
    let coding = header(headers, "content-encoding").unwrap_or("identity");
    let coding = coding.trim().to_ascii_lowercase();
    if body.is_empty() || coding == "identity" || coding.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    let plain = match coding.as_str() {
        "gzip" | "x-gzip" => read_all(MultiGzDecoder::new(&body[..])),
        // Senders disagree on what "deflate" is: the RFC says zlib, some send the bare stream.
        "deflate" => read_all(ZlibDecoder::new(&body[..]))
            .or_else(|_| read_all(DeflateDecoder::new(&body[..]))),
        other => return Err(format!("content coding {other:?} is not read")),
    };
    plain
        .map(Cow::Owned)
        .map_err(|error| format!("not valid {coding}: {error}"))
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
    fn what_cannot_be_decoded_says_so() {
        let body = Bytes::from_static(b"hello");
        assert!(decoded(&headers("gzip"), &body).is_err());
        assert!(decoded(&headers("br"), &body).is_err());
        assert_eq!(&*decoded(&Vec::new(), &body).expect("plain"), b"hello");
    }
}
