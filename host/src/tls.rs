//! TLS for a client, over any stream: who is trusted, and which protocol both ends speak.
//!
//! **Invariant**: a certificate is checked against the given authorities and the name that was dialed, unless [`Trust::Anyone`] was asked for
//! by name. A certificate that a server made for itself vouches for itself where it is among those that are trusted. It deliberately offers no client certificates.

use std::{io, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
        SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::ParsedCertificate,
    },
};

use crate::Stream;

/// Who may answer.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whoever these authorities, or certificates, vouch for.
    Roots(Vec<CertificateDer<'static>>),
    /// Whoever answers: for test instances with certificates of their own making.
    Anyone,
}

/// A client's side of TLS. Clones share it.
#[derive(Clone)]
pub struct Tls(TlsConnector);

/// TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Trust {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// For people: what is wrong with it.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, TlsError> {
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        match roots {
            Ok(roots) if !roots.is_empty() => Ok(Self::Roots(roots)),
            Ok(_) => Err(TlsError("found no certificate, expected PEM".to_owned())),
            Err(error) => Err(TlsError(format!("found {error}, expected PEM"))),
        }
    }
}

impl Tls {
    /// A client that offers `protocols` (ALPN: `h2`, `http/1.1`), the preferred one first.
    ///
    /// # Errors
    /// When no certificate of `trust` can be used.
    pub fn new(trust: Trust, protocols: &[&str]) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?;
        let trusted = match trust {
            Trust::Roots(certificates) => {
                let mut roots = RootCertStore::empty();
                let (usable, _) = roots.add_parsable_certificates(certificates.clone());
                if usable == 0 {
                    return Err(TlsError(
                        "found no usable certificate authority, expected at least one".to_owned(),
                    ));
                }
                let usual =
                    WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
                let usual = usual.build().map_err(|error| TlsError(error.to_string()))?;
                Some((usual, certificates))
            }
            Trust::Anyone => None,
        };
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { provider, trusted }))
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Secures `stream` to the host `name`, and says whether both ends agreed on HTTP/2.
    ///
    /// # Errors
    /// A name that is none, a certificate that is not trusted, or what the network says.
    pub async fn connect(&self, stream: Stream, name: &str) -> io::Result<(Stream, bool)> {
        let peer = stream.peer().to_owned();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let secured = self.0.connect(name, stream).await?;
        let http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::new(secured, peer), http2))
    }
}

/// Checks certificates as usual, but takes one that a server made for itself, marked as an authority, if it is itself among the trusted ones:
/// what `openssl req -x509` makes is refused by the letter (RFC 5280, section 4.2.1.9). Whom it trusts anyway only has to have the key of the
/// certificate that it shows.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// The usual check, and the trusted certificates; none where anyone may answer.
    trusted: Option<(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>)>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some((usual, trusted)) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        let checked = usual.verify_server_cert(shown, others, name, ocsp, now);
        match &checked {
            // Its dates were looked at before this was found; its name was not.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string().contains("CaUsedAsEndEntity")
                    && trusted.iter().any(|own| own == shown) =>
            {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n"] {
            assert!(Trust::from_pem(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Tls::new(Trust::Roots(Vec::new()), &[]).is_err());
        assert!(Tls::new(Trust::Anyone, &["h2", "http/1.1"]).is_ok());
    }
}
