//! What is set is what is read, for types that proptest makes up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints its figures"
)]
#![allow(clippy::cast_sign_loss, reason = "the number is one of the type")]
#![allow(clippy::struct_excessive_bools, reason = "each is a fault of its own")]

#[path = "../common/mod.rs"]
mod common;
mod dynamic;

use dynamic::{Datum, MOST, Shape, Typed, Variant, read_as};
use mapvar::{ErrorKind, Map};
use proptest::{collection::vec, prelude::*, strategy::Union};
use std::rc::Rc;

/// Types without content.
fn leaf() -> impl Strategy<Value = Shape> {
    use Shape::{
        Bool, Bytes, Char, F32, F64, I8, I16, I32, I64, I128, Str, U8, U16, U32, U64, U128, Unit,
        UnitStruct,
    };
    prop::sample::select(vec![
        Unit, UnitStruct, Bool, I8, I16, I32, I64, I128, U8, U16, U32, U64, U128, F32, F64, Char,
        Str, Bytes,
    ])
}

fn shape() -> impl Strategy<Value = Shape> {
    leaf().prop_recursive(5, 24, 4, |inner| {
        let of = || inner.clone().prop_map(Rc::new);
        let some = || vec(inner.clone(), 0..=4);
        let variant = prop_oneof![
            Just(Variant::Unit),
            inner.clone().prop_map(Variant::Newtype),
            some().prop_map(Variant::Tuple),
            some().prop_map(Variant::Struct),
        ];
        // What serde puts a field beside.
        let fields = prop_oneof![
            some().prop_map(Shape::Struct),
            of().prop_map(|value| Shape::Map(Rc::new(Shape::Str), value)),
        ];
        let fields = fields.prop_map(Rc::new).boxed();
        Union::new_weighted(vec![
            (3, of().prop_map(Shape::Option).boxed()),
            (2, of().prop_map(Shape::Newtype).boxed()),
            (3, of().prop_map(Shape::Seq).boxed()),
            (1, some().prop_map(Shape::Tuple).boxed()),
            (1, some().prop_map(Shape::TupleStruct).boxed()),
            (2, (of(), of()).prop_map(|(key, value)| Shape::Map(key, value)).boxed()),
            (3, some().prop_map(Shape::Struct).boxed()),
            (3, vec(variant, 1..=MOST).prop_map(Shape::Enum).boxed()),
            (1, of().prop_map(|of| Shape::Untagged(buffered(&of))).boxed()),
            (1, of().prop_map(|of| Shape::Adjacent(buffered(&of))).boxed()),
            (1, fields.clone().prop_map(|of| Shape::Internal(buffered(&of))).boxed()),
            (1, fields.prop_map(|of| Shape::Flat(buffered(&of))).boxed()),
        ])
    })
}

/// A type for which serde buffers the value. It cannot buffer integers of 128 bits, in any format.
fn buffered(shape: &Shape) -> Rc<Shape> {
    fn all(of: &[Shape]) -> Vec<Shape> {
        of.iter().map(narrow).collect()
    }
    fn one(of: &Shape) -> Rc<Shape> {
        Rc::new(narrow(of))
    }
    fn narrow(shape: &Shape) -> Shape {
        match shape {
            Shape::I128 => Shape::I64,
            Shape::U128 => Shape::U64,
            Shape::Option(of) => Shape::Option(one(of)),
            Shape::Newtype(of) => Shape::Newtype(one(of)),
            Shape::Seq(of) => Shape::Seq(one(of)),
            Shape::Tuple(of) => Shape::Tuple(all(of)),
            Shape::TupleStruct(of) => Shape::TupleStruct(all(of)),
            Shape::Map(key, value) => Shape::Map(one(key), one(value)),
            Shape::Struct(of) => Shape::Struct(all(of)),
            Shape::Enum(variants) => {
                let variants = variants.iter().map(|variant| match variant {
                    Variant::Unit => Variant::Unit,
                    Variant::Newtype(of) => Variant::Newtype(narrow(of)),
                    Variant::Tuple(of) => Variant::Tuple(all(of)),
                    Variant::Struct(of) => Variant::Struct(all(of)),
                });
                Shape::Enum(variants.collect())
            }
            Shape::Untagged(of) => Shape::Untagged(one(of)),
            Shape::Adjacent(of) => Shape::Adjacent(one(of)),
            Shape::Internal(of) => Shape::Internal(one(of)),
            Shape::Flat(of) => Shape::Flat(one(of)),
            other => other.clone(),
        }
    }
    one(shape)
}

