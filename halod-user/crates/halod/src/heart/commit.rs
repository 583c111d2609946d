//! A change of the table: durable first, then the kernel's, then the nodes hear of it. And what
//! is done when the kernel does not have the table that it should have.

use std::time::Duration;

use halod_cluster::Change;
use halod_control::KernelState;
use halod_netlink::{Error, Status, Table};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Heart;
use crate::kernel::Kernel;
use crate::store::{ChangeRecord, Record, StoreError};
use crate::table::{same_listeners, same_nodes, table};

/// Another hand may write tables as fast as we do; two daemons in one namespace, say. We answer
/// at most so often.
const REASSERT: Duration = Duration::from_secs(1);

/// The kernel's side as the heart knows it.
#[derive(Debug)]
pub(super) struct InKernel {
    pub state: KernelState,
    /// The generation in force.
    pub generation: u64,
    /// What it said of itself last.
    pub status: Status,
    /// Connections that the set of flows had no room for; looked at while something drains.
    pub forward_full: Option<u64>,
    reason: String,
    reasserted: Option<Instant>,
}

impl InKernel {
    pub fn in_step(generation: u64, status: Status) -> InKernel {
        InKernel {
            state: KernelState::InStep,
            generation,
            status,
            forward_full: None,
            reason: String::new(),
            reasserted: None,
        }
    }

    /// Why the kernel does not have the cluster's table, if so.
    pub fn trouble(&self) -> Option<&str> {
        (self.state != KernelState::InStep).then_some(self.reason.as_str())
    }

    /// Whether the trouble is new, and worth a line in the log.
    fn fail(&mut self, state: KernelState, reason: String) -> bool {
        let new = self.state != state || self.reason != reason;
        self.state = state;
        self.reason = reason;
        new
    }
}

impl<K: Kernel> Heart<K> {
    /// Carries out a change that was caused at `cause`.
    pub(super) async fn commit(&mut self, change: &Change, cause: Instant) {
        let moves = self.moves(change);
        let saving = self.saving(Some(ChangeRecord {
            generation: change.generation,
            time: super::watch::now(),
            cause: change.cause.clone(),
            moves: moves.clone(),
        }));
        // While the disk works.
        let table = self.table();
        let saved = saving.await;
        self.saved(saved);
        if !self.commit_table(&table).await {
            return;
        }
        let took_us = u64::try_from(cause.elapsed().as_micros()).unwrap_or(u64::MAX);
        let generation = self.cluster.generation();
        tracing::info!(
            generation,
            cause = change.cause,
            moves,
            took_us,
            "table committed"
        );
        let text = format!("generation {generation}: {} ({took_us} us)", change.cause);
        let mut details = Map::new();
        details.insert("cause".into(), json!(change.cause));
        details.insert("moved".into(), json!(change.moves.len()));
        self.publish("committed", text, Some(took_us), details);
    }

    /// Makes the cluster's state durable.
    pub(super) async fn save(&mut self, change: Option<ChangeRecord>) {
        let saved = self.saving(change).await;
        self.saved(saved);
    }

