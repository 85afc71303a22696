//! Descriptions, as any process may write them.

use super::{
    Field, Layout, Scalar, Shape, description,
    dict::{dict, part_of},
    shape::LARGEST,
    wire::described,
};
use mapvar_engine::value::Data;
use mapvar_os::ErrorKind;
use std::thread;

fn layout() -> Layout {
    let wheel = Layout::new(
        "Wheel",
        8,
        4,
        vec![
            Field::new("on", 0, Shape::Scalar(Scalar::Bool)),
            Field::new("speed", 4, Shape::Scalar(Scalar::F32)),
        ],
    );
    let wheels = Shape::Array(Box::new(Shape::Struct(Box::new(wheel))), 4);
    let grid = Shape::Array(Box::new(Shape::Array(Box::new(Shape::Scalar(Scalar::I16)), 3)), 2);
    Layout::new("Car", 48, 4, vec![Field::new("wheels", 0, wheels), Field::new("grid", 32, grid)])
}

#[test]
fn a_description_reads_back() {
    let bytes = description(&layout()).unwrap();
    assert_eq!(described(&bytes).unwrap(), layout());
    // The page docs/FORMAT.md has this example.
    let expected: &[u8] = b"\x01\x03Car\x30\0\0\0\x02\x02\0\
        \x06wheels\0\0\0\0\x01\x04\0\0\0\x20\
        \x05Wheel\x08\0\0\0\x02\x02\0\x02on\0\0\0\0\0\x01\x05speed\x04\0\0\0\0\x0a\
        \x04grid\x20\0\0\0\x02\x02\0\0\0\x03\0\0\0\x03";
    assert_eq!(bytes, expected);
}

#[test]
fn what_describes_no_layout_is_refused() {
    let one = |offset, shape| vec![Field::new("x", offset, shape)];
    let byte = || Shape::Scalar(Scalar::U8);
    let array = |shape, count| Shape::Array(Box::new(shape), count);
    let mut deep = byte();
    for _ in 0..17 {
        deep = Shape::Struct(Box::new(Layout::new("D", 1, 1, one(0, deep))));
    }
    let mut dimensions = byte();
    for _ in 0..9 {
        dimensions = array(dimensions, 1);
    }
    let two = |name: &str, offset| {
        vec![Field::new("x", 0, Shape::Scalar(Scalar::U32)), Field::new(name, offset, byte())]
    };
    let many = (0..4097).map(|at| Field::new(&at.to_string(), at, byte())).collect();
    for (what, layout) in [
        ("no fields", Layout::new("T", 1, 1, vec![])),
        ("no bytes", Layout::new("T", 0, 1, vec![])),
        ("no name", Layout::new("", 1, 1, one(0, byte()))),
        ("a name with a zero", Layout::new("a\0b", 1, 1, one(0, byte()))),
        ("beyond the end", Layout::new("T", 1, 1, one(1, byte()))),
        ("far beyond the end", Layout::new("T", 8, 1, one(u32::MAX as usize, byte()))),
        ("an array beyond the end", Layout::new("T", 8, 1, one(0, array(byte(), 9)))),
        ("a huge array", Layout::new("T", 8, 1, one(0, array(array(byte(), 1 << 31), 1 << 31)))),
        ("an empty array", Layout::new("T", 8, 1, one(0, array(byte(), 0)))),
        ("nine dimensions", Layout::new("T", 8, 1, one(0, dimensions))),
        ("an overlap", Layout::new("T", 8, 1, two("y", 3))),
        ("a name twice", Layout::new("T", 8, 1, two("x", 4))),
        ("a dot", Layout::new("T", 8, 1, two("a.b", 4))),
        ("too deep", Layout::new("T", 1, 1, one(0, deep))),
        ("too many", Layout::new("T", 1 << 20, 1, many)),
        ("too large", Layout::new("T", (1 << 20) + 1, 1, one(0, byte()))),
        ("an alignment of three", Layout::new("T", 1, 3, one(0, byte()))),
    ] {
        let error = layout.check().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{what}");
        assert_eq!(description(&layout).unwrap_err().kind, ErrorKind::InvalidArgument, "{what}");
        // The same from another process, which checks nothing.
        let mut bytes = vec![1];
        super::wire::write_struct(&layout, &mut bytes);
        // A description has the logarithm of the alignment.
        assert!(described(&bytes).is_err() || what.contains("alignment"), "{what}");
    }
}

