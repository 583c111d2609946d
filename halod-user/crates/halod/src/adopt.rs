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
//! Where the listeners of the configuration differ from the kernel's, the table is committed
//! with the new ones. Another number of routes is refused: every user would have to move.

use std::collections::{BTreeSet, HashMap};

use halod_cluster::{Cluster, Config, NodeId, NodeState, RestoreError, Saved, SavedNode, Time};
use halod_netlink::Table;
use halod_proto::NodeName;
use halod_routes::{Assignment, RouteSet, SlotId};

use crate::table::{own_ports, same_listeners, same_nodes, table};

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

/// Decides what to begin with. `reset` forgets all nodes.
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
    let restore = |saved| Cluster::restore(config.clone(), saved, now);
    let empty = |generation| Saved {
        generation,
        routes: config.routes,
        slots: 0,
        nodes: Vec::new(),
        drains: Vec::new(),
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
                (saved, story)
            }
        };
        return Ok(Start {
            cluster: restore(saved)?,
            commit: true,
            story,
        });
    }
    if let Some(saved) = &store {
        let cluster = restore(saved.clone())?;
        let ours = table(&cluster);
        if saved.generation > kernel.generation {
            let story = format!(
                "the store is ahead (generation {}, the kernel has {}): the kernel gets its table",
                saved.generation, kernel.generation
            );
            return Ok(Start {
                cluster,
                commit: true,
                story,
            });
        }
        if saved.generation == kernel.generation && same_nodes(&ours, kernel) {
            return with_listeners(cluster, kernel, "kernel and store agree");
        }
    }
    let (saved, exact) = from_kernel(config, kernel, store.as_ref());
    let mut cluster = restore(saved)?;
    let found = match store {
        None => "there is no store",
        Some(_) => "the store has another table",
    };
    if exact {
        return with_listeners(
            cluster,
            kernel,
            &format!("{found}: took up the kernel's table"),
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

/// The kernel's routes are right; its listeners may not be.
fn with_listeners(mut cluster: Cluster, kernel: &Table, story: &str) -> Result<Start, AdoptError> {
    let commit = !same_listeners(&table(&cluster), kernel);
    let generation = kernel.generation;
    let story = if commit {
        cluster.supersede(generation);
        format!("{story} (generation {generation}); the listeners of the configuration are new")
    } else {
        format!("{story} (generation {generation}): nothing to commit")
    };
    Ok(Start {
        cluster,
        commit,
        story,
    })
}

/// The kernel's nodes in the slots that its routes show, and what the store knows beside them;
/// and whether that makes exactly the kernel's routes.
fn from_kernel(config: &Config, kernel: &Table, store: Option<&Saved>) -> (Saved, bool) {
    let known: BTreeSet<u32> = kernel
        .nodes
        .iter()
        .map(|n| n.id)
        .filter(|&id| id != 0)
        .collect();
    let used: BTreeSet<u32> = kernel
        .routes
        .iter()
        .copied()
        .filter(|id| known.contains(id))
        .collect();
    let (slots, exact) = slots_of(config.routes, &kernel.routes, &used);
    let stored: HashMap<u32, &SavedNode> = store
        .into_iter()
        .flat_map(|s| &s.nodes)
        .map(|n| (n.id.0, n))
        .collect();

    let mut names = BTreeSet::new();
    let mut nodes = Vec::new();
    for node in kernel.nodes.iter().filter(|n| used.contains(&n.id)) {
        // A name that no node of ours can have: somebody else wrote this table.
        let name = node
            .name
            .parse()
            .ok()
            .filter(|name: &NodeName| !names.contains(name));
        let Some(name) = name.or_else(|| format!("kernel-{}", node.id).parse().ok()) else {
            continue;
        };
        names.insert(name.clone());
        let token = stored
            .get(&node.id)
            .filter(|s| s.name == name)
            .map(|s| s.token.clone());
        nodes.push(SavedNode {
            id: NodeId(node.id),
            name,
            addresses: node.addresses.clone(),
            ports: own_ports(kernel, node),
            state: NodeState::Active,
            slot: slots.get(&node.id).copied(),
            // As the slot says.
            routes: RouteSet::new(),
            parked: false,
            token: token.unwrap_or_default(),
        });
    }
    for node in store.into_iter().flat_map(|s| &s.nodes) {
        if !used.contains(&node.id.0) && names.insert(node.name.clone()) {
            let mut node = node.clone();
            node.routes = RouteSet::new();
            if node.slot.take().is_some() {
                node.state = NodeState::Lost;
                node.routes = RouteSet::new();
            }
            nodes.push(node);
        }
    }
    let slots = u32::try_from(used.len()).unwrap_or(u32::MAX);
    let saved = Saved {
        generation: kernel.generation,
        routes: config.routes,
        slots,
        nodes,
        drains: Vec::new(),
    };
    (saved, exact)
}

/// Which slot each of the nodes fills: the order for which most routes are where they would be,
/// and whether all of them are.
fn slots_of(count: u32, routes: &[u32], used: &BTreeSet<u32>) -> (HashMap<u32, SlotId>, bool) {
    let slots = u32::try_from(used.len()).unwrap_or(u32::MAX);
    let Ok(assignment) = Assignment::of(count, slots) else {
        return (HashMap::new(), false);
    };
    let mut shared: HashMap<(SlotId, u32), u32> = HashMap::new();
    for (route, node) in (1..).zip(routes) {
        if let Some(slot) = assignment.slot_of(route)
            && used.contains(node)
        {
            *shared.entry((slot, *node)).or_default() += 1;
        }
    }
    // The best pairs first. Where the table is an assignment, each slot has one pair only.
    let mut pairs: Vec<(u32, (SlotId, u32))> = shared.into_iter().map(|(k, n)| (n, k)).collect();
    pairs.sort_unstable_by_key(|&(n, pair)| (std::cmp::Reverse(n), pair));
    let mut free: BTreeSet<SlotId> = (1..=slots).collect();
    let mut slot_of = HashMap::new();
    for (_, (slot, node)) in pairs {
        if !slot_of.contains_key(&node) && free.remove(&slot) {
            slot_of.insert(node, slot);
        }
    }
    for node in used {
        if !slot_of.contains_key(node)
            && let Some(slot) = free.pop_first()
        {
            slot_of.insert(*node, slot);
        }
    }
    let exact = (1..).zip(routes).all(|(route, node)| {
        let there = assignment.slot_of(route);
        there.is_none() && *node == 0 || there.is_some() && there == slot_of.get(node).copied()
    });
    (slot_of, exact)
}
