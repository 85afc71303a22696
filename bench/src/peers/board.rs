//! iceoryx2's blackboard.

use super::Cell;
use crate::Result;
use iceoryx2::{
    port::{reader::EntryHandle, writer::EntryHandleMut, writer::Writer},
    prelude::*,
    service::port_factory::blackboard::PortFactory,
};

/// A blackboard with numbers under the keys 0 to 31, 64 bytes under the keys 100 to 131, and 320
/// bytes under the keys 200 and 201.
pub struct Blackboard {
    writer: Writer<ipc::Service, u64>,
    service: PortFactory<ipc::Service, u64>,
    _node: Node<ipc::Service>,
}

/// A value of a blackboard. The ports keep the service.
pub struct Entry<T: Copy + 'static> {
    reader: EntryHandle<ipc::Service, u64, T>,
    writer: Option<EntryHandleMut<ipc::Service, u64, T>>,
}

impl Blackboard {
    pub fn new() -> Result<Self> {
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let name = crate::scratch::name("blackboard");
        let mut creator =
            node.service_builder(&name.as_str().try_into()?).blackboard_creator::<u64>();
        for key in 0..32 {
            creator = creator.add::<u64>(key, key).add::<[u8; 64]>(100 + key, [7; 64]);
        }
        let creator = creator.add::<[u64; 40]>(200, [7; 40]).add::<[u64; 40]>(201, [7; 40]);
        let service = creator.create()?;
        Ok(Self { writer: service.writer_builder().create()?, service, _node: node })
    }

    /// Returns the value for reads.
    pub fn read<T: Copy + ZeroCopySend>(&self, key: u64) -> Result<Entry<T>> {
        let reader = self.service.reader_builder().create()?.entry(&key)?;
        Ok(Entry { reader, writer: None })
    }

    /// Returns the value for reads and writes; each has one writer.
    pub fn write<T: Copy + ZeroCopySend>(&self, key: u64) -> Result<Entry<T>> {
        Ok(Entry { writer: Some(self.writer.entry(&key)?), ..self.read(key)? })
    }
}

impl<T: super::Value> Cell for Entry<T> {
    const PEER: &'static str = "iceoryx2";
    type Value = T;

    #[inline]
    fn get(&self) -> T {
        *self.reader.get()
    }

    #[inline]
    fn set(&self, value: &T) {
        self.writer.as_ref().expect("for writes").update_with_copy(*value);
    }
}
