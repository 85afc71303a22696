//! Whether a memory image is good: it is opened as after the death of who made it, and used.

use super::{
    image,
    oracle::{Oracle, Var},
    stage::{Place, Stage, TOO_LARGE},
};
use mapvar::{Map, Severity, Value, Version};
use std::time::{Duration, Instant};

/// Ways to take over: which operation comes first, and so which lock is taken first.
pub const WAYS: usize = 4;
/// Longer than this nobody waits for the dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which of its states each variable was found in.
pub type Found = Vec<usize>;

type Checked<T> = Result<T, String>;

/// Opens what `stage` shows, as one who comes after a death, and uses it until it is empty. Answers
/// the states that it found; none where those are not final yet, since nobody had to finish a
/// transaction before the variables were set.
pub fn accept(stage: &Stage, oracle: &Oracle, way: usize) -> Checked<Option<Found>> {
    let began = Instant::now();
    let map = stage.options().open().map_err(|error| format!("open: {error}"))?;
    let seen = look(&map, oracle)?;
    faultless(stage, false)?;
    let found = if way == 0 {
        // Whoever sets first takes over by the record's lock alone.
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

/// Each variable as one finds it, before anything is changed.
fn look(map: &Map, oracle: &Oracle) -> Checked<Found> {
    let found = oracle.vars.iter().map(|var| state_of(var, read(map, &var.name)?.as_ref()));
    let found: Found = found.collect::<Checked<_>>()?;
    for number in 0..oracle.others {
        let name = format!("other {number}");
        let value: Option<u64> = told("get", &name, map.find(&name))?;
        if value != Some(number as u64) {
            return Err(format!("{name:?} holds {value:?}"));
        }
    }
    Ok(found)
}

fn read(map: &Map, name: &str) -> Checked<Option<Value>> {
    match map.value(name) {
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
        let value =
            shot.value(&var.name).map_err(|error| format!("snapshot {:?}: {error}", var.name))?;
        let there = shot.version(&var.name) != Version::ABSENT;
        state_of(var, there.then_some(value).flatten().as_ref())
    };
    oracle.vars.iter().map(state).collect()
}

/// Takes every lock, and changes none of the variables: what the dead left is ended, or undone.
fn take_over(map: &Map, oracle: &Oracle, way: usize) -> Checked<()> {
    let structure = || {
        put(map, "other's", &Value::from(1))?;
        told("remove", "other's", map.remove("other's")).map(drop)
    };
    let transaction = || {
        let done = map.transaction(|transaction| transaction.set("other's, as one", 1));
        told("transact", "other's, as one", done)?;
        told("remove", "other's, as one", map.remove("other's, as one")).map(drop)
    };
    let records = || {
        for var in oracle.vars.iter().filter(|var| !var.atomic) {
            if read(map, &var.name)?.is_some() {
                let refused = map.compare_and_set(&var.name, Version::ABSENT, 0);
                if told("compare and set", &var.name, refused)?.is_ok() {
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

/// What was new once is not old again.
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

/// No fault in the map; with `notes` nothing at all is to be found.
fn faultless(stage: &Stage, notes: bool) -> Checked<()> {
    let check = stage.check_at_rest().map_err(|error| format!("check: {error}"))?;
    let bad = |found: &&mapvar::Finding| notes || found.severity == Severity::Fault;
    match check.findings().iter().find(bad) {
        Some(found) => Err(format!("check: {found}")),
        None => Ok(()),
    }
}

fn told<T>(what: &str, name: &str, done: mapvar::Result<T>) -> Checked<T> {
    done.map_err(|error| format!("{what} {name:?}: {error}"))
}

fn put(map: &Map, name: &str, value: &Value) -> Checked<()> {
    told("set", name, map.set_value(name, value))?;
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
    // None of them took another's place.
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
        told("remove", &var.name, map.remove(&var.name))?;
        if let Some(value) = read(map, &var.name)? {
            return Err(format!("{:?} was removed and holds {value:?}", var.name));
        }
    }
    Ok(())
}

/// Empties the map: then all room is free again, but what an Atomic keeps.
fn nothing_leaks(map: &Map, stage: &Stage, oracle: &Oracle) -> Checked<()> {
    let failed = |what: &'static str| move |error: mapvar::Error| format!("{what}: {error}");
    map.clear().map_err(failed("clear"))?;
    let flush_twice = || {
        // What is removed stays in the file until a flush that began after that.
        map.flush().map_err(failed("flush"))?;
        map.flush().map_err(failed("flush again"))
    };
    if stage.place != Place::Named {
        flush_twice()?;
    }
    // Where no room is found everything is collected and swept, and the section grows as far as it
    // may.
    match map.set_value("too large", &TOO_LARGE) {
        Err(error) if error.kind() == mapvar::ErrorKind::Full => {}
        other => return Err(format!("too large a value: {other:?}")),
    }
    if stage.place != Place::Named {
        flush_twice()?;
        let _ = map.set_value("too large", &TOO_LARGE);
    }
    let stat = map.stat().map_err(failed("stat"))?;
    if stat.variables != 0 {
        return Err(format!("{} variables in an empty map", stat.variables));
    }
    if stat.used > 320 * oracle.kept as u64 {
        return Err(format!("leaked: {} bytes in an empty map are used", stat.used));
    }
    faultless(stage, true)?;
    image::left_over(stage.window.bytes())
}
