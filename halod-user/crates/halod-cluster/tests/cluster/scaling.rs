//! Load decides on the number of active nodes.

use halod_cluster::{
    Action, Cluster, Command, Config, ConfigError, Measure, NodeState, Notice, Scale,
};
use halod_proto::{Load, ToHalod};

use crate::sim::{Sim, config, name, notices};

/// Up above 100 each, down below 40 each.
fn scaling(active_min: u32) -> Config {
    Config {
        drain_ms: 60_000,
        scale: Some(Scale {
            by: Measure::Connections,
            up_at: 100.0,
            down_at: 40.0,
            hold_ms: 1_000,
            interval_ms: 5_000,
        }),
        ..config(24, active_min, 4)
    }
}

fn load(sim: &mut Sim, loads: &[(&str, u64)]) {
    for (node, load) in loads {
        sim.loads.insert((*node).to_owned(), *load);
    }
}

fn steps(actions: &[Action]) -> Vec<String> {
    let scaled = notices(actions)
        .into_iter()
        .filter(|notice| matches!(notice, Notice::Scaled { .. }));
    scaled.map(ToString::to_string).collect()
}

fn why(sim: &Sim) -> String {
    sim.cluster.scaling().expect("scaling is on").why
}

#[test]
fn load_puts_a_node_to_work_and_back_into_reserve() {
    let mut sim = Sim::new(scaling(1));
    sim.join_all(&["n1", "n2", "n3"]);
    assert_eq!(sim.slots(), ["n1"]);
    load(&mut sim, &[("n1", 150), ("n2", 0), ("n3", 0)]);
    assert!(steps(&sim.pass(1_000, &[])).is_empty());
    assert_eq!(
        steps(&sim.pass(200, &[])),
        ["n2 is put to work by load: connections 150 on 1 active: 150 each, above 100 for 1000 ms"]
    );
    assert_eq!(sim.slots(), ["n1", "n2"]);

    // The next step is not before 5 s have passed.
    load(&mut sim, &[("n1", 150), ("n2", 100)]);
    assert!(steps(&sim.pass(4_800, &[])).is_empty());
    assert!(
        why(&sim).contains("ms ago; the next may be after 5000 ms"),
        "{}",
        why(&sim)
    );
    assert_eq!(steps(&sim.pass(300, &[])).len(), 1);
    assert_eq!(sim.slots(), ["n1", "n2", "n3"]);

    load(&mut sim, &[("n1", 30), ("n2", 30), ("n3", 10)]);
    let actions = sim.pass(5_200, &[]);
    let story = "n3 is put into reserve by load: connections 70 on 3 active: 35 each on a node \
                 less, below 40 for ";
    let steps = steps(&actions);
    assert!(steps.len() == 1 && steps[0].starts_with(story), "{steps:?}");
    assert_eq!(sim.slots(), ["n1", "n2"]);
    let n3 = sim.cluster.node_named(&name("n3")).expect("known");
    assert_eq!((n3.state, n3.parked), (NodeState::Reserve, false));
    assert!(sim.cluster.drains().count() > 0, "through drains");
}

#[test]
fn what_holds_a_step_up_is_said() {
    let mut sim = Sim::new(scaling(2));
    assert_eq!(why(&sim), "nothing was looked at yet");
    sim.join("n1");
    sim.pass(100, &[]);
    assert_eq!(why(&sim), "waiting for the load of n1");
    load(&mut sim, &[("n1", 150)]);
    sim.pass(2_000, &[]);
    assert!(
        why(&sim).ends_with("but no node waits in reserve that could be put to work"),
        "{}",
        why(&sim)
    );
    sim.join_all(&["n2", "n3"]);
    load(&mut sim, &[("n2", 0)]);
    sim.pass(200, &[]);
    assert_eq!(
        why(&sim),
        "connections 150 on 2 active: 75 each, not above 100; 150 each on a node less, not below 40"
    );
    load(&mut sim, &[("n1", 10)]);
    sim.pass(2_000, &[]);
    assert!(
        why(&sim).ends_with("but active_min allows no less"),
        "{}",
        why(&sim)
    );
    assert_eq!(sim.slots(), ["n1", "n2"]);
    sim.close("n1");
    sim.pass(200, &[]);
    assert_eq!(why(&sim), "waiting for the load of n1");
    sim.unhealthy("n2");
    assert!(sim.cluster.scaling().expect("on").last_step.is_none());
}

