use mapvar_fuzz::{bytes::Bytes, driver, guard::Counting, loads::Loads};
use std::time::Duration;
#[global_allocator]
static ALLOCATOR: Counting = Counting;
fn main() {
    driver::hook();
    let args: Vec<String> = std::env::args().collect();
    if args.len() > 3 {
        let s = args[3].parse().unwrap();
        if args[2] == "bytes" {
            driver::one(&mut Bytes::new(), s);
        } else {
            driver::one(&mut Loads::new(), s);
        }
        return;
    }
    let t = Duration::from_secs(args[1].parse().unwrap());
    let a = driver::drive("bytes", Bytes::new, 1, t, 2);
    println!("{a:?} {}", a.executions as f64 / a.took.as_secs_f64());
    let a = driver::drive("loads", Loads::new, 1, t, 2);
    println!("{a:?} {}", a.executions as f64 / a.took.as_secs_f64());
}