/// Integers from `least` to `most`, the ends and the neighbours of powers of two among them.
fn int(least: i128, most: i128) -> BoxedStrategy<Datum> {
    let edge = (0..127_u32, -1..=1_i128, any::<bool>()).prop_map(|(bit, beside, negative)| {
        let power = (1_i128 << bit).saturating_add(beside);
        if negative { -power } else { power }
    });
    prop_oneof![Just(least), Just(most), least..=most, edge]
        .prop_map(move |number| Datum::Int(number.clamp(least, most)))
        .boxed()
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        3 => ".{0,12}",
        1 => prop::sample::select(vec!["", "id", "t", "c", "One", "alpha"]).prop_map(String::from),
        1 => (0..70_000_usize).prop_map(|len| "x".repeat(len % 300 * (len % 300) % 70_000)),
    ]
    .boxed()
}

fn each(of: &[Shape]) -> BoxedStrategy<Datum> {
    of.iter().map(datum).collect::<Vec<_>>().prop_map(Datum::Many).boxed()
}

/// Values of this type.
fn datum(shape: &Shape) -> BoxedStrategy<Datum> {
    match shape {
        Shape::Unit | Shape::UnitStruct => Just(Datum::Nothing).boxed(),
        Shape::Bool => any::<bool>().prop_map(Datum::Bool).boxed(),
        Shape::I8 => int(i8::MIN.into(), i8::MAX.into()),
        Shape::I16 => int(i16::MIN.into(), i16::MAX.into()),
        Shape::I32 => int(i32::MIN.into(), i32::MAX.into()),
        Shape::I64 => int(i64::MIN.into(), i64::MAX.into()),
        Shape::I128 => prop_oneof![
            9 => int(i64::MIN.into(), u64::MAX.into()),
            1 => int(i128::MIN + 1, i128::MAX),
        ]
        .boxed(),
        Shape::U8 => int(0, u8::MAX.into()),
        Shape::U16 => int(0, u16::MAX.into()),
        Shape::U32 => int(0, u32::MAX.into()),
        Shape::U64 => int(0, u64::MAX.into()),
        Shape::U128 => prop_oneof![
            9 => any::<u64>().prop_map(|number| Datum::Wide(number.into())),
            1 => any::<u128>().prop_map(Datum::Wide),
        ]
        .boxed(),
        // A NaN that signals may become a quiet one on the way through a register.
        Shape::F32 => prop::num::f32::ANY
            .prop_map(|float| Datum::F32(if float.is_nan() { f32::NAN } else { float }.to_bits()))
            .boxed(),
        Shape::F64 => prop::num::f64::ANY
            .prop_map(|float| Datum::F64(if float.is_nan() { f64::NAN } else { float }.to_bits()))
            .boxed(),
        Shape::Char => any::<char>().prop_map(Datum::Char).boxed(),
        Shape::Str => text().prop_map(Datum::Str).boxed(),
        Shape::Bytes => vec(any::<u8>(), 0..40).prop_map(Datum::Bytes).boxed(),
        Shape::Option(of) => prop_oneof![
            Just(Datum::Nothing),
            datum(of).prop_map(|datum| Datum::Some(Box::new(datum))),
        ]
        .boxed(),
        Shape::Seq(of) => vec(datum(of), 0..6).prop_map(Datum::Many).boxed(),
        Shape::Tuple(of) | Shape::TupleStruct(of) | Shape::Struct(of) => each(of),
        Shape::Map(key, value) => vec((datum(key), datum(value)), 0..5)
            .prop_map(|mut pairs| {
                let mut seen = Vec::new();
                pairs.retain(|(key, _)| {
                    let new = !seen.contains(key);
                    seen.push(key.clone());
                    new
                });
                Datum::Map(pairs)
            })
            .boxed(),
        Shape::Enum(variants) => {
            let all = variants.iter().enumerate().map(|(number, variant)| {
                let content = match variant {
                    Variant::Unit => Just(Datum::Nothing).boxed(),
                    Variant::Newtype(of) => datum(of),
                    Variant::Tuple(of) | Variant::Struct(of) => each(of),
                };
                content.prop_map(move |datum| Datum::Variant(number, Box::new(datum))).boxed()
            });
            Union::new(all).boxed()
        }
        Shape::Newtype(of)
        | Shape::Untagged(of)
        | Shape::Adjacent(of)
        | Shape::Internal(of)
        | Shape::Flat(of) => datum(of),
    }
}

