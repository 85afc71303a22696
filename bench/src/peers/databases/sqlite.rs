//! SQLite, by rusqlite.

use crate::peers::{Attach, Batch, Durable, Place, Store, Walk, Weighed, visit};
use crate::{Result, scratch};
use rusqlite::{Connection, OpenFlags, params};

pub struct Sqlite {
    connection: Connection,
    address: String,
}

const GET: &str = "SELECT value FROM variables WHERE name = ?1";
const SET: &str = "UPDATE variables SET value = ?2 WHERE name = ?1";
const INSERT: &str = "INSERT INTO variables VALUES (?1, ?2)";

/// `EXCLUSIVE` spares a lock for each transaction; a store that another process attaches cannot
/// have it.
const FAST: &str = "PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; \
                    PRAGMA synchronous = OFF; PRAGMA mmap_size = 4294967296; \
                    PRAGMA cache_size = -1048576;";
const EXCLUSIVE: &str = "PRAGMA locking_mode = EXCLUSIVE;";
const DURABLE: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; \
                       PRAGMA synchronous = FULL; PRAGMA cache_size = -1048576;";

impl Sqlite {
    fn begin(&self) {
        self.connection.prepare_cached("BEGIN").and_then(|mut it| it.execute([])).expect("begun");
    }

    fn commit(&self) {
        let done = self.connection.prepare_cached("COMMIT").and_then(|mut it| it.execute([]));
        done.expect("committed");
    }

    #[inline]
    fn get_one(&self, name: &str) -> u64 {
        let mut get = self.connection.prepare_cached(GET).expect("prepared");
        get.query_row([name], |row| row.get::<_, i64>(0)).expect("there").cast_unsigned()
    }

    #[inline]
    fn set_one(&self, name: &str, value: u64) {
        let mut set = self.connection.prepare_cached(SET).expect("prepared");
        set.execute(params![name, value.cast_signed()]).expect("set");
    }

    fn open(label: &str, place: Place, setup: &str) -> Result<Self> {
        let address = scratch::path(label, place)?.display().to_string();
        let connection = Connection::open(&address)?;
        connection.execute_batch(setup)?;
        connection.execute_batch(
            "CREATE TABLE variables (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID",
        )?;
        Ok(Self { connection, address })
    }
}

impl Store for Sqlite {
    const PEER: &'static str = "SQLite";

    fn create(label: &str, _: usize, _: usize, place: Place) -> Result<Self> {
        let fast = format!("{EXCLUSIVE} {FAST}");
        Self::open(label, place, if place == Place::Disk { DURABLE } else { &fast })
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        self.begin();
        for (name, number) in names.zip(0_i64..) {
            self.connection.prepare_cached(INSERT)?.execute(params![name, number])?;
        }
        self.commit();
        Ok(())
    }

    fn begin_reads(&mut self) -> Result<()> {
        self.begin();
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        self.get_one(name)
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.set_one(name, value);
    }
}

impl Walk for Sqlite {
    fn walk(&mut self) -> u64 {
        let mut select =
            self.connection.prepare_cached("SELECT name, value FROM variables").expect("prepared");
        let mut rows = select.query([]).expect("readable");
        let mut count = 0;
        while let Some(row) = rows.next().expect("readable") {
            let name = row.get_ref(0).expect("a column").as_str().expect("text");
            visit(name, row.get::<_, i64>(1).expect("a number").cast_unsigned());
            count += 1;
        }
        count
    }
}

impl Batch for Sqlite {
    fn transaction(&mut self, names: &[&str], value: u64) {
        self.begin();
        for name in names {
            self.set_one(name, value);
        }
        self.commit();
    }

    fn snapshot(&mut self, names: &[&str]) -> u64 {
        self.begin();
        let sum = names.iter().map(|name| self.get_one(name)).sum();
        self.commit();
        sum
    }
}

impl Durable for Sqlite {
    const PEER: &'static str = "SQLite";

    fn change(&mut self, names: &[&str], value: u64) {
        self.transaction(names, value);
    }
}

impl Weighed for Sqlite {
    fn fill_text<'a>(&mut self, names: impl Iterator<Item = &'a str>, text: &str) -> Result<()> {
        self.begin();
        for name in names {
            self.connection.prepare_cached(INSERT)?.execute(params![name, text])?;
        }
        self.commit();
        Ok(())
    }

    fn bytes(&mut self) -> Result<f64> {
        let ask = |what| -> Result<f64> {
            Ok(self.connection.pragma_query_value(None, what, |row| row.get::<_, f64>(0))?)
        };
        Ok(ask("page_count")? * ask("page_size")?)
    }
}

impl Attach for Sqlite {
    const WORD: &'static str = "sqlite";

    fn create_shared(label: &str, _: usize) -> Result<Self> {
        Self::open(label, Place::Memory, FAST)
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn attach(address: &str, name: &str) -> Result<u64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(address, flags)?;
        let value = connection.query_row(GET, [name], |row| row.get::<_, i64>(0))?;
        Ok(value.cast_unsigned())
    }
}