#[test]
fn a_limit_must_be_passed_all_the_time() {
    let mut sim = Sim::new(scaling(1));
    sim.join_all(&["n1", "n2"]);
    for _ in 0..4 {
        load(&mut sim, &[("n1", 150)]);
        assert!(steps(&sim.pass(900, &[])).is_empty());
        load(&mut sim, &[("n1", 90)]);
        assert!(steps(&sim.pass(200, &[])).is_empty());
    }
    // Nor does a time count in which HaloD stood still.
    load(&mut sim, &[("n1", 150)]);
    sim.pass(200, &[]);
    sim.now += 2_000;
    assert!(steps(&sim.tick()).is_empty());
    assert!(steps(&sim.pass(900, &[])).is_empty());
    assert_eq!(steps(&sim.pass(300, &[])).len(), 1);
}

#[test]
fn a_parked_node_is_not_put_to_work_and_full_is_full() {
    let mut sim = Sim::new(Config {
        routes: 2,
        ..scaling(1)
    });
    sim.join_all(&["n1", "n2", "n3"]);
    sim.operator(Command::Activate(name("n2")))
        .0
        .expect("it waits");
    sim.operator(Command::Reserve(name("n2")))
        .0
        .expect("n1 is left");
    load(&mut sim, &[("n1", 999), ("n2", 0), ("n3", 0)]);
    sim.pass(2_000, &[]);
    // n3 took the slot that n2 left, and is the one that is there.
    assert_eq!(sim.slots().len(), 2);
    sim.pass(6_000, &[]);
    assert_eq!(sim.slots().len(), 2);
    assert!(
        why(&sim).ends_with("but there are no routes for another node"),
        "{}",
        why(&sim)
    );
}

#[test]
fn the_deployments_own_figure_may_decide() {
    let mut sim = Sim::new({
        let mut config = scaling(1);
        config.scale = config.scale.map(|scale| Scale {
            by: Measure::Value,
            up_at: 0.75,
            down_at: 0.25,
            ..scale
        });
        config
    });
    sim.join_all(&["n1", "n2"]);
    load(&mut sim, &[("n1", 5)]);
    sim.pass(200, &[]);
    assert_eq!(why(&sim), "waiting for the load of n1", "it says no value");
    for _ in 0..14 {
        let agent = sim.agent("n1");
        agent.seq += 1;
        let load = Some(Load {
            connections: 5,
            value: Some(0.8),
            routes: Vec::new(),
        });
        let seq = agent.seq;
        sim.say("n1", ToHalod::Heartbeat { seq, load });
        sim.beat("n2");
        sim.now += 100;
        sim.tick();
    }
    assert_eq!(sim.slots(), ["n1", "n2"]);
    let report = sim.cluster.scaling().expect("on");
    assert_eq!(
        report.last_why.as_deref(),
        Some("value 0.8 on 1 active: 0.8 each, above 0.75 for 1000 ms")
    );
}

#[test]
fn limits_that_leave_no_room_are_refused() {
    for (down_at, up_at) in [
        (40.0, 40.0),
        (50.0, 40.0),
        (-1.0, 40.0),
        (f64::NAN, 40.0),
        (1.0, f64::NAN),
    ] {
        let mut config = scaling(1);
        config.scale = config.scale.map(|scale| Scale {
            up_at,
            down_at,
            ..scale
        });
        let error = Cluster::new(config).expect_err("refused");
        assert!(matches!(error, ConfigError::Scale { .. }));
        assert!(
            error.to_string().contains("0 <= down_at < up_at"),
            "{error}"
        );
    }
    assert!(Sim::new(config(24, 1, 0)).cluster.scaling().is_none());
}
