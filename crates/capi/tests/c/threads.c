// Threads that are cancelled in a call: the call comes to its end, and no lock stays taken. Prints the failures;
// 0 = success. Its file is in the current folder while it runs.

#ifdef _WIN32
#include <stdio.h>

int main(void) {
    puts("SKIPPED: nothing cancels a thread here");
    return 0;
}
#else
#include "check.h"

static const char *const path = "threads.map";
// The calls that came to their end.
static int calls;
#define ENDS(call) \
    do { \
        OK(call); \
        calls++; \
    } while (0)

static mapvar_map *opened(void) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_file(options, path, N));
    OK(mapvar_options_size(options, 4000));
    OK(mapvar_options_open_or_create(options, &map));
    OK(mapvar_options_free(options));
    return map;
}

// Calls that create, grow, write, wait and close, in a thread that is cancelled already.
static void *cancelled(void *unused) {
    mapvar_map *map;
    mapvar_lock *lock;
    mapvar_held *held, *other;
    mapvar_watch *watch;
    mapvar_change *change;
    (void)unused;
    if (pthread_cancel(pthread_self()) != 0) abort();
    map = opened();
    calls++;
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "v%d", i);
        OK(mapvar_map_set_i64(map, name, N, i));
    }
    calls++;
    ENDS(mapvar_map_flush(map));
    ENDS(mapvar_map_lock(map, "jobs", N, &lock));
    ENDS(mapvar_lock_take(lock, 0, 20000, &held));
    // The queue knows this thread as the owner.
    CHECK(mapvar_lock_take(lock, 0, 50, &other) != MAPVAR_OK);
    ENDS(mapvar_held_release(held));
    ENDS(mapvar_map_watch(map, "v1", N, &watch));
    ENDS(mapvar_watch_next(watch, 50, &change));
    CHECK(change == NULL);
    ENDS(mapvar_watch_free(watch));
    ENDS(mapvar_lock_free(lock));
    ENDS(mapvar_map_close(map));
    pthread_testcancel();
    return NULL;
}

int main(void) {
    pthread_t thread;
    void *end;
    mapvar_map *map;
    int64_t number = 0;
    remove(path);
    // A failing call prints, and that is a cancellation point; then the count shows it.
    if (pthread_create(&thread, NULL, cancelled, NULL) != 0) abort();
    if (pthread_join(thread, &end) != 0) abort();
    CHECK(end == PTHREAD_CANCELED);
    CHECK(calls == 11);
    map = opened();
    OK(mapvar_map_get_i64(map, "v2999", N, &number));
    CHECK(number == 2999);
    OK(mapvar_map_set_i64(map, "v2999", N, 1));
    OK(mapvar_map_close(map));
    remove(path);
    if (failures == 0) puts("ok");
    return failures != 0;
}
#endif
