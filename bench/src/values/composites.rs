//! Values that serde describes, beside their MessagePack alone: encoding into a new vector is the
//! floor of a `set`, and decoding from memory of this process that of a `get`.

use crate::{
    Result,
    measure::{Leg, Plan},
    values::handles::{each, map},
};
use mapvar::Map;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, hint::black_box};

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct Job {
    id: u64,
    name: String,
    priority: i8,
    progress: f64,
    done: bool,
    owner: Option<String>,
    place: (i32, i32),
    tags: Vec<String>,
}

fn job() -> Job {
    Job {
        id: 81_234_567,
        name: "resample".into(),
        priority: -3,
        progress: 0.625,
        done: false,
        owner: Some("worker 7".into()),
        place: (1024, -768),
        tags: vec!["audio".into(), "batch".into()],
    }
}

/// Four dictionaries of four numbers each, in one.
fn nested() -> BTreeMap<String, BTreeMap<String, f64>> {
    let inner = |base: f64| {
        (0..4).map(|number| (format!("sensor{number}"), base + f64::from(number))).collect()
    };
    (0..4).map(|number| (format!("pump{number}"), inner(f64::from(number) / 8.0))).collect()
}

pub fn legs(plan: &Plan) -> Result<Vec<Leg>> {
    let map = map("composites", 1 << 20)?;
    let mut legs = Vec::new();
    legs.extend(of(plan, &map, "struct of 8 fields, serde", job())?);
    let numbers: Vec<f64> = (0..100).map(|number| f64::from(number) / 3.0).collect();
    legs.extend(of(plan, &map, "Vec<f64> of 100, serde", numbers)?);
    legs.extend(of(plan, &map, "nested dict, 4 of 4, serde", nested())?);
    Ok(legs)
}

fn of<T>(plan: &Plan, map: &Map, what: &str, value: T) -> Result<[Leg; 2]>
where
    T: Serialize + DeserializeOwned + Clone + PartialEq + 'static,
{
    map.set(what, &value)?;
    let (getting, setting) = (map.var::<T>(what)?, map.var::<T>(what)?);
    let packed = rmp_serde::to_vec_named(&value)?;
    assert!(getting.get()? == value && rmp_serde::from_slice::<T>(&packed)? == value, "{what}");
    let mut get = Leg::new(
        format!("get {what}"),
        each(move |_| _ = black_box(black_box(&getting).get().expect("there"))),
    );
    let mut set = Leg::new(format!("set {what}"), {
        let value = value.clone();
        each(move |_| black_box(&setting).set(black_box(&value)).expect("there"))
    });
    if plan.steps.is_none() {
        get = get.beside(
            "rmp_serde from_slice",
            each(move |_| {
                _ = black_box(rmp_serde::from_slice::<T>(black_box(&packed)).expect("valid"));
            }),
        );
        set = set.beside(
            "rmp_serde to_vec_named",
            each(move |_| {
                _ = black_box(rmp_serde::to_vec_named(black_box(&value)).expect("writable"));
            }),
        );
    }
    Ok([get, set])
}
