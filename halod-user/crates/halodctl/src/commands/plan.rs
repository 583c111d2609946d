//! `halodctl plan`.

mod going;

use std::collections::{BTreeMap, BTreeSet};

use halod_control::{Failover, Going, Request, RouteReport};
use halod_routes::{Assignment, Move, RouteSet, SlotId, SlotTable};
use serde::Serialize;

use crate::cli::{Cli, Plan};
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, counted, or_dash, table};

/// What would move on the way from one number of slots to another.
#[derive(Serialize)]
struct Report {
    /// Number of routes, N.
    routes: u32,
    /// Number of slots before.
    from: u32,
    /// Number of slots after.
    to: u32,
    /// Routes that are in another slot after it than before.
    moved: usize,
    /// Whether a slot that goes moves no other routes than its own.
    #[serde(skip)]
    minimal: bool,
    steps: Vec<Step>,
    before: Vec<Held>,
    after: Vec<Held>,
}

/// One slot more or less.
#[derive(Serialize)]
struct Step {
    action: Action,
    slot: SlotId,
    moved: usize,
    moves: Vec<Moves>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    AddSlot,
    RemoveSlot,
}

/// Routes that move between the same two slots.
#[derive(Serialize)]
struct Moves {
    from: SlotId,
    to: SlotId,
    routes: RouteSet,
}

/// The routes of one slot.
#[derive(Serialize)]
struct Held {
    slot: SlotId,
    /// Who fills the slot now; not known of plans without the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    routes: RouteSet,
}

pub async fn run(cli: &Cli, plan: &Plan, output: &mut Output) -> Result<(), Failure> {
    for (name, how) in [(&plan.drain, Going::Drain), (&plan.lose, Going::Lose)] {
        if let Some(name) = name {
            return going::run(cli, name, how, output).await;
        }
    }
    let (slots, names) = match (plan.routes, plan.nodes) {
        (Some(routes), Some(nodes)) => (Slots::Replace(of(routes, nodes)?), BTreeMap::new()),
        _ => present(&ask(cli, &Request::Routes).await?)?,
    };
    let to = plan.to.unwrap_or(slots.table().slots() + 1);
    output.result(&report(slots, to, &names)?, text)
}

/// A table, and how it changes with the number of slots.
enum Slots {
    Replace(Assignment),
    Minimal(SlotTable),
}

impl Slots {
    fn table(&self) -> &SlotTable {
        match self {
            Slots::Replace(assignment) => assignment.table(),
            Slots::Minimal(table) => table,
        }
    }

    fn add(&mut self) -> Result<Vec<Move>, halod_routes::Error> {
        match self {
            Slots::Replace(assignment) => assignment.add_slot(),
            Slots::Minimal(table) => table.add_slot(),
        }
    }

    fn remove_last(&mut self) -> Result<Vec<Move>, halod_routes::Error> {
        match self {
            Slots::Replace(assignment) => assignment.remove_last_slot(),
            Slots::Minimal(table) => table.remove_slot(table.slots()),
        }
    }
}

fn of(routes: u32, slots: u32) -> Result<Assignment, Failure> {
    Assignment::of(routes, slots).map_err(|error| Failure::Usage(error.to_string()))
}

type Names = BTreeMap<SlotId, String>;

/// The daemon's table, and who fills its slots.
fn present(report: &RouteReport) -> Result<(Slots, Names), Failure> {
    let held = report.runs.iter().filter_map(|run| Some((run.slot?, run)));
    let held: BTreeMap<SlotId, _> = held.collect();
    let sets: Vec<RouteSet> = held.values().map(|run| run.routes.clone()).collect();
    let wrong = |error| Failure::Failed(format!("halod's table: {error}"));
    let table = SlotTable::of(report.routes, &sets).map_err(wrong)?;
    let slots = match report.failover {
        Failover::Minimal => Slots::Minimal(table),
        Failover::Replace => {
            let assignment = Assignment::of(report.routes, table.slots()).map_err(wrong)?;
            // A plan that starts elsewhere than the cluster would be worse than none.
            if *assignment.table() != table {
                return Err(Failure::Failed(format!(
                    "halod's table is not the algorithm's for {} slots: it was found in the \
                     kernel, and the next change puts it right; --routes and --nodes plan without it",
                    table.slots()
                )));
            }
            Slots::Replace(assignment)
        }
    };
    let names = held
        .into_iter()
        .filter_map(|(slot, run)| Some((slot, run.node.clone()?)));
    Ok((slots, names.collect()))
}

