mod map;
mod one;
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    let mut counts = map::Counts::default();
    for seed in 0..n {
        match one::history(seed, None) { Ok(c) => counts.add(c), Err(e) => println!("{seed}: {e}") }
    }
    println!("{counts:?} {:?}", t.elapsed());
}
