//! LMDB, by heed.

#![allow(unsafe_code, reason = "heed's interface")]

use crate::peers::{Attach, Batch, Durable, Place, Shared, Store, User, Walk, Weighed, visit};
use crate::{Result, scratch};
use heed::{
    Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls,
    types::{Bytes, Str},
};
use std::{path::Path, thread};

pub struct Lmdb {
    // The transaction ends before its environment.
    reader: Option<RoTxn<'static, WithoutTls>>,
    env: Env<WithoutTls>,
    names: Database<Str, Bytes>,
}

fn open(folder: &Path, size: usize, flags: EnvFlags) -> Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(size.next_multiple_of(1 << 20));
    // SAFETY: this program makes no use of the data after a crash of the system.
    unsafe { options.flags(flags) };
    // SAFETY: only this program and its child have the folder, which is on a local disk or tmpfs.
    Ok(unsafe { options.open(folder) }?)
}

const FAST: EnvFlags = EnvFlags::WRITE_MAP
    .union(EnvFlags::NO_SYNC)
    .union(EnvFlags::NO_META_SYNC)
    .union(EnvFlags::MAP_ASYNC)
    .union(EnvFlags::NO_READ_AHEAD);

#[inline]
fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
}

impl Lmdb {
    fn fill_by<'a>(
        &mut self,
        mut names: impl Iterator<Item = &'a str>,
        mut put: impl FnMut(&Database<Str, Bytes>, &mut RwTxn<'_>, &str) -> heed::Result<()>,
    ) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        names.try_for_each(|name| put(&self.names, &mut txn, name))?;
        Ok(txn.commit()?)
    }
}

impl Store for Lmdb {
    const PEER: &'static str = "LMDB";

    fn create(label: &str, count: usize, bytes: usize, place: Place) -> Result<Self> {
        let folder = scratch::folder(label, place)?;
        let flags = if place == Place::Disk { EnvFlags::WRITE_MAP } else { FAST };
        let env = open(&folder, count * (300 + 3 * bytes) + (64 << 20), flags)?;
        let mut txn = env.write_txn()?;
        let names = env.create_database(&mut txn, None)?;
        txn.commit()?;
        Ok(Self { reader: None, env, names })
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut number = 0_u64;
        self.fill_by(names, |database, txn, name| {
            number += 1;
            database.put(txn, name, &number.to_ne_bytes())
        })
    }

    fn begin_reads(&mut self) -> Result<()> {
        self.reader = Some(self.env.clone().static_read_txn()?);
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        let reader = self.reader.as_ref().expect("begun");
        number(self.names.get(reader, name).expect("readable").expect("there"))
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.transaction(&[name], value);
    }
}

impl Walk for Lmdb {
    fn walk(&mut self) -> u64 {
        let txn = self.env.read_txn().expect("a transaction");
        let mut count = 0;
        for entry in self.names.iter(&txn).expect("readable") {
            let (name, value) = entry.expect("readable");
            visit(name, number(value));
            count += 1;
        }
        count
    }
}

impl Batch for Lmdb {
    #[inline]
    fn transaction(&mut self, names: &[&str], value: u64) {
        let mut txn = self.env.write_txn().expect("a transaction");
        for name in names {
            self.names.put(&mut txn, name, &value.to_ne_bytes()).expect("space");
        }
        txn.commit().expect("committed");
    }

    fn snapshot(&mut self, names: &[&str]) -> u64 {
        let txn = self.env.read_txn().expect("a transaction");
        let get = |name: &&str| number(self.names.get(&txn, name).expect("read").expect("there"));
        names.iter().map(get).sum()
    }
}

impl Durable for Lmdb {
    const PEER: &'static str = "LMDB";

    fn change(&mut self, names: &[&str], value: u64) {
        self.transaction(names, value);
    }
}

impl Weighed for Lmdb {
    fn fill_text<'a>(&mut self, names: impl Iterator<Item = &'a str>, text: &str) -> Result<()> {
        self.fill_by(names, |database, txn, name| database.put(txn, name, text.as_bytes()))
    }

    fn bytes(&mut self) -> Result<f64> {
        let txn = self.env.read_txn()?;
        let stat = self.names.stat(&txn)?;
        let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        Ok(pages as f64 * f64::from(stat.page_size))
    }
}

impl Attach for Lmdb {
    const WORD: &'static str = "lmdb";

    fn address(&self) -> String {
        self.env.path().display().to_string()
    }

    fn attach(address: &str, name: &str) -> Result<u64> {
        // A size of 0 takes that of the environment.
        let env = open(Path::new(address), 0, FAST)?;
        let txn = env.read_txn()?;
        let names = env.open_database::<Str, Bytes>(&txn, None)?.ok_or("no database")?;
        let value = number(names.get(&txn, name)?.ok_or("not there")?);
        drop(txn);
        env.prepare_for_closing().wait();
        Ok(value)
    }
}

/// A thread's environment and transaction.
pub struct LmdbUser {
    // The transaction ends before its environment.
    reader: Option<RoTxn<'static, WithoutTls>>,
    env: Env<WithoutTls>,
    names: Database<Str, Bytes>,
}

impl Shared for Lmdb {
    type User = LmdbUser;

    fn user(&self) -> Result<LmdbUser> {
        Ok(LmdbUser { reader: None, env: self.env.clone(), names: self.names })
    }
}

impl User for LmdbUser {
    fn begin_reads(&mut self) {
        self.reader = Some(self.env.clone().static_read_txn().expect("a transaction"));
    }

    fn end_reads(&mut self) {
        self.reader = None;
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        let reader = self.reader.as_ref().expect("begun");
        number(self.names.get(reader, name).expect("readable").expect("there"))
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        loop {
            let mut txn = self.env.write_txn().expect("a transaction");
            let put = self.names.put(&mut txn, name, &value.to_ne_bytes());
            match put.and_then(|()| txn.commit()) {
                Ok(()) => return,
                // Old pages are free when the readers that can see them end their transactions.
                Err(heed::Error::Mdb(heed::MdbError::MapFull)) => thread::yield_now(),
                Err(error) => panic!("LMDB: {error}"),
            }
        }
    }
}
