//! `mapvar-bridge rights`

use super::setting::print;
use crate::{
    config::Config,
    engine::bucket::{stream_name, subject},
    failure::Failure,
    names::owner_key,
};

/// Prints a user for the server's configuration.
pub(super) fn run(config: &Config) -> Result<bool, Failure> {
    print(&user(config))?;
    Ok(true)
}

fn user(config: &Config) -> String {
    let bucket = &config.server.bucket;
    let stream = stream_name(bucket);
    let mut publish: Vec<String> = Vec::new();
    for mirror in config.mirrors.iter().filter(|mirror| mirror.is_out()) {
        publish.push(subject(bucket, &format!("{}>", mirror.mapping.keys)));
        publish.push(subject(bucket, &owner_key(&mirror.mapping.keys)));
    }
    publish.extend([
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.STREAM.CREATE.{stream}"),
        format!("$JS.API.STREAM.MSG.GET.{stream}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
        format!("$JS.API.CONSUMER.DELETE.{stream}.>"),
        format!("$JS.FC.{stream}.>"),
    ]);
    let lines: Vec<String> = publish.iter().map(|it| format!("        {it:?}")).collect();
    format!(
        "# Within authorization {{ users = [ ... ] }} of nats.conf. Reading is by feeds of the \
         bucket,\n# so every such user can read all of it. Replace the password.\n{{\n  user: {:?}\n  \
         password: \"...\"\n  permissions: {{\n    publish: [\n{}\n    ]\n    subscribe: \
         [\"_INBOX.>\"]\n  }}\n}}\n",
        config.node,
        lines.join("\n"),
    )
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Direction, Mirror, Place, Server, in_mapping, out_mapping};

    #[test]
    fn only_what_goes_out_may_be_published() {
        let map = Place { name: "sim".into(), is_file: false, global: false };
        let mirror = |mapping, direction| Mirror { map: map.clone(), mapping, direction };
        let into = Direction::In { max_vars: 1, max_bytes: 1 };
        let config = Config {
            node: "a".into(),
            metrics: None,
            server: Server { bucket: "sim".into(), ..Server::default() },
            mirrors: vec![
                mirror(out_mapping("a", "x.", false), Direction::Out { max_rate: 1 }),
                mirror(in_mapping("b.", None, false), into),
            ],
        };
        let text = super::user(&config);
        assert!(text.contains("\"$KV.sim.a.x.>\"") && text.contains("\"$KV.sim._owner.a.x.=\""));
        assert!(!text.contains("$KV.sim.b") && !text.contains("\"$KV.sim.>\""));
    }
}
