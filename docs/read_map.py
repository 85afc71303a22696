#!/usr/bin/env python3
"""Prints the variables of a map's file, one a line: name, kind and value, separated by tabs.

    docs/read_map.py FILE

Written from docs/FORMAT.md alone, with nothing but Python's standard library: it checks the page,
and recovers the values should the program be lost. It reads a file that no process writes to
meanwhile, needs no index (it walks the records), and reports what it does not understand.
It does not compare a layout's description with its number, since the standard library has no XXH3.
So it may print wrong fields of a struct whose layout is damaged.
"""

import struct
import sys
import zlib

CHUNK = 16 << 10
CHUNK_HEADER = 64
TABLE, TABLE_WORDS = 0x4000, 256
SLOTS = [2] * 8 + [4] * 8               # by class of the record; in a file there are four
VALUE_BYTES = [32, 64, 128, 224, 320, 480, 736, 1088,
               32, 64, 112, 192, 288, 448, 624, 960]    # capacity of a slot, by class of the record
SLOT_HEADER = 32
BLOCK_NAME = 8                          # offset of the name in its block
RECORDS = 2                             # kind of a chunk of records
INVALID = 2**64 - 1                     # version of an empty slot
RETIRED = 1 << 63
TOMBSTONE = 255
EXTENT = 1                              # flags of a slot
EPHEMERAL = 2
KINDS = [None, "nil", "bool", "int", "uint", "float", "str", "bytes", "list", "dict", "pod", "opaque", "struct"]


class Damaged(Exception):
    pass


