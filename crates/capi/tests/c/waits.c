// Waiting for changes of variables, and locks, between two processes.
#include "check.h"

static void ephemeral(mapvar_map *map, const char *name, const char *text) {
    mapvar_value *value;
    OK(mapvar_value_str(text, N, &value));
    OK(mapvar_map_set_ephemeral(map, name, N, value));
    OK(mapvar_value_free(value));
}

// The second process: increments the variable that the first watches, then keeps a lock until it is killed.
static int peer(const char *name) {
    mapvar_map *map;
    mapvar_lock *lock;
    mapvar_held *held;
    uint32_t dead = 1;
    OK(mapvar_map_open(name, N, &map));
    ephemeral(map, "theirs", "busy");
    for (int64_t i = 1; i <= 100; i++) OK(mapvar_map_set_i64(map, "count", N, i));
    OK(mapvar_map_lock(map, "jobs", N, &lock));
    OK(mapvar_lock_take(lock, 0, 20000, &held));
    OK(mapvar_held_abandoned(held, &dead));
    CHECK(dead == 0);
    OK(mapvar_map_set_bool(map, "held", N, 1));
    sleep_ms(60000);
    return failures != 0;
}

static void watches(mapvar_map *map) {
    const char *names[] = {"a", "b"};
    mapvar_watch *one, *any, *all;
    mapvar_change *change = (mapvar_change *)1;
    mapvar_value *value;
    mapvar_version version, now;
    const char *text;
    size_t len;
    uint64_t skipped = 99;
    int64_t number = 0;
    OK(mapvar_map_watch(map, "a", N, &one));
    OK(mapvar_map_watch_any(map, names, NULL, 2, &any));
    OK(mapvar_map_watch_prefix(map, "", 0, &all));
    OK(mapvar_watch_next(one, 0, &change));
    CHECK(change == NULL);
    OK(mapvar_watch_next(all, 10, &change));
    CHECK(change == NULL);
    OK(mapvar_map_set_i64(map, "a", N, 1));
    OK(mapvar_map_set_i64(map, "a", N, 2));
    OK(mapvar_watch_next(one, 1000, &change));
    OK(mapvar_change_name(change, &text, &len));
    CHECK(len == 1 && text[0] == 'a');
    OK(mapvar_change_skipped(change, &skipped));
    CHECK(skipped == 1);
    OK(mapvar_change_version(change, &version));
    OK(mapvar_map_version(map, "a", N, &now));
    CHECK(version.variable == now.variable && version.number == now.number);
    OK(mapvar_change_value(change, &value));
    OK(mapvar_value_as_i64(value, &number));
    CHECK(number == 2);
    OK(mapvar_value_free(value));
    OK(mapvar_change_free(change));
    OK(mapvar_watch_next(any, 1000, &change));
    OK(mapvar_change_free(change));
    OK(mapvar_map_remove(map, "a", N, NULL));
    OK(mapvar_watch_next(any, 1000, &change));
    OK(mapvar_change_value(change, &value));
    CHECK(value == NULL);
    OK(mapvar_change_free(change));
    OK(mapvar_watch_free(any));
    // Misuse.
    CHECK(mapvar_map_watch(map, "", N, &any) == MAPVAR_INVALID_NAME && any == NULL);
    CHECK(mapvar_map_watch_any(map, names, NULL, 0, &any) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_watch_next(one, 0, NULL) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_watch_free(one));
    CHECK(mapvar_watch_next(one, 0, &change) == MAPVAR_CLOSED);
    OK(mapvar_watch_free(all));
    OK(mapvar_watch_free(NULL));
}

static void locks(mapvar_map *map) {
    mapvar_lock *lock;
    mapvar_ticket *place;
    mapvar_held *held, *second;
    uint32_t process = 1;
    size_t owners = 9;
    int32_t gone = 9;
    OK(mapvar_map_lock(map, "mine", N, &lock));
    OK(mapvar_lock_holder(lock, &process));
    CHECK(process == 0);
    OK(mapvar_lock_take(lock, 0, 0, &held));
    OK(mapvar_lock_holder(lock, &process));
    CHECK(process == process_id());
    CHECK(mapvar_lock_take(lock, 0, 0, &second) == MAPVAR_INVALID_ARGUMENT && second == NULL);
    OK(mapvar_held_release(held));
    CHECK(mapvar_held_release(held) == MAPVAR_CLOSED);
    OK(mapvar_lock_queue(lock, 0, &place));
    OK(mapvar_ticket_wait(place, 0, &held));
    CHECK(mapvar_ticket_wait(place, 0, &second) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_ticket_free(place));
    OK(mapvar_lock_holder(lock, &process));
    CHECK(process == process_id());
    OK(mapvar_held_release(held));
    OK(mapvar_lock_try(lock, 1, &held));
    CHECK(held != NULL);
    OK(mapvar_lock_force_unlock(lock, &owners));
    CHECK(owners == 1);
    // The next exclusive owner has to learn of it, so the lock stays.
    CHECK(mapvar_held_release(held) == MAPVAR_TAKEN_AWAY);
    OK(mapvar_lock_remove(lock, &gone));
    CHECK(gone == 0);
    OK(mapvar_lock_try(lock, 0, &held));
    OK(mapvar_held_release(held));
    OK(mapvar_lock_remove(lock, &gone));
    CHECK(gone == 1);
    OK(mapvar_lock_remove(lock, NULL));
    OK(mapvar_lock_free(lock));
    CHECK(mapvar_map_lock(map, "", 0, &lock) == MAPVAR_INVALID_NAME && lock == NULL);
}

