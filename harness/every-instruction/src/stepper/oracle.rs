//! The possible results of an operation and of a takeover, in the process that checks them.

use mapvar::Value;

/// A variable and its possible states, in the order in which they occur; the first is the old one.
/// Once one of them was seen, no earlier one may follow.
#[derive(Clone, Debug)]
pub struct Var {
    pub name: String,
    pub states: Vec<Option<Value>>,
    /// The first state that is possible after a complete takeover.
    pub least: usize,
    /// Whether it is an [`Atomic`](mapvar::Atomic).
    pub atomic: bool,
}

impl Var {
    /// Returns a value for the recoverer to set, which differs from all states.
    pub fn next(&self, number: i64) -> Value {
        if self.atomic { Value::from(9000 + number) } else { Value::Str(format!("after {number}")) }
    }
}

/// The results that may be found.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub vars: Vec<Var>,
    /// Whether all variables change from one state to the next as one.
    pub as_one: bool,
    /// Whether a single read may find the state before a completed transaction, until a process
    /// takes its lock.
    pub lags: bool,
    /// Number of variables `other 0` and so on, which no operation touches.
    pub others: usize,
    /// Records that stay in use in an empty map: a removed Atomic's record waits for an Atomic of
    /// its name.
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

/// The name that a recoverer inserts.
pub const TAKER: &str = "taker";

/// Returns the possible results if a recoverer died too. `recovered` are the states after an
/// uninterrupted takeover.
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
