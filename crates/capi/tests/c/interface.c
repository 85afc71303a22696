// The C interface, by the committed header: each kind of value, errors, misuse, large values, walks,
// transactions, snapshots, atomics, sections, threads, and a second process. Prints the failures; 0 = success.
//
//     interface            runs everything; starts itself again as the second process
//     interface peer NAME  the second process
#include "check.h"

static mapvar_map *make(const char *name) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_size(options, 4000));
    OK(mapvar_options_scope(options, MAPVAR_SCOPE_LOCAL));
    OK(mapvar_options_timeout(options, 2000));
    OK(mapvar_options_create(options, &map));
    mapvar_map *again = map;
    CHECK(mapvar_options_create(options, &again) == MAPVAR_ALREADY_EXISTS && again == NULL);
    OK(mapvar_options_free(options));
    return map;
}

static void kinds(mapvar_map *map) {
    int64_t i = 0;
    uint64_t u = 0;
    double f = 0;
    int32_t b = 0;
    char text[16];
    unsigned char bytes[4];
    size_t len = 0;
    OK(mapvar_map_set_i64(map, "i", N, -77));
    OK(mapvar_map_get_i64(map, "i", 1, &i));
    CHECK(i == -77);
    CHECK(mapvar_map_get_u64(map, "i", 1, &u) == MAPVAR_OUT_OF_RANGE);
    OK(mapvar_map_get_f64(map, "i", 1, &f));
    CHECK(f == -77.0);
    OK(mapvar_map_set_u64(map, "u", N, UINT64_MAX));
    CHECK(mapvar_map_get_f64(map, "u", N, &f) == MAPVAR_OUT_OF_RANGE && f == -77.0);
    OK(mapvar_map_get_u64(map, "u", N, &u));
    CHECK(u == UINT64_MAX && mapvar_map_get_i64(map, "u", N, &i) == MAPVAR_OUT_OF_RANGE && i == -77);
    OK(mapvar_map_set_f64(map, "f", N, 3.5));
    OK(mapvar_map_get_f64(map, "f", N, &f));
    CHECK(f == 3.5);
    OK(mapvar_map_set_bool(map, "b", N, 7));
    OK(mapvar_map_get_bool(map, "b", N, &b));
    CHECK(b == 1);
    OK(mapvar_map_set_str(map, "s", N, "h\xc3\xa9llo", N));
    OK(mapvar_map_get_str(map, "s", N, text, sizeof text, &len));
    CHECK(len == 6 && strcmp(text, "h\xc3\xa9llo") == 0);
    CHECK(mapvar_map_get_str(map, "s", N, text, 5, &len) == MAPVAR_TOO_LARGE && len == 6);
    OK(mapvar_map_get_str(map, "s", N, NULL, 0, &len));
    CHECK(len == 6);
    OK(mapvar_map_set_bytes(map, "o", N, "\0\1\2\xff", 4));
    OK(mapvar_map_get_bytes(map, "o", N, bytes, sizeof bytes, &len));
    CHECK(len == 4 && memcmp(bytes, "\0\1\2\xff", 4) == 0);
    OK(mapvar_map_set_bytes(map, "empty", N, NULL, 0));
    OK(mapvar_map_get_bytes(map, "empty", N, NULL, 0, &len));
    CHECK(len == 0);
    OK(mapvar_map_set_nil(map, "n", N));
    OK(mapvar_map_contains(map, "n", N, &b));
    CHECK(b == 1);
}

static uint32_t kind_of(mapvar_value *value) {
    uint32_t kind = 0;
    OK(mapvar_value_kind(value, &kind));
    return kind;
}

