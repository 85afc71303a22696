// Maps in files and their growth, by the committed header: flush, recovery, copies, read-only, a full map, and the
// process that a call waited for when it timed out. Prints the failures; 0 = success. Its files are in the current folder while it
// runs.
//
//     files            runs everything; starts itself again as the second process
//     files busy NAME  the second process: sets a variable forever
#include "check.h"

static mapvar_options *options_of(const char *path) {
    mapvar_options *options = NULL;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_file(options, path, N));
    OK(mapvar_options_size(options, 4000));
    return options;
}

static uint64_t figure(mapvar_map *map, uint32_t which) {
    mapvar_stat *stat = NULL;
    uint64_t number = UINT64_MAX;
    OK(mapvar_map_stat(map, &stat));
    OK(mapvar_stat_get(stat, which, &number));
    OK(mapvar_stat_free(stat));
    return number;
}

static uint64_t recovered(mapvar_map *map, uint32_t which) {
    uint64_t number = UINT64_MAX;
    OK(mapvar_map_recovery(map, which, &number));
    return number;
}

static void copy(const char *from, const char *to) {
    static char piece[65536];
    size_t len;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (in == NULL || out == NULL) abort();
    while ((len = fread(piece, 1, sizeof piece, in)) > 0) CHECK(fwrite(piece, 1, len, out) == len);
    CHECK(fclose(in) == 0 && fclose(out) == 0);
}

static void a_file(const char *path, const char *other) {
    mapvar_options *options = options_of(path), *of_other = options_of(other);
    mapvar_map *map = NULL;
    mapvar_check *check = NULL;
    int32_t created = 9;
    uint64_t faults = 9;
    int64_t i = 0;
    CHECK(mapvar_options_open(options, &map) == MAPVAR_NOT_FOUND && map == NULL);
    CHECK(strstr(mapvar_last_error_object(), path) != NULL);
    OK(mapvar_options_open_or_create(options, &map));
    OK(mapvar_map_was_created(map, &created));
    CHECK(created == 1 && figure(map, MAPVAR_STAT_FILE) == 1);
    OK(mapvar_map_set_i64(map, "flushed", N, 1));
    OK(mapvar_map_set_i64(map, "twice", N, 1));
    OK(mapvar_map_check_name(map));
    OK(mapvar_map_flush(map));
    // A copy does not contain what was set since the flush.
    OK(mapvar_map_set_i64(map, "twice", N, 2));
    OK(mapvar_map_set_i64(map, "unflushed", N, 3));
    copy(path, other);
    OK(mapvar_map_close(map));
    // Its changes are not taken back without consent, and a reader sees the last flush without it.
    CHECK(mapvar_options_open(of_other, &map) == MAPVAR_NEEDS_RECOVERY);
    OK(mapvar_options_read_only(of_other, 1));
    OK(mapvar_options_open(of_other, &map));
    OK(mapvar_map_get_i64(map, "twice", N, &i));
    CHECK(i == 1 && recovered(map, MAPVAR_RECOVERY_HAPPENED) == 1);
    OK(mapvar_map_close(map));
    OK(mapvar_options_read_only(of_other, 0));
    OK(mapvar_options_recover(of_other, MAPVAR_RECOVER_NEVER));
    CHECK(mapvar_options_open(of_other, &map) == MAPVAR_NEEDS_RECOVERY);
    CHECK(mapvar_options_recover(of_other, 3) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_options_recover(of_other, MAPVAR_RECOVER_ACCEPT_LOSS));
    OK(mapvar_options_open(of_other, &map));
    CHECK(recovered(map, MAPVAR_RECOVERY_HAPPENED) == 1 && recovered(map, MAPVAR_RECOVERY_VARIABLES) == 2);
    CHECK(recovered(map, MAPVAR_RECOVERY_LOST) == 0 && recovered(map, MAPVAR_RECOVERY_ROLLED_BACK) == 2);
    CHECK(recovered(map, MAPVAR_RECOVERY_DAMAGED) == 0 && recovered(map, MAPVAR_RECOVERY_TORN) == 0);
    CHECK(mapvar_map_recovery(map, 6, &faults) == MAPVAR_INVALID_ARGUMENT);
    CHECK(figure(map, MAPVAR_STAT_FLUSH_FAILED) == 0);
    OK(mapvar_map_get_i64(map, "twice", N, &i));
    CHECK(i == 1 && mapvar_map_get_i64(map, "unflushed", N, &i) == MAPVAR_NOT_FOUND);
    OK(mapvar_map_close(map));
    // The close of the last handle flushed it.
    OK(mapvar_options_read_only(options, 1));
    OK(mapvar_options_open(options, &map));
    OK(mapvar_map_was_created(map, &created));
    CHECK(created == 0 && recovered(map, MAPVAR_RECOVERY_HAPPENED) == 0);
    OK(mapvar_map_get_i64(map, "twice", N, &i));
    CHECK(i == 2 && mapvar_map_set_i64(map, "twice", N, 3) == MAPVAR_READ_ONLY);
    CHECK(mapvar_map_flush(map) == MAPVAR_READ_ONLY);
    OK(mapvar_map_close(map));
    OK(mapvar_options_check(of_other, &check));
    OK(mapvar_check_faults(check, &faults));
    CHECK(faults == 0);
    OK(mapvar_check_free(check));
    OK(mapvar_options_free(options));
    OK(mapvar_options_free(of_other));
    CHECK(remove(path) == 0 && remove(other) == 0);
}

