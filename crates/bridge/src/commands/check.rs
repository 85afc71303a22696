//! `mapvar-bridge check`

use super::setting::{print, runtime};
use crate::{
    config::{Config, Mirror},
    encoding::{self, Encoded},
    engine::{
        Lost, bucket,
        digest::{digest_of, digest_of_item},
        feed::{Feed, Told},
        link::{self, Link},
    },
    failure::Failure,
    mirror::changes::OWN,
    names::owner_key,
    table::owner::Digest,
};
use mapvar::{ErrorKind, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// Reports what the server has, and what a run would change.
pub(super) fn run(config: &Config) -> Result<bool, Failure> {
    let text = runtime()?.block_on(async {
        let mut link = link::connect(&config.server, &config.node).await?;
        let connected = timeout(PATIENCE, link.connected()).await;
        connected.map_err(|_| {
            Failure::server(format!("no connection to {}", config.server.urls.join(", ")))
        })?;
        let report = timeout(4 * PATIENCE, report(config, &link)).await;
        report.map_err(|_| Failure::server("the server does not answer"))?
    })?;
    print(&text)?;
    Ok(true)
}

async fn report(config: &Config, link: &Link) -> Result<String, Failure> {
    let mut text = format!("server\tnats-server {}\n", link.version()?);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "largest value\t{} bytes", link.client.max_payload());
    let bucket_name = &config.server.bucket;
    let Some(stream) = bucket::find(link, bucket_name).await.map_err(failed)? else {
        let _ = writeln!(text, "bucket\t{bucket_name} does not exist; `run` makes it");
        return Ok(text);
    };
    let state = &stream.cached_info().state;
    let _ = writeln!(text, "bucket\t{bucket_name}: {} keys", state.messages);
    for mirror in &config.mirrors {
        let mapping = &mirror.mapping;
        let key = bucket::subject(bucket_name, &owner_key(&mapping.keys));
        let owner = bucket::statement(&stream, &key).await.map_err(failed)?;
        let owner = owner.and_then(|(statement, _)| statement).map(|it| it.node);
        let there = load(link, bucket_name, &mapping.keys).await.map_err(failed)?;
        let there: BTreeMap<String, Digest> = there
            .into_iter()
            .filter_map(|(key, digest)| Some((mapping.name(&key)?, digest)))
            .collect();
        let here = local(mirror)?;
        let differ = |one: &BTreeMap<String, Digest>, two: &BTreeMap<String, Digest>| {
            one.iter().filter(|(name, digest)| two.get(*name) != Some(digest)).count()
        };
        let (from, to) = if mirror.is_out() { (&here, &there) } else { (&there, &here) };
        let gone: BTreeSet<_> = to.keys().filter(|name| !from.contains_key(*name)).collect();
        let _ = writeln!(
            text,
            "{}\t{:?}\towner {}\t{} variables, {} keys; would set {}, remove {}",
            if mirror.is_out() { "out" } else { "in" },
            mapping.keys,
            owner.as_deref().unwrap_or("none seen"),
            here.len(),
            there.len(),
            differ(from, to),
            gone.len(),
        );
    }
    Ok(text)
}

fn failed(lost: Lost) -> Failure {
    Failure::server(lost.0)
}

/// Returns what the bucket holds below a prefix of keys.
async fn load(link: &Link, bucket: &str, keys: &str) -> Result<BTreeMap<String, Digest>, Lost> {
    let name = format!("mapvar-check-{:x}-{}", std::process::id(), keys.replace('.', "_"));
    let mut feed = Feed::open(link, bucket, &[format!("{keys}>")], name).await?;
    let mut found = BTreeMap::new();
    while let Told::Item(item) = feed.next().await? {
        match digest_of_item(&item) {
            Some(digest) => found.insert(item.key, digest),
            None => found.remove(&item.key),
        };
    }
    Ok(found)
}

fn local(mirror: &Mirror) -> Result<BTreeMap<String, Digest>, Failure> {
    let mut found = BTreeMap::new();
    let map = match mirror.map.options().open() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        opened => opened?,
    };
    let mut entries = map.iter().prefix(&mirror.mapping.names);
    while let Some(entry) = entries.try_next()? {
        let name = entry.name();
        if name.starts_with(OWN) {
            continue;
        }
        if let Ok(encoded) = encoding::encode(&entry.get::<Value>()?) {
            let encoded = Encoded { ephemeral: map.owner(name)?.is_some(), ..encoded };
            found.insert(name.to_owned(), digest_of(&encoded));
        }
    }
    Ok(found)
}