static void values(mapvar_map *map) {
    mapvar_value *items[3], *list = NULL, *dict = NULL, *found = NULL, *inner = NULL, *opaque = NULL;
    const void *bytes = NULL;
    size_t len = 0, count = 0;
    uint32_t number = 0;
    int64_t i = 0;
    char text[64];
    OK(mapvar_value_i64(1, &items[0]));
    OK(mapvar_value_str("two", N, &items[1]));
    OK(mapvar_value_f64(0.5, &items[2]));
    OK(mapvar_value_list(items, 3, &list));
    OK(mapvar_value_dict(&items[1], &list, 1, &dict));
    OK(mapvar_map_set_value(map, "dict", N, dict));
    OK(mapvar_map_get_value(map, "dict", N, &found));
    CHECK(kind_of(found) == MAPVAR_KIND_DICT);
    OK(mapvar_value_display(found, text, sizeof text, &len));
    CHECK(strcmp(text, "{\"two\": [1, \"two\", 0.5]}") == 0);
    OK(mapvar_value_item(found, 0, &inner));
    OK(mapvar_value_free(found));
    // A part outlives its list.
    OK(mapvar_value_count(inner, &count));
    CHECK(count == 3 && mapvar_value_item(inner, 3, &found) == MAPVAR_OUT_OF_RANGE && found == NULL);
    OK(mapvar_value_item(inner, 0, &found));
    OK(mapvar_value_as_i64(found, &i));
    CHECK(i == 1 && mapvar_value_as_bytes(found, &bytes, &len) == MAPVAR_WRONG_KIND);
    OK(mapvar_value_opaque(3, "\4\10", 2, &opaque));
    OK(mapvar_map_set_value(map, "opaque", N, opaque));
    OK(mapvar_value_free(found));
    OK(mapvar_map_get_value(map, "opaque", N, &found));
    OK(mapvar_value_type_id(found, &number));
    OK(mapvar_value_as_bytes(found, &bytes, &len));
    CHECK(kind_of(found) == MAPVAR_KIND_OPAQUE && number == 3 && len == 2 && memcmp(bytes, "\4\10", 2) == 0);
    // The deepest nesting that can be read, and no deeper; it does not end the process.
    mapvar_value *deep = inner;
    int depth = 1, code = MAPVAR_OK;
    while (depth < 1000 && code == MAPVAR_OK) {
        mapvar_value *next = NULL;
        code = mapvar_value_list(&deep, 1, &next);
        if (code == MAPVAR_OK) {
            OK(mapvar_value_free(deep));
            deep = next;
            depth++;
        }
    }
    CHECK(code == MAPVAR_TOO_LARGE && depth == 128);
    OK(mapvar_value_free(deep));
    OK(mapvar_value_free(found));
    OK(mapvar_value_free(opaque));
    OK(mapvar_value_free(dict));
    OK(mapvar_value_free(list));
    for (int at = 0; at < 3; at++) OK(mapvar_value_free(items[at]));
}