static void a_copy_of_a_map_in_use(const char *path, const char *other) {
    mapvar_options *options = options_of(path), *of_other = options_of(other);
    mapvar_map *map = NULL, *into = NULL;
    uint64_t variables = 9;
    int32_t at_one_instant = 9;
    int64_t i = 0;
    OK(mapvar_options_create(options, &map));
    OK(mapvar_map_set_i64(map, "foo", N, 1));
    OK(mapvar_options_take_over(of_other, 1));
    OK(mapvar_options_create(of_other, &into));
    OK(mapvar_map_copy_to(map, into, &variables, &at_one_instant));
    CHECK(variables == 1 && at_one_instant == 1);
    OK(mapvar_map_get_i64(into, "foo", N, &i));
    CHECK(i == 1);
    OK(mapvar_map_copy_to(map, into, NULL, NULL));
    CHECK(mapvar_map_copy_to(map, map, NULL, NULL) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_copy_to(map, NULL, NULL, NULL) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_map_close(map));
    OK(mapvar_map_close(into));
    OK(mapvar_options_free(options));
    OK(mapvar_options_free(of_other));
    CHECK(remove(path) == 0 && remove(other) == 0);
}

static void it_grows_until_it_is_full(const char *path) {
    mapvar_options *options = options_of(path);
    mapvar_map *map = NULL, *second = NULL;
    static char text[10000];
    char name[32];
    size_t len = 0;
    int code = MAPVAR_OK, set = 0;
    OK(mapvar_options_max_size(options, 1000000));
    OK(mapvar_options_create(options, &map));
    OK(mapvar_options_open(options, &second));
    uint64_t before = figure(map, MAPVAR_STAT_REGION);
    CHECK(figure(map, MAPVAR_STAT_MAX_SIZE) >= 1000000 && before < 500000);
    while (set < 1000 && code == MAPVAR_OK) {
        snprintf(name, sizeof name, "text %d", set);
        memset(text, 'a' + set % 26, sizeof text);
        code = mapvar_map_set_str(map, name, N, text, sizeof text);
        set += code == MAPVAR_OK;
    }
    CHECK(code == MAPVAR_FULL && set > 5 && set < 100);
    CHECK(figure(map, MAPVAR_STAT_REGION) > before);
    // A handle that was open before sees all of it, and nothing was lost.
    CHECK(figure(second, MAPVAR_STAT_VARIABLES) == (uint64_t)set);
    for (int at = 0; at < set; at++) {
        snprintf(name, sizeof name, "text %d", at);
        OK(mapvar_map_get_str(second, name, N, text, sizeof text, &len));
        CHECK(len == sizeof text && text[0] == 'a' + at % 26 && text[len - 1] == 'a' + at % 26);
    }
    OK(mapvar_map_remove(second, "text 0", N, NULL));
    OK(mapvar_map_set_str(map, "again", N, text, sizeof text));
    OK(mapvar_options_free(options));
    OK(mapvar_map_close(map));
    OK(mapvar_map_close(second));
    CHECK(remove(path) == 0);
}

static int busy(const char *name) {
    static char bytes[50000];
    mapvar_map *map = NULL;
    OK(mapvar_map_open(name, N, &map));
    while (failures == 0) OK(mapvar_map_set_bytes(map, "busy", N, bytes, sizeof bytes));
    return 1;
}

static void the_process_in_the_way(const char *program, const char *name) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    int code = MAPVAR_OK;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_timeout(options, 100));
    OK(mapvar_options_create(options, &map));
    OK(mapvar_map_set_bytes(map, "busy", N, "", 0));
    child other = start_child(program, "busy", name);
    // Until the process is stopped while it sets.
    for (int round = 0; round < 500 && code == MAPVAR_OK; round++) {
        sleep_ms(5);
        stop_child(&other);
        code = mapvar_map_set_bytes(map, "busy", N, "mine", 4);
        if (code == MAPVAR_OK) continue_child(&other);
    }
    CHECK(code == MAPVAR_TIMED_OUT);
    CHECK(mapvar_last_error_holder() == (uint32_t)other.dwProcessId);
    CHECK(strstr(mapvar_last_error_holder_program(), "files") != NULL);
    // Other users of the map continue; when the stopped process dies, the set succeeds.
    OK(mapvar_map_set_i64(map, "other", N, 1));
    kill_child(&other);
    OK(mapvar_map_set_bytes(map, "busy", N, "mine", 4));
    OK(mapvar_options_free(options));
    OK(mapvar_map_close(map));
}

int main(int count, char **arguments) {
    char path[64], other[64], name[64];
    if (count == 3) return busy(arguments[2]);
    snprintf(path, sizeof path, "c-files.%lu.map", process_id());
    snprintf(other, sizeof other, "c-files.%lu.copy.map", process_id());
    snprintf(name, sizeof name, "c-files.%lu", process_id());
    a_file(path, other);
    a_copy_of_a_map_in_use(path, other);
    it_grows_until_it_is_full(path);
    the_process_in_the_way(arguments[0], name);
    printf("C tests of files: %d failed\n", failures);
    return failures != 0;
}
