// Waits for a map that does not exist yet, and for variables, between two processes. Prints the failures; 0 = success.
//
//     until            runs everything; starts itself again as the second process
//     until peer NAME  the second process: waits for the map, and answers each question
#include "check.h"

// Opens a map that the other process creates later.
static int peer(const char *name) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    mapvar_var *ask = NULL;
    mapvar_version seen = {0, 0};
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_wait(options, UINT64_MAX));
    OK(mapvar_options_open(options, &map));
    OK(mapvar_options_free(options));
    OK(mapvar_map_var(map, "ask", N, &ask));
    for (int64_t number = 0; number < 50;) {
        mapvar_value *value = NULL;
        int32_t changed = 0;
        OK(mapvar_var_wait_changed(ask, &seen, 30000, &changed, NULL));
        CHECK(changed == 1);
        if (!changed) break;
        OK(mapvar_var_get_versioned(ask, &value, &seen));
        OK(mapvar_value_as_i64(value, &number));
        OK(mapvar_value_free(value));
        OK(mapvar_map_set_i64(map, "answer", N, number * 2));
    }
    OK(mapvar_var_free(ask));
    OK(mapvar_map_close(map));
    return failures != 0;
}

// As the header shows it: waits until the variable is the number. Returns whether it came in time.
static int came(mapvar_map *map, const char *name, int64_t number, uint64_t milliseconds) {
    for (uint64_t left = milliseconds;;) {
        mapvar_value *value = NULL;
        mapvar_version seen;
        int64_t found = number - 1;
        uint64_t before = left;
        OK(mapvar_map_get_versioned(map, name, N, &value, &seen));
        if (value != NULL) OK(mapvar_value_as_i64(value, &found));
        OK(mapvar_value_free(value));
        if (found == number) return 1;
        if (left == 0) return 0;
        OK(mapvar_map_wait_changed(map, name, N, &seen, left, NULL, &left));
        CHECK(left <= before);
    }
}

static void waits(const char *program, const char *name) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    mapvar_version none = {0, 0}, seen;
    mapvar_atomic *atomic = NULL;
    int32_t changed = 9;
    uint64_t left = 9;
    OK(mapvar_options_new(&options));
    OK(mapvar_options_name(options, name, N));
    OK(mapvar_options_wait(options, 30));
    CHECK(mapvar_options_open(options, &map) == MAPVAR_NOT_FOUND && map == NULL);
    child other = start_child(program, "peer", name);
    sleep_ms(50);
    // To create waits for nothing.
    OK(mapvar_options_wait(options, UINT64_MAX));
    OK(mapvar_options_create(options, &map));
    OK(mapvar_options_free(options));
    for (int64_t number = 1; number <= 50; number++) {
        OK(mapvar_map_set_i64(map, "ask", N, number));
        CHECK(came(map, "answer", number * 2, 30000));
    }
    CHECK(!came(map, "answer", 7, 20) && !came(map, "answer", 7, 0) && !came(map, "nobody", 7, 20));
    // The version of now, and of before; creation and removal.
    OK(mapvar_map_version(map, "answer", N, &seen));
    OK(mapvar_map_wait_changed(map, "answer", N, &none, UINT64_MAX, &changed, &left));
    CHECK(changed == 1 && left > UINT64_MAX / 2);
    OK(mapvar_map_wait_changed(map, "answer", N, &seen, 10, &changed, &left));
    CHECK(changed == 0 && left == 0);
    OK(mapvar_map_remove(map, "answer", N, NULL));
    OK(mapvar_map_wait_changed(map, "answer", N, &seen, UINT64_MAX, &changed, NULL));
    CHECK(changed == 1);
    OK(mapvar_map_wait_changed(map, "answer", N, &none, 0, &changed, NULL));
    CHECK(changed == 0);
    // Misuse.
    CHECK(mapvar_map_wait_changed(map, "answer", N, NULL, 10, &changed, NULL) == MAPVAR_INVALID_ARGUMENT);
    CHECK(strcmp(mapvar_last_error_object(), "seen") == 0);
    CHECK(mapvar_map_wait_changed(NULL, "answer", N, &none, 10, &changed, NULL) == MAPVAR_INVALID_ARGUMENT);
    CHECK(mapvar_map_wait_changed(map, "", 0, &none, 10, &changed, NULL) == MAPVAR_INVALID_NAME);
    CHECK(mapvar_var_wait_changed(NULL, &none, 10, &changed, NULL) == MAPVAR_INVALID_ARGUMENT);
    OK(mapvar_map_atomic_i64_or(map, "atomic", N, 1, &atomic));
    CHECK(mapvar_map_wait_changed(map, "atomic", N, &none, 10, &changed, NULL) == MAPVAR_WRONG_KIND);
    OK(mapvar_atomic_free(atomic));
#ifdef _WIN32
    DWORD code = 1;
    WaitForSingleObject(other.hProcess, INFINITE);
    CHECK(GetExitCodeProcess(other.hProcess, &code) && code == 0);
    CloseHandle(other.hThread);
    CloseHandle(other.hProcess);
#else
    int status = -1;
    CHECK(waitpid(other.dwProcessId, &status, 0) == other.dwProcessId && status == 0);
#endif
    OK(mapvar_map_close(map));
}

int main(int count, char **arguments) {
    char name[64];
    if (count == 3) return peer(arguments[2]);
    snprintf(name, sizeof name, "c-until.%lu", process_id());
    waits(arguments[0], name);
    printf("C tests of waits for a map and a variable: %d failed\n", failures);
    return failures != 0;
}
