//! A data-holding node as far as these tests need one: it records a delivery and then releases it, or
//! misbehaves in one stated way. The real one, with its own replica and spool, is `gateway/holder`.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tonic::{Request, Response, Status};
use xinqiao_crypto::{Seal, Sm2Sm4Gcm, sm3};
use xinqiao_dispatch::envelope::{SealedItem, SealedReport, aad};
use xinqiao_ledger::{
    ids::{ItemCode, Subject},
    item::DigestedReport,
    order::PartRef,
    tx::Tx,
    wire::{
        self, PartStatus,
        delivery_service_server::{DeliveryService, DeliveryServiceServer},
        tx_body::Action,
    },
};
use xinqiao_node::Replica;
use xinqiao_rpc::{Fault, Identity, Reason, ServerBuilder, limited};

use crate::consortium::{enterprise, pseudonym_key, salt_key, secret};

/// How a source behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Never answers.
    Silent,
    /// Rejects the part on the ledger.
    Rejects,
    /// Records one envelope and sends another.
    OtherEnvelope,
    /// Seals for another part.
    OtherContext,
    /// Delivers an item that was not registered.
    FalseItem,
    /// Sends the receipt of something else.
    OtherReceipt,
}

#[derive(Clone)]
pub(crate) struct Source {
    name: &'static str,
    operator: &'static str,
    items: &'static [&'static str],
    replica: Replica,
    conduct: Conduct,
}

fn subject() -> Subject {
    pseudonym_key().subject(&enterprise())
}

