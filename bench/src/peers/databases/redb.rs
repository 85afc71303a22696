//! redb.

use crate::peers::{Batch, Durable, Place, Store, Walk, Weighed, visit};
use crate::{Result, scratch};
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("texts");

pub struct Redb {
    database: Database,
    durability: Durability,
    reader: Option<ReadOnlyTable<&'static str, u64>>,
}

impl Redb {
    fn write(&self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        Ok(transaction)
    }

    fn try_transaction(&mut self, names: &[&str], value: u64) -> Result<()> {
        let transaction = self.write()?;
        let mut table = transaction.open_table(NUMBERS)?;
        for name in names {
            table.insert(name, value)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn table(&self) -> Result<ReadOnlyTable<&'static str, u64>> {
        Ok(self.database.begin_read()?.open_table(NUMBERS)?)
    }
}

impl Store for Redb {
    const PEER: &'static str = "redb";

    fn create(label: &str, _: usize, _: usize, place: Place) -> Result<Self> {
        let mut builder = Database::builder();
        builder.set_cache_size(1 << 30);
        let database = builder.create(scratch::path(label, place)?)?;
        let durability =
            if place == Place::Disk { Durability::Immediate } else { Durability::None };
        Ok(Self { database, durability, reader: None })
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let transaction = self.write()?;
        let mut table = transaction.open_table(NUMBERS)?;
        for (name, number) in names.zip(0..) {
            table.insert(name, number)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn begin_reads(&mut self) -> Result<()> {
        self.reader = Some(self.table()?);
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        let table = self.reader.as_ref().expect("begun");
        table.get(name).expect("readable").expect("there").value()
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.transaction(&[name], value);
    }
}

impl Walk for Redb {
    fn walk(&mut self) -> u64 {
        let table = self.table().expect("readable");
        let mut count = 0;
        for entry in table.iter().expect("readable") {
            let (name, value) = entry.expect("readable");
            visit(name.value(), value.value());
            count += 1;
        }
        count
    }
}

impl Batch for Redb {
    fn transaction(&mut self, names: &[&str], value: u64) {
        self.try_transaction(names, value).expect("committed");
    }

    fn snapshot(&mut self, names: &[&str]) -> u64 {
        let table = self.table().expect("readable");
        let get = |name: &&str| table.get(*name).expect("readable").expect("there").value();
        names.iter().map(get).sum()
    }
}

impl Durable for Redb {
    const PEER: &'static str = "redb";

    fn change(&mut self, names: &[&str], value: u64) {
        self.transaction(names, value);
    }
}

impl Weighed for Redb {
    fn fill_text<'a>(&mut self, names: impl Iterator<Item = &'a str>, text: &str) -> Result<()> {
        let transaction = self.write()?;
        let mut table = transaction.open_table(TEXTS)?;
        for name in names {
            table.insert(name, text)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn bytes(&mut self) -> Result<f64> {
        let transaction = self.write()?;
        let stats = transaction.stats()?;
        let pages = stats.leaf_pages() + stats.branch_pages();
        Ok(pages as f64 * stats.page_size() as f64)
    }
}
