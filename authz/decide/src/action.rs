//! What can be asked of a gateway, as stable names that role policies are written in.

use std::fmt;
use std::str::FromStr;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// One thing that a caller can ask a gateway to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Action {
            $($(#[$doc])* $variant,)*
        }

        impl Action {
            /// All actions.
            pub const ALL: &'static [Action] = &[$(Action::$variant),*];

            /// The name that policies use; it never changes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Action::$variant => $name),* }
            }
        }
    };
}

actions! {
    /// Place an order for a report.
    PlaceOrder = "order.place";
    /// Cancel an order of one's own institution.
    CancelOrder = "order.cancel";
    /// See an order of one's own institution and its parts.
    ReadOrder = "order.read";
    /// Fetch a sealed report part.
    FetchDelivery = "delivery.fetch";
    /// Confirm a delivery, or report that it does not match what was registered.
    ConfirmDelivery = "delivery.confirm";
    /// Register a consent that an information subject has signed.
    RegisterConsent = "consent.register";
    /// See a consent given to one's own institution.
    ReadConsent = "consent.read";
    /// Be told when registered digests of subjects change that consent to one's own institution.
    WatchSubjects = "subject.watch";
    /// Pause, resume or revoke a consent at its subject's wish.
    EndConsent = "consent.end";
    /// See one's own institution's entries in the access log.
    ReadAccessLog = "access_log.read";
    /// See every institution's entries in the access log.
    InspectAccessLog = "access_log.inspect";
    /// See the catalogue of items, purposes and sources.
    ReadCatalogue = "catalogue.read";
    /// Export the evidence of an order of one's own institution.
    ExportProof = "proof.export";
    /// Register, supersede or withdraw report digests.
    RegisterDigests = "digest.register";
    /// Register, suspend or retire a data source.
    ManageSource = "source.manage";
    /// Open and close the institution's users.
    ManageUsers = "user.manage";
    /// File an objection for an information subject.
    FileObjection = "objection.file";
    /// Report whether credit was granted.
    ReportOutcome = "outcome.report";
    /// Publish a key package of the institution.
    PublishKey = "key.publish";
    /// Freeze a member at once, or lift that.
    FreezeMember = "member.freeze";
    /// Propose and vote in governance.
    Govern = "governance.act";
}

impl Action {
    /// Whether the action has to state a purpose that the user is approved for.
    #[must_use]
    pub const fn needs_purpose(self) -> bool {
        matches!(self, Action::PlaceOrder)
    }

    /// Whether the action protects an information subject and therefore stays possible while the
    /// member is frozen: freezing a bank must not keep its customers from revoking their consent.
    #[must_use]
    pub const fn protects_the_subject(self) -> bool {
        matches!(self, Action::EndConsent | Action::FileObjection)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is the name of no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no action {0:?}")]
pub struct UnknownAction(pub String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        Action::ALL
            .iter()
            .copied()
            .find(|action| action.name() == name)
            .ok_or_else(|| UnknownAction(name.chars().take(64).collect()))
    }
}