#[test]
fn cut_and_changed_descriptions_do_no_harm() {
    let whole = description(&layout()).unwrap();
    for len in 0..whole.len() {
        assert_eq!(described(&whole[..len]).unwrap_err().kind, ErrorKind::Corrupt, "{len}");
    }
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            if let Ok(layout) = described(&bytes) {
                assert_eq!(description(&layout).unwrap(), bytes, "one form for each layout");
            }
        }
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(described(&longer).is_err());
    let mut later = whole.clone();
    later[0] = 2;
    assert_eq!(described(&later).unwrap_err().kind, ErrorKind::Version);
    let last = later.len() - 1;
    let mut unknown = whole;
    unknown[last] = 13;
    assert_eq!(described(&unknown).unwrap_err().kind, ErrorKind::Version);
}

#[test]
fn a_layout_tells_its_parts() {
    let layout = layout();
    assert_eq!((layout.name(), layout.size()), ("Car", 48));
    let fields: Vec<_> =
        layout.fields().iter().map(|field| (field.name(), field.offset())).collect();
    assert_eq!(fields, [("wheels", 0), ("grid", 32)]);
    assert_eq!(layout.fields()[1].shape().to_string(), "[[i16; 3]; 2]");
}

/// The message for a program that has another type than the map.
#[test]
fn a_difference_within_a_nested_struct_is_named_there() {
    let outer = |name: &str, offset, inner: Scalar| {
        let size = inner.size();
        let inner = Layout::new("In", size, size, vec![Field::new("x", 0, Shape::Scalar(inner))]);
        Layout::new("Out", 16, 8, vec![Field::new(name, offset, Shape::Struct(Box::new(inner)))])
    };
    let one = outer("a", 0, Scalar::F32);
    assert_eq!(
        one.difference(&outer("a", 0, Scalar::F64)),
        "in field \"a\" one has field \"x\" of type f32 at byte 0, the other \"x\" of type f64 at \
         byte 0"
    );
    // The fields themselves differ.
    for other in [outer("b", 0, Scalar::F64), outer("a", 8, Scalar::F64)] {
        let text = one.difference(&other);
        assert!(text.starts_with("one has field \"a\" of type In { x: f32 } at byte 0"), "{text}");
    }
}

/// The largest of each figure; `what_describes_no_layout_is_refused` has the next.
#[test]
fn the_limits_themselves_are_allowed() {
    let byte = || Shape::Scalar(Scalar::U8);
    let one = |shape| vec![Field::new("x", 0, shape)];
    let array = |shape, count| Shape::Array(Box::new(shape), count);
    let (mut deep, mut dimensions) = (byte(), byte());
    for _ in 0..15 {
        deep = Shape::Struct(Box::new(Layout::new("D", 1, 1, one(deep))));
    }
    for _ in 0..8 {
        dimensions = array(dimensions, 1);
    }
    let largest = LARGEST as usize;
    for (what, layout) in [
        ("bytes", Layout::new("T", largest, 1, one(byte()))),
        ("elements", Layout::new("T", largest, 1, one(array(byte(), LARGEST)))),
        ("alignment", Layout::new("T", largest, largest, one(byte()))),
        ("levels", Layout::new("T", 1, 1, one(deep))),
        ("dimensions", Layout::new("T", 1, 1, one(dimensions))),
        (
            "fields",
            Layout::new(
                "T",
                4096,
                1,
                (0..4096).map(|at| Field::new(&at.to_string(), at, byte())).collect(),
            ),
        ),
    ] {
        let bytes = description(&layout).map_err(|flaw| flaw.detail);
        assert_eq!(
            bytes.and_then(|it| described(&it).map_err(|flaw| flaw.detail)),
            Ok(layout),
            "{what}"
        );
    }
    let beyond = Layout::new("T", largest, 2 * largest, one(byte()));
    assert_eq!(beyond.check().unwrap_err().kind, ErrorKind::Corrupt);
}

