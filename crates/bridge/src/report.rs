//! The link state: an ephemeral variable `mapvar.bridge/NODE` in each mirrored map.

use crate::{
    config::Place,
    mirror::{Running, changes::OWN, tally::State},
};
use mapvar::{Map, Value};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::sleep;

/// How often the variable is brought up to date.
const EVERY: Duration = Duration::from_secs(1);

/// The variables of all bridges begin so.
pub(crate) fn prefix() -> String {
    format!("{OWN}/")
}

/// Keeps the variable of each map up to date, without end.
pub(crate) async fn keep_up(node: &str, running: &[Running]) {
    let mut maps: BTreeMap<String, (Map, Value)> = BTreeMap::new();
    loop {
        for place in running.iter().map(|mirror| &mirror.job.mirror.map) {
            let value = describe(place, node, running);
            if tell(&mut maps, place, node, &value).is_err() {
                // The map is not there yet, or was replaced.
                maps.remove(&place.name);
            }
        }
        sleep(EVERY).await;
    }
}

fn tell(
    maps: &mut BTreeMap<String, (Map, Value)>,
    place: &Place,
    node: &str,
    value: &Value,
) -> mapvar::Result<()> {
    if !maps.contains_key(&place.name) {
        maps.insert(place.name.clone(), (place.options().open()?, Value::Nil));
    }
    let Some((map, last)) = maps.get_mut(&place.name) else { return Ok(()) };
    map.check_name()?;
    if last != value {
        map.set_ephemeral(&format!("{}{node}", prefix()), value)?;
        last.clone_from(value);
    }
    Ok(())
}

/// Returns the state of all mirrors of a map.
fn describe(place: &Place, node: &str, running: &[Running]) -> Value {
    let of_map = running.iter().filter(|mirror| mirror.job.mirror.map == *place);
    let mut live = true;
    let mirrors = of_map.map(|mirror| {
        let figures = mirror.job.tally.read();
        live &= figures.state == State::Live;
        let direction = if mirror.job.mirror.is_out() { "out" } else { "in" };
        dict(vec![
            ("prefix", mirror.job.mirror.mapping.names.as_str().into()),
            ("keys", mirror.job.mirror.mapping.keys.as_str().into()),
            ("direction", direction.into()),
            ("state", figures.state.name().into()),
            ("since", figures.since.into()),
            ("variables", figures.variables.into()),
            ("sent", figures.sent.into()),
            ("received", figures.received.into()),
            ("failed", figures.failed.into()),
            ("old", figures.old.into()),
            ("ephemeral", figures.ephemeral.into()),
            ("refused", figures.refused.into()),
            ("reconciliations", figures.reconciliations.into()),
            ("error", figures.error.as_str().into()),
        ])
    });
    let mirrors: Vec<Value> = mirrors.collect();
    dict(vec![("node", node.into()), ("live", live.into()), ("mirrors", mirrors.into())])
}

fn dict(pairs: Vec<(&str, Value)>) -> Value {
    Value::Dict(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
}
