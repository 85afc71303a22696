//! `mapvar wait-for`

use crate::{
    args::WaitFor,
    exit::{self, Exit, Failure},
    field, opening, parse, typing,
};
use mapvar::{Error, ErrorKind, Map, Result};
use std::time::Duration;

/// A condition on a variable.
struct Condition<'a> {
    var: &'a str,
    /// The value as typed. `None`: the condition is that the variable exists.
    value: Option<&'a str>,
    /// Negates the condition.
    not: bool,
}

impl<'a> Condition<'a> {
    fn parse(text: &'a str) -> Self {
        let with = |var, value, not| Self { var, value: Some(value), not };
        match (text.split_once("!="), text.split_once('=')) {
            // In `a=b!=c` the value is `b!=c`.
            (Some((var, value)), Some((other, _))) if var.len() < other.len() => {
                with(var, value, true)
            }
            (_, Some((var, value))) => with(var, value, false),
            _ => match text.strip_prefix('!') {
                Some(var) => Self { var, value: None, not: true },
                None => Self { var: text, value: None, not: false },
            },
        }
    }

    /// Says what the variable is now.
    fn last(&self, map: &Map) -> String {
        /// A longer value is of no use in a message.
        const LONGEST: usize = 100;
        let (var, found) = (self.var, field::present(map, self.var));
        match found.map(|found| found.map(|value| value.to_string())) {
            Ok(Some(value)) if value.len() <= LONGEST => format!("{var} is {value}"),
            Ok(Some(value)) => format!("{var} has a value of {} characters", value.len()),
            Ok(None) => format!("there is no {var}"),
            Err(_) => format!("{var} cannot be read"),
        }
    }

    fn holds(&self, map: &Map) -> Result<bool> {
        // A struct that has no such field never gets it, so only `!VAR` asks whether it has one.
        let found = match (self.value, self.not) {
            (None, true) => typing::old(map, self.var),
            _ => field::present(map, self.var),
        };
        let holds = match (&self.value, found?) {
            (None, found) => found.is_some(),
            (Some(text), Some(found)) => {
                found.to_string() == *text
                    || parse::of_kind(text, &found).is_ok_and(|value| value == found)
            }
            (Some(_), None) => false,
        };
        Ok(holds != self.not)
    }
}

pub(crate) fn run(args: &WaitFor) -> std::result::Result<Exit, Failure> {
    let (name, words) = args.words()?;
    let conditions: Vec<_> = words.iter().map(|word| Condition::parse(word)).collect();
    if conditions.is_empty() {
        return wait_for_map(args, name);
    }
    let map = opening::open_to_wait(&args.at, name)?;
    // A field changes with its variable, which may not exist yet.
    let names = conditions.iter().flat_map(|condition| {
        let dots = condition.var.match_indices('.');
        let before = dots.filter_map(|(at, _)| condition.var.get(..at));
        before.filter(|var| !var.is_empty()).chain([condition.var])
    });
    let all = |map: &Map| {
        for condition in &conditions {
            if !condition.holds(map)? {
                return Ok::<_, Error>(false);
            }
        }
        Ok(true)
    };
    match map.wait_until(names, args.timeout, all) {
        Ok(true) => return Ok(Exit::Done),
        Ok(false) => {}
        // A struct has no such field.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            exit::report(&error);
            return Ok(Exit::Absent);
        }
        Err(error) => return Err(error.into()),
    }
    let object = format!("{} in {map}", words.join(" "));
    let last: Vec<_> = conditions.iter().map(|condition| condition.last(&map)).collect();
    let detail = format!("it did not come in time; {}", last.join(", "));
    Err(Error::new(ErrorKind::TimedOut, "wait for", object).detail(detail).into())
}

/// Waits until the map can be opened.
fn wait_for_map(args: &WaitFor, name: Option<&str>) -> std::result::Result<Exit, Failure> {
    let wait = args.timeout.or(args.at.wait).unwrap_or(Duration::MAX);
    match opening::options_at(&args.at, name).read_only(true).wait(wait).open() {
        // Like every reader, it reports what a recovery lost: a script may wait and then read.
        Ok(map) => {
            opening::noted(map);
            Ok(Exit::Done)
        }
        // The file exists, and was last used before a restart. The next opener for writing recovers
        // it.
        Err(error) if error.kind() == ErrorKind::NeedsRecovery => Ok(Exit::Done),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let error = Error::new(ErrorKind::TimedOut, "wait for", error.object());
            Err(error.detail("it was not created in time").into())
        }
        Err(error) => Err(error.into()),
    }
}