static void misuse(mapvar_map *map) {
    int64_t i = 5;
    mapvar_map *other = NULL;
    mapvar_value *value = NULL;
    CHECK(mapvar_map_get_i64(map, "absent", N, &i) == MAPVAR_NOT_FOUND && i == 5);
    CHECK(mapvar_last_error() == MAPVAR_NOT_FOUND && mapvar_last_error_holder() == 0);
    CHECK(strstr(mapvar_last_error_message(), "absent") != NULL);
    CHECK(strcmp(mapvar_last_error_operation(), "get variable") == 0);
    CHECK(strcmp(mapvar_error_name(MAPVAR_NOT_FOUND), "NotFound") == 0);
    CHECK(mapvar_map_get_i64(NULL, "x", N, &i) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_get_i64(map, NULL, 1, &i) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_get_i64(map, NULL, N, &i) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_get_i64(map, "x", N, NULL) == MAPVAR_INVALID_ARGUMENT);
    CHECK(strcmp(mapvar_last_error_operation(), "mapvar_map_get_i64") == 0);
    CHECK(mapvar_map_get_i64(map, "", 0, &i) == MAPVAR_INVALID_NAME);
    CHECK(mapvar_map_set_i64(map, "a\xff", 2, 1) == MAPVAR_INVALID_NAME);
    CHECK(mapvar_map_set_str(map, "x", N, "\xff", 1) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_set_str(map, "x", N, "x", SIZE_MAX - 1) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_open("no such map", N, &other) == MAPVAR_INVALID_NAME && other == NULL);
    // A handle of another type, invalid numbers, a handle closed before, a handle freed twice.
    OK(mapvar_value_nil(&value));
    CHECK(mapvar_map_flush((mapvar_map *)(void *)value) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_value_free((mapvar_value *)(void *)map) == MAPVAR_INVALID_ARGUMENT);
    for (uintptr_t number = 1; number != 0; number <<= 1) {
        CHECK(mapvar_map_flush((mapvar_map *)number) != MAPVAR_OK);
        CHECK(mapvar_map_flush((mapvar_map *)(number | 5)) != MAPVAR_OK);
        CHECK(mapvar_map_flush((mapvar_map *)~number) != MAPVAR_OK);
    }
    OK(mapvar_map_duplicate(map, &other));
    OK(mapvar_map_close(other));
    CHECK(mapvar_map_get_i64(other, "i", N, &i) == MAPVAR_CLOSED);
    CHECK(mapvar_map_close(other) == MAPVAR_CLOSED);
    OK(mapvar_value_free(value));
    CHECK(mapvar_value_free(value) == MAPVAR_CLOSED);
    // Another value has its slot by now, and the old handle does not refer to it.
    mapvar_value *next = NULL;
    OK(mapvar_value_i64(1, &next));
    CHECK(next != value && mapvar_value_free(value) == MAPVAR_CLOSED);
    OK(mapvar_value_free(next));
    OK(mapvar_value_free(NULL));
    OK(mapvar_map_close(NULL));
    OK(mapvar_map_get_i64(map, "i", N, &i));
    CHECK(i == -77);
}

static void large(mapvar_map *map) {
    size_t size = 3000000, len = 0;
    unsigned char *out = malloc(size), *in = malloc(size);
    mapvar_var *var = NULL;
    if (out == NULL || in == NULL) abort();
    for (size_t at = 0; at < size; at++) out[at] = (unsigned char)(at * 7 + at / 1000);
    OK(mapvar_map_set_bytes(map, "large", N, out, size));
    memset(in, 0, size);
    OK(mapvar_map_get_bytes(map, "large", N, in, size, &len));
    CHECK(len == size && memcmp(in, out, size) == 0);
    OK(mapvar_map_var(map, "large", N, &var));
    memset(in, 0, size);
    OK(mapvar_var_read_bytes(var, in, size, &len));
    CHECK(len == size && memcmp(in, out, size) == 0);
    CHECK(mapvar_var_read_bytes(var, in, 10, &len) == MAPVAR_TOO_LARGE && len == size);
    OK(mapvar_var_set_bytes(var, "x", 1));
    OK(mapvar_var_free(var));
    free(out);
    free(in);
}

static void versions(mapvar_map *map) {
    mapvar_version none = {0, 0}, first, second, now;
    mapvar_value *one = NULL, *two = NULL, *found = NULL;
    mapvar_var *var = NULL;
    int32_t removed = 0;
    int64_t number = 0;
    OK(mapvar_value_i64(1, &one));
    OK(mapvar_value_i64(2, &two));
    OK(mapvar_map_get_versioned(map, "cas", N, &found, &now));
    CHECK(found == NULL && now.variable == 0 && now.number == 0);
    OK(mapvar_map_compare_and_set(map, "cas", N, &none, one, &first));
    CHECK(mapvar_map_compare_and_set(map, "cas", N, &none, two, &now) == MAPVAR_CONFLICT);
    CHECK(now.variable == first.variable && now.number == first.number);
    OK(mapvar_map_compare_and_set(map, "cas", N, &now, two, &now));
    OK(mapvar_map_version(map, "cas", N, &second));
    CHECK(memcmp(&second, &now, sizeof now) == 0 && memcmp(&second, &first, sizeof now) != 0);
    OK(mapvar_map_var_or(map, "cas", N, one, &var));
    CHECK(mapvar_var_compare_and_set(var, &first, one, NULL) == MAPVAR_CONFLICT);
    OK(mapvar_var_compare_and_set(var, &second, one, NULL));
    OK(mapvar_map_remove(map, "cas", N, &removed));
    CHECK(removed == 1 && mapvar_var_get_i64(var, &number) == MAPVAR_NOT_FOUND);
    OK(mapvar_var_set_i64(var, 3));
    OK(mapvar_map_get_i64(map, "cas", N, &number));
    CHECK(number == 3);
    OK(mapvar_map_remove(map, "cas", N, &removed));
    OK(mapvar_var_free(var));
    OK(mapvar_value_free(one));
    OK(mapvar_value_free(two));
}

