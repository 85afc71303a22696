//! Checks a memory image: opens it as after the death of the process that wrote it, and uses it.

use super::{
    image,
    oracle::{Oracle, Var},
    stage::{Place, Stage, TOO_LARGE},
};
use mapvar::{Map, Value, Version, check::Severity};
use std::time::{Duration, Instant};

/// Ways of takeover: they differ in the first operation, and so in the first lock.
pub const WAYS: usize = 4;
/// No process waits longer than this for a dead one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The state in which each variable was found.
pub type Found = Vec<usize>;

type Checked<T> = Result<T, String>;

/// Opens the image of `stage` as a process does after a death, and uses it until it is empty.
/// Returns the states that it found. Returns `None` if they are not final, since no process had to
/// finish a transaction before the variables were set.
pub fn accept(stage: &Stage, oracle: &Oracle, way: usize) -> Checked<Option<Found>> {
    let began = Instant::now();
    let map = stage.options().open().map_err(|error| format!("open: {error}"))?;
    let seen = read_all(&map, oracle)?;
    faultless(stage, false)?;
    let found = if way == 0 {
        // A process whose first operation is a set takes only the record's lock.
        (!oracle.lags).then_some(seen)
    } else {
        let at_once = snapshot(&map, oracle)?;
        never_back(oracle, &seen, &at_once)?;
        as_one(oracle, &at_once)?;
        take_over(&map, oracle, way)?;
        faultless(stage, false)?;
        let after = snapshot(&map, oracle)?;
        never_back(oracle, &at_once, &after)?;
        as_one(oracle, &after)?;
        for (var, state) in oracle.vars.iter().zip(&after) {
            if *state < var.least {
                let again = brief(var.states[*state].as_ref());
                return Err(format!("{:?} is {again} again", var.name));
            }
        }
        Some(after)
    };
    for step in 0..WAYS {
        match (way + step) % WAYS {
            0 => set(&map, oracle, 2)?,
            1 => insert(&map)?,
            2 => transact(&map, oracle)?,
            _ => remove(&map, oracle)?,
        }
    }
    faultless(stage, false)?;
    nothing_leaks(&map, stage, oracle)?;
    map.close().map_err(|error| format!("close: {error}"))?;
    let took = began.elapsed();
    if took > PATIENCE {
        return Err(format!("it took {took:?}"));
    }
    Ok(found)
}

/// Reads each variable, before anything is changed.
fn read_all(map: &Map, oracle: &Oracle) -> Checked<Found> {
    let found = oracle.vars.iter().map(|var| state_of(var, read(map, &var.name)?.as_ref()));
    let found: Found = found.collect::<Checked<_>>()?;
    for number in 0..oracle.others {
        let name = format!("other {number}");
        let value: Option<u64> = with_context("get", &name, map.find(&name))?;
        if value != Some(number as u64) {
            return Err(format!("{name:?} holds {value:?}"));
        }
    }
    Ok(found)
}

fn read(map: &Map, name: &str) -> Checked<Option<Value>> {
    match map.get::<Value>(name) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == mapvar::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("get {name:?}: {error}")),
    }
}

fn state_of(var: &Var, value: Option<&Value>) -> Checked<usize> {
    var.states.iter().position(|state| state.as_ref() == value).ok_or_else(|| {
        let states: Vec<_> = var.states.iter().map(|state| brief(state.as_ref())).collect();
        format!("{:?} holds {}, and may hold {}", var.name, brief(value), states.join(" or "))
    })
}

fn brief(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".into() };
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => {
            format!("{}... ({:?}, {} characters)", &text[..at], value.kind(), text.len())
        }
        None => format!("{value:?}"),
    }
}

fn snapshot(map: &Map, oracle: &Oracle) -> Checked<Found> {
    let names: Vec<&str> = oracle.vars.iter().map(|var| var.name.as_str()).collect();
    let shot = map.snapshot(&names).map_err(|error| format!("snapshot: {error}"))?;
    let state = |var: &Var| {
        let value = shot
            .find::<Value>(&var.name)
            .map_err(|error| format!("snapshot {:?}: {error}", var.name))?;
        let there = shot.version(&var.name) != Version::ABSENT;
        state_of(var, there.then_some(value).flatten().as_ref())
    };
    oracle.vars.iter().map(state).collect()
}

/// Takes every lock without a change of the variables, which completes or undoes unfinished work.
fn take_over(map: &Map, oracle: &Oracle, way: usize) -> Checked<()> {
    let structure = || {
        put(map, "other's", &Value::from(1))?;
        with_context("remove", "other's", map.remove("other's")).map(drop)
    };
    let transaction = || {
        let done = map.transaction(|transaction| transaction.set("other's, as one", 1));
        with_context("transact", "other's, as one", done)?;
        with_context("remove", "other's, as one", map.remove("other's, as one")).map(drop)
    };
    let records = || {
        for var in oracle.vars.iter().filter(|var| !var.atomic) {
            if read(map, &var.name)?.is_some() {
                let refused = map.compare_and_set(&var.name, Version::ABSENT, 0);
                if with_context("compare and set", &var.name, refused)?.is_set() {
                    return Err(format!("{:?} was there, and was absent", var.name));
                }
            }
        }
        Ok(())
    };
    match way % WAYS {
        1 => structure().and_then(|()| transaction()).and_then(|()| records()),
        2 => transaction().and_then(|()| records()).and_then(|()| structure()),
        _ => records().and_then(|()| structure()).and_then(|()| transaction()),
    }
}

