// Walks over names, reads with a default, sets of the same value, atomics that are combined with a number, what messages
// name, and handles that are not made. Prints the failures; 0 = success.
#include "check.h"

// Joins the names of a walk.
static void joined(mapvar_map *map, const char *prefix, int32_t sorted, char *into) {
    mapvar_names *names = NULL;
    char name[1024];
    size_t len = 0;
    into[0] = 0;
    OK(mapvar_map_names(map, prefix, N, sorted, &names));
    for (;;) {
        OK(mapvar_names_next(names, name, sizeof name, &len));
        if (len == 0) break;
        strcat(into, name);
        strcat(into, " ");
    }
    // The end stays the end.
    OK(mapvar_names_next(names, name, sizeof name, &len));
    CHECK(len == 0);
    OK(mapvar_names_retry(names));
    OK(mapvar_names_free(names));
    CHECK(mapvar_names_next(names, name, sizeof name, &len) == MAPVAR_CLOSED);
}

static void walks(const char *name, mapvar_map *map) {
    char text[256];
    int found = 0;
    int64_t sum = 0, number = 0;
    mapvar_map *other = NULL;
    mapvar_names *names = NULL;
    mapvar_iter *iter = NULL;
    mapvar_entry *entry = NULL;
    mapvar_value *value = NULL;
    size_t len = 0;
    OK(mapvar_map_set_i64(map, "car/rpm", N, 900));
    OK(mapvar_map_set_i64(map, "car/gear", N, 2));
    OK(mapvar_map_set_str(map, "lap", N, "seven", N));
    OK(mapvar_map_set_i64(map, "a\0b", 3, 1));
    joined(map, "", 1, text);
    CHECK(strcmp(text, "a car/gear car/rpm lap ") == 0);
    joined(map, "car/", 1, text);
    CHECK(strcmp(text, "car/gear car/rpm ") == 0);
    joined(map, "car/", 0, text);
    CHECK(strlen(text) == strlen("car/gear car/rpm ") && strstr(text, "car/rpm ") && strstr(text, "car/gear "));
    joined(map, "nothing", 0, text);
    CHECK(text[0] == 0);
    OK(mapvar_map_iter_prefix(map, "car/", N, &iter));
    for (;;) {
        OK(mapvar_iter_next(iter, &entry));
        if (entry == NULL) break;
        OK(mapvar_entry_value(entry, &value));
        OK(mapvar_value_as_i64(value, &number));
        sum += number;
        found++;
        OK(mapvar_value_free(value));
        OK(mapvar_entry_free(entry));
    }
    OK(mapvar_iter_free(iter));
    CHECK(found == 2 && sum == 902);
    CHECK(mapvar_map_names(map, "\xff", 1, 0, &names) == MAPVAR_INVALID_ARGUMENT && names == NULL);
    CHECK(mapvar_map_iter_prefix(map, NULL, N, &iter) == MAPVAR_INVALID_ARGUMENT && iter == NULL);
    OK(mapvar_map_names(map, NULL, 0, 0, &names));
    CHECK(mapvar_names_next(names, NULL, 5, &len) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_names_next(names, text, sizeof text, NULL) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_names_free(names));
    // What does not fit is not lost.
    OK(mapvar_map_names(map, "car/", N, 1, &names));
    OK(mapvar_names_next(names, NULL, 0, &len));
    CHECK(len == 8 && mapvar_names_next(names, text, 7, &len) == MAPVAR_TOO_LARGE && len == 8);
    OK(mapvar_names_next(names, text, 8, &len));
    CHECK(len == 8 && memcmp(text, "car/gear", 8) == 0);
    OK(mapvar_names_next(names, text, sizeof text, &len));
    CHECK(len == 7 && strcmp(text, "car/rpm") == 0);
    OK(mapvar_names_free(names));
    OK(mapvar_names_free(NULL));
    // A walk is closed with its map.
    OK(mapvar_map_open(name, N, &other));
    OK(mapvar_map_names(other, "", 0, 0, &names));
    OK(mapvar_names_next(names, text, sizeof text, &len));
    CHECK(len > 0);
    OK(mapvar_map_close(other));
    CHECK(mapvar_names_next(names, text, sizeof text, &len) == MAPVAR_CLOSED);
}