static void walks(mapvar_map *map) {
    mapvar_iter *iter = NULL;
    mapvar_entry *entry = NULL;
    uint64_t walked = 0, count = 0;
    int saw = 0;
    OK(mapvar_map_iter(map, &iter));
    for (;;) {
        const char *name = NULL;
        size_t len = 0;
        OK(mapvar_iter_next(iter, &entry));
        if (entry == NULL) break;
        walked++;
        OK(mapvar_entry_name(entry, &name, &len));
        saw += len == 1 && name[0] == 'i';
        OK(mapvar_entry_free(entry));
    }
    OK(mapvar_iter_free(iter));
    OK(mapvar_map_count(map, &count));
    CHECK(walked == count && saw == 1);
}

static void transactions(mapvar_map *map) {
    mapvar_transaction *mine = NULL, *other = NULL;
    mapvar_value *ten = NULL, *found = NULL;
    mapvar_snapshot *snapshot = NULL;
    const char *names[] = {"left", "right", "nobody"};
    int64_t i = 0;
    OK(mapvar_value_i64(10, &ten));
    OK(mapvar_map_set_i64(map, "left", N, 1));
    OK(mapvar_transaction_begin(map, &mine));
    OK(mapvar_transaction_begin(map, &other));
    OK(mapvar_transaction_get(mine, "left", N, &found));
    OK(mapvar_value_free(found));
    OK(mapvar_transaction_set(mine, "right", N, ten));
    CHECK(mapvar_map_get_i64(map, "right", N, &i) == MAPVAR_NOT_FOUND);
    OK(mapvar_transaction_set(other, "left", N, ten));
    OK(mapvar_transaction_commit(other));
    CHECK(mapvar_transaction_commit(mine) == MAPVAR_CONFLICT);
    CHECK(mapvar_map_get_i64(map, "right", N, &i) == MAPVAR_NOT_FOUND);
    OK(mapvar_transaction_restart(mine));
    OK(mapvar_transaction_get(mine, "nobody", N, &found));
    CHECK(found == NULL);
    OK(mapvar_transaction_get(mine, "left", N, &found));
    OK(mapvar_value_free(found));
    OK(mapvar_transaction_set(mine, "right", N, ten));
    OK(mapvar_transaction_set_ephemeral(mine, "mine", N, ten));
    OK(mapvar_transaction_commit(mine));
    uint32_t owner = 0;
    OK(mapvar_map_owner(map, "right", N, &owner));
    CHECK(owner == 0);
    OK(mapvar_map_owner(map, "mine", N, &owner));
    CHECK(owner != 0);
    OK(mapvar_transaction_remove(mine, "mine", N));
    OK(mapvar_transaction_commit(mine));
    OK(mapvar_transaction_free(mine));
    OK(mapvar_transaction_free(other));
    OK(mapvar_map_snapshot(map, names, NULL, 3, &snapshot));
    OK(mapvar_snapshot_get(snapshot, "right", N, &found));
    OK(mapvar_value_as_i64(found, &i));
    CHECK(i == 10);
    OK(mapvar_value_free(found));
    CHECK(mapvar_snapshot_get(snapshot, "nobody", N, &found) == MAPVAR_NOT_FOUND && found == NULL);
    OK(mapvar_value_free(ten));
    OK(mapvar_snapshot_free(snapshot));
}