fn typed() -> impl Strategy<Value = Typed> {
    let any = shape().prop_flat_map(|shape| (Just(shape.clone()), datum(&shape)));
    // Now and then within so many lists, newtypes or options that the limit of the depth is near.
    let levels = prop_oneof![8 => Just(0_u32), 2 => 110..135_u32];
    (any, levels, 0..4_u32).prop_map(|((shape, datum), levels, kind)| {
        (0..levels).fold(Typed { shape, datum }, |Typed { shape, datum }, level| {
            let of = Rc::new(shape);
            match if kind == 3 { level % 3 } else { kind } {
                0 => Typed { shape: Shape::Seq(of), datum: Datum::Many(vec![datum]) },
                1 => Typed { shape: Shape::Newtype(of), datum },
                _ => Typed { shape: Shape::Option(of), datum: Datum::Some(Box::new(datum)) },
            }
        })
    })
}

/// Why `set` has to refuse a value.
#[derive(Debug, Default)]
struct Faults {
    deep: bool,
    wide: bool,
    some_nil: bool,
    repeated: bool,
}

impl Faults {
    /// Notes the faults of a value that may lie so many levels deep.
    fn note(&mut self, shape: &Shape, datum: &Datum, left: i32) {
        self.deep |= left < 0;
        let each = |faults: &mut Self, of: &[Shape], datum: &Datum, left: i32| {
            faults.deep |= left < 0;
            let Datum::Many(many) = datum else { panic!("{datum:?}") };
            for (of, datum) in of.iter().zip(many) {
                faults.note(of, datum, left);
            }
        };
        match (shape, datum) {
            (Shape::Option(of), Datum::Some(datum)) => {
                self.some_nil |= is_nil(of, datum);
                self.note(of, datum, left - 1);
            }
            (Shape::Newtype(of), datum) => self.note(of, datum, left - 1),
            (Shape::Seq(of), Datum::Many(many)) => {
                self.deep |= left < 1;
                for datum in many {
                    self.note(of, datum, left - 1);
                }
            }
            (Shape::Tuple(of) | Shape::TupleStruct(of) | Shape::Struct(of), datum) => {
                each(self, of, datum, left - 1);
            }
            (Shape::Map(key, value), Datum::Map(pairs)) => {
                self.deep |= left < 1;
                for (one, two) in pairs {
                    self.note(key, one, left - 1);
                    self.note(value, two, left - 1);
                }
            }
            (Shape::Enum(variants), Datum::Variant(number, datum)) => match &variants[*number] {
                Variant::Unit => {}
                Variant::Newtype(of) => self.note(of, datum, left - 1),
                Variant::Tuple(of) | Variant::Struct(of) => each(self, of, datum, left - 2),
            },
            (Shape::Untagged(of), datum) => self.note(of, datum, left),
            (Shape::Adjacent(of), datum) => {
                self.deep |= left < 1;
                self.note(of, datum, left - 1);
            }
            (Shape::Internal(of), datum) => {
                self.repeated |= has_key(datum, "t");
                self.note(of, datum, left);
            }
            (Shape::Flat(of), datum) => {
                self.repeated |= has_key(datum, "id");
                self.note(of, datum, left);
            }
            (_, Datum::Int(number)) => {
                self.wide |= i64::try_from(*number).is_err() && u64::try_from(*number).is_err();
            }
            (_, Datum::Wide(number)) => self.wide |= u64::try_from(*number).is_err(),
            _ => {}
        }
    }

    fn any(&self) -> bool {
        self.deep || self.wide || self.some_nil || self.repeated
    }
}

fn has_key(datum: &Datum, wanted: &str) -> bool {
    let Datum::Map(pairs) = datum else { return false };
    pairs.iter().any(|(key, _)| *key == Datum::Str(wanted.into()))
}

/// Whether the value is stored as nil.
fn is_nil(shape: &Shape, datum: &Datum) -> bool {
    match (shape, datum) {
        (Shape::Unit | Shape::UnitStruct, _) | (Shape::Option(_), Datum::Nothing) => true,
        (Shape::Newtype(of) | Shape::Untagged(of), datum) => is_nil(of, datum),
        (Shape::Option(of), Datum::Some(datum)) => is_nil(of, datum),
        _ => false,
    }
}

/// Whether the value is a sequence of `u8` that is stored as bytes.
fn is_bytes(shape: &Shape, datum: &Datum) -> bool {
    match (shape, datum) {
        (Shape::Newtype(of) | Shape::Untagged(of), datum) => is_bytes(of, datum),
        (Shape::Option(of), Datum::Some(datum)) => is_bytes(of, datum),
        (Shape::Seq(of), Datum::Many(many)) => **of == Shape::U8 && !many.is_empty(),
        _ => false,
    }
}

