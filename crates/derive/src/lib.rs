//! `#[derive(mapvar::Plain)]`. The crate mapvar exports it; its documentation describes it.
//!
//! The derived code reads and writes a struct field by field, and contains no `unsafe`. The
//! compiler makes copies of it.
#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{
    Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Type, ext::IdentExt,
    parse_macro_input, spanned::Spanned,
};

/// Makes a struct one that a map stores as its bytes: see `mapvar::Plain`.
///
/// The struct has named fields and `#[repr(C)]`. `#[plain(name = "Car")]` gives the type, or a
/// field, another name in the map.
#[proc_macro_derive(Plain, attributes(plain))]
pub fn derive_plain(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn derive(input: &DeriveInput) -> Result<Tokens> {
    let fields = fields_of(input)?;
    check_repr(input)?;
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "a plain struct has no parameters, since a map describes one layout of it; write a \
             struct for each type",
        ));
    }
    let ident = &input.ident;
    let name = name_of(&input.attrs, ident)?;
    let idents: Vec<&Ident> = fields.iter().map(|(ident, ..)| *ident).collect();
    let types: Vec<&Type> = fields.iter().map(|(_, of, _)| *of).collect();
    let names: Vec<&String> = fields.iter().map(|(.., name)| name).collect();
    let offsets: Vec<Ident> =
        (0..fields.len()).map(|number| format_ident!("OFFSET_{number}")).collect();
    let ends: Vec<Ident> = (0..fields.len()).map(|number| format_ident!("END_{number}")).collect();
    let aligns: Vec<Ident> =
        (0..fields.len()).map(|number| format_ident!("ALIGN_{number}")).collect();
    let behind = |first: Tokens, all: &[Ident]| -> Vec<Tokens> {
        std::iter::once(first).chain(all.iter().map(|one| quote!(#one))).collect()
    };
    let (before, aligned_before) = (behind(quote!(0), &ends), behind(quote!(1), &aligns));
    let (before, aligned_before) =
        (before.iter().take(fields.len()), aligned_before.iter().take(fields.len()));
    let (Some(end), Some(align)) = (ends.last(), aligns.last()) else {
        return Err(Error::new(input.span(), "a plain struct has at least one field"));
    };
    Ok(quote! {
        const _: () = {
            use ::mapvar::plain as plain;
            #(
                const #offsets: usize =
                    plain::aligned(#before, <#types as plain::PlainField>::ALIGN);
                const #ends: usize = #offsets + <#types as plain::PlainField>::SIZE;
                const #aligns: usize =
                    plain::larger(#aligned_before, <#types as plain::PlainField>::ALIGN);
                const _: () = ::core::assert!(
                    <#types as plain::PlainField>::SIZE > 0,
                    "a field of a plain struct has at least one byte"
                );
            )*
            const SIZE: usize = plain::aligned(#end, #align);
            const _: () = ::core::assert!(
                SIZE <= 1 << 20,
                "a plain struct has at most 1 MiB; use a `Vec` for more"
            );

            #[automatically_derived]
            impl plain::Plain for #ident {
                const SIZE: usize = SIZE;
                const ALIGN: usize = #align;
                type Bytes = [u8; SIZE];

                #[inline]
                fn zeroed() -> [u8; SIZE] {
                    [0; SIZE]
                }

                fn layout() -> plain::Layout {
                    plain::Layout::new(#name, SIZE, #align, ::std::vec![#(
                        plain::Field::new(
                            #names,
                            #offsets,
                            <#types as plain::PlainField>::shape(),
                        ),
                    )*])
                }

                #[inline]
                fn write(&self, to: &mut [u8]) {
                    #(<#types as plain::PlainField>::write(
                        &self.#idents,
                        plain::part_mut(to, #offsets, <#types as plain::PlainField>::SIZE),
                    );)*
                }

                #[inline]
                fn is_valid(from: &[u8]) -> bool {
                    true #(&& <#types as plain::PlainField>::is_valid(
                        plain::part(from, #offsets, <#types as plain::PlainField>::SIZE),
                    ))*
                }

                #[inline]
                fn read(from: &[u8]) -> Self {
                    Self {#(
                        #idents: <#types as plain::PlainField>::read(
                            plain::part(from, #offsets, <#types as plain::PlainField>::SIZE),
                        ),
                    )*}
                }
            }
        };
    })
}

/// Returns the fields: their identifiers, types, and names in the map.
fn fields_of(input: &DeriveInput) -> Result<Vec<(&Ident, &Type, String)>> {
    let refused = |what| Err(Error::new(input.ident.span(), what));
    let of = match &input.data {
        Data::Struct(of) => of,
        Data::Enum(_) => {
            return refused(
                "an enum is no plain struct, since a peer can write any number; use a \
                            struct with an integer",
            );
        }
        Data::Union(_) => return refused("a union is no plain struct"),
    };
    let Fields::Named(fields) = &of.fields else {
        return refused(
            "the fields of a plain struct have names, by which other languages find \
                        them",
        );
    };
    fields
        .named
        .iter()
        .filter_map(|field| field.ident.as_ref().map(|ident| (ident, field)))
        .map(|(ident, field)| Ok((ident, &field.ty, name_of(&field.attrs, ident)?)))
        .collect()
}

/// Checks that the representation is that of C, unchanged.
fn check_repr(input: &DeriveInput) -> Result<()> {
    let mut is_c = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("C") {
                return Err(meta.error(
                    "a plain struct has the layout of C: `#[repr(C)]`, without packed or align",
                ));
            }
            is_c = true;
            Ok(())
        })?;
    }
    if is_c {
        return Ok(());
    }
    Err(Error::new(
        input.ident.span(),
        "a plain struct needs `#[repr(C)]`, so that programs in other languages can have the same \
         struct",
    ))
}

/// Returns the name in the map: that of the attribute, or the identifier.
fn name_of(attributes: &[syn::Attribute], ident: &Ident) -> Result<String> {
    let mut name = ident.unraw().to_string();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("plain")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("the one option is `name = \"…\"`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            name = text.value();
            if name.is_empty() || name.len() > 255 || name.contains('.') {
                return Err(Error::new(text.span(), "a name has 1 to 255 bytes, and no dot"));
            }
            Ok(())
        })?;
    }
    Ok(name)
}
