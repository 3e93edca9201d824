//! Every reason a call can fail for: its stable code, its gRPC status code, and what a person reads.
//!
//! This is the one list. `docs/errors.md` is written from it (see `tests/errors_doc.rs`), the wire
//! carries the code in `google.rpc.ErrorInfo.reason`, and programs may match on it: a code is never
//! renamed or given another meaning. Every reason of the contracts and every problem of a field is in it
//! under the ledger's own word (see `ledger_fault`), beside those that only calls can fail for.

use tonic::Code;

/// What a person is told about a [`Reason`], in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// One sentence: what happened.
    pub happened: &'static str,
    /// One sentence: what to do about it.
    pub remedy: &'static str,
}

macro_rules! reasons {
    ($(
        $(#[$section:meta])*
        $variant:ident = $text:literal, $code:ident;
        en: $en_happened:literal, $en_remedy:literal;
        zh: $zh_happened:literal, $zh_remedy:literal;
    )*) => {
        /// Why a call failed, as a stable code. The text of each code is in [`Reason::english`] and
        /// [`Reason::chinese`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $(
                #[doc = $en_happened]
                $variant,
            )*
        }

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The stable code that travels in `ErrorInfo.reason`, in SCREAMING_SNAKE_CASE.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$variant => $text),* }
            }

            /// The gRPC status code that goes with the reason.
            #[must_use]
            pub const fn grpc_code(self) -> Code {
                match self { $(Reason::$variant => Code::$code),* }
            }

            /// What a person is told, in English.
            #[must_use]
            pub const fn english(self) -> Advice {
                match self {
                    $(Reason::$variant => Advice { happened: $en_happened, remedy: $en_remedy }),*
                }
            }

            /// What a person is told, in Chinese.
            #[must_use]
            pub const fn chinese(self) -> Advice {
                match self {
                    $(Reason::$variant => Advice { happened: $zh_happened, remedy: $zh_remedy }),*
                }
            }

            /// The reason whose [`code`](Self::code) this is; `None` for a code this version does not know.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Reason> {
                match code { $($text => Some(Reason::$variant),)* _ => None }
            }
        }
    };
}

impl Reason {
    /// Where the reason is explained, relative to the root of the source tree.
    #[must_use]
    pub fn help_url(self) -> String {
        format!("docs/errors.md#{}", self.code().to_ascii_lowercase())
    }

    /// Whether the same call may succeed later without being changed.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Reason::MempoolFull
                | Reason::QuotaExceeded
                | Reason::NodeSyncing
                | Reason::Deadline
                | Reason::UpstreamUnavailable
                | Reason::DeliveryNotFinal
                | Reason::SyncUnderWay
                | Reason::TooManyWaiting
                | Reason::StateFull
        )
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