static void defaults(mapvar_map *map) {
    int64_t i = 0;
    uint64_t u = 0;
    double f = 0;
    int32_t b = 0, set = 9;
    mapvar_value *five = NULL, *opaque = NULL, *same = NULL;
    mapvar_version before, after;
    mapvar_var *var = NULL;
    OK(mapvar_map_get_i64_or(map, "absent", N, -5, &i));
    OK(mapvar_map_get_u64_or(map, "absent", N, UINT64_MAX, &u));
    OK(mapvar_map_get_f64_or(map, "absent", N, 0.5, &f));
    OK(mapvar_map_get_bool_or(map, "absent", N, 7, &b));
    CHECK(i == -5 && u == UINT64_MAX && f == 0.5 && b == 1);
    OK(mapvar_map_contains(map, "absent", N, &b));
    CHECK(b == 0);
    OK(mapvar_map_get_i64_or(map, "car/rpm", N, -5, &i));
    OK(mapvar_map_get_f64_or(map, "car/rpm", N, 0.5, &f));
    CHECK(i == 900 && f == 900.0);
    CHECK(mapvar_map_get_i64_or(map, "lap", N, 1, &i) == MAPVAR_WRONG_KIND && i == 900);
    CHECK(mapvar_map_get_i64_or(map, "", 0, 1, &i) == MAPVAR_INVALID_NAME);
    CHECK(mapvar_map_get_i64_or(map, "absent", N, 1, NULL) == MAPVAR_INVALID_ARGUMENT);

    OK(mapvar_value_i64(5, &five));
    OK(mapvar_value_opaque(1, "\4\10", 2, &opaque));
    OK(mapvar_value_opaque(2, "\4\10", 2, &same));
    OK(mapvar_map_set_if_changed(map, "five", N, five, &set));
    CHECK(set == 1);
    OK(mapvar_map_version(map, "five", N, &before));
    OK(mapvar_map_set_if_changed(map, "five", N, five, &set));
    OK(mapvar_map_version(map, "five", N, &after));
    CHECK(set == 0 && memcmp(&before, &after, sizeof before) == 0);
    OK(mapvar_map_var(map, "five", N, &var));
    OK(mapvar_var_set_if_changed(var, five, &set));
    CHECK(set == 0);
    OK(mapvar_var_set_if_changed(var, opaque, &set));
    CHECK(set == 1);
    OK(mapvar_var_set_if_changed(var, opaque, &set));
    CHECK(set == 0);
    // The bytes are those of another language.
    OK(mapvar_var_set_if_changed(var, same, &set));
    CHECK(set == 1);
    OK(mapvar_map_remove(map, "five", N, NULL));
    OK(mapvar_map_set_if_changed(map, "five", N, opaque, NULL));
    CHECK(mapvar_map_set_if_changed(map, "five", N, NULL, &set) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_var_free(var));
    OK(mapvar_value_free(five));
    OK(mapvar_value_free(opaque));
    OK(mapvar_value_free(same));
}

static void atomics(mapvar_map *map) {
    mapvar_atomic *i = NULL, *u = NULL, *f = NULL;
    int64_t before = 0, now = 0;
    uint64_t was = 0, is = 0;
    OK(mapvar_map_atomic_i64_or(map, "peak", N, -3, &i));
    OK(mapvar_atomic_max_i64(i, 7, &before));
    CHECK(before == -3);
    OK(mapvar_atomic_max_i64(i, 3, &before));
    OK(mapvar_atomic_min_i64(i, -7, NULL));
    OK(mapvar_atomic_load_i64(i, &now));
    CHECK(before == 7 && now == -7);
    OK(mapvar_atomic_and_i64(i, 15, &before));
    OK(mapvar_atomic_or_i64(i, 4, &now));
    CHECK(before == -7 && now == 9);
    OK(mapvar_atomic_load_i64(i, &now));
    CHECK(now == 13);
    OK(mapvar_map_atomic_u64_or(map, "flags", N, 1, &u));
    // Without a sign.
    OK(mapvar_atomic_max_u64(u, UINT64_MAX, &was));
    OK(mapvar_atomic_min_u64(u, UINT64_MAX - 1, NULL));
    OK(mapvar_atomic_and_u64(u, 6, NULL));
    OK(mapvar_atomic_or_u64(u, 1, &is));
    CHECK(was == 1 && is == 6);
    OK(mapvar_atomic_load_u64(u, &is));
    CHECK(is == 7);
    CHECK(mapvar_atomic_max_i64(u, 1, NULL) == MAPVAR_WRONG_KIND);
    CHECK(mapvar_atomic_or_u64(i, 1, NULL) == MAPVAR_WRONG_KIND);
    OK(mapvar_map_atomic_f64_or(map, "float", N, 1.0, &f));
    CHECK(mapvar_atomic_min_u64(f, 1, NULL) == MAPVAR_WRONG_KIND);
    OK(mapvar_map_remove(map, "peak", N, NULL));
    CHECK(mapvar_atomic_max_i64(i, 1, NULL) == MAPVAR_NOT_FOUND);
    OK(mapvar_atomic_free(i));
    OK(mapvar_atomic_free(u));
    OK(mapvar_atomic_free(f));
}

