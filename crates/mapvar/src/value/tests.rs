use super::*;
use serde::{de::IntoDeserializer, forward_to_deserialize_any};

/// A value of each kind, and of the same kind with other contents.
fn values() -> Vec<Value> {
    let text = |text: &str| Value::from(text);
    let pod = |type_id, bytes: &[u8]| Value::Pod { type_id, bytes: bytes.into() };
    let opaque = |language, bytes: &[u8]| Value::Opaque { language, bytes: bytes.into() };
    vec![
        Value::Nil,
        Value::Bool(false),
        Value::Bool(true),
        Value::I64(0),
        Value::I64(-1),
        Value::I64(7),
        Value::U64(u64::MAX),
        Value::U64(u64::MAX - 6),
        Value::F64(0.5),
        Value::F64(-0.5),
        text(""),
        text("a"),
        Value::Bytes(vec![]),
        Value::Bytes(vec![7]),
        Value::List(vec![]),
        Value::List(vec![Value::I64(7)]),
        Value::List(vec![Value::Nil]),
        Value::Dict(vec![]),
        Value::Dict(vec![(text("a"), Value::I64(7))]),
        Value::Dict(vec![(text("a"), Value::I64(8))]),
        Value::Dict(vec![(text("b"), Value::I64(7))]),
        pod(1, b"x"),
        pod(1, b"y"),
        pod(2, b"x"),
        opaque(1, b"x"),
        opaque(1, b"y"),
        opaque(2, b"x"),
    ]
}

#[test]
fn a_value_equals_itself_and_no_other() {
    for (at, one) in values().iter().enumerate() {
        for (other, two) in values().iter().enumerate() {
            assert_eq!(one == two, at == other, "{one:?} and {two:?}");
        }
    }
}

/// A program may write a number that fits both kinds as either.
#[test]
fn integers_are_equal_by_their_numbers() {
    assert_eq!(Value::I64(7), Value::U64(7));
    assert_eq!(Value::U64(7), Value::I64(7));
    assert_ne!(Value::I64(7), Value::U64(8));
    // The bits are the same, and the numbers are not.
    assert_ne!(Value::I64(-1), Value::U64(u64::MAX));
}

#[test]
fn every_kind_is_shown() {
    let list = Value::List(values());
    assert_eq!(
        list.to_string(),
        "[nil, false, true, 0, -1, 7, 18446744073709551615, 18446744073709551609, 0.5, -0.5, \"\", \
         \"a\", 0x, 0x07, [], [7], [nil], {}, {\"a\": 7}, {\"a\": 8}, {\"b\": 7}, pod 1:0x78, \
         pod 1:0x79, pod 2:0x78, opaque 1:0x78, opaque 1:0x79, opaque 2:0x78]"
    );
    let dict = Value::Dict(vec![(Value::I64(1), Value::Nil), (Value::Bool(true), Value::Nil)]);
    assert_eq!(dict.to_string(), "{1: nil, true: nil}");
    assert_eq!(Value::from("a \"b\"").to_string(), "a \"b\"");
}

/// A format that tells an option from its content, as some other than mapvar's do.
struct Maybe(Option<i64>);

impl<'de> Deserializer<'de> for Maybe {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Some(number) => visitor.visit_some(number.into_deserializer()),
            None => visitor.visit_none(),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// It needs no more memory than its elements take: a byte of MessagePack is up to 40 of `Value`.
#[test]
fn a_short_list_gets_the_memory_that_it_needs() {
    for len in [1, 3, 17, 1000] {
        // An array of 16 bits of length.
        let mut bytes = vec![0xdc];
        bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        bytes.extend(vec![7; len]);
        let Value::List(list) = codec::unpack(&bytes).unwrap() else { panic!("no list") };
        assert_eq!((list.len(), list.capacity()), (len, len));
        bytes[0] = 0xde;
        bytes.extend(vec![7; len]);
        let Value::Dict(pairs) = codec::unpack(&bytes).unwrap() else { panic!("no dictionary") };
        assert_eq!((pairs.len(), pairs.capacity()), (len, len));
    }
}

#[test]
fn an_option_of_another_format_is_its_content() {
    assert_eq!(Value::deserialize(Maybe(Some(7))), Ok(Value::I64(7)));
    assert_eq!(Value::deserialize(Maybe(None)), Ok(Value::Nil));
}
