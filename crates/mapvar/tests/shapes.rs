//! What is set is what is read: a table of the shapes that serde's types take, each through a map by
//! its name, by a handle, in a transaction and as a `Value`. A shape that would not read back equal
//! is refused, and the old value stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints its figures"
)]
#![allow(clippy::too_many_lines, clippy::needless_pass_by_value, reason = "a table")]
#![allow(clippy::float_cmp, reason = "a value reads back with each of its bits")]
#![allow(clippy::zero_sized_map_values, reason = "a shape as any")]
#![allow(clippy::disallowed_types, reason = "an atomic as a value, and not in shared memory")]

mod common;

use indexmap::{IndexMap, IndexSet};
use mapvar::{ErrorKind, Kind, Map, Value};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser::SerializeSeq};
use serde_bytes::{ByteArray, ByteBuf};
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
    ffi::CString,
    fmt::Debug,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::{NonZeroI8, NonZeroU64, Saturating, Wrapping},
    ops::Bound,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

struct Shapes {
    map: Map,
    count: usize,
}

impl Shapes {
    fn new(what: &str) -> Self {
        let (map, _) = common::map(what);
        Self { map, count: 0 }
    }

    /// Sets the value in every way, and reads it back in every way.
    fn same<T>(&mut self, kind: Kind, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.by(kind, &value, |read| assert_eq!(*read, value));
    }

    fn by<T>(&mut self, kind: Kind, value: &T, check: impl Fn(&T))
    where
        T: Serialize + DeserializeOwned + Debug,
    {
        let map = &self.map;
        map.set("by name", value).unwrap();
        check(&map.get("by name").unwrap_or_else(|error| panic!("{value:?}: {error}")));
        let shown = map.get::<Value>("by name").unwrap();
        assert_eq!(shown.kind(), kind, "{value:?}");

        let var = map.var_or("by handle", Value::Nil).unwrap();
        var.set_as(value).unwrap();
        check(&var.get_as().unwrap());

        map.transaction(|tx| {
            tx.set("in a transaction", value)?;
            check(&tx.get("in a transaction")?);
            Ok(())
        })
        .unwrap();
        check(&map.get("in a transaction").unwrap());
        check(&map.snapshot(["by name"]).unwrap().get("by name").unwrap());

        map.set("as a value", &shown).unwrap();
        let as_value = map.get::<Value>("as a value").unwrap();
        // By `Debug`, since no NaN equals itself.
        assert_eq!(format!("{as_value:?}"), format!("{shown:?}"));
        self.count += 1;
    }

