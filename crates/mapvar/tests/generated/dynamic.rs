//! A type that is known only at run time: a description of it, and a value of it that implements
//! serde's traits as a derived type of that description would.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor},
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use std::{cell::RefCell, fmt, rc::Rc};

/// Names of fields, and of variants.
const NAMES: [&str; 8] = ["alpha", "b", "größe", "d4", "e e", "f", "g_long_name_of_a_field", ""];

/// The most fields, elements or variants of a type.
pub(crate) const MOST: usize = NAMES.len();

fn names(count: usize) -> &'static [&'static str] {
    &NAMES[..count]
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Unit,
    UnitStruct,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    /// As `serde_bytes` writes them.
    Bytes,
    Option(Rc<Shape>),
    Newtype(Rc<Shape>),
    Seq(Rc<Shape>),
    Tuple(Vec<Shape>),
    TupleStruct(Vec<Shape>),
    Map(Rc<Shape>, Rc<Shape>),
    Struct(Vec<Shape>),
    Enum(Vec<Variant>),
    /// An enum whose one variant has `#[serde(untagged)]`: serde buffers the value.
    Untagged(Rc<Shape>),
    /// `#[serde(tag = "t", content = "c")]`
    Adjacent(Rc<Shape>),
    /// `#[serde(tag = "t")]`, of a struct or a map with text as keys.
    Internal(Rc<Shape>),
    /// `#[serde(flatten)]`, of a struct or a map with text as keys.
    Flat(Rc<Shape>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Variant {
    Unit,
    Newtype(Shape),
    Tuple(Vec<Shape>),
    Struct(Vec<Shape>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum {
    /// A unit, and `None`.
    Nothing,
    Bool(bool),
    Int(i128),
    /// A `u128`.
    Wide(u128),
    /// The bits, so that each value equals itself.
    F32(u32),
    F64(u64),
    Char(char),
    Str(String),
    Bytes(Vec<u8>),
    Some(Box<Datum>),
    /// Elements of a sequence, a tuple or a struct, or the one content of another type.
    Many(Vec<Datum>),
    Map(Vec<(Datum, Datum)>),
    Variant(usize, Box<Datum>),
}

/// A value with its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed {
    pub(crate) shape: Shape,
    pub(crate) datum: Datum,
}

thread_local! {
    /// The type as which the next `Typed` is read.
    static NEXT: RefCell<Shape> = const { RefCell::new(Shape::Unit) };
}

/// Sets the type as which this thread reads the next `Typed`.
pub(crate) fn read_as(shape: &Shape) {
    NEXT.with(|next| *next.borrow_mut() = shape.clone());
}

/// The types that serde derives, around a `Typed`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum UntaggedOne {
    One(Typed),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum AdjacentOne {
    One(Typed),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t")]
enum InternalOne {
    One(Fields),
}

#[derive(Serialize, Deserialize)]
struct FlatOne {
    id: u8,
    #[serde(flatten)]
    rest: Fields,
}

/// A struct or a map with text as keys. A type of its own, since the compiler would never come to an
/// end of the serializers within serializers of a `Typed` in which serde puts a field.
struct Fields(Typed);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let pair = Pair(&self.0.shape, &self.0.datum);
        match pair {
            Pair(Shape::Struct(of), _) => pair.write_struct(of, to),
            Pair(Shape::Map(key, value), Datum::Map(pairs)) => write_map(key, value, pairs, to),
            Pair(shape, datum) => panic!("{datum:?} of {shape:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Typed::deserialize(from).map(Self)
    }
}

/// A value beside its type, without a copy.
struct Pair<'a>(&'a Shape, &'a Datum);

impl Serialize for Typed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Pair(&self.shape, &self.datum).serialize(to)
    }
}

impl Pair<'_> {
    fn many(&self) -> &[Datum] {
        match self.1 {
            Datum::Many(many) => many,
            other => panic!("{other:?} of {:?}", self.0),
        }
    }

    fn write_struct<S: Serializer>(&self, of: &[Shape], to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Struct", of.len())?;
        for (name, (of, datum)) in NAMES.into_iter().zip(of.iter().zip(self.many())) {
            fields.serialize_field(name, &Pair(of, datum))?;
        }
        fields.end()
    }

    fn owned(shape: &Shape, datum: &Datum) -> Typed {
        Typed { shape: shape.clone(), datum: datum.clone() }
    }
}

fn write_map<S: Serializer>(
    key: &Shape,
    value: &Shape,
    pairs: &[(Datum, Datum)],
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(pairs.len()))?;
    for (one, two) in pairs {
        map.serialize_entry(&Pair(key, one), &Pair(value, two))?;
    }
    map.end()
}

