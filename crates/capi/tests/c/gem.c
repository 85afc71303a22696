// Maps in the layout of Ruby's gem win32-mmap, by the committed header: the stored bytes, variables erased by a gem,
// the lock
// and its figures, raw bytes, and unsupported operations. Prints the failures; 0 = success.
#include "check.h"

static const unsigned char HELLO[] = {4,    8,    '{', 7,   'I', '"', 8, 'f', 'o', 'o', 6, ':', 6,   'E', 'T', 'I', '"',
                                      0x0a, 'h',  'e', 'l', 'l', 'o', 6, ';', 0,   'T', 'I', '"', 8,   'b', 'a', 'r', 6,
                                      ';',  0,    'T', 'i', 0x52};
// Only bar = 77: written by a gem that has not seen foo.
static const unsigned char BAR[] = {4, 8, '{', 6, 'I', '"', 8, 'b', 'a', 'r', 6, ':', 6, 'E', 'T', 'i', 0x52};

static mapvar_options *options_of(const char *name) {
    mapvar_options *options = NULL;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_size(options, 2000));
    OK(mapvar_options_format(options, MAPVAR_FORMAT_MARSHAL));
    OK(mapvar_options_timeout(options, 300));
    return options;
}

static mapvar_map *open_map(const char *name, uint32_t on_clobber) {
    mapvar_options *options = options_of(name);
    mapvar_map *map = NULL;
    OK(mapvar_options_on_clobber(options, on_clobber));
    OK(mapvar_options_open_or_create(options, &map));
    OK(mapvar_options_free(options));
    return map;
}

static void the_bytes_are_the_gems(const char *name) {
    mapvar_map *map = open_map(name, MAPVAR_CLOBBER_ACCEPT), *found = NULL;
    unsigned char bytes[sizeof HELLO];
    uint32_t format = 9;
    int64_t bar = 0;
    OK(mapvar_map_set_str(map, "foo", N, "hello", N));
    OK(mapvar_map_set_i64(map, "bar", N, 77));
    OK(mapvar_map_read_string(map, bytes, sizeof bytes));
    CHECK(memcmp(bytes, HELLO, sizeof HELLO) == 0);
    CHECK(mapvar_map_read_string(map, bytes, (size_t)1 << 40) == MAPVAR_TOO_LARGE);
    CHECK(mapvar_map_read_string(map, NULL, 4) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_map_format(map, &format));
    CHECK(format == MAPVAR_FORMAT_MARSHAL);
    // The format is detected when it is not given.
    OK(mapvar_map_open(name, N, &found));
    format = 9;
    OK(mapvar_map_format(found, &format));
    CHECK(format == MAPVAR_FORMAT_MARSHAL);
    OK(mapvar_map_get_i64(found, "bar", N, &bar));
    CHECK(bar == 77);
    // Raw bytes over the variables are not variables.
    OK(mapvar_map_write_string(found, "raw", 3));
    CHECK(mapvar_map_get_i64(map, "bar", N, &bar) == MAPVAR_NOT_A_MAP);
    OK(mapvar_map_read_string(map, bytes, 3));
    CHECK(memcmp(bytes, "raw", 3) == 0);
    OK(mapvar_map_clear(map, NULL));
    CHECK(mapvar_map_get_i64(map, "bar", N, &bar) == MAPVAR_NOT_FOUND);
    OK(mapvar_map_close(found));
    OK(mapvar_map_close(map));
}