static void presence(const char *name, mapvar_map *map) {
    mapvar_map *other;
    mapvar_value *all, *value;
    mapvar_watch *watch;
    mapvar_change *change;
    uint32_t process = 1;
    size_t count = 0;
    int32_t there = 1;
    OK(mapvar_map_set_i64(map, "stays", N, 1));
    OK(mapvar_map_owner(map, "stays", N, &process));
    CHECK(process == 0);
    OK(mapvar_map_open(name, N, &other));
    ephemeral(other, "mine", "hello");
    OK(mapvar_map_owner(map, "mine", N, &process));
    CHECK(process == process_id());
    OK(mapvar_map_participants(map, &all));
    OK(mapvar_value_count(all, &count));
    CHECK(count == 2);
    OK(mapvar_value_free(all));
    OK(mapvar_map_watch(map, "mine", N, &watch));
    OK(mapvar_map_close(other));
    OK(mapvar_watch_next(watch, 20000, &change));
    OK(mapvar_change_value(change, &value));
    CHECK(value == NULL);
    OK(mapvar_change_free(change));
    OK(mapvar_watch_free(watch));
    OK(mapvar_map_contains(map, "mine", N, &there));
    CHECK(there == 0);
    // Misuse.
    CHECK(mapvar_map_set_ephemeral(map, "", N, NULL) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_owner(map, "mine", N, NULL) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_participants(other, &all) == MAPVAR_CLOSED && all == NULL);
}

static void second_process(const char *program, const char *name, mapvar_map *map) {
    mapvar_watch *count, *ready, *theirs;
    mapvar_change *change;
    mapvar_value *value;
    mapvar_lock *lock;
    mapvar_held *held;
    int64_t last = 0, number = 0;
    uint64_t skipped = 0, reported = 0;
    uint32_t dead = 0;
    OK(mapvar_map_watch(map, "count", N, &count));
    OK(mapvar_map_watch(map, "held", N, &ready));
    child other = start_child(program, "peer", name);
    while (last < 100) {
        OK(mapvar_watch_next(count, 20000, &change));
        CHECK(change != NULL);
        if (change == NULL) break;
        OK(mapvar_change_value(change, &value));
        OK(mapvar_value_as_i64(value, &number));
        CHECK(number > last);
        OK(mapvar_change_skipped(change, &skipped));
        reported += 1 + skipped;
        last = number;
        OK(mapvar_value_free(value));
        OK(mapvar_change_free(change));
    }
    CHECK(reported == 100);
    OK(mapvar_watch_next(ready, 20000, &change));
    OK(mapvar_change_free(change));
    OK(mapvar_map_lock(map, "jobs", N, &lock));
    OK(mapvar_lock_try(lock, 0, &held));
    CHECK(held == NULL);
    OK(mapvar_map_owner(map, "theirs", N, &dead));
    CHECK(dead == (uint32_t)other.dwProcessId);
    OK(mapvar_map_watch(map, "theirs", N, &theirs));
    CHECK(mapvar_lock_take(lock, 0, 20, &held) == MAPVAR_TIMED_OUT);
    CHECK(mapvar_last_error_holder() == (uint32_t)other.dwProcessId);
    kill_child(&other);
    OK(mapvar_lock_take(lock, 0, 20000, &held));
    OK(mapvar_held_abandoned(held, &dead));
    CHECK(dead == (uint32_t)other.dwProcessId);
    OK(mapvar_held_release(held));
    OK(mapvar_lock_free(lock));
    OK(mapvar_watch_next(theirs, 20000, &change));
    CHECK(change != NULL);
    OK(mapvar_change_value(change, &value));
    CHECK(value == NULL);
    OK(mapvar_change_free(change));
    OK(mapvar_watch_free(theirs));
    OK(mapvar_watch_free(count));
    OK(mapvar_watch_free(ready));
}