    /// Begins with that; what is returned waits for its end.
    fn saving(
        &mut self,
        change: Option<ChangeRecord>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<K> {
        let saved = self.cluster.save();
        self.keeper.save(Record { saved, change })
    }

    /// Notes whether the cluster's state has become durable.
    ///
    /// Where it has not, the daemon goes on: users of a dead node must not wait for a full disk,
    /// and a daemon that finds the kernel ahead of its store takes up the kernel's table.
    fn saved(&mut self, saved: Result<(), StoreError>) {
        match saved {
            Ok(()) => {
                if self.store_error.take().is_some() {
                    tracing::info!("the store works again");
                    self.publish(
                        "store_back",
                        "the store works again".into(),
                        None,
                        Map::new(),
                    );
                }
            }
            Err(error) => {
                let error = error.to_string();
                if self.store_error.as_ref() != Some(&error) {
                    tracing::error!(
                        "{error}; going on, and trying again: the kernel has the table"
                    );
                    self.publish("store_failed", error.clone(), None, Map::new());
                }
                self.store_error = Some(error);
            }
        }
    }

    /// Gives the kernel the cluster's table; whether it has it now.
    async fn commit_table(&mut self, table: &Table) -> bool {
        match self.kernel.commit(table, self.in_kernel.generation).await {
            Ok(generation) => {
                self.in_step(generation);
                true
            }
            Err(Error::Stale { .. }) => self.reassert().await,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn in_step(&mut self, generation: u64) {
        self.in_kernel.generation = generation;
        if self.in_kernel.trouble().is_some() {
            tracing::info!(generation, "the kernel has the table again");
            let text = "the kernel has the table again".to_owned();
            self.publish("kernel_back", text, None, Map::new());
        }
        self.in_kernel.state = KernelState::InStep;
        self.send_held();
    }

    fn failed(&mut self, error: &Error) {
        let reason = error.to_string();
        if self.in_kernel.fail(KernelState::Failed, reason.clone()) {
            tracing::error!("{reason}; trying again every second, nodes hear of it afterwards");
            self.publish("kernel_failed", reason, None, Map::new());
        }
    }

    /// Another hand has changed the kernel's table, or the module is new: ours goes on top.
    async fn reassert(&mut self) -> bool {
        if self
            .in_kernel
            .reasserted
            .is_some_and(|at| at.elapsed() < REASSERT)
        {
            let reason = "another program keeps changing the kernel's table";
            if self.in_kernel.fail(KernelState::OutOfStep, reason.into()) {
                tracing::error!(
                    "{reason}; ours is put back once a second: is there another halod?"
                );
            }
            return false;
        }
        self.in_kernel.reasserted = Some(Instant::now());
        let theirs = match self.kernel.table().await {
            Ok(theirs) => theirs,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        let known = self.in_kernel.generation;
        let generation = self.cluster.supersede(theirs.generation);
        let what = difference(&self.table(), &theirs);
        tracing::error!(
            found = theirs.generation,
            known,
            generation,
            "the kernel's table was changed behind our back ({what}): ours is put back"
        );
        let change = ChangeRecord {
            generation,
            time: super::watch::now(),
            cause: format!("the kernel's table was changed by another hand ({what})"),
            moves: String::new(),
        };
        let mut details = Map::new();
        details.insert("found".into(), Value::from(theirs.generation));
        self.publish("kernel_changed", change.cause.clone(), None, details);
        self.save(Some(change)).await;
        let ours = self.table();
        match self.kernel.commit(&ours, theirs.generation).await {
            Ok(generation) => {
                self.in_step(generation);
                true
            }
            Err(error @ Error::Stale { .. }) => {
                // Changed once more between our reading and writing: the next check looks again.
                self.in_kernel
                    .fail(KernelState::OutOfStep, error.to_string());
                false
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// The kernel tells of a change; `None` where some were missed.
    pub(super) async fn kernel_changed(&mut self, generation: Option<u64>) {
        match generation {
            // Our own commits, or what was overtaken by them.
            Some(generation) if generation <= self.in_kernel.generation => {}
            _ => self.check_kernel().await,
        }
    }

    /// Looks whether the kernel has the table that it should have, and gives it where not.
    pub(super) async fn check_kernel(&mut self) {
        if self.store_error.is_some() {
            self.save(None).await;
        }
        let status = match self.kernel.status().await {
            Ok(status) => status,
            Err(error) => {
                // Events of a module that is loaded later come over another subscription.
                self.changes = None;
                return self.failed(&error);
            }
        };
        if self.changes.is_none() {
            self.changes = match self.kernel.subscribe() {
                Ok(changes) => Some(changes),
                Err(error) => return self.failed(&error),
            };
        }
        let generation = status.generation;
        self.in_kernel.status = status;
        if self.in_kernel.status.draining > 0 {
            self.count_full().await;
        }
        if generation != self.in_kernel.generation {
            self.reassert().await;
        } else if self.in_kernel.trouble().is_some() {
            self.commit_table(&self.table()).await;
        }
    }

    /// Looks whether connections of draining routes had no room.
    async fn count_full(&mut self) {
        const EXIT: &str = "forward_full";
        // An error would be that of the next commit, too, which tells of it.
        let counters = self.kernel.counters().await.unwrap_or_default();
        let Some((_, full)) = counters.into_iter().find(|(name, _)| name == EXIT) else {
            return;
        };
        let before = self.in_kernel.forward_full.replace(full).unwrap_or(full);
        if full > before {
            let text = format!(
                "{} new connections of draining routes had no room in the set of flows, and went \
                 to the nodes that the routes have left",
                full - before
            );
            tracing::warn!("{text}");
            self.publish("flows_full", text, None, Map::new());
        }
    }

    /// The cluster's table with the time that its drains have left now.
    fn table(&self) -> Table {
        table(&self.cluster, self.time(Instant::now()))
    }
}

/// What another hand has changed, in words.
fn difference(ours: &Table, theirs: &Table) -> &'static str {
    if theirs.routes.is_empty() {
        "it is empty: flushed, or the module was loaded anew"
    } else if !same_listeners(ours, theirs) {
        "it has other listeners"
    } else if !same_nodes(ours, theirs) {
        "it has other routes or nodes"
    } else if ours.fast_path != theirs.fast_path {
        "its fast path is set otherwise"
    } else {
        "only its generation is another"
    }
}
