//! Goes through all states that a scenario can come to, the nearest first: each process makes its
//! next step, or dies instead.

use crate::{
    actor::{Actor, Deed, Life},
    check,
    fault::Fault,
    fingerprint::{ByFingerprint, fingerprint},
    steps,
    turn::{Next, Turn},
    world::{ACTORS, JANITOR, World},
};
use std::collections::{HashMap, VecDeque, hash_map::Entry};

/// Who does what.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub world: World,
    pub deeds: Vec<Vec<Deed>>,
    pub deaths: u8,
    pub fault: Option<Fault>,
}

pub struct Outcome {
    pub states: usize,
    pub found: Option<Found>,
}

/// What is wrong, and how it came to that.
pub struct Found {
    pub what: String,
    pub trace: Vec<String>,
}

/// How a state was come to: from which, by whose step.
#[derive(Clone, Copy)]
struct Way {
    from: u32,
    who: u8,
    died: bool,
}

struct Search<'a> {
    scenario: &'a Scenario,
    known: HashMap<u128, u32, ByFingerprint>,
    ways: Vec<Way>,
    /// Steps, without deaths: who lives must be able to end without one.
    edges: Vec<(u32, u32)>,
    ends: Vec<u32>,
    queue: VecDeque<(u32, World)>,
}

pub fn explore(scenario: &Scenario) -> Outcome {
    let mut search = Search {
        scenario,
        known: HashMap::default(),
        ways: Vec::new(),
        edges: Vec::new(),
        ends: Vec::new(),
        queue: VecDeque::new(),
    };
    search.meet(&scenario.world, Way { from: 0, who: 0, died: false });
    let mut found = None;
    while let Some((number, world)) = search.queue.pop_front() {
        if let Err((what, last)) = search.visit(number, &world) {
            found = Some(search.tell(number, what, last));
            break;
        }
    }
    if found.is_none()
        && let Some(number) = search.without_end()
    {
        let what = "STUCK: from here on somebody who lives never ends".into();
        found = Some(search.tell(number, what, None));
    }
    Outcome { states: search.ways.len(), found }
}