class Region:
    def __init__(self, data):
        self.data = data

    def word(self, at):
        return struct.unpack("<Q", self.bytes(at, 8))[0]

    def bytes(self, at, count):
        if at + count > len(self.data):
            raise Damaged(f"bytes {at:#x} to {at + count:#x} lie beyond the end")
        return self.data[at:at + count]

    # --- The header ----------------------------------------------------------------------------

    def examine(self):
        if self.bytes(0, 8) != b"MAPVAR\r\n":
            raise Damaged("this is not a map")
        version = self.word(8)
        if version & ~(1 << 32) != 1:
            raise Damaged(f"its version is {version & 0xffffffff}; this program reads version 1")
        if self.word(16) != zlib.crc32(self.bytes(8, 8) + bytes(8) + self.bytes(24, 488)):
            raise Damaged("the checksum of the header is wrong")

    # --- Chunks --------------------------------------------------------------------------------

    @staticmethod
    def group(number):
        """Returns the first chunk of its group, and the number of chunks that hold the group's table."""
        if number < TABLE_WORDS:
            return 0, 0
        first = TABLE_WORDS << ((number // TABLE_WORDS).bit_length() - 1)
        return first, -(-first * 24 // CHUNK)

    def chunk(self, number):
        """Returns kind and class, from the chunk table."""
        first, _ = self.group(number)
        table = first * CHUNK if first else TABLE
        word = self.word(table + (number - first) * 8)
        return word & 0xff, word >> 8 & 0xff

    def span(self, at, count):
        """Returns the bytes of an extent, which skips chunks that hold tables."""
        parts = []
        while count > 0:
            first, _ = self.group(at // CHUNK)
            end = (first * 2 if first else TABLE_WORDS) * CHUNK
            part = min(count, end - at)
            parts.append(self.bytes(at, part))
            count -= part
            at = end + self.group(end // CHUNK)[1] * CHUNK
        return b"".join(parts)

    def records(self):
        """Yields offset and class of every record, free or not."""
        for number in range(min(self.word(0x1180), len(self.data) // CHUNK)):
            kind, group = self.chunk(number)
            if kind != RECORDS or group >= len(VALUE_BYTES):
                continue
            size = 64 + SLOTS[group] * (SLOT_HEADER + VALUE_BYTES[group])
            for place in range((CHUNK - CHUNK_HEADER) // size):
                yield number * CHUNK + CHUNK_HEADER + place * size, group

    # --- Records -------------------------------------------------------------------------------

    def variable(self, at, group):
        """Returns name, kind, bytes and type, or None if the record holds no variable."""
        state, ident, meta = self.word(at), self.word(at + 16), self.word(at + 24)
        if ident == 0 or ident & RETIRED:
            return None
        length, flags, atomic = meta >> 16 & 0xffff, meta & 0xff, meta & 1
        if flags & ~1 or meta >> 8 & 0xff != group:
            raise Damaged(f"the record at {at:#x} is corrupt")
        inline = 24 if atomic else 32
        if length <= inline:
            name = self.bytes(at + 32, length)
        else:
            name = self.bytes(self.word(at + 32 + inline - 8) + BLOCK_NAME, length)
        if zlib.crc32(struct.pack("<QQ", ident, meta & 0xffffffff) + name) != meta >> 32:
            raise Damaged(f"the checksum of id and name is wrong in the record at {at:#x}")
        slot = at + 64 + (state >> 6) % SLOTS[group] * (SLOT_HEADER + VALUE_BYTES[group])
        if self.word(slot) != state >> 8 or self.word(slot) == INVALID:
            raise Damaged(f"the value of the record at {at:#x} is not the one published")
        desc = self.word(slot + 8)
        length, kind, flags = desc >> 16, desc >> 8 & 0xff, desc & 0xff
        if kind == TOMBSTONE or flags & EPHEMERAL:
            return None                 # an ephemeral value in a file without users: its process is gone
        if kind >= len(KINDS) or kind == 0 or flags & ~(EXTENT | EPHEMERAL):
            raise Damaged(f"the value at {slot:#x} has an unknown kind")
        if atomic:
            data = self.bytes(at + 56, 8)
        elif flags & EXTENT:
            data = self.span(self.word(slot + 32), length)
        elif length <= VALUE_BYTES[group]:
            data = self.bytes(slot + 32, length)
        else:
            raise Damaged(f"the value at {slot:#x} is longer than its slot")
        return name.decode(), KINDS[kind], data, self.word(slot + 16) >> 32


# --- Values ------------------------------------------------------------------------------------

def shown(kind, data, number):
    if kind == "nil":
        return "nil"
    if kind == "bool":
        return "true" if any(data) else "false"
    if kind in ("int", "uint"):
        return str(int.from_bytes(data, "little", signed=kind == "int"))
    if kind == "float":
        return nested(struct.unpack("<d", data)[0])
    if kind == "str":
        return data.decode()
    if kind == "bytes":
        return nested(data)
    if kind in ("pod", "opaque"):
        return f"{kind} {number}:0x{data.hex()}"
    return nested(unpack(data, 0)[0])


# --- Plain structs -----------------------------------------------------------------------------

LAYOUT = "\0plain\0"                    # the names of layouts: this, and a number
FIELDS = [None, "?", "b", "h", "i", "q", "B", "H", "I", "Q", "f", "d"]
STRUCT = 32


class Layout:
    """Reads a description, and values by it."""
    def __init__(self, description):
        self.rest = description
        if self.take("B") != 1:
            raise Damaged("a layout is of a version that this program does not read")
        self.struct = self.described()
        if self.rest:
            raise Damaged("something follows a layout")

    def take(self, form):
        value, = struct.unpack_from("<" + form, self.rest)
        self.rest = self.rest[struct.calcsize("<" + form):]
        return value

    def name(self):
        return self.take(f"{self.take('B')}s").decode()

    def described(self):
        self.name()
        size, _, count = self.take("I"), self.take("B"), self.take("H")
        return size, [self.field() for _ in range(count)]

    def field(self):
        name, offset = self.name(), self.take("I")
        dimensions = [self.take("I") for _ in range(self.take("B"))]
        code = self.take("B")
        if code == STRUCT:
            kind = self.described()
        elif 0 < code < len(FIELDS):
            kind = FIELDS[code]
        else:
            raise Damaged(f"field {name!r} is of an unknown type")
        return name, offset, dimensions, kind

    def value(self, data):
        if len(data) != self.struct[0]:
            raise Damaged(f"a struct has {len(data)} bytes, and its layout {self.struct[0]}")
        return self.part([], self.struct, data)[0]

    def part(self, dimensions, kind, data):
        """Returns a value, and how many bytes it has."""
        if dimensions:
            values, at = [], 0
            for _ in range(dimensions[0]):
                value, size = self.part(dimensions[1:], kind, data[at:])
                values.append(value)
                at += size
            return values, at
        if isinstance(kind, str):
            return struct.unpack_from("<" + kind, data)[0], struct.calcsize("<" + kind)
        size, fields = kind
        return Pairs([(name, self.part(dimensions, kind, data[offset:])[0])
                      for name, offset, dimensions, kind in fields]), size


def nested(value):
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value).replace("nan", "NaN").replace("e+", "e").replace("e-0", "e-")
        return text
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str):
        named = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", '"': '\\"', "\\": "\\\\"}
        return '"' + "".join(named.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(nested, value)) + "]"
    if isinstance(value, Foreign):
        return value.shown
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{nested(key)}: {nested(of)}" for key, of in value.pairs) + "}"
    return str(value)


class Foreign:
    """A pod or opaque value, as it is printed."""
    def __init__(self, shown):
        self.shown = shown


class Pairs:
    """A dictionary with keys of any kind, in their order."""

    def __init__(self, pairs):
        self.pairs = pairs


SCALARS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q",
           0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
LENGTHS = {0xd9: (">B", "str"), 0xda: (">H", "str"), 0xdb: (">I", "str"),
           0xc4: (">B", "bin"), 0xc5: (">H", "bin"), 0xc6: (">I", "bin"),
           0xc7: (">B", "ext"), 0xc8: (">H", "ext"), 0xc9: (">I", "ext"),
           0xdc: (">H", "list"), 0xdd: (">I", "list"), 0xde: (">H", "map"), 0xdf: (">I", "map")}


def unpack(data, at):
    """Returns a MessagePack value, and the offset of the next one."""
    tag, at = data[at], at + 1
    if tag < 0x80:
        return tag, at
    if tag >= 0xe0:
        return tag - 256, at
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    if tag in SCALARS:
        return struct.unpack_from(SCALARS[tag], data, at)[0], at + struct.calcsize(SCALARS[tag])
    if tag in LENGTHS:
        form, what = LENGTHS[tag]
        count, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    elif 0xd4 <= tag <= 0xd8:
        what, count = "ext", 1 << tag - 0xd4
    elif tag < 0xc0:
        what = "map" if tag < 0x90 else "list" if tag < 0xa0 else "str"
        count = tag & (0x1f if what == "str" else 0x0f)
    else:
        raise Damaged(f"MessagePack: unexpected byte {tag:#x}")
    if what == "ext":
        kind, at = struct.unpack_from(">b", data, at)[0], at + 1
        part = data[at:at + count]
        if kind not in (10, 11) or len(part) < count or count < 4:
            raise Damaged(f"unknown extension: type {kind}, {count} bytes")
        return Foreign(shown(KINDS[kind], part[4:], int.from_bytes(part[:4], "little"))), at + count
    if what in ("str", "bin"):
        if at + count > len(data):
            raise Damaged("MessagePack ends too soon")
        part = data[at:at + count]
        return part.decode() if what == "str" else part, at + count
    values = []
    for _ in range(count * (2 if what == "map" else 1)):
        value, at = unpack(data, at)
        values.append(value)
    return (Pairs(list(zip(values[::2], values[1::2]))) if what == "map" else values), at


def escaped(text):
    """Escapes as the command does: characters that control a terminal become \\u{..}."""
    ranges = [(0, 0x1f), (0x7f, 0x9f), (0xad, 0xad), (0x61c, 0x61c), (0x180e, 0x180e), (0x200b, 0x200f),
              (0x2028, 0x202e), (0x2060, 0x206f), (0xfeff, 0xfeff), (0xfff9, 0xfffb), (0xe0000, 0xe007f)]
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(c):x}}}" if any(a <= ord(c) <= b for a, b in ranges) else c for c in text)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        region = Region(file.read())
    variables, layouts, rows, status = [], {}, [], 0
    try:
        region.examine()
        for at, group in region.records():
            try:
                found = region.variable(at, group)
                if found and found[0].startswith(LAYOUT):
                    layouts[int(found[0][len(LAYOUT):], 16)] = found[2]
                elif found:
                    variables.append(found)
            except (Damaged, UnicodeDecodeError, struct.error, IndexError) as error:
                print(f"read_map.py: {error}", file=sys.stderr)
                status = 1
    except Damaged as error:
        sys.exit(f"read_map.py: {error}")
    for name, kind, data, number in variables:
        try:
            if kind != "struct":
                text = shown(kind, data, number)
            elif number in layouts:
                text = nested(Layout(layouts[number]).value(data))
            else:
                raise Damaged(f"the layout of {name!r} is not in the map")
            rows.append((name, kind, text))
        except (Damaged, UnicodeDecodeError, struct.error, IndexError) as error:
            print(f"read_map.py: {error}", file=sys.stderr)
            status = 1
    for row in sorted(rows, key=lambda row: [part.encode() for part in row]):
        line = "\t".join(map(escaped, row)) + "\n"
        sys.stdout.buffer.write(line.encode())
    sys.exit(status)


if __name__ == "__main__":
    main()
