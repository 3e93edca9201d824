//! The MLS library, as both sides use it: one ciphersuite, one set of settings, and its storage in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use openmls::prelude::{
    tls_codec::{Deserialize as _, Serialize as _},
    *,
};
use openmls_memory_storage::MemoryStorage;
use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    signatures::{Signer, SignerError},
    storage::{CURRENT_VERSION, Entity, StorageProvider as _, traits},
};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::Digest;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    binding::SIGNATURE_KEY,
    error::Error,
    member::{EpochMark, Member},
};

/// The one ciphersuite.
pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// Letters of one epoch that may overtake each other. A letter that comes later than that is asked for again.
const OUT_OF_ORDER: u32 = 64;

/// Letters of one epoch that an agent may have missed, as they were for other agents. More than a node sends
/// in one epoch (`holder::LETTERS_PER_EPOCH` and an answer's fill).
const FORWARD: u32 = 2_048;

/// Messages are padded to multiples of so many bytes.
const PADDING: usize = 256;

/// What the library works with. Its storage is this process's memory; `book` brings it to disk.
#[derive(Debug, Default)]
pub(crate) struct Provider {
    storage: MemoryStorage,
    crypto: RustCrypto,
    /// The group as it was put back last, which spares reading it from the storage. A step that failed does
    /// not put it back.
    group: Mutex<Option<MlsGroup>>,
}

impl Provider {
    pub(crate) fn with(values: HashMap<Vec<u8>, Vec<u8>>) -> Self {
        let provider = Self::default();
        provider.restore(values);
        provider
    }

    pub(crate) fn values(&self) -> HashMap<Vec<u8>, Vec<u8>> {
        let values = self.storage.values.read();
        values.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn restore(&self, values: HashMap<Vec<u8>, Vec<u8>>) {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut held = self
            .storage
            .values
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for value in held.values_mut() {
            value.zeroize();
        }
        *held = values;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.restore(HashMap::new());
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = RustCrypto;
    type RandProvider = RustCrypto;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &RustCrypto {
        &self.crypto
    }
}

/// A leaf's signature key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct LeafKey {
    secret: Vec<u8>,
    #[zeroize(skip)]
    pub(crate) public: [u8; SIGNATURE_KEY],
}

impl LeafKey {
    pub(crate) fn generate(provider: &Provider) -> Result<Self, Error> {
        let (secret, public) = provider
            .crypto
            .signature_key_gen(SUITE.signature_algorithm())
            .map_err(|why| Error::library(&why))?;
        let public = public
            .try_into()
            .map_err(|_| Error::library(&"a signature key of another length"))?;
        Ok(Self { secret, public })
    }

    pub(crate) fn signer<'a>(&'a self, provider: &'a Provider) -> LeafSigner<'a> {
        LeafSigner {
            key: &self.secret,
            crypto: &provider.crypto,
        }
    }

    pub(crate) fn credential(&self, member: &Member) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(member.credential()).into(),
            signature_key: self.public.to_vec().into(),
        }
    }
}

/// Signs with a leaf's key.
pub(crate) struct LeafSigner<'a> {
    key: &'a [u8],
    crypto: &'a RustCrypto,
}

impl Signer for LeafSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.crypto
            .sign(self.signature_scheme(), payload, self.key)
            .map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SUITE.signature_algorithm()
    }
}

/// Settings of who joins. Nothing of past epochs is kept: a letter is of the epoch that is current when it is
/// asked for, and one that comes too late is asked for again.
pub(crate) fn join_settings() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .build()
}

/// Settings of who makes a group.
pub(crate) fn create_settings() -> MlsGroupCreateConfig {
    MlsGroupCreateConfig::builder()
        .ciphersuite(SUITE)
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .build()
}

/// What a group's creator keeps of past epochs' resumption keys: nothing. The library would keep 32 of them,
/// whatever the settings say, and we never resume. Its own form, which [`load`] reads back.
#[derive(Serialize, Deserialize)]
struct NoResumption {
    max_number_of_secrets: usize,
    resumption_psk: Vec<()>,
    cursor: usize,
}

impl Entity<CURRENT_VERSION> for NoResumption {}
impl traits::ResumptionPskStore<CURRENT_VERSION> for NoResumption {}

/// Forgets the resumption keys of a group that was just made, and has none kept from now on.
pub(crate) fn forget_resumption(provider: &Provider, group: &MlsGroup) -> Result<(), Error> {
    let none = NoResumption {
        max_number_of_secrets: 0,
        resumption_psk: Vec::new(),
        cursor: 0,
    };
    provider
        .storage
        .write_resumption_psk_store(group.group_id(), &none)
        .map_err(|why| Error::library(&why))
}

/// Deletes what was prepared for an epoch that is over: proposals, and keys of updates that were not carried
/// out. The library's storage leaves both behind.
pub(crate) fn tidy(provider: &Provider) {
    let storage = &provider.storage;
    let mut values = storage
        .values
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    values.retain(|key, value| {
        let over = [&b"QueuedProposal"[..], b"EncryptionKeyPair"]
            .iter()
            .any(|label| key.starts_with(label));
        if over {
            value.zeroize();
        }
        !over
    });
}

/// The group of an id. Who has changed nothing, or everything in its order, may [`put`] it back.
pub(crate) fn load(provider: &Provider, id: &[u8]) -> Result<MlsGroup, Error> {
    let held = provider
        .group
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(group) = held.filter(|group| group.group_id().as_slice() == id) {
        return Ok(group);
    }
    MlsGroup::load(&provider.storage, &GroupId::from_slice(id))
        .map_err(|why| Error::library(&why))?
        .ok_or_else(|| Error::library(&"the state has no such group"))
}

/// Keeps a group for the next [`load`]: its storage has the same.
pub(crate) fn put(provider: &Provider, group: MlsGroup) {
    *provider
        .group
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(group);
}

/// What the group's epoch is known by.
pub(crate) fn mark(group: &MlsGroup, generation: u64) -> Result<EpochMark, Error> {
    let authenticator = Digest::try_from(group.epoch_authenticator().as_slice())
        .map_err(|_| Error::library(&"an epoch authenticator of another length"))?;
    Ok(EpochMark {
        generation,
        epoch: group.epoch().as_u64(),
        authenticator,
    })
}

/// The bytes of a message that goes out.
pub(crate) fn bytes(message: &MlsMessageOut) -> Result<Vec<u8>, Error> {
    message
        .tls_serialize_detached()
        .map_err(|why| Error::library(&why))
}

/// An MLS message that came in, and nothing after it.
pub(crate) fn parse(what: &'static str, bytes: &[u8]) -> Result<MlsMessageBodyIn, Error> {
    let message = MlsMessageIn::tls_deserialize_exact(bytes)
        .map_err(|_| Error::refused(what, "is no MLS message"))?;
    Ok(message.extract())
}

/// A message of a group.
pub(crate) fn of_group(what: &'static str, bytes: &[u8]) -> Result<ProtocolMessage, Error> {
    match parse(what, bytes)? {
        MlsMessageBodyIn::PrivateMessage(message) => Ok(message.into()),
        _ => Err(Error::refused(what, "is no encrypted message of a group")),
    }
}

/// The member that a credential names.
pub(crate) fn member(credential: &Credential) -> Result<Member, Error> {
    if credential.credential_type() != CredentialType::Basic {
        return Err(Error::refused("credential", "is not a basic one"));
    }
    let basic = BasicCredential::try_from(credential.clone())
        .map_err(|_| Error::refused("credential", "is malformed"))?;
    Member::parse(basic.identity())
}