/// What a source has on record.
pub(crate) fn content(source: &str, item: &str) -> Vec<u8> {
    format!(r#"{{"item":"{item}","marker":"PLAIN-REPORT-CONTENT","source":"{source}"}}"#)
        .into_bytes()
}

fn record(source: &str, items: &[&str]) -> (Vec<(ItemCode, Vec<u8>)>, DigestedReport) {
    let items: Vec<(ItemCode, Vec<u8>)> = items
        .iter()
        .map(|item| (item.parse().unwrap(), content(source, item)))
        .collect();
    let borrowed = items.iter().map(|(code, bytes)| (code, bytes.as_slice()));
    let digested = DigestedReport::new(&salt_key(), &subject(), borrowed).unwrap();
    (items, digested)
}

/// The registration of the enterprise's digest.
pub(crate) fn registration(source: &str, items: &[&str]) -> wire::RegisterDigests {
    let (_, digested) = record(source, items);
    wire::RegisterDigests {
        source: source.to_owned(),
        items: digested.codes().iter().map(ToString::to_string).collect(),
        entries: vec![wire::DigestEntry {
            subject: subject().to_vec(),
            root: digested.root().as_bytes().to_vec(),
            item_set: (1 << items.len()) - 1,
            as_of_day: 20_000,
        }],
    }
}

impl Source {
    pub(crate) fn new(
        name: &'static str,
        operator: &'static str,
        items: &'static [&'static str],
        replica: Replica,
        conduct: Conduct,
    ) -> Self {
        Self {
            name,
            operator,
            items,
            replica,
            conduct,
        }
    }

    pub(crate) async fn serve(
        self,
        identity: &Identity,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> SocketAddr {
        let server = ServerBuilder::mutual_tls(identity)
            .add_service(limited!(DeliveryServiceServer::new(self)))
            .bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap()
            .spawn(stop);
        server.local_addr()
    }

    async fn committed(&self, action: Action) -> wire::Receipt {
        let genesis = self.replica.genesis();
        let tx = Tx::sign(
            action,
            &self.replica.chain(),
            self.replica.tip().height + 100,
            &secret(&format!("{}/holder", self.operator)),
            &genesis.distinguishing_id,
            &mut rand::rng(),
        );
        let id = Tx::parse(&tx.encode_to_vec()).unwrap().meta().id;
        self.replica.submit(tx).await.unwrap();
        let patience = Duration::from_secs(10);
        self.replica.wait_final(&id, patience).await.unwrap();
        self.replica.receipt(&id).unwrap().unwrap()
    }

    async fn delivered(&self, part: PartRef) -> (Vec<u8>, wire::Receipt) {
        let asked: Vec<ItemCode> = {
            let state = self.replica.state();
            let order = xinqiao_contracts::query::order(&state, &part.order)
                .unwrap()
                .unwrap();
            order.parts[usize::from(part.part)].part.items.clone()
        };
        let (items, digested) = record(self.name, self.items);
        let sealed_items = items
            .into_iter()
            .filter(|(code, _)| asked.contains(code))
            .map(|(code, mut canonical)| {
                let (salt, path) = digested.proof(&code).unwrap();
                if self.conduct == Conduct::FalseItem {
                    canonical = br#"{"item":"nothing owed"}"#.to_vec();
                }
                SealedItem {
                    code,
                    canonical,
                    salt,
                    path,
                }
            })
            .collect();
        let report = SealedReport {
            part,
            items: sealed_items,
        };
        let context = PartRef {
            part: part.part + u8::from(self.conduct == Conduct::OtherContext),
            ..part
        };
        let seal = || {
            let recipient = *secret("js-bank/encryption").public();
            let aad = aad(&self.replica.chain(), &context);
            Sm2Sm4Gcm
                .seal(&recipient, &aad, &report.encode(), &mut rand::rng())
                .unwrap()
        };
        let sealed = seal();
        let receipt = self
            .committed(Action::DeliverPart(wire::DeliverPart {
                order: part.order.to_vec(),
                part: part.part.into(),
                ciphertext_digest: sm3(&sealed).as_bytes().to_vec(),
                ciphertext_length: sealed.len() as u64,
                report_root: digested.root().as_bytes().to_vec(),
                items: asked.iter().map(ToString::to_string).collect(),
                seal_scheme: wire::SealScheme::Sm2Sm4Gcm.into(),
                group_epoch: None,
            }))
            .await;
        match self.conduct {
            Conduct::OtherEnvelope => (seal(), receipt),
            Conduct::OtherReceipt => {
                let placed = xinqiao_ledger::ids::TxId(part.order.0);
                (sealed, self.replica.receipt(&placed).unwrap().unwrap())
            }
            _ => (sealed, receipt),
        }
    }
}

#[tonic::async_trait]
impl DeliveryService for Source {
    type RelayPartStream = BoxStream<'static, Result<wire::RelayPartResponse, Status>>;

    async fn relay_part(
        &self,
        request: Request<wire::RelayPartRequest>,
    ) -> Result<Response<Self::RelayPartStream>, Status> {
        let request = request.into_inner();
        let part = PartRef::parse(&request.order, request.part).unwrap();
        match self.conduct {
            Conduct::Silent => std::future::pending::<()>().await,
            Conduct::Rejects => {
                let rejection = wire::RejectPart {
                    order: request.order,
                    part: request.part,
                    reason: wire::PartRejection::SourceUnavailable.into(),
                };
                self.committed(Action::RejectPart(rejection)).await;
                return Err(Fault::new(Reason::OrderStateConflict)
                    .with("part_status", PartStatus::Rejected.as_str_name())
                    .status());
            }
            _ => {}
        }
        let (sealed, receipt) = self.delivered(part).await;
        let mut pieces: Vec<_> = sealed
            .chunks(300)
            .map(|chunk| wire::RelayPartResponse {
                chunk: Bytes::copy_from_slice(chunk),
                ..Default::default()
            })
            .collect();
        pieces.push(wire::RelayPartResponse {
            chunk: Bytes::new(),
            receipt: Some(receipt),
            ..Default::default()
        });
        Ok(Response::new(
            stream::iter(pieces.into_iter().map(Ok)).boxed(),
        ))
    }

    /// It seals in envelopes only.
    async fn relay_group(
        &self,
        _request: Request<wire::RelayGroupRequest>,
    ) -> Result<Response<wire::RelayGroupResponse>, Status> {
        Err(Fault::new(Reason::DeliveryNotFound).status())
    }
}