impl Serialize for Pair<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Shape::Unit, _) => to.serialize_unit(),
            (Shape::UnitStruct, _) => to.serialize_unit_struct("UnitStruct"),
            (Shape::Bool, Datum::Bool(value)) => to.serialize_bool(*value),
            (Shape::I8, Datum::Int(value)) => to.serialize_i8(*value as i8),
            (Shape::I16, Datum::Int(value)) => to.serialize_i16(*value as i16),
            (Shape::I32, Datum::Int(value)) => to.serialize_i32(*value as i32),
            (Shape::I64, Datum::Int(value)) => to.serialize_i64(*value as i64),
            (Shape::I128, Datum::Int(value)) => to.serialize_i128(*value),
            (Shape::U8, Datum::Int(value)) => to.serialize_u8(*value as u8),
            (Shape::U16, Datum::Int(value)) => to.serialize_u16(*value as u16),
            (Shape::U32, Datum::Int(value)) => to.serialize_u32(*value as u32),
            (Shape::U64, Datum::Int(value)) => to.serialize_u64(*value as u64),
            (Shape::U128, Datum::Wide(value)) => to.serialize_u128(*value),
            (Shape::F32, Datum::F32(bits)) => to.serialize_f32(f32::from_bits(*bits)),
            (Shape::F64, Datum::F64(bits)) => to.serialize_f64(f64::from_bits(*bits)),
            (Shape::Char, Datum::Char(value)) => to.serialize_char(*value),
            (Shape::Str, Datum::Str(text)) => to.serialize_str(text),
            (Shape::Bytes, Datum::Bytes(bytes)) => to.serialize_bytes(bytes),
            (Shape::Option(_), Datum::Nothing) => to.serialize_none(),
            (Shape::Option(of), Datum::Some(datum)) => to.serialize_some(&Pair(of, datum)),
            (Shape::Newtype(of), datum) => to.serialize_newtype_struct("Newtype", &Pair(of, datum)),
            (Shape::Seq(of), _) => {
                let mut seq = to.serialize_seq(Some(self.many().len()))?;
                for datum in self.many() {
                    seq.serialize_element(&Pair(of, datum))?;
                }
                seq.end()
            }
            (Shape::Tuple(of), _) => {
                let mut tuple = to.serialize_tuple(of.len())?;
                for (of, datum) in of.iter().zip(self.many()) {
                    tuple.serialize_element(&Pair(of, datum))?;
                }
                tuple.end()
            }
            (Shape::TupleStruct(of), _) => {
                let mut tuple = to.serialize_tuple_struct("TupleStruct", of.len())?;
                for (of, datum) in of.iter().zip(self.many()) {
                    tuple.serialize_field(&Pair(of, datum))?;
                }
                tuple.end()
            }
            (Shape::Map(key, value), Datum::Map(pairs)) => write_map(key, value, pairs, to),
            (Shape::Struct(of), _) => self.write_struct(of, to),
            (Shape::Enum(variants), Datum::Variant(number, content)) => {
                let (at, name) = (*number as u32, NAMES[*number]);
                let content = |of| Pair(of, content);
                match &variants[*number] {
                    Variant::Unit => to.serialize_unit_variant("Enum", at, name),
                    Variant::Newtype(of) => {
                        to.serialize_newtype_variant("Enum", at, name, &content(of))
                    }
                    Variant::Tuple(of) => {
                        let mut tuple = to.serialize_tuple_variant("Enum", at, name, of.len())?;
                        for (of, datum) in of.iter().zip(content(&Shape::Unit).many()) {
                            tuple.serialize_field(&Pair(of, datum))?;
                        }
                        tuple.end()
                    }
                    Variant::Struct(of) => {
                        let mut fields = to.serialize_struct_variant("Enum", at, name, of.len())?;
                        let content = content(&Shape::Unit);
                        for (name, (of, datum)) in
                            NAMES.into_iter().zip(of.iter().zip(content.many()))
                        {
                            fields.serialize_field(name, &Pair(of, datum))?;
                        }
                        fields.end()
                    }
                }
            }
            (Shape::Untagged(of), datum) => UntaggedOne::One(Self::owned(of, datum)).serialize(to),
            (Shape::Adjacent(of), datum) => AdjacentOne::One(Self::owned(of, datum)).serialize(to),
            (Shape::Internal(of), datum) => {
                InternalOne::One(Fields(Self::owned(of, datum))).serialize(to)
            }
            (Shape::Flat(of), datum) => {
                FlatOne { id: 7, rest: Fields(Self::owned(of, datum)) }.serialize(to)
            }
            (shape, datum) => panic!("{datum:?} of {shape:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let shape = NEXT.with(|next| next.borrow().clone());
        let read = Seed(&shape).deserialize(from);
        // The map may ask more than once, and types within this one have changed it.
        read_as(&shape);
        Ok(Self { datum: read?, shape })
    }
}

