use serde_json::json;

use super::*;

const TCP: Packet<'_> = Packet {
    state: "untracked",
    protocols: &["tcp"],
    port: None,
};

fn only(passes: bool) -> Fate {
    Fate {
        passes,
        drops: !passes,
    }
}

const EITHER: Fate = Fate {
    passes: true,
    drops: true,
};

/// A forward chain of this policy and these rules, and a chain `other` that it may call.
fn fate(policy: &str, rules: &[Value], other: &[Value], packet: Packet<'_>) -> Fate {
    let chain = |name: &str, hook: Value, policy: &str| {
        json!({"chain": {"family": "inet", "table": "filter", "name": name, "type": "filter",
                         "hook": hook, "prio": 0, "policy": policy}})
    };
    let rule = |chain: &str, expr: &Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": expr}});
    let mut items = vec![
        json!({"metainfo": {}}),
        chain("forward", json!("forward"), policy),
        chain("other", Value::Null, ""),
    ];
    items.extend(rules.iter().map(|expr| rule("forward", expr)));
    items.extend(other.iter().map(|expr| rule("other", expr)));
    let ruleset = Ruleset::parse(&json!({"nftables": items}).to_string()).expect("a ruleset");
    let chain = ruleset.at("forward", true).next().expect("the chain");
    ruleset.fate(chain, packet)
}

fn state(op: &str, states: Value) -> Value {
    json!({"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": states}})
}

fn verdict(name: &str) -> Value {
    json!({name: null})
}

fn device() -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}})
}

#[test]
fn policies_alone() {
    assert_eq!(fate("accept", &[], &[], TCP), only(true));
    assert_eq!(fate("drop", &[], &[], TCP), only(false));
}

#[test]
fn states() {
    let established = state("in", json!(["established", "related"]));
    let untracked = state("in", json!(["established", "untracked"]));
    let set = state("==", json!({"set": ["untracked", "new"]}));
    let accept = |question: &Value| json!([question, {"counter": null}, verdict("accept")]);
    assert_eq!(fate("drop", &[accept(&established)], &[], TCP), only(false));
    assert_eq!(fate("drop", &[accept(&untracked)], &[], TCP), only(true));
    assert_eq!(fate("drop", &[accept(&set)], &[], TCP), only(true));
    // HaloD's packets are not invalid, but they are also not established.
    let invalid = json!([state("in", json!("invalid")), verdict("drop")]);
    assert_eq!(fate("accept", &[invalid], &[], TCP), only(true));
    let others = json!([state("!=", json!("established")), verdict("drop")]);
    assert_eq!(fate("accept", &[others], &[], TCP), only(false));
}

#[test]
fn what_is_not_known_leaves_both() {
    let rule = json!([device(), verdict("accept")]);
    assert_eq!(fate("drop", std::slice::from_ref(&rule), &[], TCP), EITHER);
    let named = json!([state("==", json!("@states")), verdict("accept")]);
    assert_eq!(fate("drop", &[named], &[], TCP), EITHER);
    let of_iptables = json!([{"xt": {"type": "match", "name": "comment"}}, verdict("accept")]);
    assert_eq!(fate("drop", &[of_iptables], &[], TCP), EITHER);
    // The last rule takes all that is left.
    let rest = json!([verdict("accept")]);
    assert_eq!(fate("drop", &[rule, rest], &[], TCP), only(true));
}

#[test]
fn calls_and_maps() {
    let jump = json!([{"jump": {"target": "other"}}]);
    let goto = json!([{"goto": {"target": "other"}}]);
    let accept = json!([verdict("accept")]);
    let back = json!([verdict("return")]);
    let drop = json!([verdict("drop")]);
    let run = |rules: &[&Value], other: &[&Value]| {
        let owned = |rules: &[&Value]| rules.iter().map(|rule| (*rule).clone()).collect::<Vec<_>>();
        fate("drop", &owned(rules), &owned(other), TCP)
    };
    assert_eq!(run(&[&jump], &[&accept]), only(true));
    assert_eq!(run(&[&jump, &accept], &[&back, &drop]), only(true));
    assert_eq!(run(&[&jump, &accept], &[]), only(true));
    assert_eq!(run(&[&goto, &accept], &[]), only(false));
    let map = json!([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [
        ["established", verdict("accept")], ["invalid", verdict("drop")], ["untracked", verdict("accept")]
    ]}}}]);
    assert_eq!(run(&[&map], &[]), only(true));
    // A chain that calls itself comes to an end.
    assert_eq!(run(&[&jump], &[&jump]), only(false));
}

#[test]
fn protocols_and_ports() {
    let port = |protocol: &str, port: Value| {
        let left = json!({"payload": {"protocol": protocol, "field": "dport"}});
        json!([{"match": {"op": "==", "left": left, "right": port}}, verdict("accept")])
    };
    let packet = Packet {
        state: "new",
        port: Some(7600),
        ..TCP
    };
    let run = |rule: Value| fate("drop", &[rule], &[], packet);
    assert_eq!(run(port("tcp", json!(7600))), only(true));
    assert_eq!(run(port("tcp", json!(22))), only(false));
    assert_eq!(run(port("udp", json!(7600))), only(false));
    assert_eq!(run(port("th", json!({"range": [7000, 8000]}))), only(true));
    let several = json!({"set": [22, {"range": [80, 90]}, 7600]});
    assert_eq!(run(port("tcp", several)), only(true));
    let icmp =
        json!({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "icmp"}});
    assert_eq!(run(json!([icmp, verdict("accept")])), only(false));
    // A port that is not known may be any.
    assert_eq!(fate("drop", &[port("tcp", json!(80))], &[], TCP), EITHER);
}

#[test]
fn what_nft_prints() {
    // `nft -j list ruleset` of nftables 1.1.3, shortened.
    let text = r#"{"nftables": [{"metainfo": {"version": "1.1.3", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "filter", "handle": 1}},
        {"chain": {"family": "inet", "table": "filter", "name": "forward", "handle": 1, "type": "filter",
                   "hook": "forward", "prio": 0, "policy": "drop"}},
        {"chain": {"family": "ip6", "table": "filter", "name": "raw", "handle": 1, "type": "filter",
                   "hook": "forward", "prio": -300, "policy": "drop"}},
        {"rule": {"family": "inet", "table": "filter", "chain": "forward", "handle": 5, "expr": [
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
            {"accept": null}]}}]}"#;
    let ruleset = Ruleset::parse(text).expect("a ruleset");
    for v4 in [true, false] {
        let chains: Vec<_> = ruleset.at("forward", v4).collect();
        assert_eq!(chains.len(), 1);
        assert_eq!(ruleset.fate(chains[0], TCP), only(false));
    }
    assert!(Ruleset::parse("{}").is_err());
    assert!(Ruleset::parse("no JSON").is_err());
}