/// Whether serde buffers a part of the value. It then takes bytes for what they are stored as, and
/// not for a list of `u8`.
fn buffers(shape: &Shape) -> bool {
    match shape {
        Shape::Untagged(_) | Shape::Adjacent(_) | Shape::Internal(_) | Shape::Flat(_) => true,
        Shape::Option(of) | Shape::Newtype(of) | Shape::Seq(of) => buffers(of),
        Shape::Tuple(of) | Shape::TupleStruct(of) | Shape::Struct(of) => of.iter().any(buffers),
        Shape::Map(key, value) => buffers(key) || buffers(value),
        Shape::Enum(variants) => variants.iter().any(|variant| match variant {
            Variant::Unit => false,
            Variant::Newtype(of) => buffers(of),
            Variant::Tuple(of) | Variant::Struct(of) => of.iter().any(buffers),
        }),
        _ => false,
    }
}

/// Reads the variable by its type, in every way.
fn read_back(map: &Map, typed: &Typed) -> Vec<(&'static str, mapvar::Result<Typed>)> {
    read_as(&typed.shape);
    let mut all = vec![("by name", map.get("v"))];
    read_as(&typed.shape);
    all.push(("found", map.find("v").map(|found| found.expect("it exists"))));
    read_as(&typed.shape);
    all.push(("by Var", map.var::<Typed>("v").and_then(|var| var.get())));
    read_as(&typed.shape);
    all.push(("in a snapshot", map.snapshot(["v"]).and_then(|all| all.get("v"))));
    all
}

/// Returns whether the value was accepted.
fn set_and_read(map: &Map, typed: &Typed) -> bool {
    let mut faults = Faults::default();
    // Bytes are no list, and so no level.
    let levels = if is_bytes(&typed.shape, &typed.datum) { 129 } else { 128 };
    faults.note(&typed.shape, &typed.datum, levels);
    map.set("v", "old").unwrap();
    map.set("t", "old").unwrap();
    let Err(error) = map.set("v", typed) else {
        assert!(!faults.any(), "accepted although {faults:?}: {typed:?}");
        for (way, read) in read_back(map, typed) {
            let read = read.unwrap_or_else(|error| panic!("{way}: {error}: {typed:?}"));
            assert_eq!(read, *typed, "{way}");
        }
        map.transaction(|tx| {
            tx.set("t", typed)?;
            read_as(&typed.shape);
            assert_eq!(tx.get::<Typed>("t")?, *typed);
            Ok::<_, mapvar::Error>(())
        })
        .unwrap();
        read_as(&typed.shape);
        assert_eq!(map.get::<Typed>("t").unwrap(), *typed);
        map.var::<Typed>("t").unwrap().set(typed.clone()).unwrap();
        read_as(&typed.shape);
        assert_eq!(map.get::<Typed>("t").unwrap(), *typed, "set by Var");

        let value = map.get::<mapvar::Value>("v").unwrap();
        map.set("copy", &value).unwrap();
        // By `Debug`, since no NaN equals itself.
        assert_eq!(
            format!("{:?}", map.get::<mapvar::Value>("copy").unwrap()),
            format!("{value:?}")
        );
        if !buffers(&typed.shape) {
            read_as(&typed.shape);
            assert_eq!(map.get::<Typed>("copy").unwrap(), *typed, "the copy of its value");
        }
        return true;
    };
    assert!(faults.any(), "refused without a reason: {error}: {typed:?}");
    let kinds = [ErrorKind::InvalidArgument, ErrorKind::OutOfRange];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(error.to_string().contains("\"v\""), "{error}");
    let by_var = map.var::<Typed>("v").unwrap().set(typed.clone()).unwrap_err();
    assert_eq!(by_var.kind(), error.kind(), "{by_var}");
    map.transaction(|tx| {
        assert_eq!(tx.set("v", typed).unwrap_err().kind(), error.kind());
        Ok::<_, mapvar::Error>(())
    })
    .unwrap();
    assert_eq!(map.get::<String>("v").unwrap(), "old");
    false
}

#[test]
fn every_type_reads_back_what_it_has_set() {
    let (map, _) = common::map("shapes-generated");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: common::scaled(10_000) as u32,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    });
    let (accepted, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let ran = runner.run(&typed(), |typed| {
        let count = if set_and_read(&map, &typed) { &accepted } else { &refused };
        count.set(count.get() + 1);
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    let check = map.check().unwrap();
    assert!(check.is_whole(), "{:?}", check.findings());
    let (accepted, refused) = (accepted.get(), refused.get());
    println!("figure: generated types that are stored = {accepted}, that are refused = {refused}");
    assert!(accepted > 9 * refused / 10 && refused > 0, "one side is hardly tested");
}
