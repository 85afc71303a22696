// Sets two variables in a named map and reads them through a second handle, as another process
// would.
//
//     cc hello.c $(pkg-config --cflags --libs mapvar) -o hello && ./hello
#include <mapvar.h>
#include <stdio.h>

static int failed(void) {
    fprintf(stderr, "hello: %s\n", mapvar_last_error_message());
    return 1;
}

int main(void) {
    mapvar_options *options = NULL;
    mapvar_map *server = NULL, *client = NULL;
    char foo[32];
    size_t foo_len;
    int64_t bar;

    if (mapvar_options_new(&options) || mapvar_options_name(options, "hello", MAPVAR_NUL) ||
        mapvar_options_open_or_create(options, &server))
        return failed();
    if (mapvar_map_set_str(server, "foo", MAPVAR_NUL, "hello", MAPVAR_NUL) ||
        mapvar_map_set_i64(server, "bar", MAPVAR_NUL, 77))
        return failed();

    if (mapvar_map_open("hello", MAPVAR_NUL, &client) ||
        mapvar_map_get_str(client, "foo", MAPVAR_NUL, foo, sizeof foo, &foo_len) ||
        mapvar_map_get_i64(client, "bar", MAPVAR_NUL, &bar))
        return failed();
    printf("%.*s %lld\n", (int)foo_len, foo, (long long)bar);

    mapvar_map_close(client);
    mapvar_map_close(server);
    return mapvar_options_free(options);
}