static void atomics(mapvar_map *map) {
    mapvar_atomic *atomic = NULL, *other = NULL;
    int64_t before = 0, found = 0;
    int32_t exchanged = 0;
    double f = 0;
    OK(mapvar_map_atomic_i64_or(map, "count", N, 5, &atomic));
    OK(mapvar_atomic_add_i64(atomic, 2, &before));
    CHECK(before == 5);
    OK(mapvar_atomic_compare_exchange_i64(atomic, 7, 1, &exchanged, &found));
    CHECK(exchanged == 1 && found == 7);
    OK(mapvar_atomic_compare_exchange_i64(atomic, 7, 2, &exchanged, &found));
    CHECK(exchanged == 0 && found == 1);
    CHECK(mapvar_atomic_load_f64(atomic, &f) == MAPVAR_WRONG_KIND);
    CHECK(mapvar_map_atomic_u64(map, "count", N, &other) == MAPVAR_WRONG_KIND && other == NULL);
    OK(mapvar_atomic_free(atomic));
}

static void sections(const char *name) {
    mapvar_section_options *options = NULL;
    mapvar_section *section = NULL;
    mapvar_view_options *range = NULL;
    mapvar_view *view = NULL, *part = NULL;
    char bytes[8] = "";
    uint64_t word = 0, size = 0;
    OK(mapvar_section_options_new(&options));
    OK(mapvar_section_options_name(options, name, N, MAPVAR_SCOPE_LOCAL));
    OK(mapvar_section_options_size(options, 8192));
    OK(mapvar_section_options_create(options, &section));
    OK(mapvar_section_size(section, &size));
    CHECK(size == 8192);
    OK(mapvar_section_view(section, NULL, &view));
    OK(mapvar_view_write_string(view, "hello", 5));
    OK(mapvar_view_read_string(view, bytes, 5));
    CHECK(memcmp(bytes, "hello", 5) == 0);
    OK(mapvar_view_options_new(&range));
    OK(mapvar_view_options_range(range, 2, 6));
    OK(mapvar_view_options_access(range, MAPVAR_ACCESS_READ));
    OK(mapvar_section_view(section, range, &part));
    OK(mapvar_view_read(part, 0, bytes, 3));
    CHECK(memcmp(bytes, "llo", 3) == 0);
    CHECK(mapvar_view_read(part, 5, bytes, 3) == MAPVAR_OUT_OF_RANGE);
    CHECK(mapvar_view_write(part, 0, "x", 1) == MAPVAR_READ_ONLY);
    OK(mapvar_view_store(view, 64, 40));
    OK(mapvar_view_add(view, 64, 2, NULL));
    OK(mapvar_view_load(view, 64, &word));
    CHECK(word == 42 && mapvar_view_load(view, 8190, &word) == MAPVAR_OUT_OF_RANGE);
    OK(mapvar_view_flush_durable(view, 0, 100));
    OK(mapvar_view_lost(view));
    OK(mapvar_section_close(section));
    OK(mapvar_view_close(part));
    OK(mapvar_view_close(view));
    CHECK(mapvar_view_read(view, 0, bytes, 1) == MAPVAR_CLOSED);
    OK(mapvar_view_options_free(range));
    OK(mapvar_section_options_free(options));
}

static void facts(mapvar_map *map) {
    mapvar_stat *stat = NULL;
    mapvar_check *check = NULL;
    uint64_t number = 0, count = 0;
    OK(mapvar_map_stat(map, &stat));
    OK(mapvar_stat_get(stat, MAPVAR_STAT_VARIABLES, &number));
    OK(mapvar_map_count(map, &count));
    CHECK(number == count && mapvar_stat_get(stat, 99, &number) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_stat_free(stat));
    OK(mapvar_map_check(map, &check));
    OK(mapvar_check_faults(check, &number));
    CHECK(number == 0);
    OK(mapvar_check_free(check));
    OK(mapvar_map_recovery(map, MAPVAR_RECOVERY_HAPPENED, &number));
    CHECK(number == 0);
}