static void what_is_erased_is_told(const char *name) {
    mapvar_map *map = open_map(name, MAPVAR_CLOBBER_REASSERT), *gem = open_map(name, MAPVAR_CLOBBER_ACCEPT);
    mapvar_clobbered *clobbered = NULL;
    const char *which = NULL;
    size_t names = 9, len = 0;
    uint64_t total = 9;
    int64_t bar = 0;
    char text[8] = "";
    OK(mapvar_map_set_str(map, "foo", N, "hello", N));
    OK(mapvar_map_clobbered(map, &clobbered));
    OK(mapvar_clobbered_count(clobbered, &total, &names));
    CHECK(total == 0 && names == 0);
    OK(mapvar_clobbered_free(clobbered));
    OK(mapvar_map_write_string(gem, BAR, sizeof BAR));
    CHECK(mapvar_map_get_str(map, "foo", N, text, sizeof text, &len) == MAPVAR_NOT_FOUND);
    OK(mapvar_map_clobbered(map, &clobbered));
    OK(mapvar_clobbered_count(clobbered, &total, &names));
    CHECK(total == 1 && names == 1);
    OK(mapvar_clobbered_name(clobbered, 0, &which, &len));
    CHECK(len == 3 && memcmp(which, "foo", 3) == 0);
    CHECK(mapvar_clobbered_name(clobbered, 1, &which, &len) == MAPVAR_OUT_OF_RANGE);
    OK(mapvar_clobbered_free(clobbered));
    CHECK(mapvar_clobbered_count(clobbered, NULL, NULL) == MAPVAR_CLOSED);
    // The next write restores it, beside the gem's variable; it is reported once.
    OK(mapvar_map_set_i64(map, "more", N, 1));
    OK(mapvar_map_get_str(gem, "foo", N, text, sizeof text, &len));
    OK(mapvar_map_get_i64(gem, "bar", N, &bar));
    CHECK(strcmp(text, "hello") == 0 && bar == 77);
    OK(mapvar_map_clobbered(map, &clobbered));
    OK(mapvar_clobbered_count(clobbered, &total, &names));
    CHECK(total == 1 && names == 0);
    OK(mapvar_clobbered_free(clobbered));
    OK(mapvar_map_close(map));
    // With MAPVAR_CLOBBER_ERROR it is an error, once.
    map = open_map(name, MAPVAR_CLOBBER_ERROR);
    OK(mapvar_map_set_str(map, "mine", N, "x", N));
    OK(mapvar_map_write_string(gem, BAR, sizeof BAR));
    CHECK(mapvar_map_set_i64(map, "other", N, 1) == MAPVAR_TAKEN_AWAY);
    CHECK(strstr(mapvar_last_error_message(), "mine") != NULL);
    OK(mapvar_map_set_i64(map, "other", N, 1));
    OK(mapvar_map_close(map));
    OK(mapvar_map_close(gem));
}

static uint64_t figure(mapvar_map *map, uint32_t which) {
    mapvar_lock_stat *stat = NULL;
    uint64_t number = UINT64_MAX;
    OK(mapvar_map_lock_stat(map, &stat));
    OK(mapvar_lock_stat_get(stat, which, &number));
    CHECK(mapvar_lock_stat_get(stat, 99, &number) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_lock_stat_free(stat));
    return number;
}

static void the_lock(const char *name) {
    mapvar_map *map = open_map(name, MAPVAR_CLOBBER_ACCEPT);
    mapvar_options *options = options_of(name);
    int32_t freed = 9;
    OK(mapvar_map_set_i64(map, "foo", N, 1));
    uint64_t taken = figure(map, MAPVAR_LOCK_STAT_TAKEN);
    OK(mapvar_map_set_i64(map, "foo", N, 2));
    // A set of a small map reads, edits and writes under one lock.
    CHECK(taken >= 1 && figure(map, MAPVAR_LOCK_STAT_TAKEN) == taken + 1);
    CHECK(figure(map, MAPVAR_LOCK_STAT_RECOVERED) == 0 && figure(map, MAPVAR_LOCK_STAT_BROKEN) == 0);
    uint64_t longest = figure(map, MAPVAR_LOCK_STAT_LONGEST), p99 = figure(map, MAPVAR_LOCK_STAT_P99);
    CHECK(longest > 0 && p99 <= longest && figure(map, MAPVAR_LOCK_STAT_MEDIAN) <= p99);
    OK(mapvar_options_unlock(options, MAPVAR_UNLOCK_ABANDONED, &freed));
    CHECK(freed == 0);
    OK(mapvar_options_unlock(options, MAPVAR_UNLOCK_ANY, NULL));
#ifdef _WIN32
    // Like a gem after an exception: it lives, and keeps the lock.
    char lock[80];
    int64_t foo = 0;
    snprintf(lock, sizeof lock, "%s.ruby_lock", name);
    HANDLE semaphore = CreateSemaphoreA(NULL, 1, 1, lock);
    CHECK(semaphore != NULL && WaitForSingleObject(semaphore, 1000) == WAIT_OBJECT_0);
    CHECK(mapvar_map_set_i64(map, "foo", N, 3) == MAPVAR_TIMED_OUT);
    CHECK(mapvar_options_unlock(options, MAPVAR_UNLOCK_ABANDONED, &freed) == MAPVAR_TIMED_OUT && freed == 0);
    OK(mapvar_options_unlock(options, MAPVAR_UNLOCK_ANY, &freed));
    CHECK(freed == 1);
    OK(mapvar_map_set_i64(map, "foo", N, 3));
    // A lock whose last handle is gone with its owner needs no manual action.
    CHECK(WaitForSingleObject(semaphore, 1000) == WAIT_OBJECT_0);
    HANDLE other = CreateSemaphoreA(NULL, 1, 1, lock);
    CloseHandle(semaphore);
    CHECK(mapvar_map_get_i64(map, "foo", N, &foo) == MAPVAR_TIMED_OUT);
    CloseHandle(other);
    OK(mapvar_map_get_i64(map, "foo", N, &foo));
    CHECK(foo == 3);
#endif
    OK(mapvar_options_free(options));
    OK(mapvar_map_close(map));
}