/// The step that was wrong, if it was one.
type Wrong = (String, Option<(usize, &'static str)>);

impl Search<'_> {
    /// The number of a state; it is queued when it is new.
    fn meet(&mut self, world: &World, way: Way) -> (u32, bool) {
        let number = self.ways.len() as u32;
        match self.known.entry(fingerprint(world)) {
            Entry::Occupied(known) => (*known.get(), false),
            Entry::Vacant(place) => {
                place.insert(number);
                self.ways.push(way);
                self.queue.push_back((number, *world));
                (number, true)
            }
        }
    }

    fn visit(&mut self, number: u32, world: &World) -> Result<(), Wrong> {
        let mut moves = false;
        for who in 0..self.scenario.deeds.len() {
            let Actor { life, tries, deed, at, .. } = world.actors[who];
            if life == Life::Running {
                let (next, after) = step(self.scenario, world, who);
                match next {
                    Next::Done(did) => {
                        moves = true;
                        let (to, new) =
                            self.meet(&after, Way { from: number, who: who as u8, died: false });
                        self.edges.push((number, to));
                        if new && let Some(what) = check::always(&after) {
                            return Err((what, Some((who, did))));
                        }
                    }
                    Next::Wrong(what) => return Err((what, Some((who, "goes on")))),
                    Next::Blocked | Next::Onward => {}
                }
            }
            let begun = deed > 0 || tries > 0 || at != steps::Pc::Begin;
            let mortal = matches!(life, Life::Running | Life::Asleep | Life::Parked) && begun;
            if mortal && world.truth.deaths < self.scenario.deaths {
                let mut after = *world;
                after.kill(who, self.scenario.fault != Some(Fault::MarkTrustsOwner));
                after.settle();
                self.meet(&after, Way { from: number, who: who as u8, died: true });
            }
        }
        if moves {
            return Ok(());
        }
        self.ends.push(number);
        if let Some(who) = world.actors.iter().position(|actor| actor.life == Life::Running) {
            return Err((format!("STUCK: {} waits for ever", name(who)), None));
        }
        let rest = mend(self.scenario, world).map_err(|what| (what, None))?;
        check::at_rest(&rest).map_or(Ok(()), |what| Err((what, None)))
    }

    /// A state from which no steps of the living lead to an end.
    fn without_end(&self) -> Option<u32> {
        let mut before = vec![0_u32; self.ways.len() + 1];
        for (_, to) in &self.edges {
            before[*to as usize + 1] += 1;
        }
        for at in 0..self.ways.len() {
            before[at + 1] += before[at];
        }
        let mut next = before.clone();
        let mut sources = vec![0_u32; self.edges.len()];
        for (from, to) in &self.edges {
            sources[next[*to as usize] as usize] = *from;
            next[*to as usize] += 1;
        }
        let mut ends = vec![false; self.ways.len()];
        let mut left = self.ends.clone();
        while let Some(at) = left.pop() {
            if !std::mem::replace(&mut ends[at as usize], true) {
                let range = before[at as usize] as usize..before[at as usize + 1] as usize;
                left.extend_from_slice(&sources[range]);
            }
        }
        ends.iter().position(|ends| !ends).map(|at| at as u32)
    }

    /// How a state was come to, step by step: the steps are made once more.
    fn tell(&self, number: u32, what: String, last: Option<(usize, &'static str)>) -> Found {
        let mut ways = Vec::new();
        let mut at = number;
        while at != 0 {
            let way = self.ways[at as usize];
            ways.push(way);
            at = way.from;
        }
        let mut world = self.scenario.world;
        let mut trace = Vec::new();
        for way in ways.into_iter().rev() {
            let who = usize::from(way.who);
            if way.died {
                world.kill(who, self.scenario.fault != Some(Fault::MarkTrustsOwner));
                world.settle();
                trace.push(format!("{} DIES", name(who)));
            } else {
                let (next, after) = step(self.scenario, &world, who);
                let did = if let Next::Done(did) = next { did } else { "?" };
                trace.push(format!("{} {did}", name(who)));
                world = after;
            }
        }
        if let Some((who, did)) = last {
            trace.push(format!("{} {did}", name(who)));
        }
        Found { what, trace }
    }
}

fn name(who: usize) -> &'static str {
    ["a", "b", "c", "the janitor"][who.min(ACTORS - 1)]
}

/// One step of one process.
fn step(scenario: &Scenario, world: &World, who: usize) -> (Next, World) {
    let deeds = scenario.deeds.get(who).map_or(&[Deed::Mend] as &[Deed], Vec::as_slice);
    let deed = usize::from(world.actors[who].deed);
    let Some(&deed) = deeds.get(deed) else { return (Next::Blocked, *world) };
    let mut turn = Turn { world: *world, me: who, deed, fault: scenario.fault };
    let next = steps::step(&mut turn);
    let actor = turn.actor();
    if actor.life == Life::AtRest && usize::from(actor.deed) < deeds.len() {
        actor.life = Life::Running;
    }
    turn.world.settle();
    (next, turn.world)
}

/// When nobody moves any more: what the next to come does.
fn mend(scenario: &Scenario, world: &World) -> Result<World, String> {
    let mut world = *world;
    world.actors[JANITOR] = Actor::begin(0, 0);
    for _ in 0..400 {
        if world.actors[JANITOR].life != Life::Running {
            return Ok(world);
        }
        let (next, after) = step(scenario, &world, JANITOR);
        match next {
            Next::Done(_) => world = after,
            Next::Wrong(what) => return Err(what),
            Next::Blocked | Next::Onward => break,
        }
        if let Some(what) = check::always(&world) {
            return Err(what);
        }
    }
    Err("STUCK: who comes next never ends".into())
}
