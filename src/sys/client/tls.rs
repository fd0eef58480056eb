//! TLS for the outbound client: rustls with ring, the machine's certificates, and those built in
//! when the machine has none. Verification can't be switched off.

use std::cell::RefCell;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::ServerName;
use futures_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};
use smol::io::{AsyncRead, AsyncWrite};

use crate::sys::http::HttpError;

/// The certificates that are trusted, loaded when first needed.
#[derive(Debug, Default)]
pub struct Tls {
    config: RefCell<Option<Arc<ClientConfig>>>,
}

impl Tls {
    /// Speaks TLS with `host` over `socket`.
    ///
    /// # Errors
    /// [`HttpError::Tls`] with the reason; [`HttpError::BadUrl`] for a host that no certificate can name.
    pub async fn wrap<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: T,
        host: &str,
    ) -> Result<TlsStream<T>, HttpError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| HttpError::BadUrl(format!("{host} cannot be the name in a certificate")))?;
        let config = self.config().await?;
        TlsConnector::from(config).connect(name, socket).await.map_err(|error| refusal(host, &error))
    }

    /// Trusts `roots` alone, for a test with its own certificate.
    #[cfg(test)]
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        Self { config: RefCell::new(Some(client_config(roots).unwrap())) }
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, HttpError> {
        if let Some(config) = &*self.config.borrow() {
            return Ok(Arc::clone(config));
        }
        let config = client_config(roots().await)?;
        *self.config.borrow_mut() = Some(Arc::clone(&config));
        Ok(config)
    }
}

/// The machine's certificates; the built-in ones when it has none that can be read.
async fn roots() -> RootCertStore {
    #[allow(clippy::disallowed_methods, reason = "a few hundred files are read once; the loop goes on meanwhile")]
    let machine = smol::unblock(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(machine.certs);
    if added == 0 {
        log::warn!("this machine has no readable certificate store; using the built-in certificates");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Why the handshake failed, in words. A certificate that is out of its time is most often a board
/// without a clock (INTEGRATIONS.md 6.5).
fn refusal(host: &str, error: &std::io::Error) -> HttpError {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return HttpError::Tls(format!("{host} ended the handshake"));
    };
    let why = match cause {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; is this machine's clock right?".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or this machine's clock is wrong".to_owned()
            }
            CertificateError::UnknownIssuer => "its certificate comes from an unknown issuer".to_owned(),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".to_owned()
            }
            other => other.to_string(),
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        other => other.to_string(),
    };
    HttpError::Tls(format!("{host}: {why}"))
}