/// Fails if a variable has an older state than before.
pub fn never_back(oracle: &Oracle, before: &[usize], after: &[usize]) -> Checked<()> {
    for (var, (before, after)) in oracle.vars.iter().zip(before.iter().zip(after)) {
        if after < before {
            let [was, is] = [before, after].map(|state| brief(var.states[*state].as_ref()));
            return Err(format!("{:?} was {was} and is {is} again", var.name));
        }
    }
    Ok(())
}

pub fn as_one(oracle: &Oracle, found: &[usize]) -> Checked<()> {
    let different = found.windows(2).any(|pair| pair[0] != pair[1]);
    if oracle.as_one && different {
        return Err(format!("torn: of what changes as one some is new and some old: {found:?}"));
    }
    Ok(())
}

/// Fails if the map has a fault or, with `notes`, any finding at all.
fn faultless(stage: &Stage, notes: bool) -> Checked<()> {
    let check = stage.check_at_rest().map_err(|error| format!("check: {error}"))?;
    let bad = |found: &&mapvar::check::Finding| notes || found.severity == Severity::Fault;
    match check.findings().iter().find(bad) {
        Some(found) => Err(format!("check: {found}")),
        None => Ok(()),
    }
}

fn with_context<T>(what: &str, name: &str, done: mapvar::Result<T>) -> Checked<T> {
    done.map_err(|error| format!("{what} {name:?}: {error}"))
}

fn put(map: &Map, name: &str, value: &Value) -> Checked<()> {
    with_context("set", name, map.set(name, value))?;
    let found = read(map, name)?;
    if found.as_ref() != Some(value) {
        return Err(format!("{name:?} was set to {value:?} and holds {found:?}"));
    }
    Ok(())
}

fn set(map: &Map, oracle: &Oracle, number: i64) -> Checked<()> {
    let mut values = Vec::new();
    for var in &oracle.vars {
        let value = var.next(number);
        put(map, &var.name, &value)?;
        values.push((var, value));
    }
    // No variable took another's memory.
    for (var, value) in values {
        if read(map, &var.name)?.as_ref() != Some(&value) {
            return Err(format!("{:?} did not keep what it was set to", var.name));
        }
    }
    Ok(())
}

fn insert(map: &Map) -> Checked<()> {
    put(map, "fresh", &Value::from(1))?;
    put(map, &format!("fresh {}", "long ".repeat(20)), &Value::from(2))
}

fn transact(map: &Map, oracle: &Oracle) -> Checked<()> {
    let vars = || {
        oracle.vars.iter().filter(|var| !var.atomic && !matches!(var.states[0], Some(Value::Nil)))
    };
    let done = map.transaction(|transaction| {
        for var in vars() {
            transaction.set(&var.name, var.next(3).to_string())?;
        }
        transaction.set("in a transaction", 1)
    });
    done.map_err(|error| format!("transact: {error}"))?;
    for var in vars() {
        let found = read(map, &var.name)?;
        if found != Some(Value::Str(var.next(3).to_string())) {
            let found = brief(found.as_ref());
            return Err(format!("{:?}: after a transaction it holds {found}", var.name));
        }
    }
    Ok(())
}

fn remove(map: &Map, oracle: &Oracle) -> Checked<()> {
    for var in &oracle.vars {
        with_context("remove", &var.name, map.remove(&var.name))?;
        if let Some(value) = read(map, &var.name)? {
            return Err(format!("{:?} was removed and holds {value:?}", var.name));
        }
    }
    Ok(())
}

/// Empties the map, and fails unless all space is free again except an Atomic's record.
fn nothing_leaks(map: &Map, stage: &Stage, oracle: &Oracle) -> Checked<()> {
    let failed = |what: &'static str| move |error: mapvar::Error| format!("{what}: {error}");
    map.clear().map_err(failed("clear"))?;
    let flush_twice = || {
        // A removed variable stays in the file until a flush that began after the removal.
        map.flush().map_err(failed("flush"))?;
        map.flush().map_err(failed("flush again"))
    };
    if stage.place != Place::Named {
        flush_twice()?;
    }
    // If no free space is found, everything is collected and swept, and the section grows to its
    // limit.
    match map.set("too large", &*TOO_LARGE) {
        Err(error) if error.kind() == mapvar::ErrorKind::Full => {}
        other => return Err(format!("too large a value: {other:?}")),
    }
    if stage.place != Place::Named {
        flush_twice()?;
        let _ = map.set("too large", &*TOO_LARGE);
    }
    let stat = map.stat().map_err(failed("stat"))?;
    if stat.variables != 0 {
        return Err(format!("{} variables in an empty map", stat.variables));
    }
    let record = if stage.place == Place::Named { 192 } else { 320 };
    if stat.used > record * oracle.kept as u64 {
        return Err(format!("leaked: {} bytes in an empty map are used", stat.used));
    }
    faultless(stage, true)?;
    image::left_over(stage.window.bytes())
}
