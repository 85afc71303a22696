// The shared library, loaded and unloaded by the program: it stays, because the handler of faults is in it. Prints the
// failures; 0 = success.
#include <mapvar.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#include <pthread.h>
#endif

typedef int32_t (*new_options)(mapvar_options **);
typedef int32_t (*free_options)(mapvar_options *);
typedef int32_t (*set_size)(mapvar_options *, uint64_t);
typedef int32_t (*set_name)(mapvar_options *, const char *, size_t);
typedef int32_t (*create)(mapvar_options *, mapvar_map **);
typedef int32_t (*close_map)(mapvar_map *);

#ifdef _WIN32
static HMODULE library;
static void *find(const char *name) {
    return (void *)(uintptr_t)GetProcAddress(library, name);
}
#else
static void *library;
static void *find(const char *name) {
    return dlsym(library, name);
}
#endif

// Returns a function of the library; ends the program if there is none.
#define FUNCTION(type, name) ((type)(uintptr_t)checked(find(name), name))
static void *checked(void *function, const char *name) {
    if (function == NULL) {
        fprintf(stderr, "no %s\n", name);
        exit(1);
    }
    return function;
}

static int failures;
#define CHECK(what) \
    do { \
        if (!(what)) { \
            failures++; \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
        } \
    } while (0)

// Maps memory, which installs the handler, in a thread of its own: the C library counts the threads that still have
// values of a library.
static void use(void) {
    mapvar_options *options = NULL;
    mapvar_map *map = NULL;
    CHECK(FUNCTION(new_options, "mapvar_options_new")(&options) == MAPVAR_OK);
    CHECK(FUNCTION(set_name, "mapvar_options_name")(options, "mapvar-c-loading", MAPVAR_NUL) == MAPVAR_OK);
    CHECK(FUNCTION(set_size, "mapvar_options_size")(options, 4000) == MAPVAR_OK);
    CHECK(FUNCTION(create, "mapvar_options_open_or_create")(options, &map) == MAPVAR_OK);
    CHECK(FUNCTION(free_options, "mapvar_options_free")(options) == MAPVAR_OK);
    CHECK(FUNCTION(close_map, "mapvar_map_close")(map) == MAPVAR_OK);
}

#ifdef _WIN32
static DWORD WINAPI thread(LPVOID unused) {
    (void)unused;
    use();
    return 0;
}

int main(void) {
    HANDLE user;
    library = LoadLibraryA("mapvar.dll");
    CHECK(library != NULL);
    if (library == NULL) return 1;
    user = CreateThread(NULL, 0, thread, NULL, 0, NULL);
    CHECK(user != NULL && WaitForSingleObject(user, INFINITE) == WAIT_OBJECT_0);
    CHECK(FreeLibrary(library));
    CHECK(GetModuleHandleA("mapvar.dll") != NULL);
    if (failures == 0) puts("ok");
    return failures != 0;
}
#else
static void *thread(void *unused) {
    use();
    return unused;
}

int main(void) {
    pthread_t user;
    library = dlopen("libmapvar.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    CHECK(pthread_create(&user, NULL, thread, NULL) == 0);
    CHECK(pthread_join(user, NULL) == 0);
    CHECK(dlclose(library) == 0);
    CHECK(dlopen("libmapvar.so.0", RTLD_NOW | RTLD_NOLOAD) != NULL);
    if (failures == 0) puts("ok");
    return failures != 0;
}
#endif
