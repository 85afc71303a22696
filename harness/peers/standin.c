/* A program that makes the calls of Ruby's gem win32-mmap, and no others, in one of three ways:
 *
 *     standin share NAME SIZE SECONDS    writes a Hash of its own four variables, again and again
 *     standin hold NAME SIZE             takes the lock and keeps it
 *     standin post NAME SIZE             for each line on standard input: posts, as the gem's close does
 *
 * Payloads are built by hand. Unlike the gem, the program reads a payload before it overwrites it,
 * so that it can report what was lost. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *view;
static long size;
static HANDLE semaphore;

static size_t number(unsigned char *to, long value) {
    if (value == 0) { to[0] = 0; return 1; }
    if (value > 0 && value < 123) { to[0] = (unsigned char)(value + 5); return 1; }
    int len = 0;
    while (value > 0) { to[1 + len++] = value & 255; value >>= 8; }
    to[0] = (unsigned char)len;
    return (size_t)len + 1;
}

static long decode(const unsigned char *from) {
    signed char first = (signed char)from[0];
    if (first == 0) return 0;
    if (first > 4) return first - 5;
    if (first < 0) return -1;
    long value = 0;
    for (int at = first; at > 0; at--) value = value << 8 | from[at];
    return value;
}

/* Returns the offset where the Hash ends; longer Hashes left the bytes behind it. 0: not a Hash that this parser knows. */
static long end_of_hash(void) {
    if (memcmp(view, "\004\010{", 3)) return 0;
    long at = 3, left = decode(view + at);
    at += (signed char)view[at] > 0 && view[at] <= 4 ? 1 + view[at] : 1;
    for (; left > 0 && at < size - 64; left--) {
        if (view[at] != 'I' || view[at + 1] != '"' || view[at + 2] < 6) return 0;
        at += 3 + view[at + 2] - 5;
        if (view[at++] != 6) return 0;
        at += view[at] == ':' ? 4 : 3;
        if (view[at] == 'T' || view[at] == 'F') { at++; continue; }
        if (view[at++] != 'i') return 0;
        at += view[at] >= 1 && view[at] <= 4 ? 1 + view[at] : 1;
    }
    return left == 0 ? at : 0;
}

static long end;

/* Returns where the value of the variable with this two-letter name is; NULL if there is none. */
static const unsigned char *find(const char *name) {
    unsigned char key[] = {'I', '"', 7, (unsigned char)name[0], (unsigned char)name[1], 6};
    for (long at = 0; at < end; at++) {
        if (memcmp(view + at, key, sizeof key)) continue;
        const unsigned char *next = view + at + sizeof key;
        if (next[0] == ':' && next[1] == 6 && next[2] == 'E') return next + 4;
        if (next[0] == ';' && next[1] == 0) return next + 3;
    }
    return NULL;
}

static void write_hash(long round) {
    unsigned char bytes[256] = {4, 8, '{', 9};
    size_t len = 4;
    for (int at = 0; at < 4; at++) {
        unsigned char key[] = {'I', '"', 7, 'g', (unsigned char)('0' + at), 6};
        memcpy(bytes + len, key, sizeof key);
        len += sizeof key;
        const char *encoding = at == 0 ? ":\006ET" : ";\000T";
        size_t its = at == 0 ? 4 : 3;
        memcpy(bytes + len, encoding, its);
        len += its;
        bytes[len++] = 'i';
        len += number(bytes + len, round);
    }
    memcpy(view, bytes, len);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    size = atol(argv[3]);
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)size, argv[2]);
    if (!section) return 3;
    view = MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, 0, NULL);
    if (!view) return 4;
    char name[300];
    snprintf(name, sizeof name, "%s.ruby_lock", argv[2]);
    semaphore = CreateSemaphoreA(NULL, 1, 1, name);
    if (!semaphore) return 5;

    if (!strcmp(argv[1], "hold")) {
        while (WaitForSingleObject(semaphore, 10) != WAIT_OBJECT_0) {}
        puts("holding");
        fflush(stdout);
        Sleep(INFINITE);
    }
    if (!strcmp(argv[1], "post")) {
        puts("ready");
        fflush(stdout);
        char line[16];
        while (fgets(line, sizeof line, stdin)) {
            printf("%d\n", ReleaseSemaphore(semaphore, 1, NULL));
            fflush(stdout);
        }
        return 0;
    }
    DWORD until = GetTickCount() + (DWORD)(atof(argv[4]) * 1000);
    long rounds = 0, missed = 0, lost = 0, erased = 0;
    puts("ready");
    fflush(stdout);
    while ((LONG)(GetTickCount() - until) < 0) {
        if (WaitForSingleObject(semaphore, 10) != WAIT_OBJECT_0) { missed++; continue; }
        end = end_of_hash();
        char var[3] = "g0";
        for (; rounds > 0 && var[1] < '4'; var[1]++) {
            const unsigned char *value = find(var);
            if (!value || value[0] != 'i' || decode(value + 1) != rounds) lost++;
        }
        for (var[0] = 'm', var[1] = '0'; var[1] < '8'; var[1]++) erased += find(var) != NULL;
        write_hash(++rounds);
        ReleaseSemaphore(semaphore, 1, NULL);
        Sleep((DWORD)(rounds % 4));
    }
    printf("%ld %ld %ld %ld\n", rounds, missed, lost, erased);
    fflush(stdout);
    return 0;
}
