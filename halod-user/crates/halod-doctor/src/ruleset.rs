//! What nftables' rules do with a packet of HaloD's, from `nft -j list ruleset`.
//!
//! Most of what rules ask is not known here (devices, clients' addresses), so the answer has
//! three values. What is known decides the cases that matter: HaloD's packets are untracked, and so
//! match no rule that asks for established connections, and none that asks for invalid ones.

use serde_json::Value;

/// How deep chains may call each other, as in the kernel (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: u32 = 16;

/// The rules of a network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruleset {
    chains: Vec<Chain>,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) name: String,
    /// Where it is called from: `forward`; none of a chain that others call.
    pub(crate) hook: Option<String>,
    kind: String,
    priority: i64,
    drops: bool,
    rules: Vec<Vec<Value>>,
}

/// What is known of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// As connection tracking sees it.
    pub(crate) state: &'a str,
    /// Names of its protocol.
    pub(crate) protocols: &'a [&'a str],
    /// Its destination port, where that is known.
    pub(crate) port: Option<u16>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It may pass.
    pub(crate) passes: bool,
    /// It may be dropped.
    pub(crate) drops: bool,
}

/// How a rule's questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Maybe,
}

/// How it goes on after a part of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The rule's next part, where the answer is not no; or else the next rule.
    On(Answer),
    /// No packet comes further.
    Ends,
    /// All leave this chain, for the one that called it.
    Returns,
}

impl Ruleset {
    /// Reads what `nft -j list ruleset` prints.
    ///
    /// # Errors
    /// It is not that.
    pub(crate) fn parse(text: &str) -> Result<Ruleset, String> {
        let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let items = whole["nftables"]
            .as_array()
            .ok_or("there is no list \"nftables\"")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut chains: Vec<Chain> = Vec::new();
        for chain in items.iter().filter_map(|item| item.get("chain")) {
            chains.push(Chain {
                family: text(&chain["family"]),
                table: text(&chain["table"]),
                name: text(&chain["name"]),
                hook: chain["hook"].as_str().map(str::to_owned),
                kind: text(&chain["type"]),
                priority: chain["prio"].as_i64().unwrap_or_default(),
                drops: chain["policy"] == "drop",
                rules: Vec::new(),
            });
        }
        for rule in items.iter().filter_map(|item| item.get("rule")) {
            let of = |chain: &&mut Chain| {
                rule["family"] == *chain.family
                    && rule["table"] == *chain.table
                    && rule["chain"] == *chain.name
            };
            if let (Some(chain), Some(rule)) = (chains.iter_mut().find(of), rule["expr"].as_array())
            {
                chain.rules.push(rule.clone());
            }
        }
        Ok(Ruleset { chains })
    }

    /// The chains that packets of an IP version pass at a hook, after they were marked untracked.
    pub(crate) fn at(&self, hook: &str, v4: bool) -> impl Iterator<Item = &Chain> {
        let family = if v4 { "ip" } else { "ip6" };
        self.chains.iter().filter(move |chain| {
            chain.hook.as_deref() == Some(hook)
                && (chain.family == "inet" || chain.family == family)
                // NAT concerns what is tracked; raw chains come before the mark.
                && chain.kind == "filter"
                && chain.priority > -200
        })
    }

    /// What a base chain does with a packet.
    pub(crate) fn fate(&self, chain: &Chain, packet: Packet<'_>) -> Fate {
        let mut fate = Fate::default();
        if self.walk(chain, packet, &mut fate, 0) {
            if chain.drops {
                fate.drops = true;
            } else {
                fate.passes = true;
            }
        }
        fate
    }

    /// Goes through a chain; whether the packet may come to its end.
    fn walk(&self, chain: &Chain, packet: Packet<'_>, fate: &mut Fate, depth: u32) -> bool {
        if depth > DEEPEST {
            return true;
        }
        for rule in &chain.rules {
            let mut answer = Answer::Yes;
            for part in rule {
                match self.part(chain, part, packet, fate, depth, answer) {
                    Then::On(here) => answer = and(answer, here),
                    Then::Ends => return false,
                    Then::Returns => return true,
                }
                if answer == Answer::No {
                    break;
                }
            }
        }
        true
    }