// Another thread can use a handle; each thread has its own errors.
#ifdef _WIN32
static unsigned __stdcall thread(void *map) {
#else
static void *thread(void *map) {
#endif
    int64_t i = 0;
    CHECK(mapvar_last_error() == MAPVAR_OK && mapvar_last_error_message()[0] == '\0');
    for (int round = 0; round < 200; round++) {
        mapvar_map *mine = NULL;
        OK(mapvar_map_duplicate(map, &mine));
        OK(mapvar_map_get_i64(mine, "i", N, &i));
        OK(mapvar_map_close(mine));
        CHECK(mapvar_map_get_i64(mine, "i", N, &i) == MAPVAR_CLOSED);
    }
    return 0;
}

static void threads(mapvar_map *map) {
    mapvar_map *none = NULL;
    CHECK(mapvar_map_open(NULL, 1, &none) == MAPVAR_INVALID_ARGUMENT);
#ifdef _WIN32
    HANDLE others[3];
    for (int at = 0; at < 3; at++) others[at] = (HANDLE)_beginthreadex(NULL, 0, thread, map, 0, NULL);
    WaitForMultipleObjects(3, others, TRUE, INFINITE);
#else
    pthread_t others[3];
    for (int at = 0; at < 3; at++) CHECK(pthread_create(&others[at], NULL, thread, map) == 0);
    for (int at = 0; at < 3; at++) pthread_join(others[at], NULL);
#endif
    CHECK(mapvar_last_error() == MAPVAR_INVALID_ARGUMENT);
}

static int peer(const char *name) {
    mapvar_map *map = NULL;
    int64_t i = 0;
    OK(mapvar_map_open(name, N, &map));
    OK(mapvar_map_get_i64(map, "i", N, &i));
    CHECK(i == -77);
    OK(mapvar_map_set_str(map, "from the peer", N, "hello", N));
    OK(mapvar_map_close(map));
    return failures != 0;
}

// Fields of a struct, which a program in Rust has set: the example `structs`, named by
// MAPVAR_STRUCTS.
static void fields(mapvar_map *map) {
    double rpm = 0;
    int64_t number = 0;
    uint64_t lap = 0;
    uint32_t kind = 0;
    mapvar_value *value = NULL;
    CHECK(mapvar_map_get_field_f64(map, "none", N, "rpm", N, &rpm) == MAPVAR_NOT_FOUND);
    CHECK(mapvar_map_get_field(map, "i", N, "rpm", N, &value) == MAPVAR_WRONG_KIND && value == NULL);
    CHECK(mapvar_map_set_field_i64(map, "i", N, "rpm", N, 1) == MAPVAR_WRONG_KIND);
    const char *program = getenv("MAPVAR_STRUCTS");
    if (program == NULL) {
        fprintf(stderr, "SKIPPED: MAPVAR_STRUCTS names no program, so no field of a struct was read\n");
        return;
    }
    char name[64], line[1024];
    snprintf(name, sizeof name, "c-tests-structs.%lu", process_id());
    snprintf(line, sizeof line, "\"%s\" %s", program, name);
#ifdef _WIN32
    FILE *other = _popen(line, "w");
#else
    FILE *other = popen(line, "w");
#endif
    CHECK(other != NULL);
    if (other == NULL) return;
    mapvar_map *theirs = NULL;
    for (int round = 0; round < 1000 && mapvar_map_open(name, N, &theirs) != MAPVAR_OK; round++) sleep_ms(10);
    int32_t found = 0;
    for (int round = 0; round < 1000 && !found; round++) {
        if (mapvar_map_contains(theirs, "car", N, &found) != MAPVAR_OK || !found) sleep_ms(10);
    }
    OK(mapvar_map_get_field_f64(theirs, "car", N, "rpm", N, &rpm));
    CHECK(rpm == 900.0);
    OK(mapvar_map_get_field_i64(theirs, "car", N, "gear", N, &number));
    CHECK(number == -1);
    OK(mapvar_map_get_field_i64(theirs, "car", N, "wheels.3.on", N, &number));
    CHECK(number == 1);
    CHECK(mapvar_map_get_field_i64(theirs, "car", N, "lap", N, &number) == MAPVAR_OUT_OF_RANGE && number == 1);
    CHECK(mapvar_map_get_field_i64(theirs, "car", N, "rpm", N, &number) == MAPVAR_WRONG_KIND);
    CHECK(mapvar_map_get_field_f64(theirs, "car", N, "lap", N, &rpm) == MAPVAR_OUT_OF_RANGE);
    CHECK(mapvar_map_get_field_f64(theirs, "car", N, "speed", N, &rpm) == MAPVAR_NOT_FOUND);
    CHECK(strstr(mapvar_last_error_message(), "\"car\"") != NULL);
    OK(mapvar_map_get_field(theirs, "car", N, "lap", N, &value));
    OK(mapvar_value_as_u64(value, &lap));
    CHECK(lap == UINT64_MAX);
    OK(mapvar_value_free(value));

    OK(mapvar_map_set_field_f64(theirs, "car", N, "wheels.2.speed", N, 2.5));
    OK(mapvar_map_set_field_i64(theirs, "car", N, "rpm", N, 5));
    OK(mapvar_value_bool(0, &value));
    OK(mapvar_map_set_field(theirs, "car", N, "wheels.2.on", N, value));
    CHECK(mapvar_map_set_field(theirs, "car", N, "rpm", N, value) == MAPVAR_WRONG_KIND);
    OK(mapvar_value_free(value));
    CHECK(mapvar_map_set_field_i64(theirs, "car", N, "gear", N, 128) == MAPVAR_OUT_OF_RANGE);
    OK(mapvar_map_get_field_f64(theirs, "car", N, "rpm", N, &rpm));
    CHECK(rpm == 5.0);
    OK(mapvar_map_get_field_f64(theirs, "car", N, "wheels.2.speed", N, &rpm));
    CHECK(rpm == 2.5);
    OK(mapvar_map_get_field_i64(theirs, "car", N, "gear", N, &number));
    CHECK(number == -1);

    // The whole struct is a dictionary.
    OK(mapvar_map_get_value(theirs, "car", N, &value));
    OK(mapvar_value_kind(value, &kind));
    CHECK(kind == MAPVAR_KIND_DICT);
    OK(mapvar_value_free(value));
    mapvar_var *var = NULL;
    OK(mapvar_map_var(theirs, "car", N, &var));
    OK(mapvar_var_kind(var, &kind));
    CHECK(kind == MAPVAR_KIND_STRUCT);
    OK(mapvar_var_free(var));
    OK(mapvar_map_close(theirs));
    fputc('\n', other);
#ifdef _WIN32
    CHECK(_pclose(other) == 0);
#else
    CHECK(pclose(other) == 0);
#endif
}

static void second_process(const char *program, const char *name, mapvar_map *map) {
    char text[8] = "";
    size_t len = 0;
#ifdef _WIN32
    CHECK(_spawnl(_P_WAIT, program, program, "peer", name, NULL) == 0);
#else
    pid_t child = fork();
    if (child == 0) {
        int64_t i = 0;
        // The child cannot use its parent's map.
        int code = mapvar_map_get_i64(map, "i", N, &i);
        if (code != MAPVAR_CLOSED) _exit(9);
        execl(program, program, "peer", name, (char *)NULL);
        _exit(8);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
#endif
    OK(mapvar_map_get_str(map, "from the peer", N, text, sizeof text, &len));
    CHECK(strcmp(text, "hello") == 0);
}

int main(int count, char **arguments) {
    char name[64], section[64];
    if (count == 3) return peer(arguments[2]);
    snprintf(name, sizeof name, "c-tests.%lu", process_id());
    snprintf(section, sizeof section, "c-tests-raw.%lu", process_id());
    mapvar_map *map = make(name);
    kinds(map);
    values(map);
    misuse(map);
    large(map);
    versions(map);
    walks(map);
    transactions(map);
    atomics(map);
    sections(section);
    facts(map);
    threads(map);
    fields(map);
    second_process(arguments[0], name, map);
    OK(mapvar_map_close(map));
    printf("C tests: %d failed\n", failures);
    return failures != 0;
}