fn report(mut slots: Slots, to: u32, names: &Names) -> Result<Report, Failure> {
    let usage = |error: halod_routes::Error| Failure::Usage(error.to_string());
    let start = slots.table().clone();
    let mut steps = Vec::new();
    while slots.table().slots() != to {
        let last = slots.table().slots();
        let (action, slot, moves) = if last < to {
            (Action::AddSlot, last + 1, slots.add().map_err(usage)?)
        } else {
            (
                Action::RemoveSlot,
                last,
                slots.remove_last().map_err(usage)?,
            )
        };
        steps.push(Step {
            action,
            slot,
            moved: moves.len(),
            moves: grouped(&moves),
        });
    }
    let (routes, from) = (start.routes(), start.slots());
    let elsewhere = |&route: &u32| start.slot_of(route) != slots.table().slot_of(route);
    Ok(Report {
        routes,
        from,
        to,
        moved: (1..=routes).filter(elsewhere).count(),
        minimal: matches!(slots, Slots::Minimal(_)),
        steps,
        before: held(&start, names),
        after: held(slots.table(), names),
    })
}

/// Moves between the same slots together, in the order of the slots.
fn grouped(moves: &[Move]) -> Vec<Moves> {
    let pairs: BTreeSet<(SlotId, SlotId)> = moves.iter().map(|it| (it.from, it.to)).collect();
    let mut sets: BTreeMap<(SlotId, SlotId), Vec<u32>> =
        pairs.into_iter().map(|pair| (pair, Vec::new())).collect();
    for it in moves {
        sets.entry((it.from, it.to)).or_default().push(it.route);
    }
    let moves = sets.into_iter().map(|((from, to), routes)| Moves {
        from,
        to,
        routes: routes.into_iter().collect(),
    });
    moves.collect()
}

fn held(table: &SlotTable, names: &Names) -> Vec<Held> {
    let slots = (1..=table.slots()).map(|slot| Held {
        slot,
        node: names.get(&slot).cloned(),
        routes: table.held_by(slot).collect(),
    });
    slots.collect()
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{}, from {} to {}: {} in another slot, {} as before.\n",
        counted(report.routes as usize, "route"),
        report.from,
        counted(report.to as usize, "slot"),
        report.moved,
        report.routes as usize - report.moved,
    );
    for step in &report.steps {
        let moved = counted(step.moved, "route");
        text += &match step.action {
            Action::AddSlot if step.slot == 1 => {
                format!(
                    "\nSlot 1 is added: it takes all {} routes.\n",
                    report.routes
                )
            }
            Action::RemoveSlot if step.slot == 1 => {
                "\nSlot 1 is removed: no route has a node then.\n".to_owned()
            }
            Action::AddSlot => format!("\nSlot {} is added: {moved} move to it.\n", step.slot),
            Action::RemoveSlot => {
                let to = if report.minimal {
                    "to the others"
                } else {
                    "back"
                };
                format!("\nSlot {} is removed: {moved} move {to}.\n", step.slot)
            }
        };
        if !step.moves.is_empty() {
            let rows = step.moves.iter().map(|it| {
                [
                    it.from.to_string(),
                    it.to.to_string(),
                    it.routes.len().to_string(),
                    it.routes.to_string(),
                ]
            });
            text += &table(&["FROM", "TO", "COUNT", "ROUTES"], rows);
        }
    }
    if !report.after.is_empty() {
        let named = report.after.iter().any(|held| held.node.is_some());
        let mut header = vec!["SLOT", "COUNT", "ROUTES"];
        if named {
            header.insert(1, "NODE NOW");
        }
        let rows = report.after.iter().map(|held| {
            let mut row = vec![
                held.slot.to_string(),
                held.routes.len().to_string(),
                held.routes.to_string(),
            ];
            if named {
                row.insert(1, or_dash(held.node.as_deref()));
            }
            row
        });
        text += "\nAfter it:\n";
        text += &table(&header, rows);
    }
    text
}
