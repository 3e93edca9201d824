//! Every RPC of the contract, called with fields that are missing, too long, too short, out of range or
//! malformed, and with bytes that are no message.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use xinqiao_it::{
    Consortium, Kind,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    raw,
};
use xinqiao_ledger::wire;
use xinqiao_rpc::{
    FaultView, Role, RpcChannel,
    limits::{MAX_MESSAGE_BYTES, MAX_SEALED_MESSAGE_BYTES},
};

use crate::{
    Complaints, State, check,
    requests::{Row, query, rows},
    said,
};

/// Where a service is called, by whom, and whether a user's token goes along.
struct Door {
    name: String,
    channel: RpcChannel,
    token: bool,
    /// What is refused here is recorded on the ledger.
    refusals: bool,
    /// It may take messages as large as sealed reports.
    sealed: bool,
}

fn doors(consortium: &Consortium, service: &str) -> Vec<Door> {
    let people = consortium.people();
    let door = |who: (&str, Role), whom: (&str, Kind), token: bool| Door {
        name: format!("{}/{}", whom.0, whom.1.as_str()),
        channel: people.connect(who, whom),
        token,
        refusals: token,
        sealed: whom.1 == Kind::Holder,
    };
    let node = || {
        door(
            (BUREAUS[0], Role::Operator),
            (BUREAUS[0], Kind::Node),
            false,
        )
    };
    let another = || door((BUREAUS[2], Role::Gateway), (BUREAUS[2], Kind::Node), false);
    let observer = || {
        door(
            (REGULATOR, Role::Operator),
            (REGULATOR, Kind::Observer),
            false,
        )
    };
    let gateway = || door((BANK, Role::Agent), (HOME, Kind::Gateway), true);
    match service {
        "LedgerService" | "StateService" | "AuditService" => vec![node(), another(), observer()],
        "SubmissionService" => vec![node(), another()],
        "ValidatorService" => vec![door(
            (BUREAUS[0], Role::Node),
            (BUREAUS[2], Kind::Node),
            false,
        )],
        "OrderService" | "ConsentService" | "DirectoryService" | "SubjectService" => {
            vec![gateway()]
        }
        "DeliveryService" => vec![
            door((BUREAUS[2], Role::Gateway), (HOME, Kind::Gateway), false),
            door((HOME, Role::Gateway), (HOME, Kind::Holder), false),
        ],
        "HolderService" => vec![Door {
            sealed: false,
            ..door((HOME, Role::Operator), (HOME, Kind::Holder), false)
        }],
        "ReportService" | "JobService" | "PortfolioService" => vec![Door {
            name: format!("{BANK}/agent"),
            channel: people.agent(),
            token: false,
            refusals: true,
            sealed: service != "PortfolioService",
        }],
        _ => Vec::new(),
    }
}

/// A method of the contract.
struct Method {
    service: String,
    name: String,
    input: DescriptorProto,
}

fn methods() -> Vec<Method> {
    let set = FileDescriptorSet::decode(xinqiao_proto::FILE_DESCRIPTOR_SET).unwrap();
    let message = |full: &str| {
        let name = full.trim_start_matches(".xinqiao.v1.");
        let mut all = set.file.iter().flat_map(|file| &file.message_type);
        all.find(|message| message.name() == name).unwrap().clone()
    };
    let services = set.file.iter().flat_map(|file| &file.service);
    services
        .flat_map(|service| {
            service.method.iter().map(|method| Method {
                service: service.name().to_owned(),
                name: method.name().to_owned(),
                input: message(method.input_type()),
            })
        })
        .collect()
}

/// A text field of these bytes, as protobuf has it.
fn text_field(number: i32, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let tag = u32::try_from(number).unwrap();
    prost::encoding::encode_key(
        tag,
        prost::encoding::WireType::LengthDelimited,
        &mut message,
    );
    prost::encoding::encode_varint(bytes.len() as u64, &mut message);
    message.extend_from_slice(bytes);
    message
}