    /// One part of a rule, whose earlier parts answered `before`.
    fn part(
        &self,
        chain: &Chain,
        part: &Value,
        packet: Packet<'_>,
        fate: &mut Fate,
        depth: u32,
        before: Answer,
    ) -> Then {
        let Some((kind, body)) = part.as_object().and_then(|it| it.iter().next()) else {
            return Then::On(Answer::Maybe);
        };
        let then = match kind.as_str() {
            "accept" => {
                fate.passes = true;
                Then::Ends
            }
            "drop" | "reject" => {
                fate.drops = true;
                Then::Ends
            }
            "return" => Then::Returns,
            "jump" | "goto" => match self.call(chain, &body["target"], packet, fate, depth) {
                false => Then::Ends,
                true if kind == "goto" => Then::Returns,
                true => Then::On(Answer::Yes),
            },
            "vmap" => self.map(chain, body, packet, fate, depth),
            "match" => Then::On(matches(body, packet)),
            "counter" | "log" | "mangle" | "notrack" | "flow" => Then::On(Answer::Yes),
            // Limits, named sets, and what iptables has of its own.
            _ => Then::On(Answer::Maybe),
        };
        match then {
            // Some of the packets did not come here.
            Then::Ends | Then::Returns if before != Answer::Yes => Then::On(Answer::No),
            then => then,
        }
    }

    /// Whether packets come back from a chain that is called.
    fn call(
        &self,
        from: &Chain,
        target: &Value,
        packet: Packet<'_>,
        fate: &mut Fate,
        depth: u32,
    ) -> bool {
        let called = self.chains.iter().find(|chain| {
            chain.family == from.family && chain.table == from.table && *target == *chain.name
        });
        called.is_none_or(|chain| self.walk(chain, packet, fate, depth + 1))
    }

    /// A map from what a packet is to verdicts.
    fn map(
        &self,
        chain: &Chain,
        body: &Value,
        packet: Packet<'_>,
        fate: &mut Fate,
        depth: u32,
    ) -> Then {
        let entries = body["data"]["set"].as_array();
        for entry in entries.into_iter().flatten() {
            let (Some(key), Some(verdict)) = (entry.get(0), entry.get(1)) else {
                continue;
            };
            let asked = serde_json::json!({"op": "==", "left": body["key"], "right": key});
            let answer = matches(&asked, packet);
            if answer == Answer::No {
                continue;
            }
            match self.part(chain, verdict, packet, fate, depth, answer) {
                Then::On(_) => {}
                then => return then,
            }
        }
        Then::On(Answer::Yes)
    }
}

fn and(a: Answer, b: Answer) -> Answer {
    match (a, b) {
        (Answer::No, _) | (_, Answer::No) => Answer::No,
        (Answer::Yes, Answer::Yes) => Answer::Yes,
        _ => Answer::Maybe,
    }
}

fn matches(question: &Value, packet: Packet<'_>) -> Answer {
    let (left, right) = (&question["left"], &question["right"]);
    let payload = &left["payload"];
    let answer = if left["ct"]["key"] == "state" {
        holds(right, &|value| value == packet.state)
    } else if left["meta"]["key"] == "l4proto"
        || payload["field"] == "protocol"
        || payload["field"] == "nexthdr"
    {
        holds(right, &|value| packet.protocols.contains(&value))
    } else if payload["field"] == "dport" || payload["field"] == "sport" {
        let protocol = payload["protocol"].as_str().unwrap_or_default();
        match (packet.port, payload["field"] == "dport") {
            _ if protocol != "th" && !packet.protocols.contains(&protocol) => Answer::No,
            (Some(port), true) => ports(right, port),
            _ => Answer::Maybe,
        }
    } else {
        Answer::Maybe
    };
    match (answer, question["op"].as_str()) {
        (Answer::Maybe, _) => Answer::Maybe,
        (answer, Some("==" | "in")) => answer,
        (Answer::Yes, Some("!=")) => Answer::No,
        (Answer::No, Some("!=")) => Answer::Yes,
        _ => Answer::Maybe,
    }
}

/// Whether a value, or one of a list or set, is it.
fn holds(right: &Value, is: &dyn Fn(&str) -> bool) -> Answer {
    let known = |yes| if yes { Answer::Yes } else { Answer::No };
    match right {
        Value::String(text) if text.starts_with('@') => Answer::Maybe, // a named set
        Value::String(text) => known(is(text)),
        Value::Number(number) => known(is(&number.to_string())),
        _ => match right.get("set").unwrap_or(right).as_array() {
            Some(values) => any(values.iter().map(|value| holds(value, is))),
            None => Answer::Maybe,
        },
    }
}

fn ports(right: &Value, port: u16) -> Answer {
    let known = |yes| if yes { Answer::Yes } else { Answer::No };
    let port = u64::from(port);
    if let Some(number) = right.as_u64() {
        return known(number == port);
    }
    if let [Some(from), Some(to)] = [0, 1].map(|end| right["range"][end].as_u64()) {
        return known((from..=to).contains(&port));
    }
    match right.get("set").and_then(Value::as_array) {
        Some(values) => any(values.iter().map(|value| ports(value, port as u16))),
        None => Answer::Maybe,
    }
}

fn any(answers: impl Iterator<Item = Answer>) -> Answer {
    let mut whole = Answer::No;
    for answer in answers {
        match answer {
            Answer::Yes => return Answer::Yes,
            Answer::Maybe => whole = Answer::Maybe,
            Answer::No => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests;