#[test]
fn a_description_has_at_most_65_535_bytes() {
    // 10 bytes for the struct, and 7 for each field beside its name.
    let layout = |last: usize| {
        let mut fields: Vec<_> = (0..250)
            .map(|at| Field::new(&format!("{at:0>255}"), at, Shape::Scalar(Scalar::U8)))
            .collect();
        fields.push(Field::new(&"z".repeat(last), 250, Shape::Scalar(Scalar::U8)));
        Layout::new("T", 251, 1, fields)
    };
    let bytes = description(&layout(18)).unwrap();
    assert_eq!(bytes.len(), 65_535);
    assert_eq!(described(&bytes).unwrap(), layout(18));
    assert_eq!(description(&layout(19)).unwrap_err().kind, ErrorKind::InvalidArgument);
    let mut longer = vec![1];
    super::wire::write_struct(&layout(19), &mut longer);
    assert_eq!(described(&longer).unwrap_err().kind, ErrorKind::Corrupt);
}

/// The levels of a description take stack, so they end before it does.
#[test]
fn a_deep_description_takes_little_stack() {
    // A struct "D" of one field "x", of which the type is such a struct.
    let bytes = [&[1][..], &b"\x01D\x01\0\0\0\0\x01\0\x01x\0\0\0\0\0\x20".repeat(3_800)].concat();
    assert!(bytes.len() < 65_535);
    let thread = thread::Builder::new().stack_size(128 << 10);
    let refused = thread.spawn(move || described(&bytes).unwrap_err().kind).unwrap().join();
    assert_eq!(refused.unwrap(), ErrorKind::Corrupt);
}

#[test]
fn a_bool_that_is_none_is_named_by_its_path() {
    let mut bytes = [0; 48];
    assert!(dict(&layout(), &bytes).is_ok());
    bytes[2 * 8] = 7;
    let flaw = dict(&layout(), &bytes).unwrap_err();
    assert_eq!(flaw.kind, ErrorKind::Corrupt);
    assert_eq!(flaw.detail, "its field \"wheels.2.on\", a bool, is 7, neither 0 nor 1");
}

/// Names are repeated for each element, so a struct of 240 kB can be 64 MiB as a dictionary.
#[test]
fn a_dictionary_has_a_limit_of_64_mib() {
    let element =
        Layout::new("E", 1, 1, vec![Field::new(&"e".repeat(255), 0, Shape::Scalar(Scalar::U8))]);
    let wide = |name: usize| {
        let elements = Shape::Array(Box::new(Shape::Struct(Box::new(element.clone()))), 244_922);
        Layout::new("T", 244_922, 1, vec![Field::new(&"n".repeat(name), 0, elements)])
    };
    let bytes = vec![255; 244_922];
    // 274 bytes at most for each element, and 5 each for two heads and the name's.
    let most = 244_922 * 274 + 15 + 221;
    assert_eq!(most, 64 << 20);
    let whole = dict(&wide(221), &bytes).map_err(|flaw| flaw.detail).unwrap();
    assert!(matches!(whole.data, Data::Bytes(packed) if packed.len() <= most));
    assert_eq!(dict(&wide(222), &bytes).unwrap_err().kind, ErrorKind::TooLarge);
    // Its field alone: a larger array.
    let element = Shape::Struct(Box::new(element));
    assert!(part_of(&Shape::Array(Box::new(element.clone()), 244_922), &bytes).is_ok());
    let larger = Shape::Array(Box::new(element), 244_923);
    assert_eq!(part_of(&larger, &bytes).unwrap_err().kind, ErrorKind::TooLarge);
}
