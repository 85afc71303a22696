//! Configurations that are taken, and those that are refused.

use super::{Direction, file::parse};

const SERVER: &str = "node = \"rig-a\"\n[server]\nurls = [\"nats://hub\"]\nbucket = \"sim\"\n";

fn refused(mirrors: &str) -> String {
    parse(&format!("{SERVER}{mirrors}")).expect_err("it is refused").to_string()
}

#[test]
fn a_file_names_the_mirrors() {
    let text = format!(
        "{SERVER}[[mirror]]\nmap = \"sim\"\nout = \"engine.\"\n\
         [[mirror]]\nmap = \"sim\"\nin = \"rig-b.\"\nas = \"peer.\"\nmax_vars = 5\n"
    );
    let config = parse(&text).expect("a configuration");
    let [out, into] = config.mirrors.as_slice() else { panic!("two mirrors") };
    assert_eq!((&*out.mapping.names, &*out.mapping.keys), ("engine.", "rig-a.engine."));
    assert!(matches!(out.direction, Direction::Out { max_rate: 100 }));
    assert_eq!((&*into.mapping.names, &*into.mapping.keys), ("peer.", "rig-b."));
    assert!(matches!(into.direction, Direction::In { max_vars: 5, .. }));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mirror = |text: &str| refused(&format!("[[mirror]]\nmap = \"sim\"\n{text}\n"));
    assert!(mirror("out = \"engine\"").contains("prefix"));
    assert!(mirror("out = \"a/.\"").contains("prefix"));
    assert!(mirror("in = \"\"").contains("prefix"));
    assert!(mirror("in = \"_owner.\"").contains("prefix"));
    assert!(mirror("in = \"b.\"\nas = \"\"").contains("overwrite anything"));
    assert!(mirror("in = \"b.\"\nmax_rate = 1").contains("max_rate"));
    assert!(mirror("speed = 1").contains("speed"));
    assert!(mirror("").contains("either"));
    assert!(refused("").contains("no mirror"));
    assert!(
        parse(&format!("metrics = \"0.0.0.0:1\"\n{SERVER}"))
            .is_err_and(|error| { error.to_string().contains("address of this machine") })
    );
    let two = |one: &str, two: &str| {
        refused(&format!("[[mirror]]\nmap = \"s\"\n{one}\n[[mirror]]\nmap = \"s\"\n{two}\n"))
    };
    assert!(two("out = \"b.\"", "in = \"b.x.\"").contains("overlap"));
    assert!(two("in = \"b.\"", "in = \"b.\"").contains("overlap"));
    assert!(two("out = \"a.\"", "out = \"a.b.\"").contains("one owner"));
    assert!(
        parse("node = \"a\"\n[server]\nurls = [\"nats://me:secret@hub\"]\nbucket = \"b\"\n")
            .is_err()
    );
}