/// Reads a value of this type.
struct Seed<'a>(&'a Shape);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Datum;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Datum, D::Error> {
        match self.0 {
            Shape::Unit => from.deserialize_unit(self),
            Shape::UnitStruct => from.deserialize_unit_struct("UnitStruct", self),
            Shape::Bool => from.deserialize_bool(self),
            Shape::I8 => i8::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::I16 => i16::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::I32 => i32::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::I64 => i64::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::I128 => i128::deserialize(from).map(Datum::Int),
            Shape::U8 => u8::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::U16 => u16::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::U32 => u32::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::U64 => u64::deserialize(from).map(|it| Datum::Int(it.into())),
            Shape::U128 => u128::deserialize(from).map(Datum::Wide),
            Shape::F32 => f32::deserialize(from).map(|it| Datum::F32(it.to_bits())),
            Shape::F64 => f64::deserialize(from).map(|it| Datum::F64(it.to_bits())),
            Shape::Char => char::deserialize(from).map(Datum::Char),
            Shape::Str => String::deserialize(from).map(Datum::Str),
            Shape::Bytes => {
                serde_bytes::ByteBuf::deserialize(from).map(|it| Datum::Bytes(it.into_vec()))
            }
            Shape::Option(_) => from.deserialize_option(self),
            Shape::Newtype(_) => from.deserialize_newtype_struct("Newtype", self),
            Shape::Seq(_) => from.deserialize_seq(self),
            Shape::Tuple(of) => from.deserialize_tuple(of.len(), self),
            Shape::TupleStruct(of) => from.deserialize_tuple_struct("TupleStruct", of.len(), self),
            Shape::Map(..) => from.deserialize_map(self),
            Shape::Struct(of) => from.deserialize_struct("Struct", names(of.len()), self),
            Shape::Enum(of) => from.deserialize_enum("Enum", names(of.len()), self),
            Shape::Untagged(of) => {
                read_as(of);
                UntaggedOne::deserialize(from).map(|UntaggedOne::One(it)| it.datum)
            }
            Shape::Adjacent(of) => {
                read_as(of);
                AdjacentOne::deserialize(from).map(|AdjacentOne::One(it)| it.datum)
            }
            Shape::Internal(of) => {
                read_as(of);
                InternalOne::deserialize(from).map(|InternalOne::One(it)| it.0.datum)
            }
            Shape::Flat(of) => {
                read_as(of);
                let flat = FlatOne::deserialize(from)?;
                assert_eq!(flat.id, 7);
                Ok(flat.rest.0.datum)
            }
        }
    }
}