static void what_the_layout_cannot_do(const char *name) {
    mapvar_map *map = open_map(name, MAPVAR_CLOBBER_ACCEPT), *store = NULL;
    mapvar_options *options = NULL;
    mapvar_transaction *transaction = NULL;
    mapvar_lock_stat *stat = NULL;
    mapvar_atomic *atomic = NULL;
    mapvar_var *var = NULL;
    mapvar_value *one = NULL, *found = NULL;
    mapvar_version none = {0, 0}, first, now;
    uint32_t format = 9;
    int32_t there = 9;
    char bytes[4];
    OK(mapvar_value_i64(1, &one));
    CHECK(mapvar_map_var_or(map, "x", N, one, &var) == MAPVAR_UNSUPPORTED && var == NULL);
    CHECK(mapvar_map_atomic_i64_or(map, "x", N, 1, &atomic) == MAPVAR_UNSUPPORTED && atomic == NULL);
    CHECK(mapvar_transaction_begin(map, &transaction) == MAPVAR_UNSUPPORTED && transaction == NULL);
    CHECK(mapvar_map_contains(map, "x", N, &there) == MAPVAR_OK && there == 0);
    // Conditional sets by version are supported.
    OK(mapvar_map_compare_and_set(map, "x", N, &none, one, &first));
    CHECK(mapvar_map_compare_and_set(map, "x", N, &none, one, &now) == MAPVAR_CONFLICT);
    CHECK(memcmp(&now, &first, sizeof now) == 0);
    OK(mapvar_map_get_versioned(map, "x", N, &found, &now));
    CHECK(memcmp(&now, &first, sizeof now) == 0);
    OK(mapvar_value_free(found));
    OK(mapvar_value_free(one));
    OK(mapvar_map_close(map));
    // Invalid options are refused, and a store refuses what only the gem's layout supports.
    OK(mapvar_options_new(&options));
    CHECK(mapvar_options_format(options, 9) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_options_on_clobber(options, 9) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_create(options, &store));
    OK(mapvar_map_format(store, &format));
    CHECK(format == MAPVAR_FORMAT_STORE);
    CHECK(mapvar_map_read_string(store, bytes, 4) == MAPVAR_UNSUPPORTED);
    CHECK(mapvar_map_write_string(store, "raw", 3) == MAPVAR_UNSUPPORTED);
    OK(mapvar_map_lock_stat(store, &stat));
    CHECK(stat == NULL);
    OK(mapvar_options_free(options));
    OK(mapvar_map_close(store));
}

int main(void) {
    char name[64];
    snprintf(name, sizeof name, "c-gem.%lu", process_id());
    the_bytes_are_the_gems(name);
    what_is_erased_is_told(name);
    the_lock(name);
    what_the_layout_cannot_do(name);
    printf("C tests of the gem's maps: %d failed\n", failures);
    return failures != 0;
}
