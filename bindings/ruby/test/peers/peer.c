/* One of several processes that share a map, like crates/mapvar/examples/peer.rs. It adds, changes and removes
 * variables of its own, and increments an atomic that all share, until its standard input ends. */
#include <mapvar.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef _WIN32
#include <windows.h>
static volatile LONG ended;
static DWORD WINAPI wait_for_end(void *unused) {
    (void)unused;
    while (getchar() != EOF) {
    }
    InterlockedExchange(&ended, 1);
    return 0;
}
static void watch(void) { CloseHandle(CreateThread(NULL, 0, wait_for_end, NULL, 0, NULL)); }
#else
#include <pthread.h>
#include <stdatomic.h>
static atomic_int ended;
static void *wait_for_end(void *unused) {
    (void)unused;
    while (getchar() != EOF) {
    }
    ended = 1;
    return NULL;
}
static void watch(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_end, NULL) != 0)
        exit(3);
}
#endif

static void must(int32_t code) {
    if (code == MAPVAR_OK)
        return;
    fprintf(stderr, "%s\n", mapvar_last_error_message());
    exit(2);
}

int main(int argc, char **argv) {
    mapvar_map *map = NULL;
    mapvar_atomic *total = NULL;
    char name[64];
    int64_t rounds = 0, found = 0;
    if (argc != 3)
        return 3;
    watch();
    must(mapvar_map_open(argv[1], MAPVAR_NUL, &map));
    must(mapvar_map_atomic_i64_or(map, "total", MAPVAR_NUL, 0, &total));
    while (!ended) {
        snprintf(name, sizeof name, "%s.%d", argv[2], (int)(rounds % 50));
        must(mapvar_map_set_i64(map, name, MAPVAR_NUL, rounds));
        must(mapvar_map_get_i64(map, name, MAPVAR_NUL, &found));
        if (found != rounds)
            return 4;
        if (rounds % 3 == 0) {
            snprintf(name, sizeof name, "%s.%d", argv[2], (int)((rounds + 25) % 50));
            must(mapvar_map_remove(map, name, MAPVAR_NUL, NULL));
        }
        must(mapvar_atomic_add_i64(total, 1, NULL));
        rounds++;
    }
    printf("%d\n", (int)rounds);
    must(mapvar_atomic_free(total));
    must(mapvar_map_close(map));
    return 0;
}
