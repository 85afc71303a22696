//! Descriptions, as any process may write them.

use super::{Field, Layout, Scalar, Shape, description, wire::described};
use mapvar_os::ErrorKind;

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