// A map takes along what was made from it, and only a held lock keeps it open.
static void closing(const char *name, mapvar_map *map) {
    mapvar_map *second = NULL, *third = NULL;
    mapvar_value *one = NULL;
    mapvar_var *var = NULL;
    mapvar_atomic *atomic = NULL;
    mapvar_transaction *transaction = NULL;
    mapvar_iter *iter = NULL;
    mapvar_entry *entry = NULL;
    mapvar_snapshot *snapshot = NULL;
    mapvar_watch *watch = NULL, *mine = NULL;
    mapvar_change *change = NULL;
    mapvar_lock *lock = NULL, *ours = NULL;
    mapvar_ticket *place = NULL;
    mapvar_held *held = NULL;
    const char *names[] = {"kept"};
    int64_t number = 0;
    int32_t there = 9;
    uint32_t process = 9;
    OK(mapvar_map_open(name, N, &second));
    OK(mapvar_map_open(name, N, &third));
    OK(mapvar_value_i64(1, &one));
    OK(mapvar_map_set_ephemeral(second, "ephemeral", N, one));
    OK(mapvar_map_var_or(second, "kept", N, one, &var));
    OK(mapvar_map_atomic_i64_or(second, "count", N, 1, &atomic));
    OK(mapvar_transaction_begin(second, &transaction));
    OK(mapvar_map_iter(second, &iter));
    OK(mapvar_map_snapshot(second, names, NULL, 1, &snapshot));
    OK(mapvar_map_watch(second, "kept", N, &watch));
    OK(mapvar_map_watch(map, "kept", N, &mine));
    OK(mapvar_map_lock(second, "closing", N, &lock));
    OK(mapvar_lock_queue(lock, 0, &place));
    OK(mapvar_map_close(second));
    CHECK(mapvar_map_lock(second, "closing", N, &ours) == MAPVAR_CLOSED && ours == NULL);
    CHECK(mapvar_var_get_i64(var, &number) == MAPVAR_CLOSED);
    CHECK(mapvar_atomic_load_i64(atomic, &number) == MAPVAR_CLOSED);
    CHECK(mapvar_transaction_commit(transaction) == MAPVAR_CLOSED);
    CHECK(mapvar_iter_next(iter, &entry) == MAPVAR_CLOSED && entry == NULL);
    CHECK(mapvar_watch_next(watch, 0, &change) == MAPVAR_CLOSED && change == NULL);
    CHECK(mapvar_lock_holder(lock, &process) == MAPVAR_CLOSED);
    CHECK(mapvar_ticket_wait(place, 0, &held) == MAPVAR_CLOSED && held == NULL);
    CHECK(mapvar_var_free(var) == MAPVAR_CLOSED);
    // The process has no handle left to which the variable belonged, and the place in the queue is
    // given up. A snapshot is a copy, and the objects of another map of this name stay.
    OK(mapvar_map_contains(map, "ephemeral", N, &there));
    CHECK(there == 0);
    OK(mapvar_snapshot_free(snapshot));
    OK(mapvar_map_set_value(map, "kept", N, one));
    OK(mapvar_watch_next(mine, 20000, &change));
    CHECK(change != NULL);
    OK(mapvar_change_free(change));
    OK(mapvar_watch_free(mine));
    OK(mapvar_map_set_ephemeral(third, "ephemeral", N, one));
    OK(mapvar_map_lock(third, "closing", N, &lock));
    OK(mapvar_lock_take(lock, 0, 20000, &held));
    OK(mapvar_map_close(third));
    OK(mapvar_map_lock(map, "closing", N, &ours));
    OK(mapvar_lock_holder(ours, &process));
    CHECK(process == (uint32_t)process_id());
    OK(mapvar_held_release(held));
    OK(mapvar_map_contains(map, "ephemeral", N, &there));
    CHECK(there == 0);
    OK(mapvar_lock_free(ours));
    OK(mapvar_value_free(one));
    CHECK(mapvar_map_remove(map, "kept", N, NULL) == MAPVAR_OK);
    CHECK(mapvar_map_remove(map, "count", N, NULL) == MAPVAR_OK);
}

int main(int count, char **arguments) {
    char name[64];
    mapvar_options *options;
    mapvar_map *map;
    if (count == 3) return peer(arguments[2]);
    snprintf(name, sizeof name, "c-waits.%lu", process_id());
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_create(options, &map));
    OK(mapvar_options_free(options));
    watches(map);
    locks(map);
    presence(name, map);
    closing(name, map);
    second_process(arguments[0], name, map);
    OK(mapvar_map_close(map));
    printf("C tests of waits: %d failed\n", failures);
    return failures != 0;
}