impl Seed<'_> {
    fn wrong<E: de::Error>(&self, found: &str) -> E {
        E::custom(format!("{found} for {:?}", self.0))
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Datum, E> {
        Ok(Datum::Nothing)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Datum, E> {
        Ok(Datum::Bool(value))
    }

    fn visit_none<E: de::Error>(self) -> Result<Datum, E> {
        Ok(Datum::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Datum, D::Error> {
        let Shape::Option(of) = self.0 else { return Err(self.wrong("some")) };
        Seed(of).deserialize(from).map(|datum| Datum::Some(Box::new(datum)))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Datum, D::Error> {
        let Shape::Newtype(of) = self.0 else { return Err(self.wrong("a newtype")) };
        Seed(of).deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<Datum, A::Error> {
        match self.0 {
            Shape::Seq(of) => all_of(of, from),
            Shape::Tuple(of) | Shape::TupleStruct(of) => each_of(of, from),
            _ => Err(self.wrong("a list")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Datum, A::Error> {
        match self.0 {
            Shape::Map(key, value) => {
                let mut pairs = Vec::new();
                while let Some(one) = from.next_key_seed(Seed(key))? {
                    pairs.push((one, from.next_value_seed(Seed(value))?));
                }
                Ok(Datum::Map(pairs))
            }
            Shape::Struct(of) => fields_of(of, from),
            _ => Err(self.wrong("a dict")),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<Datum, A::Error> {
        let Shape::Enum(variants) = self.0 else { return Err(self.wrong("an enum")) };
        let (number, content) = from.variant_seed(Name(variants.len()))?;
        let datum = match &variants[number] {
            Variant::Unit => content.unit_variant().map(|()| Datum::Nothing)?,
            Variant::Newtype(of) => content.newtype_variant_seed(Seed(of))?,
            Variant::Tuple(of) => {
                content.tuple_variant(of.len(), Seed(&Shape::Tuple(of.clone())))?
            }
            Variant::Struct(of) => {
                content.struct_variant(names(of.len()), Seed(&Shape::Struct(of.clone())))?
            }
        };
        Ok(Datum::Variant(number, Box::new(datum)))
    }
}

fn all_of<'de, A: SeqAccess<'de>>(of: &Shape, mut from: A) -> Result<Datum, A::Error> {
    let mut many = Vec::new();
    while let Some(datum) = from.next_element_seed(Seed(of))? {
        many.push(datum);
    }
    Ok(Datum::Many(many))
}

fn each_of<'de, A: SeqAccess<'de>>(of: &[Shape], mut from: A) -> Result<Datum, A::Error> {
    let mut many = Vec::new();
    for shape in of {
        let datum = from.next_element_seed(Seed(shape))?;
        many.push(datum.ok_or_else(|| de::Error::invalid_length(many.len(), &"more"))?);
    }
    Ok(Datum::Many(many))
}

fn fields_of<'de, A: MapAccess<'de>>(of: &[Shape], mut from: A) -> Result<Datum, A::Error> {
    let mut found = vec![None; of.len()];
    while let Some(number) = from.next_key_seed(Name(of.len()))? {
        if found[number].is_some() {
            return Err(de::Error::duplicate_field(NAMES[number]));
        }
        found[number] = Some(from.next_value_seed(Seed(&of[number]))?);
    }
    let all = NAMES.into_iter().zip(found);
    let all = all.map(|(name, datum)| datum.ok_or_else(|| de::Error::missing_field(name)));
    Ok(Datum::Many(all.collect::<Result<_, _>>()?))
}

/// Reads the name of one of so many fields or variants, as its number.
struct Name(usize);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<usize, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<usize, E> {
        let found = names(self.0).iter().position(|it| *it == name);
        found.ok_or_else(|| E::unknown_field(name, names(self.0)))
    }
}
