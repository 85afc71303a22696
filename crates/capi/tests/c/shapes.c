// Copies each variable of a map by C's constructors, and prints what C shows of it.
//
//     shapes FILE    prints a line for each variable: name, tab, the shown form, sorted as they come;
//                    sets each to a copy that was built part by part
#include "check.h"

static mapvar_value *copied(mapvar_value *value);

static mapvar_value **part_of(mapvar_value *value, size_t count, int32_t (*part)(mapvar_value *, size_t, mapvar_value **)) {
    mapvar_value **parts = calloc(count + 1, sizeof *parts);
    if (parts == NULL) abort();
    for (size_t at = 0; at < count; at++) {
        mapvar_value *one = NULL;
        OK(part(value, at, &one));
        parts[at] = copied(one);
        OK(mapvar_value_free(one));
    }
    return parts;
}

static void discard(mapvar_value **parts, size_t count) {
    for (size_t at = 0; parts != NULL && at < count; at++) OK(mapvar_value_free(parts[at]));
    free(parts);
}

static mapvar_value *copied(mapvar_value *value) {
    mapvar_value *copy = NULL;
    uint32_t kind = 0;
    int32_t truth = 9;
    int64_t i = 0;
    uint64_t u = 0;
    double f = 0;
    const void *bytes = NULL;
    size_t len = 0;
    OK(mapvar_value_kind(value, &kind));
    switch (kind) {
    case MAPVAR_KIND_NIL:
        OK(mapvar_value_nil(&copy));
        break;
    case MAPVAR_KIND_BOOL:
        OK(mapvar_value_as_bool(value, &truth));
        OK(mapvar_value_bool(truth, &copy));
        break;
    case MAPVAR_KIND_I64:
        OK(mapvar_value_as_i64(value, &i));
        OK(mapvar_value_i64(i, &copy));
        break;
    case MAPVAR_KIND_U64:
        OK(mapvar_value_as_u64(value, &u));
        OK(mapvar_value_u64(u, &copy));
        break;
    case MAPVAR_KIND_F64:
        OK(mapvar_value_as_f64(value, &f));
        OK(mapvar_value_f64(f, &copy));
        break;
    case MAPVAR_KIND_STR:
        OK(mapvar_value_as_bytes(value, &bytes, &len));
        OK(mapvar_value_str(bytes, len, &copy));
        break;
    case MAPVAR_KIND_BYTES:
        OK(mapvar_value_as_bytes(value, &bytes, &len));
        OK(mapvar_value_bytes(bytes, len, &copy));
        break;
    case MAPVAR_KIND_LIST:
    case MAPVAR_KIND_DICT: {
        mapvar_value **keys = NULL, **items;
        OK(mapvar_value_count(value, &len));
        items = part_of(value, len, mapvar_value_item);
        if (kind == MAPVAR_KIND_LIST) {
            OK(mapvar_value_list((mapvar_value *const *)items, len, &copy));
        } else {
            keys = part_of(value, len, mapvar_value_key);
            OK(mapvar_value_dict((mapvar_value *const *)keys, (mapvar_value *const *)items, len, &copy));
        }
        discard(keys, len);
        discard(items, len);
        break;
    }
    default:
        CHECK(!"a kind of the table");
        OK(mapvar_value_nil(&copy));
    }
    return copy;
}

int main(int count, char **words) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    mapvar_iter *iter = NULL;
    char *names[256];
    size_t found = 0;
    if (count != 2) return 2;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_file(options, words[1], N));
    OK(mapvar_options_open(options, &map));
    if (map == NULL) return 1;
    OK(mapvar_map_iter(map, &iter));
    for (;;) {
        mapvar_entry *entry = NULL;
        const char *name = NULL;
        size_t len = 0;
        OK(mapvar_iter_next(iter, &entry));
        if (entry == NULL || found == 256) break;
        OK(mapvar_entry_name(entry, &name, &len));
        names[found] = calloc(len + 1, 1);
        if (names[found] == NULL) abort();
        memcpy(names[found++], name, len);
        OK(mapvar_entry_free(entry));
    }
    OK(mapvar_iter_free(iter));
    for (size_t at = 0; at < found; at++) {
        mapvar_value *value = NULL, *copy;
        char shown[4096], again[4096];
        size_t len = 0, other = 0;
        OK(mapvar_map_get_value(map, names[at], N, &value));
        OK(mapvar_value_display(value, shown, sizeof shown, &len));
        copy = copied(value);
        OK(mapvar_value_display(copy, again, sizeof again, &other));
        CHECK(len == other && memcmp(shown, again, len) == 0);
        OK(mapvar_map_set_value(map, names[at], N, copy));
        printf("%s\t%.*s\n", names[at], (int)len, shown);
        OK(mapvar_value_free(copy));
        OK(mapvar_value_free(value));
        free(names[at]);
    }
    OK(mapvar_map_close(map));
    OK(mapvar_options_free(options));
    return failures != 0;
}
