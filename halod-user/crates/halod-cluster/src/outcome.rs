use crate::drains::Ended;
use crate::{ConnId, NodeId, Notice};

/// What an event has led to so far. Handlers change nodes and slots and write down here what
/// must follow; `Cluster::conclude` puts it in order.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Nodes or slots may be other than before: vacancies and `active_min` are to be looked at.
    pub(crate) settle: bool,
    /// Something of [`crate::Saved`] has changed.
    pub(crate) save: bool,
    /// A node of the table has another address or port, or keeps connections no more: the table
    /// changes even if no route moves.
    pub(crate) republish: bool,
    /// A slot has been vacated.
    pub(crate) vacated: bool,
    /// Why the table changes, in words.
    pub(crate) causes: Vec<String>,
    /// A node that must not be put to work by this event.
    pub(crate) kept_back: Option<NodeId>,
    /// A node that has just registered.
    pub(crate) joined: Option<NodeId>,
    /// A node whose hello is to be answered.
    pub(crate) welcome: Option<NodeId>,
    /// Connections to close before nodes are told anything.
    pub(crate) close: Vec<(ConnId, String)>,
    /// What nodes say has no connection left.
    pub(crate) emptied: Vec<Ended>,
    /// Nodes that may have to be told what they are.
    pub(crate) tell: Vec<NodeId>,
    /// Nodes that are told what they lost, and whose connections are closed then.
    pub(crate) part: Vec<(NodeId, String)>,
    /// A node to probe, after so many milliseconds.
    pub(crate) probe: Option<(NodeId, u32)>,
    /// The answer to an operator.
    pub(crate) reply: Option<(u64, Result<String, String>)>,
    /// A node whose record is to be dropped.
    pub(crate) forget: Option<NodeId>,
    /// What people may want to know.
    pub(crate) notices: Vec<Notice>,
}