/// A whole gRPC frame that says it holds `says` bytes.
fn frame(says: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(says).unwrap().to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

async fn answer(consortium: &Consortium, door: &Door, path: &str, message: Vec<u8>) -> String {
    let user = &consortium.running().user;
    let token = door.token.then(|| consortium.people().token(user));
    answer_to(door, path, message, token.as_deref()).await.0
}

/// What is said to a call, and the first field that it names.
async fn answer_to(
    door: &Door,
    path: &str,
    message: Vec<u8>,
    token: Option<&str>,
) -> (String, Option<String>) {
    match raw::call(&door.channel, path, message, token).await {
        Ok(_) => ("an answer".to_owned(), None),
        Err(status) => {
            let violations = FaultView::from_status(&status).violations;
            let field = violations.into_iter().next().map(|(field, _)| field);
            (said(&status), field)
        }
    }
}

/// Which fields of which requests were refused for their lengths.
#[derive(Default)]
struct Lengths(BTreeSet<(String, String)>);

impl Lengths {
    fn note(&mut self, method: &str, field: Option<String>, got: &str) {
        if let Some(field) = field
            && matches!(got, "FIELD_TOO_LONG" | "FIELD_LENGTH" | "USCC_LENGTH")
        {
            // Elements of lists are named with their index.
            let name = field.split('[').next().unwrap_or_default().to_owned();
            self.0.insert((method.to_owned(), name));
        }
    }

    /// No text and no id of a request may have gone without a row.
    fn cover(&self, method: &str, input: &DescriptorProto, complaints: &mut Complaints) {
        for field in &input.field {
            let bounded = matches!(field.r#type(), Type::String | Type::Bytes);
            let known = (method.to_owned(), field.name().to_owned());
            if bounded && !self.0.contains(&known) {
                complaints.push(format!(
                    "{method}: no row has a {} of the wrong length",
                    field.name()
                ));
            }
        }
    }
}

/// Methods with no field but a height, each value of which is in order.
const ANY_HEIGHT: [&str; 2] = [
    "LedgerService/GetHandovers",
    "DirectoryService/GetDirectory",
];

/// What follows its greeting is said in a stream; a row is a whole call.
const CONVERSATION: &str = "ValidatorService/Converse";

/// Tries all rows at all doors, and the general ones at every method.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let running = consortium.running();
    let rows = rows(&running.enterprises[0], &running.purpose);
    let mut left: BTreeSet<&str> = rows.iter().map(|row| row.method).collect();
    let mut lengths = Lengths::default();
    let mut state = State::of(&consortium.people()).await;
    for method in methods() {
        let short = format!("{}/{}", method.service, method.name);
        let path = format!("/xinqiao.v1.{short}");
        let own: Vec<&Row> = rows.iter().filter(|row| row.method == short).collect();
        left.remove(short.as_str());
        if own.is_empty() && !method.input.field.is_empty() && !ANY_HEIGHT.contains(&&*short) {
            complaints.push(format!("{short}: has fields, and no row of bad ones"));
        }
        let doors = doors(consortium, &method.service);
        if doors.is_empty() {
            complaints.push(format!(
                "{short}: this test knows no process that serves it"
            ));
        }
        for door in doors {
            let place = format!("{short} at {}", door.name);
            for row in &own {
                let token = door.token.then(|| consortium.people().token(&running.user));
                let message = row.message.clone();
                let (got, field) = answer_to(&door, &path, message, token.as_deref()).await;
                lengths.note(&short, field, &got);
                check(
                    complaints,
                    &format!("{place}: {}", row.what),
                    row.expected,
                    &got,
                );
            }
            no_message(consortium, &door, &path, &place, &method.input, complaints).await;
            if door.token {
                no_token(&door, &path, &place, complaints).await;
            }
            if door.refusals {
                state.has_refusals_only(complaints, &place).await;
            } else {
                state.is_unchanged(complaints, &place).await;
            }
        }
        if short != CONVERSATION {
            lengths.cover(&short, &method.input, complaints);
        }
    }
    for method in left {
        complaints.push(format!("{method}: has rows, and is not in the contract"));
    }
    nobody_writes_through_an_observer(consortium, complaints).await;
    state
        .is_unchanged(complaints, "submissions to the observer")
        .await;
}

/// What is no message of the method's type at all.
async fn no_message(
    consortium: &Consortium,
    door: &Door,
    path: &str,
    place: &str,
    input: &DescriptorProto,
    complaints: &mut Complaints,
) {
    let malformed = text_field(1, b"")[..1]
        .iter()
        .copied()
        .chain([0x7f])
        .collect::<Vec<u8>>();
    let got = answer(consortium, door, path, malformed).await;
    check(
        complaints,
        &format!("{place}: no protobuf"),
        "MESSAGE_MALFORMED",
        &got,
    );

    let limit = if door.sealed {
        MAX_SEALED_MESSAGE_BYTES
    } else {
        MAX_MESSAGE_BYTES
    };
    let large = text_field(1_000, &vec![b'x'; limit + 1]);
    let got = answer(consortium, door, path, large).await;
    check(
        complaints,
        &format!("{place}: oversized"),
        "MESSAGE_TOO_LARGE",
        &got,
    );

    let token = door
        .token
        .then(|| consortium.people().token(&consortium.running().user));
    for (what, body) in [
        ("truncated", frame(100, b"abc")),
        ("no message", Vec::new()),
        ("half a frame's head", vec![0, 0, 0]),
    ] {
        let status = raw::body(door.channel.clone(), path, body, token.as_deref()).await;
        check(
            complaints,
            &format!("{place}: {what}"),
            "MESSAGE_TRUNCATED",
            &said(&status),
        );
    }
    for field in input
        .field
        .iter()
        .filter(|field| field.r#type() == Type::String)
    {
        let bytes = text_field(field.number(), &[b'a', 0xff, 0xfe]);
        let got = answer(consortium, door, path, bytes).await;
        check(
            complaints,
            &format!("{place}: {} not UTF-8", field.name()),
            "UTF8",
            &got,
        );
    }
    let nothing = answer(consortium, door, &format!("{path}Nothing"), Vec::new()).await;
    check(
        complaints,
        &format!("{place}: no such method"),
        "METHOD_UNKNOWN",
        &nothing,
    );
}

/// Without a user's token, or with what is none, nothing is done in anybody's name.
async fn no_token(door: &Door, path: &str, place: &str, complaints: &mut Complaints) {
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    let long = "x".repeat(8 * 1024);
    for (what, token, expected) in [
        ("no token", None, "TOKEN_MISSING"),
        ("a token of noise", Some("noise"), "TOKEN_INVALID"),
        ("a token that nobody signed", Some(forged), "TOKEN_INVALID"),
        ("a token of 8 KiB", Some(long.as_str()), "TOKEN_INVALID"),
    ] {
        let (got, _) = answer_to(door, path, Vec::new(), token).await;
        check(complaints, &format!("{place}: {what}"), expected, &got);
    }
}

/// An observer does not have the service that takes transactions at all.
async fn nobody_writes_through_an_observer(consortium: &Consortium, complaints: &mut Complaints) {
    let people = consortium.people();
    let observer = people.connect((REGULATOR, Role::Operator), (REGULATOR, Kind::Observer));
    let path = "/xinqiao.v1.SubmissionService/SubmitTransaction";
    let got = match raw::call(&observer, path, Vec::new(), None).await {
        Ok(_) => "an answer".to_owned(),
        Err(status) => said(&status),
    };
    check(
        complaints,
        "a transaction to the observer",
        "METHOD_UNKNOWN",
        &got,
    );
}

/// A query that is in order is answered, with sections.
pub(crate) async fn a_good_query_is_answered(consortium: &Consortium) {
    let running = consortium.running();
    let query = query(&running.enterprises[0], &running.purpose);
    let path = "/xinqiao.v1.ReportService/QueryReport";
    let answers = raw::call(
        &consortium.people().agent(),
        path,
        query.encode_to_vec(),
        None,
    )
    .await
    .unwrap();
    let report = wire::QueryReportResponse::decode(&answers[0][..]).unwrap();
    assert!(!report.sections.is_empty(), "{:?}", report.parts);
}
