//! What the daemon starts from: the store and the kernel may have been left by a clean stop,
//! a kill between two steps of a commit, a reboot, or the loss of either of them.
//!
//! | kernel | store | what is done |
//! |---|---|---|
//! | no table | none | begin with no node: every route drops until one joins |
//! | no table | any | the store's table is committed (the module is new, or was flushed) |
//! | same generation, same table | | nothing is committed |
//! | older | newer | the store's table is committed: the daemon ended before it could |
//! | anything else | | the kernel's table is taken up, since users' connections follow it |
//!
//! Drains go on as far as the kernel still has them: what has ended there has new connections
//! that it does not remember, and that would be cut if it drained once more.
//!
//! Where the listeners of the configuration differ from the kernel's, or drains have ended there, the
//! table is committed with what is new. Another number of routes is refused: every user would have to move.

mod drains;
mod nodes;

use std::collections::HashSet;

use halod_cluster::{Cluster, Config, NodeState, RestoreError, Saved, SelectKey, Time};
use halod_netlink::Table;

use crate::table::{same_listeners, same_nodes, table};

/// What to begin with.
#[derive(Debug)]
pub struct Start {
    /// The cluster, with nobody connected.
    pub cluster: Cluster,
    /// Whether the kernel must get the cluster's table (after it was saved).
    pub commit: bool,
    /// What was found and is done, for the log.
    pub story: String,
}

/// Why there is nothing to begin with.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The number of routes is fixed for the life of a table.
    #[error(
        "the configuration says routes = {config}, and {place} has a table of {found} routes; \
         set routes = {found}, or give the option --reset-table to begin anew with {config} \
         routes: every user will have to reconnect"
    )]
    Routes {
        /// `the store` or `the kernel`.
        place: &'static str,
        /// How many it has.
        found: u32,
        /// How many the configuration says.
        config: u32,
    },
    /// What was saved contradicts itself.
    #[error("{0}; give the option --reset-table to begin anew")]
    Damaged(#[from] RestoreError),
}

/// Decides what to begin with. `reset` forgets all nodes. The configuration's `select_key` is for a
/// cluster that has none yet: users' connections follow the kernel's, then the store's.
///
/// # Errors
/// See [`AdoptError`].
pub fn start(
    config: &Config,
    store: Option<Saved>,
    kernel: &Table,
    reset: bool,
    now: Time,
) -> Result<Start, AdoptError> {
    let mut config = config.clone();
    let known = kernel.select_key.map(SelectKey);
    if let Some(key) = known.or(store.as_ref().and_then(|saved| saved.select_key)) {
        config.select_key = key;
    }
    let config = &config;
    let restore = |saved| Cluster::restore(config.clone(), saved, now);
    let empty = |generation| Saved {
        generation,
        routes: config.routes,
        slots: 0,
        nodes: Vec::new(),
        drains: Vec::new(),
        select_key: None,
    };
    let after = |generation: u64| generation.saturating_add(1);
    if reset {
        let stored = store.as_ref().map_or(0, |s| s.generation);
        let cluster = restore(empty(after(kernel.generation.max(stored))))?;
        let story = "began anew, as asked: all nodes and their routes are forgotten".into();
        return Ok(Start {
            cluster,
            commit: true,
            story,
        });
    }
    check_routes(config, store.as_ref(), kernel)?;
    if kernel.routes.is_empty() {
        let (saved, story) = match store {
            None => (
                empty(after(kernel.generation)),
                "neither kernel nor store has a table: began with no node".to_owned(),
            ),
            Some(mut saved) => {
                let story = format!(
                    "the kernel has no table: it gets the store's of generation {}",
                    saved.generation
                );
                saved.generation = saved.generation.max(after(kernel.generation));
                saved.drains.clear();
                (saved, story)
            }
        };
        return Ok(Start {
            cluster: restore(saved)?,
            commit: true,
            story,
        });
    }
    if let Some(mut saved) = store.clone() {
        if saved.generation > kernel.generation {
            let story = format!(
                "the store is ahead (generation {}, the kernel has {}): the kernel gets its table",
                saved.generation, kernel.generation
            );
            drains::keep_going(&mut saved, kernel);
            return Ok(Start {
                cluster: restore(saved)?,
                commit: true,
                story,
            });
        }
        if saved.generation == kernel.generation {
            let known = saved.nodes.iter().filter(|n| n.state != NodeState::Lost);
            let known: HashSet<u32> = known.map(|node| node.id.0).collect();
            saved.drains = drains::of(kernel, &known);
            let cluster = restore(saved)?;
            if same_nodes(&table(&cluster, now), kernel) {
                return with_settings(cluster, kernel, "kernel and store agree", now);
            }
        }
    }
    let (saved, exact) = nodes::from_kernel(config, kernel, store.as_ref());
    let mut cluster = restore(saved)?;
    let found = match store {
        None => "there is no store",
        Some(_) => "the store has another table",
    };
    if exact {
        return with_settings(
            cluster,
            kernel,
            &format!("{found}: took up the kernel's table"),
            now,
        );
    }
    cluster.supersede(kernel.generation);
    let story = format!(
        "{found}, and the kernel's is not one of this cluster: the nearest one that is replaces it"
    );
    Ok(Start {
        cluster,
        commit: true,
        story,
    })
}

fn check_routes(config: &Config, store: Option<&Saved>, kernel: &Table) -> Result<(), AdoptError> {
    let in_kernel = u32::try_from(kernel.routes.len()).unwrap_or(u32::MAX);
    let places = [
        ("the store", store.map_or(config.routes, |s| s.routes)),
        (
            "the kernel",
            if in_kernel == 0 {
                config.routes
            } else {
                in_kernel
            },
        ),
    ];
    match places
        .into_iter()
        .find(|(_, found)| *found != config.routes)
    {
        Some((place, found)) => Err(AdoptError::Routes {
            place,
            found,
            config: config.routes,
        }),
        None => Ok(()),
    }
}

/// The kernel's routes are right; its listeners and settings may not be.
fn with_settings(
    mut cluster: Cluster,
    kernel: &Table,
    story: &str,
    now: Time,
) -> Result<Start, AdoptError> {
    let ours = table(&cluster, now);
    let listeners = !same_listeners(&ours, kernel);
    let fast_path = ours.fast_path != kernel.fast_path;
    // The kernel stops remembering connections for a drain that is over when it is told so.
    let over = ours.drains.len() != kernel.drains.len();
    let generation = kernel.generation;
    let what = match (listeners, fast_path, over) {
        (true, _, _) => "the listeners of the configuration are new",
        (_, true, _) => "the configuration's fast_path is new",
        (_, _, true) => "drains have ended meanwhile",
        _ => "nothing to commit",
    };
    let commit = listeners || fast_path || over;
    if commit {
        cluster.supersede(generation);
    }
    let story = format!("{story} (generation {generation}): {what}");
    Ok(Start {
        cluster,
        commit,
        story,
    })
}