reasons! {
    // --- the shape of the request ---
    FieldTooLong = "FIELD_TOO_LONG", InvalidArgument;
    en: "A field holds more than its limit.", "Shorten the field named in the violation to the limit given there.";
    zh: "某个字段超过了长度上限。", "请把违规说明中指出的字段缩短到给出的上限以内。";
    FieldLength = "FIELD_LENGTH", InvalidArgument;
    en: "A field of fixed length has another length.", "Send exactly the number of bytes or characters that the violation names.";
    zh: "定长字段的长度不对。", "请按违规说明给出的长度填写。";
    FieldRequired = "FIELD_REQUIRED", InvalidArgument;
    en: "A required field is missing or empty.", "Fill in the field named in the violation.";
    zh: "必填字段缺失或为空。", "请填写违规说明中指出的字段。";
    FieldRange = "FIELD_RANGE", InvalidArgument;
    en: "A field's value lies outside its allowed range.", "Choose a value within the range that the violation names.";
    zh: "字段的值超出允许范围。", "请在违规说明给出的范围内取值。";
    FieldFormat = "FIELD_FORMAT", InvalidArgument;
    en: "A field's value has not the form it must have.", "Write the value in the form that the violation names.";
    zh: "字段的值格式不正确。", "请按违规说明给出的格式填写。";
    TooManyItems = "TOO_MANY_ITEMS", InvalidArgument;
    en: "A list holds more entries than its limit.", "Split the request so that each list stays within the limit given in the violation.";
    zh: "列表的条目数超过上限。", "请拆分请求，使每个列表都在给出的上限以内。";
    DuplicateItem = "DUPLICATE_ITEM", InvalidArgument;
    en: "A list names the same entry twice.", "Send each entry once.";
    zh: "列表中有重复的条目。", "每个条目只填写一次。";
    EnumUnknown = "ENUM_UNKNOWN", InvalidArgument;
    en: "An enumeration holds a value this version does not know, or the unspecified value.", "Use one of the values of the published .proto file.";
    zh: "枚举字段的值未知或未指定。", "请使用已发布的 .proto 文件中定义的值。";
    UsccLength = "USCC_LENGTH", InvalidArgument;
    en: "A unified social credit code has not 18 characters.", "Check the code against the business licence; it has 18 characters (GB 32100-2015).";
    zh: "统一社会信用代码不是 18 位。", "请对照营业执照核对，代码应为 18 位（GB 32100-2015）。";
    UsccAlphabet = "USCC_ALPHABET", InvalidArgument;
    en: "A unified social credit code holds a character outside its alphabet.", "Use digits and capital letters without I, O, Z, S and V (GB 32100-2015).";
    zh: "统一社会信用代码含有不允许的字符。", "只能使用数字和大写字母，且不含 I、O、Z、S、V（GB 32100-2015）。";
    UsccCheckCharacter = "USCC_CHECK_CHARACTER", InvalidArgument;
    en: "The check character of a unified social credit code does not fit the other 17.", "Look for a mistyped character; the code is not a valid one as written.";
    zh: "统一社会信用代码的校验码与前 17 位不符。", "请检查是否有录入错误，该代码不是有效代码。";
    UsccExposed = "USCC_EXPOSED", InvalidArgument;
    en: "A field of a transaction shows what reads as a plain unified social credit code, which the ledger never holds.", "Leave the code out: subjects are named by their pseudonyms, and a text can say what it has to without it.";
    zh: "交易的某个字段含有疑似统一社会信用代码的明文，账本不得记载。", "请删去该代码：信息主体以假名表示，文字说明不应包含代码。";
    NotCanonical = "NOT_CANONICAL", InvalidArgument;
    en: "Signed bytes are not in canonical form: encoding them again gives other bytes.", "Sign the canonical protobuf encoding: fields in order, none unknown, none repeated, no defaults written out.";
    zh: "被签名的字节不是规范编码：重新编码后得到的字节不同。", "请对规范的 protobuf 编码签名：字段按序、无未知字段、无重复、不写出默认值。";
    Utf8 = "UTF8", InvalidArgument;
    en: "A text field does not hold valid UTF-8.", "Encode text as UTF-8 before sending it.";
    zh: "文本字段不是有效的 UTF-8。", "请先把文本转换为 UTF-8 再发送。";
    MessageMalformed = "MESSAGE_MALFORMED", InvalidArgument;
    en: "The message is not a valid protobuf encoding of its type.", "Generate the client from the published .proto files and send what it encodes.";
    zh: "消息不是该类型的有效 protobuf 编码。", "请用已发布的 .proto 文件生成客户端，并发送其编码结果。";
    MessageTruncated = "MESSAGE_TRUNCATED", InvalidArgument;
    en: "The stream ended in the middle of a message.", "Send the whole message; look for a proxy or a client that closes the stream early.";
    zh: "数据流在消息中途结束。", "请发送完整消息，并检查是否有代理或客户端提前关闭了连接。";
    MessageTooLarge = "MESSAGE_TOO_LARGE", ResourceExhausted;
    en: "A message is larger than the transport limit.", "Split the content into several messages below the limit given in the metadata.";
    zh: "消息超过传输上限。", "请把内容拆分为多条不超过上限的消息。";
    MethodUnknown = "METHOD_UNKNOWN", Unimplemented;
    en: "This server has no such method.", "Check the service and method name, and that you are talking to the right kind of process.";
    zh: "本服务没有这个方法。", "请检查服务名和方法名，并确认连接的是正确的进程。";

    // --- signatures and transactions ---
    SignatureInvalid = "SIGNATURE_INVALID", InvalidArgument;
    en: "The signature does not fit these bytes and this key.", "Sign the exact bytes that are sent, with SM2 over SM3, the chain id and the distinguishing id of the chain.";
    zh: "签名与字节或密钥不符。", "请用 SM2/SM3 对实际发送的字节签名，并使用本链的链标识和签名者标识。";
    SignerUnknown = "SIGNER_UNKNOWN", PermissionDenied;
    en: "The signing key is not registered for a member at this height.", "Register the key through governance, or sign with a registered one.";
    zh: "签名密钥在当前高度未登记在任何成员名下。", "请先通过治理流程登记该密钥，或改用已登记的密钥。";
    ChainIdMismatch = "CHAIN_ID_MISMATCH", InvalidArgument;
    en: "The request is meant for another chain.", "Check the genesis file: chain id of client and node must be the same.";
    zh: "请求针对的是另一条链。", "请检查创世文件：客户端与节点的链标识必须一致。";
    TxReplayed = "TX_REPLAYED", AlreadyExists;
    en: "This very transaction was already committed or is waiting.", "Nothing is lost: look up its outcome by its id; sign a new transaction to do the same again.";
    zh: "该交易已经提交或正在等待提交。", "无需重发：可按交易标识查询结果；若要再做一次，请签一笔新交易。";
    TxExpired = "TX_EXPIRED", FailedPrecondition;
    en: "The transaction's expiry height has passed.", "Sign it again with an expiry height ahead of the chain.";
    zh: "交易的有效高度已过。", "请用高于当前链高的有效高度重新签名。";
    TxExpiryTooFar = "TX_EXPIRY_TOO_FAR", InvalidArgument;
    en: "The transaction's expiry height lies too far ahead.", "Choose an expiry height within the window that the chain's parameters name.";
    zh: "交易的有效高度过远。", "请在链参数规定的窗口内选择有效高度。";
    MempoolFull = "MEMPOOL_FULL", ResourceExhausted;
    en: "The node has as many waiting transactions as it may hold.", "Send the same transaction again after the delay given in RetryInfo.";
    zh: "节点待处理的交易已满。", "请按 RetryInfo 给出的间隔后重发同一笔交易。";

    // --- certificates and membership ---
    CertificateMissing = "CERTIFICATE_MISSING", Unauthenticated;
    en: "The connection carries no client certificate.", "Connect with mutual TLS, using the certificate that the consortium CA issued to you.";
    zh: "连接没有提供客户端证书。", "请使用联盟 CA 签发的证书，以双向 TLS 方式连接。";
    CertificateUnknown = "CERTIFICATE_UNKNOWN", Unauthenticated;
    en: "The certificate is not one that the ledger knows for a member.", "Register the certificate's SHA-256 fingerprint for the member, or use a registered one.";
    zh: "账本上没有登记该证书。", "请为成员登记证书的 SHA-256 指纹，或使用已登记的证书。";
    CertificateOrgMismatch = "CERTIFICATE_ORG_MISMATCH", PermissionDenied;
    en: "The certificate belongs to another organisation or role than the call is made for.", "Use the certificate of the organisation that the request names.";
    zh: "证书所属的机构或角色与请求不一致。", "请使用请求中所称机构的证书。";
    CertificateExpired = "CERTIFICATE_EXPIRED", Unauthenticated;
    en: "A TLS certificate of the connection has expired.", "Issue a new certificate and register its fingerprint; check the machine's clock.";
    zh: "连接使用的 TLS 证书已过期。", "请签发新证书并登记其指纹，同时检查本机时钟。";
    CertificateNotYetValid = "CERTIFICATE_NOT_YET_VALID", Unauthenticated;
    en: "A TLS certificate of the connection is not valid yet.", "Check the clocks of both machines and the certificate's start date.";
    zh: "连接使用的 TLS 证书尚未生效。", "请检查双方机器的时钟以及证书的生效日期。";
    CertificateUntrusted = "CERTIFICATE_UNTRUSTED", Unauthenticated;
    en: "A TLS certificate of the connection was not issued by the consortium CA.", "Use a certificate issued by the CA that the genesis file names, and configure that CA on both sides.";
    zh: "连接使用的 TLS 证书不是联盟 CA 签发的。", "请使用创世文件所列 CA 签发的证书，并在双方配置同一 CA。";
    MemberUnknown = "MEMBER_UNKNOWN", PermissionDenied;
    en: "The organisation is not a member of the consortium.", "Have the organisation admitted through governance first.";
    zh: "该机构不是联盟成员。", "请先通过治理流程接纳该机构。";
    MemberFrozen = "MEMBER_FROZEN", PermissionDenied;
    en: "The member is frozen.", "Ask the regulator or the governance body that froze it; nothing can be done under this membership until then.";
    zh: "该成员已被冻结。", "请联系作出冻结决定的监管方或治理机构，解冻前无法办理业务。";
    MemberExpelled = "MEMBER_EXPELLED", PermissionDenied;
    en: "The organisation was expelled from the consortium.", "Its keys and certificates are no longer accepted; it would have to be admitted anew.";
    zh: "该机构已被除名。", "其密钥和证书不再有效，须重新申请加入。";

    // --- user tokens and permissions ---
    TokenMissing = "TOKEN_MISSING", Unauthenticated;
    en: "The call carries no user token.", "Send `authorization: Bearer <token>` issued by your institution's agent.";
    zh: "请求没有携带用户令牌。", "请发送由本机构代理签发的 `authorization: Bearer <token>`。";
    TokenInvalid = "TOKEN_INVALID", Unauthenticated;
    en: "The user token is malformed, was signed with another algorithm or key, or was used before.", "Let the agent issue a fresh ES256 token with a key that the institution has published.";
    zh: "用户令牌格式错误、签名算法或密钥不符，或已被使用过。", "请由代理用机构已公布的密钥签发新的 ES256 令牌。";
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated;
    en: "The user token is outside its time of validity.", "Issue a fresh token; if that fails too, compare the clocks of agent and gateway.";
    zh: "用户令牌不在有效期内。", "请重新签发令牌；若仍失败，请核对代理与网关的时钟。";
    TokenAudience = "TOKEN_AUDIENCE", Unauthenticated;
    en: "The user token was issued for another gateway.", "Issue the token with this gateway's organisation as its audience.";
    zh: "用户令牌是签发给其他网关的。", "请以本网关所属机构为受众重新签发令牌。";
    TokenBinding = "TOKEN_BINDING", Unauthenticated;
    en: "The user token is bound to another client certificate.", "Use the token over the connection of the agent it was issued for.";
    zh: "用户令牌绑定的是另一张客户端证书。", "请通过签发该令牌的代理所用的连接来使用令牌。";
    RoleDenied = "ROLE_DENIED", PermissionDenied;
    en: "The user's roles do not allow this action.", "Ask your institution's administrator for a role that includes the action.";
    zh: "用户的角色不允许此操作。", "请向本机构管理员申请包含该操作的角色。";
    PurposeDenied = "PURPOSE_DENIED", PermissionDenied;
    en: "The user may not act for this purpose.", "State the purpose the user is approved for, or have the user approved for this one.";
    zh: "用户不得以该目的办理业务。", "请使用用户已获批的查询目的，或先为用户申请该目的。";
    QuotaExceeded = "QUOTA_EXCEEDED", ResourceExhausted;
    en: "The institution or the user has made more calls than its quota allows.", "Wait for the delay given in RetryInfo, or ask for a larger quota.";
    zh: "机构或用户的调用次数超过配额。", "请按 RetryInfo 给出的间隔等待，或申请提高配额。";

    // --- the state of the process ---
    ReadOnlyNode = "READ_ONLY_NODE", FailedPrecondition;
    en: "This node only reads: it accepts no transactions.", "Send transactions to a gateway or a validator.";
    zh: "本节点为只读节点，不接受交易。", "请把交易发送到网关或共识节点。";
    NodeSyncing = "NODE_SYNCING", Unavailable;
    en: "The node is still catching up with the chain.", "Try again when it has caught up, or ask another node.";
    zh: "节点仍在同步区块。", "请等待同步完成后重试，或改用其他节点。";
    NodeHalted = "NODE_HALTED", Unavailable;
    en: "The node has stopped because its state differs from the chain's or its disk failed.", "Call the operator: read the node's log, and restore it from a snapshot.";
    zh: "节点因状态与链不一致或磁盘故障已停止工作。", "请联系运维人员查看节点日志，并从快照恢复。";
    Deadline = "DEADLINE", DeadlineExceeded;
    en: "The call was not answered within its deadline.", "Try again with a longer deadline; what was already submitted keeps its id and can be looked up.";
    zh: "请求未在时限内完成。", "请放宽时限后重试；已提交的内容可按标识查询。";
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE", Unavailable;
    en: "A process that is needed for the answer cannot be reached.", "Try again later; if it lasts, the operator finds the address that failed in the log.";
    zh: "完成请求所需的进程无法连接。", "请稍后重试；若持续失败，请运维人员查看日志中失败的地址。";
    Internal = "INTERNAL", Internal;
    en: "Something went wrong inside the process.", "Report the trace id to the operator: the log of the process says more.";
    zh: "进程内部出错。", "请把追踪标识告知运维人员，进程日志中有更多信息。";

    // --- requests and jobs at an institution's agent ---
    RequestIdReused = "REQUEST_ID_REUSED", AlreadyExists;
    en: "This id was given to another request before.", "Send the same request under this id, or choose a new id for another one.";
    zh: "该标识此前已用于另一个请求。", "请用该标识重发同一请求，或为新的请求另取标识。";
    AnswerGone = "ANSWER_GONE", FailedPrecondition;
    en: "This request was carried out before, and its answer is not kept any longer.", "Nothing was asked again: look the order up by the id given here, or ask anew under another id, which takes another use of the grant.";
    zh: "该请求此前已经办理，其结果已不再保存。", "系统没有重复查询：可按此处给出的订单标识查看；如需重新查询，请另取标识，并将再占用一次授权次数。";
    JobNotFound = "JOB_NOT_FOUND", NotFound;
    en: "The agent has no job with this id.", "List the jobs; one that has ended is deleted after some days.";
    zh: "代理没有该标识的批量任务。", "请列出任务核对；已结束的任务在若干天后删除。";
    JobNotEnded = "JOB_NOT_ENDED", FailedPrecondition;
    en: "The job has not ended yet.", "Wait until it has ended, or cancel it first.";
    zh: "该批量任务尚未结束。", "请等待其结束，或先取消任务。";
    JobLimit = "JOB_LIMIT", ResourceExhausted;
    en: "The agent has as many jobs as it may hold, of this user or in all.", "Wait until one has ended, or drop jobs that are not needed any more.";
    zh: "该用户或整个代理的批量任务数已达上限。", "请等待任务结束，或删除不再需要的任务。";
    JobCancelled = "JOB_CANCELLED", Cancelled;
    en: "The job was cancelled before this entry had its answer.", "Start another job for the entries that are still wanted.";
    zh: "任务在该条目得到结果前已被取消。", "如仍需要，请为这些条目另开任务。";
    StateFull = "STATE_FULL", ResourceExhausted;
    en: "The agent's state folder holds as much as it may.", "Acknowledge or drop jobs whose results have arrived, or give the folder more room; what is under way goes on then.";
    zh: "代理的状态目录已达容量上限。", "请确认或删除结果已收妥的任务，或扩大目录容量；办理中的任务随后继续。";
    TooManyWaiting = "TOO_MANY_WAITING", ResourceExhausted;
    en: "As many orders of this institution wait for their turn as may.", "Send the same order again after the delay given in RetryInfo.";
    zh: "该机构排队等待的订单已达上限。", "请按 RetryInfo 给出的间隔后重发同一订单。";

    // --- what does not exist ---
    OrderNotFound = "ORDER_NOT_FOUND", NotFound;
    en: "There is no order with this id.", "Check the id; a freshly placed order appears once its transaction is committed.";
    zh: "没有该标识的订单。", "请核对标识；新订单在交易提交后才能查到。";
    BlockNotFound = "BLOCK_NOT_FOUND", NotFound;
    en: "There is no block at this height yet, or this node does not keep it.", "Ask for a height up to the node's own, or ask a node that keeps the whole history.";
    zh: "该高度尚无区块，或本节点未保存该区块。", "请查询不超过节点当前高度的区块，或改用保存全部历史的节点。";
    SnapshotNotFound = "SNAPSHOT_NOT_FOUND", NotFound;
    en: "This node has no certified snapshot of the state, or not the part that was asked for.", "Ask for the newest snapshot again, or ask another node; a chain has its first one after two checkpoints.";
    zh: "本节点没有经认证的状态快照，或没有所请求的那一部分。", "请重新请求最新快照，或改用其他节点；链在两个检查点之后才有第一个快照。";
    TxNotFound = "TX_NOT_FOUND", NotFound;
    en: "There is no committed transaction with this id.", "Check the id; a waiting transaction appears once it is in a block.";
    zh: "没有该标识的已提交交易。", "请核对标识；等待中的交易在打包进区块后才能查到。";
    SubjectUnknown = "SUBJECT_UNKNOWN", NotFound;
    en: "No source has registered records of this information subject.", "Check the unified social credit code; the subject may not be covered yet.";
    zh: "没有数据源登记过该信息主体的记录。", "请核对统一社会信用代码；该主体可能尚未被覆盖。";
    SourceUnknown = "SOURCE_UNKNOWN", NotFound;
    en: "There is no data source with this id.", "List the sources and use one of their ids.";
    zh: "没有该标识的数据源。", "请先列出数据源并使用其标识。";
    DigestNotFound = "DIGEST_NOT_FOUND", NotFound;
    en: "The source has no registered digest for this subject.", "Ask another source, or wait until the source has registered the subject's records.";
    zh: "该数据源没有登记此主体的摘要。", "请改查其他数据源，或等待该数据源完成登记。";
    UserUnknown = "USER_UNKNOWN", NotFound;
    en: "The institution has no user under this pseudonym.", "Open the user on the ledger first, or use one that is open.";
    zh: "该机构没有使用此代号的用户。", "请先在账本上开通该用户，或使用已开通的用户。";
    DeliveryNotFound = "DELIVERY_NOT_FOUND", NotFound;
    en: "There is no delivery for this part of the order.", "Look at the order's state: the part may be waiting, rejected or expired.";
    zh: "该订单的此部分没有交付记录。", "请查看订单状态：该部分可能在等待、已被拒绝或已过期。";

    // --- delivery ---
    DeliveryNotFinal = "DELIVERY_NOT_FINAL", FailedPrecondition;
    en: "The record of this delivery is not final on the holder's own ledger yet, so nothing is released.", "Ask again shortly; the holder releases the report as soon as the record is final.";
    zh: "该次交付的记录在持有方自己的账本上尚未最终确认，因此不予释放。", "请稍后再取；记录最终确认后持有方会立即释放。";
    GroupBindingRefused = "GROUP_BINDING_REFUSED", PermissionDenied;
    en: "The ledger does not stand behind the agent that asks a delivery group for a seat.", "Check that the agent's signing key is registered for the institution and valid, and that the clocks agree.";
    zh: "申请加入交付群组的代理未得到账本的背书。", "请确认代理的签名密钥已为本机构登记且有效，并核对时钟。";
    GroupBindingStale = "GROUP_BINDING_STALE", FailedPrecondition;
    en: "The agent's word for its group key is not newer than one that the data-holding node knows.", "Sign a new one, later than the time in the details; the agent does so by itself.";
    zh: "代理对其群组密钥的声明不比数据节点已知的更新。", "请签署晚于详情中所给时间的新声明；代理会自行处理。";
    GroupFull = "GROUP_FULL", ResourceExhausted;
    en: "As many agents of the institution are members of the delivery group as may be.", "Stop agents that are not needed, and revoke their keys: they are removed then.";
    zh: "该机构在交付群组中的代理已达上限。", "请停用不需要的代理并吊销其密钥，之后它们会被移出群组。";
    GroupMessageRefused = "GROUP_MESSAGE_REFUSED", InvalidArgument;
    en: "A message for a delivery group is not what it should be.", "Ask anew; if it happens again, keep the agent's log for its vendor.";
    zh: "发给交付群组的消息不符合要求。", "请重新请求；若再次出现，请保留代理日志并联系供应商。";
    OwnerDenied = "OWNER_DENIED", PermissionDenied;
    en: "The record belongs to another institution.", "Only the institution that a record belongs to can ask for it.";
    zh: "该记录属于另一家机构。", "只有记录所属的机构可以查询。";
    DeliveryNotAddressee = "DELIVERY_NOT_ADDRESSEE", PermissionDenied;
    en: "The delivery is addressed to another institution.", "Only the institution that placed the order can fetch it, over its own certificate.";
    zh: "该交付的接收方是另一家机构。", "只有下单机构可以凭自己的证书领取。";
    OrderStateConflict = "ORDER_STATE_CONFLICT", FailedPrecondition;
    en: "The order or its part is in a state in which this step cannot be taken.", "Look up the order: the step may have been taken already, or its deadline has passed.";
    zh: "订单或其部分的当前状态不允许此操作。", "请查询订单：该步骤可能已完成，或已超过时限。";

    // --- consent ---
    ConsentNotFound = "CONSENT_NOT_FOUND", FailedPrecondition;
    en: "There is no such consent from the information subject.", "Obtain and register the subject's authorisation before asking.";
    zh: "没有信息主体的该项授权。", "请先取得并登记信息主体的授权。";
    ConsentPaused = "CONSENT_PAUSED", FailedPrecondition;
    en: "The information subject has paused this consent.", "Ask the subject to resume it.";
    zh: "信息主体已暂停该授权。", "请与信息主体联系恢复授权。";
    ConsentRevoked = "CONSENT_REVOKED", FailedPrecondition;
    en: "The information subject has revoked this consent.", "A revoked consent never lives again: obtain a new one.";
    zh: "信息主体已撤回该授权。", "已撤回的授权不能恢复，请重新取得授权。";
    ConsentExpired = "CONSENT_EXPIRED", FailedPrecondition;
    en: "The consent's time of validity has passed.", "Obtain a new consent from the information subject.";
    zh: "授权的有效期已过。", "请重新取得信息主体的授权。";
    ConsentExhausted = "CONSENT_EXHAUSTED", FailedPrecondition;
    en: "All uses that the consent allows are spent or reserved.", "Obtain a new consent; a reserved use is given back when nothing is delivered for it.";
    zh: "授权允许的使用次数已用完或已被占用。", "请重新取得授权；若占用的一次未发生交付，次数会退回。";
    ConsentTooFrequent = "CONSENT_TOO_FREQUENT", FailedPrecondition;
    en: "The consent allows no further use within its interval.", "Wait until the interval that the consent names has passed.";
    zh: "授权规定的间隔内不能再次使用。", "请等待授权规定的间隔过后再用。";
    ConsentNotYetValid = "CONSENT_NOT_YET_VALID", FailedPrecondition;
    en: "The consent's time of validity has not begun.", "Ask again from the date that the consent names.";
    zh: "授权的有效期尚未开始。", "请在授权写明的日期之后再查询。";
    ConsentWrongGrantee = "CONSENT_WRONG_GRANTEE", PermissionDenied;
    en: "The consent was given to another institution or branch.", "Use a consent that names your institution.";
    zh: "该授权是给另一家机构或分支的。", "请使用写明本机构的授权。";
    ConsentWrongPurpose = "CONSENT_WRONG_PURPOSE", PermissionDenied;
    en: "The consent was given for another purpose.", "Use a consent for the purpose that the order states.";
    zh: "该授权的用途与本次不同。", "请使用与订单目的相符的授权。";
    ConsentItemOutOfScope = "CONSENT_ITEM_OUT_OF_SCOPE", PermissionDenied;
    en: "The order asks for an item that the consent does not name.", "Ask only for items within the consent, or obtain a wider one.";
    zh: "订单请求的信息项不在授权范围内。", "请只请求授权范围内的信息项，或取得更大范围的授权。";
    ConsentSourceOutOfScope = "CONSENT_SOURCE_OUT_OF_SCOPE", PermissionDenied;
    en: "The order asks a data source that the consent does not name.", "Ask only sources within the consent, or obtain a wider one.";
    zh: "订单请求的数据源不在授权范围内。", "请只请求授权范围内的数据源，或取得更大范围的授权。";
    ConsentSubjectMismatch = "CONSENT_SUBJECT_MISMATCH", PermissionDenied;
    en: "The consent was given by another information subject than the order asks about.", "Use the consent of the subject whose report is asked for.";
    zh: "授权人与订单查询的信息主体不一致。", "请使用被查询主体本人的授权。";

    // --- catalogue ---
    NoSource = "NO_SOURCE", FailedPrecondition;
    en: "No active source holds any of the requested items for this subject.", "Ask for other items, or try again when a source has registered them.";
    zh: "没有可用的数据源持有该主体的所请求信息项。", "请换用其他信息项，或等数据源登记后再查询。";
    ItemUnknown = "ITEM_UNKNOWN", InvalidArgument;
    en: "The item catalogue has no item with this code.", "List the catalogue and use its codes.";
    zh: "信息项目录中没有该代码。", "请先列出目录并使用其中的代码。";
    PurposeUnknown = "PURPOSE_UNKNOWN", InvalidArgument;
    en: "The catalogue has no purpose with this code.", "List the purposes and use one of their codes.";
    zh: "目录中没有该查询目的代码。", "请先列出查询目的并使用其中的代码。";

    // --- what a contract refuses: members and their credentials ---
    MemberExists = "MEMBER_EXISTS", AlreadyExists;
    en: "A member of that id exists, or existed before.", "Choose another id; an expelled member's id is not given out again.";
    zh: "该标识的成员已存在或曾经存在。", "请换用其他标识；被除名成员的标识不再分配。";
    MemberStateConflict = "MEMBER_STATE_CONFLICT", FailedPrecondition;
    en: "The member is not in the state that this step needs.", "Look up how the member stands; the step may have been taken already.";
    zh: "成员当前状态不允许此操作。", "请查询成员状态，该步骤可能已完成。";
    KeyExists = "KEY_EXISTS", AlreadyExists;
    en: "A key of that id is registered, or was.", "Generate a fresh key; a key is registered once and for one member.";
    zh: "该标识的密钥已登记或曾经登记。", "请生成新密钥；一把密钥只能为一个成员登记一次。";
    KeyUnknown = "KEY_UNKNOWN", NotFound;
    en: "The member has no valid key of that id.", "List the member's keys and use the id of one of them.";
    zh: "该成员没有此标识的有效密钥。", "请列出该成员的密钥并使用其标识。";
    LastAdminKey = "LAST_ADMIN_KEY", FailedPrecondition;
    en: "It is the member's last administration key.", "Add another administration key first, then revoke this one.";
    zh: "这是该成员最后一把管理密钥。", "请先添加另一把管理密钥，再撤销此密钥。";
    TooManyCredentials = "TOO_MANY_CREDENTIALS", ResourceExhausted;
    en: "The member has as many keys or certificates as it may have.", "Revoke those that are no longer in use first.";
    zh: "该成员的密钥或证书数量已达上限。", "请先撤销不再使用的密钥或证书。";
    CertificateExists = "CERTIFICATE_EXISTS", AlreadyExists;
    en: "The certificate is registered already.", "Nothing is to be done; a certificate is registered once and for one member.";
    zh: "该证书已登记。", "无需处理；一张证书只能为一个成员登记一次。";
    UserExists = "USER_EXISTS", AlreadyExists;
    en: "The user is open already, or was closed.", "Use the open user; a closed pseudonym is not opened again.";
    zh: "该用户已开通或曾被关闭。", "请使用已开通的用户；已关闭的代号不能再次开通。";

    // --- what a contract refuses: catalogue, sources and digests ---
    CatalogueVersion = "CATALOGUE_VERSION", FailedPrecondition;
    en: "The catalogue's version is not the next one.", "Read the catalogue in force and publish the version that follows it.";
    zh: "目录版本不是下一个版本。", "请读取现行目录，并发布其后的版本。";
    CatalogueDropsCode = "CATALOGUE_DROPS_CODE", FailedPrecondition;
    en: "The new catalogue lacks a code that is in use.", "Keep every code of the catalogue before; codes are only added.";
    zh: "新目录缺少正在使用的代码。", "请保留原目录的全部代码，只能新增。";
    CatalogueNarrows = "CATALOGUE_NARROWS", FailedPrecondition;
    en: "Records that conform to the catalogue in force would not conform to the new one.", "Keep shapes, fields, types and codes, widen limits only, and add fields that need not be there.";
    zh: "符合现行目录的记录将不再符合新目录。", "请保留形式、字段、类型和代码，只放宽限制，新增字段须为可选。";
    SourceExists = "SOURCE_EXISTS", AlreadyExists;
    en: "A data source of that id exists, or existed before.", "Choose another id for the data source.";
    zh: "该标识的数据源已存在或曾经存在。", "请为数据源换用其他标识。";
    SourceNotOwned = "SOURCE_NOT_OWNED", PermissionDenied;
    en: "The data source belongs to another member.", "Only the member that runs the data source can do this, with its own key.";
    zh: "该数据源属于其他成员。", "只有运行该数据源的成员才能用自己的密钥办理。";
    SourceStateConflict = "SOURCE_STATE_CONFLICT", FailedPrecondition;
    en: "The data source is not in the state that this step needs.", "Look up the data source: it may not be in service yet, or be retired.";
    zh: "数据源当前状态不允许此操作。", "请查询数据源状态：可能尚未启用或已停用。";
    SourceSuspendedByRegulator = "SOURCE_SUSPENDED_BY_REGULATOR", FailedPrecondition;
    en: "A regulator suspended the data source.", "Ask the regulator: it alone lifts its suspension, the operator lifts only its own.";
    zh: "该数据源已被监管方暂停。", "请联系监管方：监管方的暂停只能由监管方解除，运营方只能解除自己的暂停。";
    ItemNotDeclared = "ITEM_NOT_DECLARED", FailedPrecondition;
    en: "The data source did not declare this item.", "Register only items that the data source declared.";
    zh: "数据源未声明该信息项。", "只能登记数据源已声明的信息项。";
    DigestOlder = "DIGEST_OLDER", FailedPrecondition;
    en: "The as-of date lies before the one that is registered.", "Register the records of the later date.";
    zh: "数据日期早于已登记的日期。", "请登记日期更新的数据。";

    // --- what a contract refuses: consents and orders ---
    SubjectKeyExists = "SUBJECT_KEY_EXISTS", AlreadyExists;
    en: "The key is bound already.", "Bind a key that no one uses yet.";
    zh: "该密钥已被绑定。", "请绑定未被使用的密钥。";
    ConsentStateConflict = "CONSENT_STATE_CONFLICT", FailedPrecondition;
    en: "The consent is not in the state that this step needs.", "Look up the consent; the step may have been taken already.";
    zh: "授权当前状态不允许此操作。", "请查询授权状态，该步骤可能已完成。";
    ConsentSigner = "CONSENT_SIGNER", PermissionDenied;
    en: "The signer may not speak for the information subject.", "Sign with the subject's bound key, or as the bureau that witnesses the authorisation.";
    zh: "签名者无权代表该信息主体。", "请使用主体已绑定的密钥签名，或由见证授权的机构签名。";
    ConsentTermsDiffer = "CONSENT_TERMS_DIFFER", FailedPrecondition;
    en: "The terms granted are not those that were requested.", "Grant exactly the terms of the request, or grant without a request.";
    zh: "授权条款与申请的条款不一致。", "请按申请条款授权，或不引用申请直接授权。";
    ConsentValidity = "CONSENT_VALIDITY", FailedPrecondition;
    en: "The consent's validity is over before it begins, or longer than the chain allows.", "Choose a validity that ends in the future and within the chain's limit.";
    zh: "授权有效期已结束或超过链上限。", "请选择在将来结束且不超过上限的有效期。";
    ConsentNotGranted = "CONSENT_NOT_GRANTED", FailedPrecondition;
    en: "The consent was asked for and not granted.", "Wait for the information subject's answer, or obtain a grant.";
    zh: "该授权仅被申请，尚未授予。", "请等待信息主体答复，或取得授权。";
    RecipientUnknown = "RECIPIENT_UNKNOWN", FailedPrecondition;
    en: "The recipient is not a valid encryption key of the institution.", "Register the institution's encryption key, and name it in the order.";
    zh: "接收密钥不是该机构的有效加密密钥。", "请登记机构的加密密钥，并在订单中使用它。";
    PartNotFound = "PART_NOT_FOUND", NotFound;
    en: "The order has no such part.", "Look up the order; its parts are counted from 0.";
    zh: "订单没有该部分。", "请查询订单；部分从 0 开始编号。";
    OrderNotOwned = "ORDER_NOT_OWNED", PermissionDenied;
    en: "The order belongs to another institution.", "Only the institution that placed an order can do this.";
    zh: "该订单属于另一家机构。", "只有下单机构才能办理。";
    DeliveryMismatch = "DELIVERY_MISMATCH", FailedPrecondition;
    en: "The delivered items or the report root are not those that the order fixed.", "Deliver the record whose root was registered when the order was placed, or reject the part.";
    zh: "交付的信息项或报告根与订单固定的不一致。", "请交付下单时已登记根的记录，或拒绝该部分。";

    // --- what a contract refuses: objections ---
    ObjectionNotFound = "OBJECTION_NOT_FOUND", NotFound;
    en: "There is no objection of that id.", "Check the id against the list of objections; it is the id of the transaction that filed it.";
    zh: "不存在该标识的异议。", "请对照异议列表核对标识，即提出该异议的交易标识。";
    ObjectionStateConflict = "OBJECTION_STATE_CONFLICT", FailedPrecondition;
    en: "The objection was resolved or withdrawn already.", "Look up how it stands; to object again, file a new one.";
    zh: "该异议已处理完毕或已撤回。", "请查询异议状态；如仍有异议，请重新提出。";
    ObjectionNotCorrected = "OBJECTION_NOT_CORRECTED", FailedPrecondition;
    en: "The source has registered nothing anew, and withdrawn nothing, since the objection was filed.", "Register the corrected record, or withdraw it, and then resolve the objection.";
    zh: "异议提出后，数据源尚未重新登记或撤回该数据。", "请先登记更正后的记录或撤回登记，再办结异议。";
    TooManyObjections = "TOO_MANY_OBJECTIONS", ResourceExhausted;
    en: "As many objections stand against this subject's data at this source as may.", "Wait until one is resolved, or withdraw one.";
    zh: "对该主体在此数据源的数据，未结异议数量已达上限。", "请等待其中一项办结，或撤回一项。";

    // --- what a contract refuses: votes and validators ---
    VoteNeeded = "VOTE_NEEDED", PermissionDenied;
    en: "No single member decides this: it takes a vote of the consortium.", "Put it to the vote as a proposal; only a sponsor admits and expels its institutions and source units alone.";
    zh: "此事不能由单个成员决定，须经联盟表决。", "请提交治理提案付诸表决；仅保荐方可自行接纳和除名其机构与数据源单位。";
    NoVote = "NO_VOTE", PermissionDenied;
    en: "The member has no vote in the consortium.", "Ask a member with a vote to propose or to vote; the list of members shows the weights.";
    zh: "该成员在联盟中没有表决权。", "请由有表决权的成员提案或投票；成员列表中列有各方权重。";
    ProposalNotFound = "PROPOSAL_NOT_FOUND", NotFound;
    en: "There is no proposal of that id.", "Check the id against the list of proposals; it is the id of the transaction that made it.";
    zh: "不存在该标识的提案。", "请对照提案列表核对标识，即提出该提案的交易标识。";
    ProposalClosed = "PROPOSAL_CLOSED", FailedPrecondition;
    en: "The proposal is decided, was withdrawn, or its time to vote is over.", "Look up how it stands; to try again, make a new proposal.";
    zh: "该提案已有结果、已撤回或表决期已过。", "请查询提案状态；如需再议，请提交新提案。";
    ProposalNotOwned = "PROPOSAL_NOT_OWNED", PermissionDenied;
    en: "Another member made the proposal.", "Only who made a proposal takes it back; vote against it instead.";
    zh: "该提案由其他成员提出。", "只有提案方可以撤回；您可以投反对票。";
    TooManyProposals = "TOO_MANY_PROPOSALS", ResourceExhausted;
    en: "As many proposals are pending as may be, of this member or of all.", "Wait until some are decided, or withdraw one of yours.";
    zh: "该成员或全体的待决提案数量已达上限。", "请等待部分提案有结果，或撤回自己的提案。";
    EffectiveHeight = "EFFECTIVE_HEIGHT", FailedPrecondition;
    en: "The height from which the changes are to hold has passed, or lies too far ahead.", "Choose a height above the tip's and within 100,000,000 blocks, or leave it out.";
    zh: "变更的生效高度已过，或超出允许范围。", "请选择高于当前高度且不超过 100,000,000 个区块的高度，或不填写。";
    AlreadyVoted = "ALREADY_VOTED", AlreadyExists;
    en: "The member has voted on this proposal already.", "Nothing is to be done; a vote is cast once and is not changed.";
    zh: "该成员已对此提案投票。", "无需处理；每个成员只投一次，且不可更改。";
    TooManyVoters = "TOO_MANY_VOTERS", ResourceExhausted;
    en: "As many members have a vote as may have one.", "Take the vote of a member that no longer uses it first, by setting its weight to 0.";
    zh: "有表决权的成员数量已达上限。", "请先将不再行使表决权的成员权重设为 0。";
    NoVotersLeft = "NO_VOTERS_LEFT", FailedPrecondition;
    en: "Nobody in good standing would be left with a vote.", "Leave at least one active member a weight above 0, else nothing could be decided again.";
    zh: "变更后将没有任何正常成员拥有表决权。", "请至少保留一个正常成员的权重大于 0，否则此后无法作出任何决定。";
    ValidatorUnknown = "VALIDATOR_UNKNOWN", NotFound;
    en: "The member runs no validator.", "Check the member against the list of validators; a vote adds one.";
    zh: "该成员没有运行验证节点。", "请对照验证节点列表核对；新增验证节点须经表决。";
    RotationTooSoon = "ROTATION_TOO_SOON", FailedPrecondition;
    en: "The validator's key came too few blocks ago to be rotated again.", "Wait for the height that is named; a vote gives the validator another key at once.";
    zh: "该验证节点的密钥刚更换不久，暂不能再次轮换。", "请等到所示高度；如需立即更换，可经表决。";
    ValidatorCount = "VALIDATOR_COUNT", FailedPrecondition;
    en: "The consensus engine cannot work with that many validators.", "Solo takes exactly 1, raft at least 3 and bft at least 4, of at most 128; change validators and engine in one proposal.";
    zh: "该数量的验证节点不满足共识引擎要求。", "solo 须恰为 1 个，raft 至少 3 个，bft 至少 4 个，最多 128 个；可在同一提案中同时变更验证节点与引擎。";
    EquivocationUnproven = "EQUIVOCATION_UNPROVEN", FailedPrecondition;
    en: "The statements do not prove that a validator contradicted itself.", "Check that both are signed with a validator's key of that height, for this chain, and contradict each other.";
    zh: "所附陈述不能证明验证节点自相矛盾。", "请核对两项陈述均由该高度的验证节点密钥针对本链签名，且彼此矛盾。";
    MisbehaviourKnown = "MISBEHAVIOUR_KNOWN", AlreadyExists;
    en: "The validator's contradiction at this height is on record already.", "Nothing is to be done; it is recorded once for each validator and height.";
    zh: "该验证节点在此高度的矛盾陈述已有记录。", "无需处理；每个验证节点在每个高度只记录一次。";

    // --- why a part of an order did not come, or was found wrong ---
    RecordNotFound = "RECORD_NOT_FOUND", NotFound;
    en: "The source has no record of the subject any more.", "Ask another source; this one has to withdraw its digest.";
    zh: "数据源已没有该主体的记录。", "请改查其他数据源；该数据源应撤回其摘要。";
    DigestMismatch = "DIGEST_MISMATCH", FailedPrecondition;
    en: "The source's record no longer matches the digest that it had registered.", "Ask again when the source has registered its record anew.";
    zh: "数据源的记录与已登记的摘要不符。", "请等该数据源重新登记后再查询。";
    SourceUnavailable = "SOURCE_UNAVAILABLE", Unavailable;
    en: "The source's database did not answer.", "Place a new order later.";
    zh: "数据源的数据库没有应答。", "请稍后重新下单。";
    SyncUnderWay = "SYNC_UNDER_WAY", Aborted;
    en: "Digests of this node's sources are being registered already.", "Wait until that run has ended; it registers what has changed by then.";
    zh: "本节点数据源的摘要正在登记中。", "请等待该次登记结束；届时已变更的内容会一并登记。";
    SyncFailed = "SYNC_FAILED", FailedPrecondition;
    en: "Registering a source's digests has ended early.", "See to what the message names, and run it again: it goes on where it was.";
    zh: "数据源摘要的登记提前结束。", "请处理消息中指出的问题后再次运行；登记会从中断处继续。";
    RecordTooLarge = "RECORD_TOO_LARGE", FailedPrecondition;
    en: "The source's record is larger than a delivery may be.", "Ask for fewer items.";
    zh: "数据源的记录超过交付上限。", "请减少请求的信息项。";
    ReceiptInvalid = "RECEIPT_INVALID", DataLoss;
    en: "A receipt does not prove what it should: its certificate, its paths or its transaction are wrong.", "Tell the regulator: whoever answered gave a receipt that the validators never certified for this.";
    zh: "回执不能证明其应证明的内容：证书、路径或交易有误。", "请报告监管方：应答方给出的回执并非验证节点就此认证的回执。";
    CiphertextMismatch = "CIPHERTEXT_MISMATCH", DataLoss;
    en: "The sealed report is not the one whose digest the ledger recorded.", "Tell the regulator: the delivery was altered on its way, or never was what was recorded.";
    zh: "密封报告与账本记录的摘要不符。", "请报告监管方：交付内容在途中被改动，或从来就不是记录的内容。";
    SealBroken = "SEAL_BROKEN", DataLoss;
    en: "The sealed report cannot be opened.", "Tell the source: it was sealed to another key, or altered before its digest was recorded.";
    zh: "密封报告无法打开。", "请告知数据源：报告被密封给了其他密钥，或在记录摘要之前被改动。";
    ItemMismatch = "ITEM_MISMATCH", DataLoss;
    en: "A delivered item does not lead to the root that the source had registered.", "Do not use the item; the mismatch is on the ledger for the regulator to see.";
    zh: "交付的信息项与数据源登记的根不符。", "请勿使用该信息项；账本已记录此不一致供监管查看。";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_screaming_snake_and_read_back() {
        let mut seen = BTreeSet::new();
        for reason in Reason::ALL {
            let code = reason.code();
            assert!(seen.insert(code), "{code} appears twice");
            assert!(
                code.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
                    && code.len() <= 63,
                "{code} is no ErrorInfo reason ([A-Z][A-Z0-9_]+, at most 63)"
            );
            assert_eq!(Reason::from_code(code), Some(*reason));
            assert_ne!(reason.grpc_code(), Code::Ok, "{code}");
        }
        assert_eq!(Reason::from_code("NO_SUCH_CODE"), None);
    }

    #[test]
    fn every_reason_speaks_both_languages_in_sentences() {
        for reason in Reason::ALL {
            let (en, zh) = (reason.english(), reason.chinese());
            for text in [en.happened, en.remedy] {
                assert!(text.ends_with('.') && text.is_ascii(), "{reason}: {text}");
            }
            for text in [zh.happened, zh.remedy] {
                assert!(text.ends_with('。') && !text.is_ascii(), "{reason}: {text}");
            }
        }
    }
}
