//! Shapes that serde's types take: each has a name, a type with a value, and the form in which every
//! language shows it.
#![allow(clippy::float_cmp, reason = "a value reads back with each of its bits")]

use mapvar::{Map, Result};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Metres(f64);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Empty {}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
struct Car {
    name: String,
    rpm: f64,
    max_gear: Option<u8>,
    key: ByteBuf,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Fleet {
    cars: Vec<Car>,
    by_number: BTreeMap<u32, String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Order {
    Idle,
    Speed(f64),
    Move(i32, i32),
    Stop { at: u8 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "type")]
enum Internal {
    Circle { radius: f64 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Pair(u8, u8),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, String>,
}

fn car() -> Car {
    Car { name: "größe".into(), rpm: 800.5, max_gear: None, key: ByteBuf::from([0, 255]) }
}

macro_rules! shapes {
    ($($name:literal $shown:literal $type:ty = $value:expr;)*) => {
        /// Name and shown form of each shape.
        pub(crate) const TABLE: &[(&str, &str)] = &[$(($name, $shown)),*];

        /// Sets a variable for each shape.
        pub(crate) fn write(map: &Map) -> Result<()> {
            $({
                let value: $type = $value;
                map.set($name, &value)?;
            })*
            Ok(())
        }

        /// Reads each variable by its type; returns what is wrong.
        pub(crate) fn read(map: &Map, end: &str) -> Vec<String> {
            let mut wrong = Vec::new();
            $(
                let wanted: $type = $value;
                match map.get::<$type>(&format!("{}{end}", $name)) {
                    Ok(found) if found == wanted => {}
                    Ok(found) => wrong.push(format!("{}: {found:?}, not {wanted:?}", $name)),
                    Err(error) => wrong.push(error.to_string()),
                }
            )*
            wrong
        }
    };
}

shapes! {
    "int" "-128" i8 = i8::MIN;
    "uint" "18446744073709551615" u64 = u64::MAX;
    "u128" "5" u128 = 5;
    "f64" "0.1" f64 = 0.1;
    "f32" "-1.5" f32 = -1.5;
    "whole" "5.0" f64 = 5.0;
    "bool" "true" bool = true;
    "text" "größe \"x\"" String = "größe \"x\"".into();
    "empty text" "" String = String::new();
    "number as text" "1.10" String = "1.10".into();
    "char" "ß" char = 'ß';
    "unit" "nil" Unit = Unit;
    "none" "nil" Option<i32> = None;
    "some" "5" Option<i32> = Some(5);
    "newtype" "2.5" Metres = Metres(2.5);
    "bytes" "0x00ff" ByteBuf = ByteBuf::from([0, 255]);
    "octets" "0x0102" Vec<u8> = vec![1, 2];
    "no octets" "[]" Vec<u8> = vec![];
    "list" "[1, -2]" Vec<i32> = vec![1, -2];
    "tuple" "[1, \"two\", 0.5]" (u8, String, f64) = (1, "two".into(), 0.5);
    "array" "[0.5, 1.0, -2.25]" [f32; 3] = [0.5, 1.0, -2.25];
    "options" "[1, nil]" Vec<Option<i32>> = vec![Some(1), None];
    "list of bytes" "[0x00, 0x]" Vec<ByteBuf> = vec![ByteBuf::from([0]), ByteBuf::new()];
    "map" "{\"a\": 1, \"b\": 2}" BTreeMap<String, u8> = BTreeMap::from([("a".into(), 1), ("b".into(), 2)]);
    "map by numbers" "{-1: \"minus\", 2: \"two\"}" BTreeMap<i8, String>
        = BTreeMap::from([(-1, "minus".into()), (2, "two".into())]);
    "map by bools" "{false: [], true: [1]}" BTreeMap<bool, Vec<u16>> = BTreeMap::from([(false, vec![]), (true, vec![1])]);
    "struct" "{\"name\": \"größe\", \"rpm\": 800.5, \"maxGear\": nil, \"key\": 0x00ff}" Car = car();
    "nested" "{\"cars\": [{\"name\": \"größe\", \"rpm\": 800.5, \"maxGear\": nil, \"key\": 0x00ff}], \"by_number\": {7: \"x\"}}"
        Fleet = Fleet { cars: vec![car()], by_number: BTreeMap::from([(7, "x".into())]) };
    "empty struct" "{}" Empty = Empty {};
    "unit variant" "Idle" Order = Order::Idle;
    "newtype variant" "{\"Speed\": 3.0}" Order = Order::Speed(3.0);
    "tuple variant" "{\"Move\": [1, -2]}" Order = Order::Move(1, -2);
    "struct variant" "{\"Stop\": {\"at\": 1}}" Order = Order::Stop { at: 1 };
    "internal tag" "{\"type\": \"Circle\", \"radius\": 1.0}" Internal = Internal::Circle { radius: 1.0 };
    "adjacent tag" "{\"t\": \"Pair\", \"c\": [1, 2]}" Adjacent = Adjacent::Pair(1, 2);
    "untagged" "x" Untagged = Untagged::Text("x".into());
    "flat" "{\"id\": 1, \"extra\": \"x\"}" Flat = Flat { id: 1, rest: BTreeMap::from([("extra".into(), "x".into())]) };
    "duration" "{\"secs\": 5, \"nanos\": 1}" Duration = Duration::new(5, 1);
    "address" "127.0.0.1" IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    "path" "a/b" PathBuf = PathBuf::from("a/b");
}
