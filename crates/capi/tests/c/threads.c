// Threads that are cancelled in a call: the call comes to its end, and no lock stays taken. A fork while a thread is in
// a call: the child can use the same options. Prints the failures; 0 = success. Its file is in the current folder
// while it runs.

#ifdef _WIN32
#include <stdio.h>

int main(void) {
    puts("SKIPPED: nothing cancels a thread or forks a process here");
    return 0;
}
#else
#include "check.h"
#include <stdatomic.h>

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

// Options that another thread changes without a pause.
struct shared {
    mapvar_options *options;
    mapvar_section_options *section;
    mapvar_view_options *view;
    atomic_int end;
};

static void change(struct shared *shared) {
    OK(mapvar_options_file(shared->options, "some/longer/path/of/a/file/that/nobody/made", N));
    OK(mapvar_section_options_file(shared->section, "some/longer/path/of/a/file/that/nobody/made", N));
    OK(mapvar_view_options_range(shared->view, 1, 2));
}

static void *changes(void *of) {
    struct shared *shared = of;
    for (int round = 1; !atomic_load(&shared->end); round++) {
        change(shared);
        // Under valgrind one thread runs at a time, and this one would not let the other run.
        if (round % 500 == 0) usleep(100);
    }
    return NULL;
}

static void forks(void) {
    struct shared shared = {NULL, NULL, NULL, 0};
    pthread_t thread;
    OK(mapvar_options_new(&shared.options));
    OK(mapvar_section_options_new(&shared.section));
    OK(mapvar_view_options_new(&shared.view));
    change(&shared);
    if (pthread_create(&thread, NULL, changes, &shared) != 0) abort();
    for (int round = 0; round < 100; round++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            mapvar_map *map = NULL;
            mapvar_section *section = NULL;
            // Ends a child that waits for a thread of its parent.
            alarm(60);
            int failed = mapvar_options_size(shared.options, 1000) != MAPVAR_OK;
            failed |= mapvar_options_open(shared.options, &map) != MAPVAR_NOT_FOUND;
            failed |= mapvar_section_options_size(shared.section, 1000) != MAPVAR_OK;
            failed |= mapvar_section_options_open(shared.section, &section) != MAPVAR_NOT_FOUND;
            failed |= mapvar_view_options_reserve(shared.view, 0) != MAPVAR_OK;
            failed |= mapvar_options_free(shared.options) != MAPVAR_OK;
            // Another program: valgrind would report what the parent still uses as lost by the child.
            if (!failed) execlp("true", "true", (char *)NULL);
            _exit(1);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
        if (status != 0) break;
    }
    atomic_store(&shared.end, 1);
    if (pthread_join(thread, NULL) != 0) abort();
    OK(mapvar_options_free(shared.options));
    OK(mapvar_section_options_free(shared.section));
    OK(mapvar_view_options_free(shared.view));
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
    forks();
    if (failures == 0) puts("ok");
    return failures != 0;
}
#endif