static void keys(void) {
    mapvar_value *keys[4], *nested[2], *dict = NULL;
    OK(mapvar_value_str("a", N, &keys[0]));
    OK(mapvar_value_bytes("a", 1, &keys[1]));
    OK(mapvar_value_f64(0.0, &keys[2]));
    OK(mapvar_value_f64(-0.0, &keys[3]));
    OK(mapvar_value_dict(keys, keys, 4, &dict));
    OK(mapvar_value_free(dict));
    OK(mapvar_value_list(keys, 2, &nested[0]));
    OK(mapvar_value_list(keys, 2, &nested[1]));
    CHECK(mapvar_value_dict(nested, nested, 2, &dict) == MAPVAR_INVALID_ARGUMENT && dict == NULL);
    CHECK(strcmp(mapvar_last_error_object(), "keys") == 0);
    OK(mapvar_value_free(keys[3]));
    OK(mapvar_value_str("a", N, &keys[3]));
    CHECK(mapvar_value_dict(keys, keys, 4, &dict) == MAPVAR_INVALID_ARGUMENT && dict == NULL);
    CHECK(strstr(mapvar_last_error_message(), "the key a is there twice") != NULL);
    OK(mapvar_value_dict(keys, keys, 3, &dict));
    OK(mapvar_value_free(dict));
    OK(mapvar_value_dict(NULL, NULL, 0, &dict));
    OK(mapvar_value_free(dict));
    for (int at = 0; at < 4; at++) OK(mapvar_value_free(keys[at]));
    for (int at = 0; at < 2; at++) OK(mapvar_value_free(nested[at]));
}

// The last error names the variable and the map.
static int names_both(const char *variable, const char *name) {
    const char *object = mapvar_last_error_object();
    return strstr(object, variable) != NULL && strstr(object, name) != NULL;
}

static void messages(const char *name, mapvar_map *map) {
    char text[4];
    size_t len = 0;
    const char *names[] = {"lap"};
    mapvar_value *one = NULL, *list = NULL, *value = NULL;
    mapvar_version none = {0, 0};
    mapvar_snapshot *snapshot = NULL;
    mapvar_var *var = NULL;
    OK(mapvar_value_i64(1, &one));
    OK(mapvar_value_list(&one, 1, &list));
    OK(mapvar_map_set_value(map, "list", N, list));
    CHECK(mapvar_map_get_bytes(map, "list", N, text, sizeof text, &len) == MAPVAR_WRONG_KIND);
    CHECK(names_both("\"list\"", name) && strstr(mapvar_last_error_message(), "of kind list") != NULL);
    CHECK(strcmp(mapvar_last_error_operation(), "get variable") == 0);
    CHECK(mapvar_map_get_bytes(map, "lap", N, text, sizeof text, &len) == MAPVAR_TOO_LARGE && len == 5);
    CHECK(names_both("\"lap\"", name) && strstr(mapvar_last_error_message(), "5 bytes") != NULL);
    CHECK(mapvar_map_get_str(map, "lap", N, text, sizeof text, &len) == MAPVAR_TOO_LARGE);
    CHECK(names_both("\"lap\"", name));
    CHECK(mapvar_map_get_marshal(map, "lap", N, text, sizeof text, &len) == MAPVAR_TOO_LARGE);
    CHECK(names_both("\"lap\"", name));
    OK(mapvar_map_var(map, "lap", N, &var));
    CHECK(mapvar_var_read_bytes(var, text, sizeof text, &len) == MAPVAR_TOO_LARGE);
    CHECK(names_both("\"lap\"", name));
    CHECK(mapvar_var_compare_and_set(var, &none, one, NULL) == MAPVAR_CONFLICT);
    CHECK(names_both("\"lap\"", name));
    CHECK(mapvar_map_compare_and_set(map, "lap", N, &none, one, NULL) == MAPVAR_CONFLICT);
    CHECK(names_both("\"lap\"", name));
    OK(mapvar_map_snapshot(map, names, NULL, 1, &snapshot));
    CHECK(mapvar_snapshot_get(snapshot, "none", N, &value) == MAPVAR_NOT_FOUND && value == NULL);
    CHECK(names_both("\"none\"", name));
    OK(mapvar_snapshot_free(snapshot));
    OK(mapvar_var_free(var));
    OK(mapvar_value_free(list));
    OK(mapvar_value_free(one));
}

