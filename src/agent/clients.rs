//! Whose calls the agent takes. That a certificate is genuine was found by TLS before; here only its names count.

use crate::agent::refusal::AgentRefusal;
use crate::net::certificate::{InvalidCertificateName, certificate_name, names};
use crate::net::peer::Peer;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    Everybody,
    /// Callers with a certificate that carries this subject alternative name, in its normal form.
    Named(String),
}

impl Clients {
    /// The one client of this name, for example `DNS:obsteward.example.com`.
    pub fn named(name: &str) -> Result<Self, InvalidCertificateName> {
        certificate_name(name).map(Self::Named)
    }

    /// Refuses every other caller.
    pub fn admit(&self, peer: Option<&Peer>) -> Result<(), AgentRefusal> {
        let accepted = match self {
            Self::Everybody => return Ok(()),
            Self::Named(name) => name,
        };
        let Some(certificate) = peer.and_then(|peer| peer.certificate.as_deref()) else {
            return Err(AgentRefusal::ClientNotProven { accepted: accepted.clone() });
        };
        let shown = names(certificate);
        if shown.contains(accepted) {
            return Ok(());
        }
        Err(AgentRefusal::ClientNotAccepted { shown: shown.join(", "), accepted: accepted.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn one_name_is_accepted_and_nothing_like_it() {
        let clients = Clients::named("dns:Obsteward.example.com").unwrap();
        let peer = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let certificate =
                CertificateParams::new(names).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
            let certificate = Some(Arc::new(certificate.der().clone()));
            Peer { certificate, ..Peer::plaintext("127.0.0.1:1".parse().unwrap()) }
        };
        for good in [&["obsteward.example.com"][..], &["10.0.0.1", "OBSTEWARD.example.com"]] {
            assert_eq!(clients.admit(Some(&peer(good))), Ok(()), "{good:?}");
        }
        for bad in [&[][..], &["example.com"], &["x.obsteward.example.com"], &["*.example.com", "10.0.0.1"]] {
            let refused = clients.admit(Some(&peer(bad)));
            assert!(matches!(refused, Err(AgentRefusal::ClientNotAccepted { .. })), "{bad:?}: {refused:?}");
        }
        let plaintext = Peer::plaintext("127.0.0.1:1".parse().unwrap());
        for nobody in [None, Some(&plaintext)] {
            assert!(matches!(clients.admit(nobody), Err(AgentRefusal::ClientNotProven { .. })));
            assert_eq!(Clients::Everybody.admit(nobody), Ok(()));
        }
        assert!(Clients::named("obsteward.example.com").is_err(), "a name says what kind it is");
    }
}
