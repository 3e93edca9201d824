//! Conversations that say what no validator says: they are ended with a reason, or what was said is
//! dropped; and the validator goes on either way.

use tokio_stream::{iter, wrappers::ReceiverStream};
use xinqiao_contracts::testing::{key_id, open_user};
use xinqiao_ledger::{
    block::MAX_BLOCK_BYTES,
    wire::{self, converse_request::Content, validator_service_client::ValidatorServiceClient},
};
use xinqiao_rpc::{FaultView, Role, RpcChannel, limited};

use crate::consortium::{Consortium, Running};

fn greeting(chain: Vec<u8>, validator: &str) -> Content {
    Content::Greeting(wire::Greeting {
        chain_id: chain,
        validator: key_id(validator).as_bytes().to_vec(),
    })
}

/// Says all of it, in its order; gives the code that the conversation ends with.
async fn ended(channel: &RpcChannel, said: Vec<Option<Content>>) -> String {
    let said = said
        .into_iter()
        .map(|content| wire::ConverseRequest { content });
    let (say, sayings) = tokio::sync::mpsc::channel(1);
    // It stays open, so that only what is said can end it.
    let talking = tokio::spawn(async move {
        for one in said {
            if say.send(one).await.is_err() {
                return;
            }
        }
        say.closed().await;
    });
    let mut client = limited!(ValidatorServiceClient::new(channel.clone()));
    let status = match client.converse(ReceiverStream::new(sayings)).await {
        Err(status) => status,
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
    };
    talking.abort();
    let view = FaultView::from_status(&status);
    view.reason_code.unwrap_or_else(|| format!("{status:?}"))
}

/// The body of a block, with other transactions than it has.
fn body(node: &Running, transactions: Vec<Vec<u8>>) -> Content {
    let tip = node.replica().tip().height;
    let block = node.replica().reader().wire_block(tip).unwrap().unwrap();
    Content::Body(wire::ProposedBody {
        header: block.header,
        transactions,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_validator_says_ends_its_conversation_or_is_dropped_and_the_validator_goes_on() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let (_, tx) = consortium.any(0);
    validator.commit(tx).await;
    let chain = consortium.genesis.chain_id().to_vec();
    let channel = consortium.channel(&validator, "sh-bureau", Role::Node);
    let hello = || Some(greeting(chain.clone(), "validator"));
    let junk = || Some(Content::Message(vec![0xff; 100]));
    // A well-formed body of a height that has passed: nobody asked for it.
    let passed = || {
        let tip = validator.replica().tip().height;
        let block = validator
            .replica()
            .reader()
            .wire_block(tip)
            .unwrap()
            .unwrap();
        Some(body(&validator, block.transactions))
    };
    let signed = consortium.people.sign("js-bank/admin", open_user(500));
    let mut forged: wire::Transaction = crate::consortium::as_wire(&signed);
    forged.signature = vec![1; 64];
    let batch = |transactions| {
        Some(Content::Transactions(wire::TransactionBatch {
            transactions,
        }))
    };

    let rows: Vec<(&str, Vec<Option<Content>>, &str)> = vec![
        (
            "no greeting first",
            vec![Some(Content::TipHeight(1))],
            "FIELD_REQUIRED",
        ),
        ("nothing at all", vec![None], "FIELD_REQUIRED"),
        (
            "another chain",
            vec![Some(greeting(vec![7; 32], "validator"))],
            "CHAIN_ID_MISMATCH",
        ),
        (
            "half a chain id",
            vec![Some(greeting(vec![7; 16], "validator"))],
            "FIELD_LENGTH",
        ),
        (
            "a key that validates nothing",
            vec![Some(greeting(chain.clone(), "somebody"))],
            "ROLE_DENIED",
        ),
        ("garbage", vec![hello(), junk()], "MESSAGE_MALFORMED"),
        (
            "an empty message",
            vec![hello(), Some(Content::Message(Vec::new()))],
            "MESSAGE_MALFORMED",
        ),
        (
            "a message that is too long",
            vec![hello(), Some(Content::Message(vec![1; 40 << 10]))],
            "MESSAGE_MALFORMED",
        ),
        (
            "a kind that nobody knows",
            vec![hello(), None],
            "FIELD_FORMAT",
        ),
        ("a second greeting", vec![hello(), hello()], "FIELD_FORMAT"),
        (
            "a body that is none",
            vec![hello(), Some(Content::Body(wire::ProposedBody::default()))],
            "FIELD_RANGE",
        ),
        // What is dropped does not end it: the garbage after it does.
        (
            "bodies that nobody asked for",
            [
                vec![hello()],
                (0..50).map(|_| passed()).collect(),
                vec![junk()],
            ]
            .concat(),
            "MESSAGE_MALFORMED",
        ),
        (
            "a body too large, of a height that has passed",
            vec![
                hello(),
                Some(body(&validator, vec![vec![0; MAX_BLOCK_BYTES / 2]; 1])),
                junk(),
            ],
            "MESSAGE_MALFORMED",
        ),
        (
            "a flood of heights",
            [
                vec![hello()],
                (0..5_000)
                    .map(|n| Some(Content::TipHeight(u64::MAX - n)))
                    .collect(),
                vec![junk()],
            ]
            .concat(),
            "MESSAGE_MALFORMED",
        ),
        (
            "a flood of forged transactions",
            [
                vec![hello()],
                (0..50).map(|_| batch(vec![forged.clone(); 20])).collect(),
                vec![batch(vec![wire::Transaction::default(); 20]), junk()],
            ]
            .concat(),
            "MESSAGE_MALFORMED",
        ),
    ];
    for (number, (what, said, code)) in (1..).zip(rows) {
        assert_eq!(ended(&channel, said).await, code, "{what}");
        let (_, tx) = consortium.any(number);
        validator.commit(tx).await;
        assert_eq!(validator.replica().halted(), None, "{what}");
    }
    // Whoever talks sense is heard as before.
    let mut client = limited!(ValidatorServiceClient::new(channel.clone()));
    let greeting = wire::ConverseRequest { content: hello() };
    client.converse(iter([greeting])).await.unwrap();
    validator.stop().await;
}