    /// The same, for a type that reads its own value only, and not the `Value` of it.
    fn refused<T: Serialize + Debug>(&mut self, kind: ErrorKind, value: T) {
        let map = &self.map;
        map.set("kept", "old").unwrap();
        let error = map.set("kept", &value).unwrap_err();
        assert_eq!(error.kind(), kind, "{value:?}: {error}");
        assert!(error.to_string().contains("\"kept\""), "{error}");
        let var = map.var::<String>("kept").unwrap();
        assert_eq!(var.set_as(&value).unwrap_err().kind(), kind, "{value:?}");
        map.transaction(|tx| {
            assert_eq!(tx.set("kept", &value).unwrap_err().kind(), kind);
            Ok(())
        })
        .unwrap();
        assert_eq!(map.get::<String>("kept").unwrap(), "old");
        self.count += 1;
    }
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Clone, Default)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Newtype(f64);

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Pair(i32, String);

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Empty {}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Plain {
    a: u8,
    b: i64,
    c: f32,
    d: f64,
    e: bool,
    f: char,
    g: String,
    h: Vec<u8>,
    i: Option<i8>,
    j: (u8, u8),
    k: [u8; 4],
    l: u128,
    m: i128,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attributes {
    #[serde(rename = "else")]
    renamed: u8,
    #[serde(alias = "other")]
    alias_here: u8,
    #[serde(skip)]
    skipped: u8,
    #[serde(default)]
    defaulted: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    maybe: Option<String>,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    cow: Cow<'static, str>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(transparent)]
struct Transparent {
    inner: Vec<u16>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Inner {
    data: Vec<u8>,
    small: f32,
    #[serde(with = "serde_bytes")]
    raw: Vec<u8>,
    mode: External,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct FlatValues {
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct FlatEnum {
    id: u8,
    #[serde(flatten)]
    body: Internal,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Clone)]
enum External {
    Unit,
    Newtype(u8),
    Bytes(Vec<u8>),
    Tuple(u8, String),
    Struct {
        x: i32,
        y: Vec<u8>,
    },
    Nothing(()),
    Nested(Box<External>),
    #[serde(rename = "änders")]
    Renamed,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Newtype(Inner),
    Struct { x: i32, y: Vec<u8>, z: Option<f32> },
    Map(BTreeMap<String, Vec<u8>>),
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(Vec<u8>),
    Tuple(u8, f32),
    Struct { x: Option<Vec<u8>> },
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    B(Vec<u8>),
    S(String),
    Pair(String, Vec<u8>),
    Struct { x: i32, y: Vec<u8> },
    Unit,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum UntaggedBytes {
    Raw(ByteBuf),
    List(Vec<String>),
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(from = "u32", into = "u32")]
struct Converted(u32);

impl From<u32> for Converted {
    fn from(number: u32) -> Self {
        Self(number - 1)
    }
}

impl From<Converted> for u32 {
    fn from(it: Converted) -> Self {
        it.0 + 1
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(try_from = "String", into = "String")]
struct Checked(String);

impl TryFrom<String> for Checked {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() { Err("empty".into()) } else { Ok(Self(text)) }
    }
}

impl From<Checked> for String {
    fn from(it: Checked) -> Self {
        it.0
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Generic<T, M> {
    value: T,
    #[serde(skip)]
    marker: PhantomData<M>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Tree {
    name: String,
    children: Vec<Tree>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Linked(Option<Box<Linked>>);

/// Elements of a list that is so deep.
#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Deep(Vec<Deep>);

fn deep(levels: usize) -> Deep {
    (1..levels).fold(Deep(Vec::new()), |inner, _| Deep(vec![inner]))
}

fn deep_value(levels: usize) -> Value {
    (1..levels).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]))
}

/// Announces another number of elements than it has.
#[derive(Debug)]
struct Misreports(usize);

impl Serialize for Misreports {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0))?;
        list.serialize_element("one")?;
        list.serialize_element("two")?;
        list.end()
    }
}

/// Announces no number.
#[derive(Debug)]
struct Unannounced(Vec<&'static str>);

impl Serialize for Unannounced {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        for text in &self.0 {
            list.serialize_element(text)?;
        }
        list.end()
    }
}

#[derive(Serialize, Debug)]
#[serde(tag = "type")]
enum Tagged {
    Number(u8),
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn inner() -> Inner {
    Inner { data: b"data".into(), small: 0.1, raw: b"raw".into(), mode: External::Unit }
}

#[test]
fn every_shape_that_is_set_reads_back_equal() {
    let mut shapes = Shapes::new("shapes");
    let all = &mut shapes;

    // Numbers, bools, text.
    all.same(Kind::Nil, ());
    all.same(Kind::Bool, true);
    all.same(Kind::I64, i8::MIN);
    all.same(Kind::I64, i16::MIN);
    all.same(Kind::I64, i32::MIN);
    all.same(Kind::I64, i64::MIN);
    all.same(Kind::I64, isize::MAX);
    all.same(Kind::I64, u8::MAX);
    all.same(Kind::I64, u16::MAX);
    all.same(Kind::I64, u32::MAX);
    all.same(Kind::I64, 1_u64 << 62);
    all.same(Kind::U64, u64::MAX);
    all.same(Kind::I64, i128::from(i64::MIN));
    all.same(Kind::U64, i128::from(u64::MAX));
    all.same(Kind::U64, u128::from(u64::MAX));
    all.same(Kind::F64, 0.1_f32);
    all.same(Kind::F64, f32::MAX);
    all.same(Kind::F64, f32::MIN_POSITIVE / 2.0);
    all.same(Kind::F64, -0.0_f64);
    all.same(Kind::F64, 1e300);
    all.same(Kind::F64, f64::NEG_INFINITY);
    all.by(Kind::F64, &f64::NAN, |read| assert!(read.is_nan()));
    all.by(Kind::F64, &f32::NAN, |read| assert!(read.is_nan()));
    all.same(Kind::Str, 'é');
    all.same(Kind::Str, '\0');
    all.same(Kind::Str, text("héllo €"));
    all.same(Kind::Str, String::new());
    all.same(Kind::Str, "x".repeat(100_000));
    all.same(Kind::I64, NonZeroI8::MIN);
    all.same(Kind::I64, NonZeroU64::MIN);
    all.same(Kind::I64, Wrapping(7_u8));
    all.same(Kind::I64, Saturating(-7_i16));
    all.same(Kind::I64, Reverse(5));
    all.by(Kind::I64, &AtomicU32::new(7), |read| assert_eq!(read.load(SeqCst), 7));

    // Bytes and sequences of bytes.
    all.same(Kind::Bytes, vec![0_u8, 255, 7]);
    all.same(Kind::Bytes, b"hello".to_vec());
    all.same(Kind::List, Vec::<u8>::new());
    all.same(Kind::Bytes, vec![7_u8; 70_000]);
    all.same(Kind::Bytes, VecDeque::from([1_u8, 2]));
    all.same(Kind::Bytes, BTreeSet::from([1_u8, 2]));
    all.same(Kind::List, [1_u8, 2, 3, 4]);
    all.same(Kind::List, [0_u8; 0]);
    all.same(Kind::List, (1_u8, 2_u8));
    all.same(Kind::Bytes, ByteBuf::from(b"hello".to_vec()));
    all.same(Kind::Bytes, ByteBuf::new());
    all.same(Kind::Bytes, ByteArray::new(*b"four"));
    all.same(Kind::Bytes, CString::new("text").unwrap());
    all.same(Kind::Bytes, Box::<[u8]>::from([1, 2]));
    all.same(Kind::List, vec![Some(1_u8), None]);
    all.same(Kind::List, vec![vec![1_u8], vec![], vec![200]]);
    all.same(Kind::Bytes, vec![Wrapping(1_u8), Wrapping(200)]);

    // Lists, tuples, sets.
    all.same(Kind::List, vec![1_i32, -2]);
    all.same(Kind::List, vec![300_u16]);
    all.same(Kind::List, vec![0.1_f32, f32::MAX]);
    all.same(Kind::List, vec![text("a"), text("")]);
    all.same(Kind::List, vec![(); 3]);
    all.same(Kind::List, vec![Unit; 2]);
    all.same(Kind::List, vec!['a', 'é']);
    all.same(Kind::List, vec![true, false]);
    all.same(Kind::List, vec![u64::MAX, 0]);
    all.same(Kind::List, vec![i128::from(i64::MIN), i128::from(u64::MAX)]);
    all.same(Kind::List, vec![u128::from(u64::MAX)]);
    all.same(Kind::List, (1_u8, text("two"), 3.0, Some('4'), (5, (6,))));
    all.same(Kind::List, (vec![1_u8, 2], vec![3_u8]));
    all.same(Kind::List, [[1_u8; 2]; 2]);
    all.same(Kind::List, VecDeque::from([1, 2]));
    all.same(Kind::List, LinkedList::from([1, 2]));
    all.same(Kind::List, BTreeSet::from([text("b"), text("a")]));
    all.same(Kind::List, HashSet::from([text("b"), text("a")]));
    all.same(Kind::List, IndexSet::<i32>::from([3, 1, 2]));
    all.by(Kind::List, &BinaryHeap::from([3, 1, 2]), |read| {
        assert_eq!(read.clone().into_sorted_vec(), [1, 2, 3]);
    });
    all.same(Kind::List, (0..20_000).collect::<Vec<u32>>());

    // Options.
    all.same(Kind::Nil, None::<i32>);
    all.same(Kind::I64, Some(5));
    all.same(Kind::Str, Some(String::new()));
    all.same(Kind::I64, Some(Some(5)));
    all.same(Kind::Nil, None::<Option<i32>>);
    all.same(Kind::List, vec![Some(Some(1)), None]);
    all.same(Kind::List, Some(vec![None::<u8>]));
    all.same(Kind::Bytes, Some(vec![1_u8]));
    all.same(Kind::Dict, Some(Empty {}));
    all.same(Kind::Str, Some(External::Unit));
    all.same(Kind::Dict, Some(External::Nothing(())));

    // Structs.
    all.same(Kind::Nil, Unit);
    all.same(Kind::F64, Newtype(2.5));
    all.same(Kind::List, Pair(-1, text("x")));
    all.same(Kind::Dict, Empty {});
    all.same(Kind::Dict, Plain::default());
    all.same(
        Kind::Dict,
        Plain {
            a: 255,
            b: i64::MIN,
            c: f32::MAX,
            d: 1e300,
            e: true,
            f: '€',
            g: text("text"),
            h: b"bytes".into(),
            i: Some(-1),
            j: (1, 2),
            k: [1, 2, 3, 250],
            l: u64::MAX.into(),
            m: i64::MIN.into(),
        },
    );
    let attributes = Attributes {
        renamed: 1,
        alias_here: 2,
        skipped: 0,
        defaulted: 3,
        maybe: None,
        bytes: b"raw".into(),
        cow: "borrowed".into(),
    };
    all.same(Kind::Dict, attributes.clone());
    all.same(Kind::Dict, Attributes { maybe: Some(text("some")), ..attributes });
    all.same(Kind::List, Transparent { inner: vec![1, 300] });
    all.same(Kind::I64, Converted(7));
    all.same(Kind::Str, Checked(text("checked")));
    all.same(Kind::Dict, Generic { value: vec![1_u8], marker: PhantomData::<String> });
    all.same(Kind::Nil, PhantomData::<u8>);
    all.same(Kind::Dict, vec![Tree { name: text("leaf"), children: vec![] }].pop().unwrap());
    all.same(
        Kind::Dict,
        Tree { name: text("root"), children: vec![Tree { name: text("a"), children: vec![] }; 3] },
    );
    all.same(Kind::Nil, Linked(None));

    // What serde buffers before it knows the type: flattened structs, tags.
    let rest = BTreeMap::from([(text("one"), 1), (text("minus"), -1)]);
    all.same(Kind::Dict, Flat { id: 1, inner: inner(), rest: rest.clone() });
    let empty = Inner { data: vec![], raw: vec![], ..inner() };
    all.same(Kind::Dict, Flat { id: 1, inner: empty.clone(), rest: BTreeMap::new() });
    let values = [
        (text("bytes"), Value::Bytes(b"x".into())),
        (text("list"), Value::List(vec![Value::Nil, Value::Bool(true)])),
        (text("float"), Value::F64(0.5)),
        (text("big"), Value::U64(u64::MAX)),
        (text("dict"), Value::Dict(vec![(Value::from(1), Value::from("x"))])),
    ];
    all.same(Kind::Dict, FlatValues { rest: BTreeMap::from(values) });
    let body = Internal::Struct { x: -1, y: b"y".into(), z: Some(0.1) };
    all.same(Kind::Dict, FlatEnum { id: 9, body });
    all.same(Kind::Dict, FlatEnum { id: 9, body: Internal::Unit });

    // Enums: the four representations.
    all.same(Kind::Str, External::Unit);
    all.same(Kind::Str, External::Renamed);
    all.same(Kind::Dict, External::Newtype(200));
    all.same(Kind::Dict, External::Bytes(vec![1, 200]));
    all.same(Kind::Dict, External::Bytes(vec![]));
    all.same(Kind::Dict, External::Tuple(1, text("x")));
    all.same(Kind::Dict, External::Struct { x: 1, y: vec![2] });
    all.same(Kind::Dict, External::Nothing(()));
    all.same(Kind::Dict, External::Nested(Box::new(External::Nested(Box::new(External::Unit)))));
    all.same(Kind::List, vec![External::Unit, External::Newtype(1)]);
    all.same(Kind::Dict, Internal::Unit);
    all.same(Kind::Dict, Internal::Newtype(inner()));
    all.same(Kind::Dict, Internal::Struct { x: 1, y: b"hello".into(), z: None });
    all.same(Kind::Dict, Internal::Struct { x: 1, y: vec![], z: Some(f32::MIN_POSITIVE) });
    all.same(Kind::Dict, Internal::Map(BTreeMap::from([(text("k"), vec![1, 2])])));
    all.same(Kind::Dict, Adjacent::Unit);
    all.same(Kind::Dict, Adjacent::Newtype(b"hello".into()));
    all.same(Kind::Dict, Adjacent::Newtype(vec![]));
    all.same(Kind::Dict, Adjacent::Tuple(1, 0.1));
    all.same(Kind::Dict, Adjacent::Struct { x: Some(vec![1]) });
    all.same(Kind::Dict, Adjacent::Struct { x: None });
    all.same(Kind::I64, Untagged::Number(-5));
    all.same(Kind::F64, Untagged::Float(0.5));
    all.same(Kind::Bytes, Untagged::B(b"hello".into()));
    all.same(Kind::List, Untagged::B(vec![]));
    all.same(Kind::Str, Untagged::S(text("hello")));
    all.same(Kind::List, Untagged::Pair(text("x"), vec![1]));
    all.same(Kind::Dict, Untagged::Struct { x: 1, y: vec![200] });
    all.same(Kind::Nil, Untagged::Unit);
    all.same(Kind::List, vec![Untagged::B(b"hello".into()), Untagged::S(text("hello"))]);
    all.same(Kind::Bytes, UntaggedBytes::Raw(ByteBuf::from(b"hello".to_vec())));
    all.same(Kind::List, UntaggedBytes::List(vec![text("x")]));
    all.same(Kind::Dict, Ok::<i32, String>(5));
    all.same(Kind::Dict, Err::<i32, String>(text("failed")));

    // Dictionaries, with keys of any kind.
    all.same(Kind::Dict, BTreeMap::<String, u8>::new());
    all.same(Kind::Dict, BTreeMap::from([(text("a"), 1), (text("b"), 2)]));
    all.same(Kind::Dict, HashMap::from([(text("a"), vec![1_u8]), (text("b"), vec![])]));
    all.same(Kind::Dict, IndexMap::<_, _>::from([(text("z"), 1), (text("a"), 2)]));
    all.same(Kind::Dict, BTreeMap::from([(-1, text("a")), (300, text("b"))]));
    all.same(Kind::Dict, BTreeMap::from([(u64::MAX, ())]));
    all.same(Kind::Dict, BTreeMap::from([(true, 1.5)]));
    all.same(Kind::Dict, BTreeMap::from([('x', 'y')]));
    all.same(Kind::Dict, BTreeMap::from([((1, text("k")), 1)]));
    all.same(Kind::Dict, BTreeMap::from([(vec![1_u8, 2], 1)]));
    all.same(Kind::Dict, BTreeMap::from([(ByteBuf::from(b"k".to_vec()), 1)]));
    all.same(Kind::Dict, BTreeMap::from([(Some(1), 1), (None, 2)]));
    all.same(Kind::Dict, BTreeMap::from([(External::Unit, 1), (External::Newtype(2), 2)]));
    all.same(Kind::Dict, BTreeMap::from([((), 1)]));
    all.same(Kind::Dict, (0..70_000).map(|key| (key, key)).collect::<BTreeMap<u32, u32>>());

    // The standard library's.
    all.same(Kind::Str, PathBuf::from("/a/b"));
    all.same(Kind::Dict, Duration::new(5, 999_999_999));
    all.same(Kind::Dict, UNIX_EPOCH + Duration::new(1, 5));
    all.same(Kind::Str, IpAddr::from(Ipv4Addr::LOCALHOST));
    all.same(Kind::Str, Ipv6Addr::LOCALHOST);
    all.same(Kind::Str, "127.0.0.1:80".parse::<SocketAddr>().unwrap());
    all.same(Kind::List, vec![IpAddr::from(Ipv6Addr::UNSPECIFIED)]);
    all.same(Kind::Dict, 1..5);
    all.same(Kind::Dict, 1..=5);
    all.same(Kind::Dict, Bound::Included(5));
    all.same(Kind::Str, Bound::<i32>::Unbounded);
    all.same(Kind::I64, Box::new(5));
    all.same(Kind::Str, Cow::<'static, str>::from("cow"));
    all.same(Kind::I64, Cell::new(5));
    all.same(Kind::Bytes, RefCell::new(vec![5_u8]));
    all.by(Kind::I64, &Mutex::new(5), |read| assert_eq!(*read.lock().unwrap(), 5));
    all.same(Kind::List, (Rc::<str>::from("rc").to_string(), Arc::<str>::from("arc").to_string()));

    // Others' types.
    let json = serde_json::json!({
        "null": null, "bool": true, "int": -5, "big": u64::MAX, "float": 0.1, "text": "x",
        "bytes like": [1, 2, 255], "empty": [], "object": {"nested": [null, [[]]]}
    });
    all.same(Kind::Dict, json.clone());
    all.same(Kind::List, serde_json::json!([1, 2, 255]));
    all.same(Kind::Nil, serde_json::Value::Null);
    all.same(Kind::Str, serde_json::json!("text"));
    all.same(Kind::F64, serde_json::json!(0.5));
    all.same(Kind::List, vec![json]);
    let time = chrono::DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
    all.same(Kind::Str, time);
    all.same(Kind::Str, time.naive_utc());
    all.same(Kind::Str, time.date_naive());
    all.same(Kind::List, vec![(time, chrono::Weekday::Mon)]);
    all.same(Kind::Str, chrono::Month::March);

    // Values.
    all.same(Kind::Pod, Value::Pod { type_id: 9, bytes: vec![1, 2] });
    all.same(Kind::Opaque, Value::Opaque { language: 1, bytes: vec![] });
    all.same(Kind::Bytes, Value::Bytes(vec![]));
    all.same(Kind::I64, Value::U64(5));
    all.same(Kind::List, Value::List(vec![Value::Pod { type_id: 1, bytes: vec![3] }, Value::Nil]));
    let twice = vec![(Value::from("a"), Value::Nil), (Value::from("a"), Value::from(2))];
    all.same(Kind::Dict, Value::Dict(twice));
    all.same(Kind::Dict, BTreeMap::from([(text("x"), Value::Pod { type_id: 1, bytes: vec![] })]));

    // Depth.
    all.same(Kind::List, deep(60));
    all.same(Kind::List, deep_value(128));

    let map = &all.map;
    map.set("unannounced", Unannounced(vec!["a", "b"])).unwrap();
    assert_eq!(map.get::<Vec<String>>("unannounced").unwrap(), ["a", "b"]);
    let check = map.check().unwrap();
    assert!(check.is_whole(), "{check:?}");
    println!("figure: shapes that read back equal = {} (goal 150 at least)", all.count);
    assert!(all.count >= 150);
}

#[test]
fn what_would_not_read_back_is_refused_and_the_old_value_stays() {
    use ErrorKind::{InvalidArgument, OutOfRange};
    let mut shapes = Shapes::new("shapes-refused");
    let all = &mut shapes;

    // Nil within `Some`.
    all.refused(InvalidArgument, Some(None::<i32>));
    all.refused(InvalidArgument, Some(()));
    all.refused(InvalidArgument, Some(Unit));
    all.refused(InvalidArgument, Some(Some(None::<i32>)));
    all.refused(InvalidArgument, Some(Linked(None)));
    all.refused(InvalidArgument, vec![Some(None::<i32>)]);
    all.refused(InvalidArgument, BTreeMap::from([(1, Some(()))]));
    all.refused(InvalidArgument, Some(Value::Nil));
    all.refused(InvalidArgument, Some(serde_json::Value::Null));
    all.refused(InvalidArgument, Some(Untagged::Unit));

    // Numbers beyond 64 bits.
    all.refused(OutOfRange, u128::MAX);
    all.refused(OutOfRange, i128::MIN);
    all.refused(OutOfRange, vec![u128::MAX]);
    all.refused(OutOfRange, (i128::MIN,));
    all.refused(OutOfRange, Plain { l: u128::MAX, ..Plain::default() });
    all.refused(OutOfRange, Plain { m: i128::MAX, ..Plain::default() });

    // Depth.
    all.refused(InvalidArgument, deep(129));
    all.refused(InvalidArgument, deep_value(129));
    all.refused(InvalidArgument, deep_value(2_000));
    let linked = (0..10_000).fold(Linked(None), |inner, _| Linked(Some(Box::new(inner))));
    all.refused(InvalidArgument, &linked);
    // A drop of so many levels is no part of this.
    std::mem::forget(linked);

    // A wrong number of elements, and two fields of one name.
    all.refused(InvalidArgument, Misreports(0));
    all.refused(InvalidArgument, Misreports(1));
    all.refused(InvalidArgument, Misreports(3));
    all.refused(InvalidArgument, vec![Misreports(3)]);
    let rest = BTreeMap::from([(text("id"), 2)]);
    all.refused(InvalidArgument, Flat { id: 1, inner: inner(), rest });
    // What serde itself refuses.
    all.refused(InvalidArgument, Tagged::Number(1));

    for levels in [129, 2_000] {
        let error = all.map.set("kept", deep_value(levels)).unwrap_err();
        assert_eq!(error.kind(), InvalidArgument, "{error}");
    }
    assert_eq!(all.map.get::<String>("kept").unwrap(), "old");
    assert!(all.map.check().unwrap().is_whole());
    println!("figure: shapes that are refused = {}", all.count);
}

/// A type that never ends reads a value that another process has set.
#[test]
fn a_type_without_an_end_reads_no_number() {
    let (map, _) = common::map("shapes-endless");
    map.set("number", 5).unwrap();
    map.set("list", [1]).unwrap();
    let var = map.var::<Linked>("number").unwrap();
    for error in [
        map.get::<Linked>("number").unwrap_err(),
        var.get().unwrap_err(),
        map.get::<Vec<Linked>>("list").unwrap_err(),
        map.set("number", endless(200)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("nested deeper than 128 levels"), "{error}");
    }
}

fn endless(levels: usize) -> impl Serialize {
    #[derive(Serialize)]
    struct Number(Box<Endless>);
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Endless {
        More(Option<Number>),
        End(u8),
    }
    (0..levels).fold(Endless::End(1), |inner, _| Endless::More(Some(Number(Box::new(inner)))))
}

/// Numbers that a type reads although another type set them, and numbers that it does not.
#[test]
fn numbers_convert_where_nothing_is_lost() {
    let (map, _) = common::map("shapes-numbers");
    let set = |value: Value| {
        map.set("n", &value).unwrap();
        map.set("list", vec![value]).unwrap();
    };
    set(Value::from(5));
    assert_eq!(map.get::<f64>("n").unwrap(), 5.0);
    assert_eq!(map.get::<f32>("n").unwrap(), 5.0);
    assert_eq!(map.get::<[f64; 1]>("list").unwrap(), [5.0]);
    assert_eq!(map.get::<[f32; 1]>("list").unwrap(), [5.0]);
    assert_eq!(map.get::<[u8; 1]>("list").unwrap(), [5]);
    set(Value::from((1_i64 << 53) + 1));
    for error in [
        map.get::<f64>("n").unwrap_err(),
        map.get::<f32>("n").unwrap_err(),
        map.get::<[f64; 1]>("list").unwrap_err(),
        map.get::<[f32; 1]>("list").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
    }
    set(Value::U64(u64::MAX));
    assert_eq!(map.get::<f64>("n").unwrap_err().kind(), ErrorKind::OutOfRange);
    set(Value::U64(1 << 63));
    assert_eq!(map.get::<f64>("n").unwrap(), 2.0_f64.powi(63));
    assert_eq!(map.get::<(f64,)>("list").unwrap().0, 2.0_f64.powi(63));
    set(Value::F64(0.1));
    assert_eq!(map.get::<f32>("n").unwrap(), 0.1);
    assert_eq!(map.get::<(f32,)>("list").unwrap().0, 0.1);
    set(Value::F64(1e300));
    assert_eq!(map.get::<f32>("n").unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(map.get::<(f32,)>("list").unwrap_err().kind(), ErrorKind::OutOfRange);
    set(Value::F64(5.0));
    assert_eq!(map.get::<i64>("n").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(map.get::<(i64,)>("list").unwrap_err().kind(), ErrorKind::WrongKind);
    set(Value::from(300));
    assert_eq!(map.get::<u8>("n").unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(map.get::<(u8,)>("list").unwrap_err().kind(), ErrorKind::OutOfRange);
}

/// A list has no bytes that a caller could use.
#[test]
fn the_bytes_of_a_list_are_not_handed_out() {
    let (map, _) = common::map("shapes-bytes");
    let frame = map.var_or("frame", vec![0_u8; 0]).unwrap();
    let mut buffer = [7; 8];
    assert_eq!(frame.read_bytes(&mut buffer).unwrap(), 0);
    assert_eq!(buffer, [7; 8]);
    frame.write_bytes(b"abc").unwrap();
    assert_eq!(frame.read_bytes(&mut buffer).unwrap(), 3);
    assert_eq!(frame.get().unwrap(), b"abc");
    let long = vec!["x"; 10_000];
    for list in [Value::List(vec![Value::Nil]), Value::Dict(vec![])] {
        map.set("frame", list).unwrap();
        let error = frame.read_bytes(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKind, "{error}");
    }
    map.set("frame", &long).unwrap();
    assert_eq!(frame.read_bytes(&mut buffer).unwrap_err().kind(), ErrorKind::WrongKind);
    map.set("frame", Value::Bytes(vec![])).unwrap();
    assert_eq!(frame.read_bytes(&mut buffer).unwrap(), 0);
    assert_eq!(frame.get().unwrap(), b"");
}
