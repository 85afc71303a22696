//! What an operation and a takeover may leave, in the process that looks for it.

use mapvar::Value;

/// A variable, and what it may hold, in the order in which it comes to: first what it held before.
/// Once it was seen to be one of them it is none before.
#[derive(Clone, Debug)]
pub struct Var {
    pub name: String,
    pub states: Vec<Option<Value>>,
    /// The first of them that is possible once who comes after a death has taken over.
    pub least: usize,
    /// An [`Atomic`](mapvar::Atomic).
    pub atomic: bool,
}

impl Var {
    /// What is set by who takes over: other than all that it may hold.
    pub fn next(&self, number: i64) -> Value {
        if self.atomic { Value::from(9000 + number) } else { Value::Str(format!("after {number}")) }
    }
}

/// What may be found.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub vars: Vec<Var>,
    /// All variables come from one state to the next as one.
    pub as_one: bool,
    /// A single read may find what was before a transaction that is done, until somebody takes its
    /// lock.
    pub lags: bool,
    /// Variables `other 0` and so on, which nobody touches.
    pub others: usize,
    /// Records that stay taken in an empty map: a removed Atomic's waits for an Atomic of its name.
    pub kept: usize,
}

impl Oracle {
    pub fn new(vars: Vec<Var>) -> Self {
        let kept = vars.iter().filter(|var| var.atomic).count();
        Self { vars, kept, ..Self::default() }
    }
}

pub fn var<const N: usize>(name: &str, states: [Option<Value>; N]) -> Var {
    Var { name: name.into(), states: states.into(), least: 0, atomic: false }
}

pub fn atomic<const N: usize>(name: &str, states: [Option<i64>; N]) -> Var {
    let states = states.into_iter().map(|state| state.map(Value::from)).collect();
    Var { name: name.into(), states, least: 0, atomic: true }
}

#[allow(clippy::unnecessary_wraps, reason = "a table of states")]
pub fn some(value: impl Into<Value>) -> Option<Value> {
    Some(value.into())
}

/// What who takes over inserts.
pub const TAKER: &str = "taker";

/// What may be found where somebody who took over died too: `recovered` is what the variables were
/// after a takeover that was not cut off.
pub fn after_takeover(oracle: &Oracle, recovered: &[usize], script: &str) -> Oracle {
    let mut vars: Vec<Var> = oracle
        .vars
        .iter()
        .zip(recovered)
        .map(|(var, state)| {
            let first = if oracle.lags { 0 } else { *state };
            let states = var.states[first..=*state].to_vec();
            Var { states, least: *state - first, ..var.clone() }
        })
        .collect();
    for word in script.split_whitespace() {
        let (what, number) = word.split_at(1);
        match (what, number.parse::<usize>()) {
            ("s" | "t", Ok(number)) => {
                let next = Some(vars[number].next(1));
                if vars[number].states.last() != Some(&next) {
                    vars[number].states.push(next);
                }
            }
            ("i", _) => vars.push(var(TAKER, [None, some(1)])),
            _ => {}
        }
    }
    Oracle { vars, as_one: false, ..oracle.clone() }
}