// A handle that a call could not make is NULL, whichever argument is wrong.
#define IS_NULL(type, ...) \
    do { \
        type *out = (type *)5; \
        CHECK((__VA_ARGS__) != MAPVAR_OK && out == NULL); \
    } while (0)

static void outs(mapvar_map *map) {
    const char *odd[] = {"\xff"};
    mapvar_snapshot *snapshot = NULL;
    mapvar_transaction *transaction = NULL;
    mapvar_var *var = NULL;
    IS_NULL(mapvar_map, mapvar_map_open("\xff", 1, &out));
    IS_NULL(mapvar_var, mapvar_map_var(map, "\xff", 1, &out));
    IS_NULL(mapvar_var, mapvar_map_var_or(map, NULL, 1, NULL, &out));
    IS_NULL(mapvar_atomic, mapvar_map_atomic_i64(map, "\xff", 1, &out));
    IS_NULL(mapvar_atomic, mapvar_map_atomic_bool_or(map, "\xff", 1, 1, &out));
    IS_NULL(mapvar_value, mapvar_map_get_value(map, "\xff", 1, &out));
    IS_NULL(mapvar_value, mapvar_map_get_versioned(map, "lap", N, &out, NULL));
    IS_NULL(mapvar_value, mapvar_map_get_field(map, "lap", N, "\xff", 1, &out));
    IS_NULL(mapvar_value, mapvar_value_str("\xff", 1, &out));
    IS_NULL(mapvar_value, mapvar_value_pod(1, NULL, 1, &out));
    IS_NULL(mapvar_value, mapvar_value_opaque(1, NULL, 1, &out));
    IS_NULL(mapvar_value, mapvar_value_bytes(NULL, 1, &out));
    IS_NULL(mapvar_value, mapvar_value_list(NULL, 1, &out));
    IS_NULL(mapvar_value, mapvar_value_from_marshal(NULL, 1, &out));
    IS_NULL(mapvar_names, mapvar_map_names(map, "\xff", 1, 0, &out));
    IS_NULL(mapvar_iter, mapvar_map_iter_prefix(map, NULL, N, &out));
    IS_NULL(mapvar_lock, mapvar_map_lock(map, "\xff", 1, &out));
    IS_NULL(mapvar_watch, mapvar_map_watch(map, "\xff", 1, &out));
    IS_NULL(mapvar_watch, mapvar_map_watch_any(map, odd, NULL, 1, &out));
    IS_NULL(mapvar_watch, mapvar_map_watch_prefix(map, "\xff", 1, &out));
    IS_NULL(mapvar_snapshot, mapvar_map_snapshot(map, odd, NULL, 1, &out));
    OK(mapvar_map_snapshot(map, NULL, NULL, 0, &snapshot));
    IS_NULL(mapvar_value, mapvar_snapshot_get(snapshot, "\xff", 1, &out));
    OK(mapvar_snapshot_free(snapshot));
    OK(mapvar_transaction_begin(map, &transaction));
    IS_NULL(mapvar_value, mapvar_transaction_get(transaction, "\xff", 1, &out));
    OK(mapvar_transaction_free(transaction));
    OK(mapvar_map_var(map, "lap", N, &var));
    IS_NULL(mapvar_value, mapvar_var_get_versioned(var, &out, NULL));
    OK(mapvar_var_free(var));
}

int main(void) {
    char name[64];
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    snprintf(name, sizeof name, "c-shortcuts.%lu", process_id());
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_create(options, &map));
    OK(mapvar_options_free(options));
    walks(name, map);
    defaults(map);
    atomics(map);
    keys();
    messages(name, map);
    outs(map);
    OK(mapvar_map_close(map));
    printf("C tests of shortcuts: %d failed\n", failures);
    return failures != 0;
}
