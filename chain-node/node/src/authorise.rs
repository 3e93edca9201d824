//! Who may call: a live member, by the certificate of its connection, as this node's own state
//! knows it. Nobody else is asked. What a transaction may do is decided by its signature, not here.

use tonic::{Request, Status};
use xinqiao_contracts::{
    StateFault, StateRead,
    record::{KeyState, MemberState},
    table,
};
use xinqiao_crypto::Digest;
use xinqiao_ledger::ids::{Fingerprint, OrgId};
use xinqiao_rpc::{Fault, PeerIdentity, Reason};

use crate::{fault, shared::Shared};

/// A caller that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) peer: PeerIdentity,
}

impl Shared {
    /// The live member that a call comes from.
    pub(crate) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer = PeerIdentity::of_request(request).map_err(|status| *status)?;
        self.check(&peer)?;
        Ok(Caller { peer })
    }

    /// Whether a peer is a live member's at the tip; a stream asks again as it goes on.
    pub(crate) fn check(&self, peer: &PeerIdentity) -> Result<(), Status> {
        match standing(&self.reader.view(), peer) {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(Fault::new(reason).status()),
            Err(fault) => Err(fault::internal(&fault)),
        }
    }
}

/// Why a peer is not let in, if it is not.
fn standing(state: &impl StateRead, peer: &PeerIdentity) -> Result<Option<Reason>, StateFault> {
    let print = Fingerprint(Digest::from(peer.fingerprint_sha256));
    let org = match table::CERTIFICATES.get(state, &print)? {
        Some(certificate) if certificate.state == KeyState::Valid => certificate.org,
        _ => return Ok(Some(Reason::CertificateUnknown)),
    };
    if org.as_str() != peer.org {
        return Ok(Some(Reason::CertificateOrgMismatch));
    }
    member_standing(state, &org)
}

fn member_standing(state: &impl StateRead, org: &OrgId) -> Result<Option<Reason>, StateFault> {
    Ok(
        match table::MEMBERS.get(state, org)?.map(|entry| entry.state) {
            Some(MemberState::Active) => None,
            Some(MemberState::Frozen(_)) => Some(Reason::MemberFrozen),
            Some(MemberState::Expelled(_)) => Some(Reason::MemberExpelled),
            None => Some(Reason::MemberUnknown),
        },
    )
}
