// mapvar: live, typed variables in memory that processes share, by a name or by a file.
//
// Made by cbindgen from crates/capi; do not edit. To make it anew: MAPVAR_HEADER=write cargo test -p mapvar-c
//
//     mapvar_map *map = NULL;
//     if (mapvar_map_open("alpha", MAPVAR_NUL, &map) != MAPVAR_OK)
//         fprintf(stderr, "%s\n", mapvar_last_error_message());
//
// Every function that can fail returns a code: 0 (MAPVAR_OK), or the number of what went wrong, which
// never changes from version to version. mapvar_last_error and its like tell more of it, of the calling
// thread's last failure. Results go where the last arguments point; where nothing else is said they are
// written only with MAPVAR_OK, but handles: those become NULL first.
//
// Handles (mapvar_map * and so on) are numbers and not addresses: never follow one. One that was closed
// or freed, also twice, or is of another type, or is no handle at all, answers MAPVAR_CLOSED or
// MAPVAR_INVALID_ARGUMENT and does no harm. Any handle can be used by any thread, by several at once
// too; one that is closed while a call on it runs goes when that ends. Whoever gets a handle frees it,
// with the function of its type. In a child of a fork, calls on its parent's maps answer MAPVAR_CLOSED;
// it may free their handles, and opens maps of its own.
//
// What the caller promises, for which the library has only his word:
//
//   C1  A pointer to read from, with a length or count, is NULL or leads to that many bytes (or items,
//       aligned), which nobody writes to until the call returns. NULL with a length of 0 is empty. Where
//       a text's length is MAPVAR_NUL it ends with a NUL. Text is UTF-8 (else an error); a name or text
//       with a true length may hold zeros.
//   C2  A pointer to a result is NULL (an error, where the function does not say that it may be) or leads
//       to room for it, aligned, which nobody else uses until the call returns. No two lead to one place.
//   C3  A buffer is NULL or leads to `capacity` bytes (or `len`) which nobody else uses until the call
//       returns. `len`, where it is a result, is how many bytes there are; if they do not fit, nothing is
//       to be believed of the buffer, and the answer is MAPVAR_TOO_LARGE. A capacity of 0 only asks for the
//       length. A NUL follows where there is room.
//   C4  A pointer that a function gave (to an error's text, or to bytes of a value, an entry or a check) is
//       read only as long as that function says it lives.
//
// Calls that wait (for who is just writing the same variable, for a map that is being made, for the disk) say
// so; all but the disk end after the map's timeout, mapvar_options_timeout, with MAPVAR_TIMED_OUT. None holds a
// lock while it is in the caller's code.


#ifndef MAPVAR_H
#define MAPVAR_H

#include <stddef.h>
#include <stdint.h>

// As a length of a text: it ends with its first NUL.
#define MAPVAR_NUL SIZE_MAX

// Done.
#define MAPVAR_OK 0

// No object, map or variable of this name.
#define MAPVAR_NOT_FOUND 1

// There is one already, and it was to be made anew.
#define MAPVAR_ALREADY_EXISTS 2

// The variable holds another kind of value.
#define MAPVAR_WRONG_KIND 3

// The number does not fit the type asked for, or the range does not lie within.
#define MAPVAR_OUT_OF_RANGE 4

// The map has reached its largest size.
#define MAPVAR_FULL 5

// The operating system has no more room (disk, /dev/shm, page file).
#define MAPVAR_NO_SPACE 6

// The value or range is larger than can be held here: than the buffer that was given, too.
#define MAPVAR_TOO_LARGE 7

// The name breaks the rules for names.
#define MAPVAR_INVALID_NAME 8

// An argument makes no sense (NULL where something is needed, text that is not UTF-8, a handle of
// another type); the message says which.
#define MAPVAR_INVALID_ARGUMENT 9

// The operating system denies the access.
#define MAPVAR_PERMISSION_DENIED 10

// The object belongs to another user, so nothing in it is trusted.
#define MAPVAR_FOREIGN_OWNER 11

// Another kind of object bears the name.
#define MAPVAR_NAME_TAKEN 12

// The name was removed while in use.
#define MAPVAR_NAME_REMOVED 13

// The section or file holds no map.
#define MAPVAR_NOT_A_MAP 14

// The map is of a version that this build does not know.
#define MAPVAR_VERSION 15

// The region's content contradicts itself.
#define MAPVAR_CORRUPT 16

// The object is shorter than its header says.
#define MAPVAR_TRUNCATED 17

// The map must be recovered first, and this handle may not do it.
#define MAPVAR_NEEDS_RECOVERY 18

// The time allowed has passed; mapvar_last_error_holder may say who was in the way.
#define MAPVAR_TIMED_OUT 19

// Others kept changing what was to be read or written.
#define MAPVAR_CONTENDED 20

// A transaction, or a set that expects a version, met other writers.
#define MAPVAR_CONFLICT 21

// The variable of this handle was removed.
#define MAPVAR_REMOVED 22

// The handle was opened for reading only.
#define MAPVAR_READ_ONLY 23

// The handle is closed, or was never one, or its map belongs to the process that this one was
// forked from.
#define MAPVAR_CLOSED 24

// A signal or Ctrl-C ended the wait.
#define MAPVAR_INTERRUPTED 25

// This system cannot do it; the message says what to use instead.
#define MAPVAR_UNSUPPORTED 26

// Another error of the operating system; mapvar_last_error_os_code has its number.
#define MAPVAR_IO 27

// A fault of the library itself, stopped at its border: please report it. What the call was to do
// is done or not; the map and the handle can be used on.
#define MAPVAR_PANICKED 255



// Nothing.
#define MAPVAR_KIND_NIL 1

// True or false.
#define MAPVAR_KIND_BOOL 2

// A whole number that fits int64_t.
#define MAPVAR_KIND_I64 3

// A whole number that fits uint64_t only.
#define MAPVAR_KIND_U64 4

// A double.
#define MAPVAR_KIND_F64 5

// Text, UTF-8.
#define MAPVAR_KIND_STR 6

// Bytes.
#define MAPVAR_KIND_BYTES 7

// A list of values.
#define MAPVAR_KIND_LIST 8

// Keys and values.
#define MAPVAR_KIND_DICT 9

// The bytes of a plain type that its users know by a number.
#define MAPVAR_KIND_POD 10

// Bytes that one language wrote and only it understands; the number says which.
#define MAPVAR_KIND_OPAQUE 11

// Programs of this user in this session; on Unix in all his sessions.
#define MAPVAR_SCOPE_LOCAL 0

// Every session of the machine: services' maps. To create one takes a privilege on Windows.
#define MAPVAR_SCOPE_GLOBAL 1

// Version of the map's format; of a gem's map 408, for Marshal 4.8.
#define MAPVAR_STAT_FORMAT 1

// Bytes of values that the map was made for.
#define MAPVAR_STAT_SIZE 2

// Bytes of the region.
#define MAPVAR_STAT_REGION 3

// Bytes taken by variables, with their names and the spare slots of their values.
#define MAPVAR_STAT_USED 4

// Bytes free for more of them, before the map has to grow.
#define MAPVAR_STAT_FREE 5

// The longest piece of those that is not cut up.
#define MAPVAR_STAT_LARGEST_FREE 6

// Bytes that the region may grow to; 0 = as far as the disk goes.
#define MAPVAR_STAT_MAX_SIZE 7

// Bytes that are neither: header, tables, index, ends of chunks.
#define MAPVAR_STAT_OVERHEAD 8

// Variables.
#define MAPVAR_STAT_VARIABLES 9

// 1 where the map lives in a file.
#define MAPVAR_STAT_FILE 10

// When it was made, in seconds since 1970 (UTC); 0 for a gem's map.
#define MAPVAR_STAT_CREATED 11

// The process that made it; it may be long gone, and its number another's.
#define MAPVAR_STAT_CREATOR 12

// A layout of our own: lock-free reads, growth, transactions, durable flushes.
#define MAPVAR_FORMAT_STORE 0

// The layout of Ruby's gem win32-mmap, to share variables with programs that use it. Variables can be
// set, read, removed, walked over, and set by their version; handles of variables, atomics and
// transactions answer MAPVAR_UNSUPPORTED. Every call takes the gem's lock and may wait for it.
#define MAPVAR_FORMAT_MARSHAL 1

// What a gem erases stays so.
#define MAPVAR_CLOBBER_ACCEPT 0

// Each is put back by this map's next write, and told by mapvar_map_clobbered. What another process
// removes on purpose looks the same.
#define MAPVAR_CLOBBER_REASSERT 1

// The next call on variables does nothing and answers MAPVAR_REMOVED, once, with their names; told by
// mapvar_map_clobbered as well.
#define MAPVAR_CLOBBER_ERROR 2

// How often the lock was taken.
#define MAPVAR_LOCK_STAT_TAKEN 1

// How often its last holder was found to be gone.
#define MAPVAR_LOCK_STAT_RECOVERED 2

// How often somebody else gave it back while it was held here, as a gem's close does.
#define MAPVAR_LOCK_STAT_BROKEN 3

// Nanoseconds: half of the times for which it was held were no longer.
#define MAPVAR_LOCK_STAT_MEDIAN 4

// Nanoseconds: 99 of 100 were no longer.
#define MAPVAR_LOCK_STAT_P99 5

// Nanoseconds: the longest.
#define MAPVAR_LOCK_STAT_LONGEST 6

// PAGE_READONLY: views read, or write on their own copy.
#define MAPVAR_PROTECTION_READ_ONLY 0

// PAGE_READWRITE; the default.
#define MAPVAR_PROTECTION_READ_WRITE 1

// PAGE_WRITECOPY: the same rights as read only.
#define MAPVAR_PROTECTION_WRITE_COPY 2

// PAGE_EXECUTE_READ.
#define MAPVAR_PROTECTION_EXECUTE_READ 3

// PAGE_EXECUTE_READWRITE.
#define MAPVAR_PROTECTION_EXECUTE_READ_WRITE 4

// PAGE_EXECUTE_WRITECOPY.
#define MAPVAR_PROTECTION_EXECUTE_WRITE_COPY 5

// SEC_COMMIT: memory is there from the start; the default.
#define MAPVAR_SECTION_COMMIT 1

// SEC_RESERVE: address space only; memory comes later.
#define MAPVAR_SECTION_RESERVE 2

// SEC_IMAGE: the file is an executable image. Windows only.
#define MAPVAR_SECTION_IMAGE 4

// SEC_NOCACHE: uncached pages. Windows only.
#define MAPVAR_SECTION_NO_CACHE 8

// SEC_LARGE_PAGES: large pages.
#define MAPVAR_SECTION_LARGE_PAGES 16

// SEC_WRITECOMBINE: write-combined pages. Windows only.
#define MAPVAR_SECTION_WRITE_COMBINE 32

// Read only.
#define MAPVAR_ACCESS_READ 1

// Read and write; others see the writes.
#define MAPVAR_ACCESS_READ_WRITE 2

// Read and write on pages of its own.
#define MAPVAR_ACCESS_COPY_ON_WRITE 3

// A number of one machine word, for ever of its type (int64_t, uint64_t, double or bool), whose
// operations take no lock and have no versions. It keeps its map open. Any number of threads may use
// one at once; each operation is of one of its type, else MAPVAR_WRONG_KIND.
typedef struct mapvar_atomic mapvar_atomic;

// A change as a watch saw it: the newest value when it was asked. It never changes.
typedef struct mapvar_change mapvar_change;

// What a check found.
typedef struct mapvar_check mapvar_check;

// What was seen to be erased of what a map had set. It never changes.
typedef struct mapvar_clobbered mapvar_clobbered;

// A variable as a walk found it: name, value and version of one moment. It never changes.
typedef struct mapvar_entry mapvar_entry;

// That a lock is had: until this is given back, or the process ends in any way. Any thread may give it
// back.
typedef struct mapvar_held mapvar_held;

// A walk over the variables of a map, in no order that means anything. Others may set, make and remove
// variables meanwhile: one that is there throughout comes exactly once. It keeps its map open. Threads
// that use one at once take turns.
typedef struct mapvar_iter mapvar_iter;

// A named lock of a map. It keeps its map open. Any number of threads may use one at once.
typedef struct mapvar_lock mapvar_lock;

// How the lock of a gem's map went, up to one moment.
typedef struct mapvar_lock_stat mapvar_lock_stat;

// Named variables in a piece of memory that other processes share. Any number of threads may use one
// at once. A child of a fork gets MAPVAR_CLOSED from its parent's and opens its own.
typedef struct mapvar_map mapvar_map;

// How to make or open a map: a name or a file is needed, all else may be left as it is. Can be used
// any number of times. Threads that use one at once take turns.
typedef struct mapvar_options mapvar_options;

// A place in the queue of a lock.
typedef struct mapvar_place mapvar_place;

// What was salvaged from a damaged map, and what not.
typedef struct mapvar_salvage mapvar_salvage;

// The system's object: a file, a named piece of memory, or an anonymous one. Any number of threads may
// use one at once. A named one lives until its last handle and view is gone.
typedef struct mapvar_section mapvar_section;

// How to make or open a section. Without a file and a name it is anonymous: of this process alone.
typedef struct mapvar_section_options mapvar_section_options;

// Several variables as they were at one instant. It never changes.
typedef struct mapvar_snapshot mapvar_snapshot;

// Facts and figures of a map, of one moment.
typedef struct mapvar_stat mapvar_stat;

// Many variables, read and written as one: what is set here is kept aside until
// mapvar_transaction_commit, and then there whole or not at all. No lock is held meanwhile. Begin,
// read and set, commit; whichever of these answers MAPVAR_CONFLICT: mapvar_transaction_restart, and
// all of it once more. Up to 512 variables, no atomic. It keeps its map open. Threads that use one at
// once take turns.
typedef struct mapvar_transaction mapvar_transaction;

// A value of any kind: what a variable holds, or is to hold. It never changes, so any number of
// threads may use it at once. It is a copy: what happens to the variable does not concern it.
typedef struct mapvar_value mapvar_value;

// A variable, found once: each call by it saves looking for the name. It keeps its map open. Any
// number of threads may use one at once. Where the variable is removed it answers MAPVAR_REMOVED
// until there is one of that name again, and then it is that one's.
typedef struct mapvar_var mapvar_var;

// A range of a section, mapped into this process. Any number of threads may use one at once; bytes
// that another process writes meanwhile come old or new, each by itself. Offsets count from the
// range's first byte.
typedef struct mapvar_view mapvar_view;

// Which range of a section to map, and how: the whole, for reading and writing, unless changed.
typedef struct mapvar_view_options mapvar_view_options;

// Waits for variables of a map to change. It begins with its making: what changes after that is told,
// whether somebody waits at that moment or not. It keeps its map open. Threads that use one at once take
// turns: a thread that wants one to itself makes its own.
typedef struct mapvar_watch mapvar_watch;

// Which value of a variable: two that are equal stand for the same set. The numbers mean nothing by
// themselves; both 0 = there is no variable of the name. Of a gem's map: two that are equal stand for the
// same value, which may have gone and come back.
typedef struct {
    // Which variable of the name.
    uint64_t variable;
    // Which value of it.
    uint64_t number;
} mapvar_version;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The code of the last call of this thread that failed; 0 where none has. A call that succeeds
// leaves it as it is: look at what the call returned first.
int32_t mapvar_last_error(void);

// What a person should be told of it: operation, object, what is wrong, and the remedy. UTF-8, ends
// with a NUL, never NULL. Like the other texts of the last error it belongs to the library, and lives
// until the next call of this thread that fails, or the thread's end.
const char *mapvar_last_error_message(void);

// What was being done: "set variable"; the name of the function, where an argument was refused.
const char *mapvar_last_error_operation(void);

// What it was done to: `"foo" of map "alpha"`; the argument, where one was refused.
const char *mapvar_last_error_object(void);

// The process that was in the way, for MAPVAR_TIMED_OUT and where the system tells it; else 0.
uint32_t mapvar_last_error_holder(void);

// The name of that process's program, where the system tells it; else empty.
const char *mapvar_last_error_holder_program(void);

// The operating system's number of the error (errno, GetLastError), where there is one; else 0.
int32_t mapvar_last_error_os_code(void);

// The name of a code, "NotFound"; "Ok" for 0, "Panicked" for MAPVAR_PANICKED, "Unknown" for what is
// no code. A constant, ends with a NUL.
const char *mapvar_error_name(int32_t code);

// The library's version, "0.1.0". A constant, ends with a NUL.
const char *mapvar_library_version(void);

// New options.
int32_t mapvar_options_new(mapvar_options **out);

// Frees options; the maps made by them stay. NULL is well.
int32_t mapvar_options_free(mapvar_options *options);

// A map without a file, known by this name: 1 to 120 of A-Z a-z 0-9 . _ -. It lives until its last
// user is gone, on every system.
int32_t mapvar_options_name(mapvar_options *options, const char *name, size_t name_len);

// A map in this file; the path is UTF-8 on every system.
int32_t mapvar_options_file(mapvar_options *options, const char *path, size_t path_len);

// Who can see the name: MAPVAR_SCOPE_LOCAL unless set, or MAPVAR_SCOPE_GLOBAL.
int32_t mapvar_options_scope(mapvar_options *options, uint32_t scope);

// Bytes of values that a new map has room for; 64 KiB unless set. Ignored for a map that is there.
int32_t mapvar_options_size(mapvar_options *options, uint64_t bytes);

// Bytes that a new map may grow to, with everything in it, for ever: 1 GiB for a name, no limit for a
// file, unless set. For a map that is there: how much address space is set aside.
int32_t mapvar_options_max_size(mapvar_options *options,
                                uint64_t bytes);

// How long each call on the map waits for a lock at most, and opening for a map that is just being
// made, in milliseconds; 5,000 unless set. It answers MAPVAR_TIMED_OUT then, with nothing done. Who
// must be able to interrupt a wait gives a short time and calls again.
int32_t mapvar_options_timeout(mapvar_options *options, uint64_t milliseconds);

// Not 0: opens for reading alone, takes only the right to read, and writes nothing, ever.
int32_t mapvar_options_read_only(mapvar_options *options, int32_t read_only);

// Not 0: allows a file on a network drive, where processes on different machines do not see each
// other's changes. Refused unless set.
int32_t mapvar_options_allow_network(mapvar_options *options, int32_t allow);

// Makes the map; it must not exist. May wait. Errors: MAPVAR_ALREADY_EXISTS, MAPVAR_INVALID_NAME,
// MAPVAR_INVALID_ARGUMENT (no name and no file, or both; a size of 0), MAPVAR_TOO_LARGE,
// MAPVAR_NO_SPACE with nothing left behind, MAPVAR_PERMISSION_DENIED, MAPVAR_NAME_TAKEN.
int32_t mapvar_options_create(mapvar_options *options, mapvar_map **out);

// Opens the map; it must exist. May wait. Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP, MAPVAR_VERSION,
// MAPVAR_CORRUPT, MAPVAR_TRUNCATED, MAPVAR_NEEDS_RECOVERY, MAPVAR_FOREIGN_OWNER, MAPVAR_TIMED_OUT,
// MAPVAR_PERMISSION_DENIED, MAPVAR_UNSUPPORTED.
int32_t mapvar_options_open(mapvar_options *options,
                            mapvar_map **out);

// Opens the map, or makes it where there is none: mapvar_map_was_created says which. Of many processes
// that do so at once, one makes it and all get the same. May wait. Errors: those of both.
int32_t mapvar_options_open_or_create(mapvar_options *options,
                                      mapvar_map **out);

// Looks at every part of a map that may be damaged, without opening it, and writes nothing. What is
// wrong with it is no error of this call. Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP where there is
// nothing of a map, MAPVAR_VERSION.
int32_t mapvar_options_check(mapvar_options *options, mapvar_check **out);

// Sets, in the map `into`, every variable of this one that is whole, also where opening refuses it.
// Not one byte of the damaged map changes. Errors: MAPVAR_NOT_A_MAP where there is nothing of a map,
// MAPVAR_INVALID_ARGUMENT where both are the same, and those of setting a variable.
int32_t mapvar_options_salvage(mapvar_options *options,
                               mapvar_map *into,
                               mapvar_salvage **out);

// Opens the map of this name, in this session, for reading and writing. As mapvar_options_open.
int32_t mapvar_map_open(const char *name, size_t name_len, mapvar_map **out);

// Closes the handle and reports what the system says; the last one of a process that has the map of a
// file open flushes it first, if anything was set since it was flushed. The map itself stays open for
// the handles made from it (of variables, atomics, transactions, snapshots and walks), until they are
// freed; and where another thread is in a call on this handle, until that ends, without a report. It
// may wait for the disk. Errors: those of mapvar_map_flush; the handle is closed nonetheless, so that
// only MAPVAR_CLOSED means that it was closed before. NULL is well.
int32_t mapvar_map_close(mapvar_map *map);

// A second handle to the same map, to be closed by itself.
int32_t mapvar_map_duplicate(mapvar_map *map, mapvar_map **out);

// 1 where the call that opened the map made it, 0 where it found it.
int32_t mapvar_map_was_created(mapvar_map *map, int32_t *created);

// How long a call on the map waits for a lock at most, in milliseconds.
int32_t mapvar_map_timeout(mapvar_map *map, uint64_t *milliseconds);

// Bytes of values that the map was made for; of a gem's map those that its variables, marshalled, may
// take.
int32_t mapvar_map_size(mapvar_map *map,
                        uint64_t *bytes);

// What opening the map recovered: `happened` is 0 where there was nothing to do, the usual case, and
// the others are 0 then; else how many `variables` there were, how many were `lost`, and whether the
// file is `damaged` so that the disk did not keep what it had acknowledged. Each may be NULL.
int32_t mapvar_map_recovery(mapvar_map *map,
                            int32_t *happened,
                            uint64_t *variables,
                            uint64_t *lost,
                            int32_t *damaged);

// Sets a variable to a whole number, making it where there is none; its kind may change. When this
// has returned, every process that reads it gets this value or a later one, whatever happens to this
// process. May wait for who is just writing it. Errors: MAPVAR_INVALID_NAME
// (1 to 1,023 bytes), MAPVAR_FULL and MAPVAR_NO_SPACE with nothing lost, MAPVAR_WRONG_KIND for an
// atomic of another kind, MAPVAR_TIMED_OUT where who is writing it lives but is stopped,
// MAPVAR_READ_ONLY.
int32_t mapvar_map_set_i64(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           int64_t value);

// As mapvar_map_set_i64; a number that fits int64_t is of MAPVAR_KIND_I64.
int32_t mapvar_map_set_u64(mapvar_map *map, const char *name, size_t name_len, uint64_t value);

// Sets a variable to a double, as mapvar_map_set_i64.
int32_t mapvar_map_set_f64(mapvar_map *map, const char *name, size_t name_len, double value);

// Sets a variable to true (not 0) or false (0), as mapvar_map_set_i64.
int32_t mapvar_map_set_bool(mapvar_map *map, const char *name, size_t name_len, int32_t value);

// Sets a variable to nothing, as mapvar_map_set_i64: it is there, and holds nil.
int32_t mapvar_map_set_nil(mapvar_map *map, const char *name, size_t name_len);

// Sets a variable to text, as mapvar_map_set_i64. MAPVAR_INVALID_ARGUMENT for what is not UTF-8.
int32_t mapvar_map_set_str(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           const char *text,
                           size_t text_len);

// Sets a variable to bytes, as mapvar_map_set_i64.
int32_t mapvar_map_set_bytes(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             const void *bytes,
                             size_t bytes_len);

// Sets a variable to a value of any kind, as mapvar_map_set_i64. The handle stays the caller's.
int32_t mapvar_map_set_value(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             mapvar_value *value);

// A variable's value as a whole number. Takes no lock; waits its turn only where others rewrite the
// variable without a pause. Errors: MAPVAR_NOT_FOUND, MAPVAR_WRONG_KIND for what is no whole number,
// MAPVAR_OUT_OF_RANGE for one beyond int64_t, MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT or
// MAPVAR_CONTENDED where others rewrite it all the time. `out` is written only where it is answered 0.
int32_t mapvar_map_get_i64(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           int64_t *out);

// As mapvar_map_get_i64; MAPVAR_OUT_OF_RANGE for a number below 0.
int32_t mapvar_map_get_u64(mapvar_map *map, const char *name, size_t name_len, uint64_t *out);

// A variable's value as a double, as mapvar_map_get_i64; a whole number is MAPVAR_WRONG_KIND.
int32_t mapvar_map_get_f64(mapvar_map *map, const char *name, size_t name_len, double *out);

// A variable's value as true (1) or false (0), as mapvar_map_get_i64.
int32_t mapvar_map_get_bool(mapvar_map *map, const char *name, size_t name_len, int32_t *out);

// A variable's text into a buffer (C3), a NUL behind it where there is room; `len` is its length
// without that. Errors as mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
int32_t mapvar_map_get_str(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           char *into,
                           size_t capacity,
                           size_t *len);

// The bytes of a variable that holds text, bytes, a pod or an opaque value, into a buffer (C3). Errors
// as mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
int32_t mapvar_map_get_bytes(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             void *into,
                             size_t capacity,
                             size_t *len);

// A variable's value, of whatever kind it is: a new handle, to be freed. Errors: MAPVAR_NOT_FOUND,
// MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT, MAPVAR_CONTENDED.
int32_t mapvar_map_get_value(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             mapvar_value **out);

// 1 where there is a variable of this name, else 0. Errors: MAPVAR_INVALID_NAME, MAPVAR_CORRUPT.
int32_t mapvar_map_contains(mapvar_map *map, const char *name, size_t name_len, int32_t *out);

// Removes a variable; `removed` (may be NULL) is 1 where there was one, else 0. May wait for who is
// just writing it. Errors: MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT, MAPVAR_CORRUPT.
int32_t mapvar_map_remove(mapvar_map *map, const char *name, size_t name_len, int32_t *removed);

// Removes every variable that it finds, one after the other; those that others make meanwhile may
// stay. `removed` (may be NULL) is how many. Errors: those of mapvar_map_remove, the first that it
// met, after it has removed the others.
int32_t mapvar_map_clear(mapvar_map *map, uint64_t *removed);

// How many variables there are, counted by a walk over them.
int32_t mapvar_map_count(mapvar_map *map, uint64_t *count);

// Makes everything that was set before this call survive a power cut, and waits until the device says
// so; nothing to do for a map without a file. Errors: MAPVAR_IO where the device fails, and at each
// later flush of this map; MAPVAR_TIMED_OUT where another process flushes or writes and does not go
// on; MAPVAR_READ_ONLY.
int32_t mapvar_map_flush(mapvar_map *map);

// Facts and figures, of this moment: a new handle, to be freed.
int32_t mapvar_map_stat(mapvar_map *map, mapvar_stat **out);

// Looks at every part of the map, and compares it with all others that speak of it; others may go on
// using the map. What it finds is no error of this call. A new handle, to be freed.
int32_t mapvar_map_check(mapvar_map *map,
                         mapvar_check **out);

// Leaves the signals and exceptions of this process alone, for a host that owns them all: a file that
// is made shorter under a map then ends the process, and is no error any more. To be called before
// anything else of this library; MAPVAR_ALREADY_EXISTS where its handler stands already.
int32_t mapvar_leave_faults_alone(void);

// A new value: nothing.
int32_t mapvar_value_nil(mapvar_value **out);

// A new value: true or false.
int32_t mapvar_value_bool(int32_t value, mapvar_value **out);

// A new value: a whole number.
int32_t mapvar_value_i64(int64_t value, mapvar_value **out);

// A new value: a whole number. One that fits int64_t is of MAPVAR_KIND_I64.
int32_t mapvar_value_u64(uint64_t value, mapvar_value **out);

// A new value: a double.
int32_t mapvar_value_f64(double value, mapvar_value **out);

// A new value: text, `text_len` bytes of UTF-8 or up to the NUL (C1); what is not UTF-8 answers
// MAPVAR_INVALID_ARGUMENT. It is copied.
int32_t mapvar_value_str(const char *text, size_t text_len, mapvar_value **out);

// A new value: bytes. They are copied.
int32_t mapvar_value_bytes(const void *bytes, size_t bytes_len, mapvar_value **out);

// A new value: the bytes of a plain type that its users know by the number `type_id`. They are
// copied.
int32_t mapvar_value_pod(uint32_t type_id, const void *bytes, size_t bytes_len, mapvar_value **out);

// A new value: bytes that only the language of the number `language` understands. They are copied.
int32_t mapvar_value_opaque(uint32_t language,
                            const void *bytes,
                            size_t bytes_len,
                            mapvar_value **out);

// A new value: a list of `count` values. Their handles stay the caller's, to be freed by him.
// MAPVAR_TOO_LARGE where lists and dictionaries would lie more than 128 deep in each other.
int32_t mapvar_value_list(mapvar_value *const *items, size_t count, mapvar_value **out);

// A new value: a dictionary of `count` keys, which may be of any kind, and as many values, in this
// order. Their handles stay the caller's. MAPVAR_TOO_LARGE as in mapvar_value_list.
int32_t mapvar_value_dict(mapvar_value *const *keys,
                          mapvar_value *const *values,
                          size_t count,
                          mapvar_value **out);

// Its kind, one of MAPVAR_KIND_…; there may be more one day.
int32_t mapvar_value_kind(mapvar_value *value, uint32_t *kind);

// True (1) or false (0). MAPVAR_WRONG_KIND for what is no bool.
int32_t mapvar_value_as_bool(mapvar_value *value, int32_t *out);

// A whole number. MAPVAR_OUT_OF_RANGE for one beyond int64_t; MAPVAR_WRONG_KIND for what is no whole
// number.
int32_t mapvar_value_as_i64(mapvar_value *value,
                            int64_t *out);

// A whole number. MAPVAR_OUT_OF_RANGE for one below 0; MAPVAR_WRONG_KIND for what is no whole number.
int32_t mapvar_value_as_u64(mapvar_value *value,
                            uint64_t *out);

// A double. MAPVAR_WRONG_KIND for what is none, a whole number too: nothing is converted in silence.
int32_t mapvar_value_as_f64(mapvar_value *value,
                            double *out);

// Where the bytes of a text, bytes, pod or opaque value lie, and how many. They belong to the value,
// never change, and live until it is freed; no NUL follows. MAPVAR_WRONG_KIND for other kinds.
int32_t mapvar_value_as_bytes(mapvar_value *value,
                              const void **bytes,
                              size_t *bytes_len);

// The number of a pod's type, or of an opaque value's language. MAPVAR_WRONG_KIND for other kinds.
int32_t mapvar_value_type_id(mapvar_value *value, uint32_t *type_id);

// How many items a list has, or pairs a dictionary. MAPVAR_WRONG_KIND for other kinds.
int32_t mapvar_value_count(mapvar_value *value, size_t *count);

// The item of a list at `index`, from 0 on, or the value of a dictionary's pair: a new handle, nothing
// is copied. MAPVAR_OUT_OF_RANGE beyond the end; MAPVAR_WRONG_KIND for other kinds.
int32_t mapvar_value_item(mapvar_value *value,
                          size_t index,
                          mapvar_value **out);

// The key of a dictionary's pair at `index`, as mapvar_value_item.
int32_t mapvar_value_key(mapvar_value *value, size_t index, mapvar_value **out);

// The value as a person reads it (text as it is, bytes in hexadecimal, lists and dictionaries in the
// manner of JSON), into a buffer (C3).
int32_t mapvar_value_display(mapvar_value *value,
                             void *into,
                             size_t capacity,
                             size_t *len);

// Frees a value, and with it the bytes that mapvar_value_as_bytes told of. Its items live on if they
// have handles of their own. NULL is well.
int32_t mapvar_value_free(mapvar_value *value);

// The present version of a variable; both 0 where there is none. MAPVAR_WRONG_KIND for an atomic,
// which has none.
int32_t mapvar_map_version(mapvar_map *map, const char *name, size_t name_len, mapvar_version *out);

// A variable's value, of whatever kind, and its version, of one moment, for mapvar_map_compare_and_set.
// Where there is no such variable that is no error: the value is NULL and the version both 0.
// MAPVAR_WRONG_KIND for an atomic.
int32_t mapvar_map_get_versioned(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 mapvar_value **value,
                                 mapvar_version *version);

// Sets a variable if it still has the version `expected`; both 0 there: if there is none. `now` (may
// be NULL) is the new version, or, with MAPVAR_CONFLICT, the one that stands there instead. To change
// a variable by what it holds: mapvar_map_get_versioned, compute, this; at MAPVAR_CONFLICT once more.
// Errors: those of mapvar_map_set_i64; MAPVAR_WRONG_KIND for an atomic. `now` may be `expected`.
int32_t mapvar_map_compare_and_set(mapvar_map *map,
                                   const char *name,
                                   size_t name_len,
                                   const mapvar_version *expected,
                                   mapvar_value *value,
                                   mapvar_version *now);

// A handle to a variable. MAPVAR_NOT_FOUND where there is none.
int32_t mapvar_map_var(mapvar_map *map, const char *name, size_t name_len, mapvar_var **out);

// A handle to a variable, which is made with `init` where there is none; the handle `init` stays the
// caller's. Errors: those of mapvar_map_set_i64.
int32_t mapvar_map_var_or(mapvar_map *map,
                          const char *name,
                          size_t name_len,
                          mapvar_value *init,
                          mapvar_var **out);

// Frees a handle; the variable stays. NULL is well.
int32_t mapvar_var_free(mapvar_var *var);

// The variable's name into a buffer (C3).
int32_t mapvar_var_name(mapvar_var *var, char *into, size_t capacity, size_t *len);

// Its present kind, one of MAPVAR_KIND_….
int32_t mapvar_var_kind(mapvar_var *var, uint32_t *out);

// Its present version.
int32_t mapvar_var_version(mapvar_var *var, mapvar_version *out);

// Its value as a whole number, as mapvar_map_get_i64.
int32_t mapvar_var_get_i64(mapvar_var *var, int64_t *out);

// Its value as a whole number, as mapvar_map_get_u64.
int32_t mapvar_var_get_u64(mapvar_var *var, uint64_t *out);

// Its value as a double, as mapvar_map_get_f64.
int32_t mapvar_var_get_f64(mapvar_var *var, double *out);

// Its value as true (1) or false (0), as mapvar_map_get_bool.
int32_t mapvar_var_get_bool(mapvar_var *var, int32_t *out);

// The bytes of its value (text, bytes, pod, opaque) into a buffer, as many as fit; `len` is how many
// there are: where that is more than `capacity` the rest is not there, and the answer MAPVAR_TOO_LARGE
// unless `capacity` is 0. The quick way for much: nothing is set aside for it. Of a number it has the
// eight bytes, of nil none.
int32_t mapvar_var_get_into(mapvar_var *var,
                            void *into,
                            size_t capacity,
                            size_t *len);

// Its value, of whatever kind it is: a new handle, to be freed.
int32_t mapvar_var_get_value(mapvar_var *var, mapvar_value **out);

// Its value, of whatever kind it is, and the version of that: a new handle, to be freed.
int32_t mapvar_var_get_versioned(mapvar_var *var, mapvar_value **value, mapvar_version *version);

// Sets it to a whole number. Errors: MAPVAR_REMOVED, and those of mapvar_map_set_i64.
int32_t mapvar_var_set_i64(mapvar_var *var, int64_t value);

// Sets it to a whole number; one that fits int64_t is of MAPVAR_KIND_I64.
int32_t mapvar_var_set_u64(mapvar_var *var, uint64_t value);

// Sets it to a double.
int32_t mapvar_var_set_f64(mapvar_var *var, double value);

// Sets it to true (not 0) or false (0).
int32_t mapvar_var_set_bool(mapvar_var *var, int32_t value);

// Sets it to nothing: it is there, and holds nil.
int32_t mapvar_var_set_nil(mapvar_var *var);

// Sets it to text. MAPVAR_INVALID_ARGUMENT for what is not UTF-8.
int32_t mapvar_var_set_str(mapvar_var *var, const char *text, size_t text_len);

// Sets it to bytes.
int32_t mapvar_var_set_bytes(mapvar_var *var, const void *bytes, size_t bytes_len);

// Sets it to a value of any kind; that handle stays the caller's.
int32_t mapvar_var_set_value(mapvar_var *var, mapvar_value *value);

// Sets it if it still has the version `expected`, as mapvar_map_compare_and_set; MAPVAR_REMOVED where
// it is removed.
int32_t mapvar_var_compare_and_set(mapvar_var *var,
                                   const mapvar_version *expected,
                                   mapvar_value *value,
                                   mapvar_version *now);

// Frees a handle; the variable stays. NULL is well.
int32_t mapvar_atomic_free(mapvar_atomic *atomic);

// The variable's name into a buffer (C3).
int32_t mapvar_atomic_name(mapvar_atomic *atomic, char *into, size_t capacity, size_t *len);

// A handle to an atomic of int64_t. Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND where the variable is no
// atomic, or one of another type.
int32_t mapvar_map_atomic_i64(mapvar_map *map,
                              const char *name,
                              size_t name_len,
                              mapvar_atomic **out);

// A handle to an atomic, which is made with `init` where there is none. Errors: MAPVAR_WRONG_KIND, and
// those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_i64_or(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 int64_t init,
                                 mapvar_atomic **out);

// Its value. Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND where another variable took its name.
int32_t mapvar_atomic_get_i64(mapvar_atomic *atomic, int64_t *out);

// Stores `value` and answers the one `before`, which may be NULL. Errors: those of
// mapvar_atomic_get_i64, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_i64(mapvar_atomic *atomic, int64_t value, int64_t *before);

// Stores `new_value` where `old_value` stands: `exchanged` is 1 then, else 0; `found` is what stood there. Either
// may be NULL.
int32_t mapvar_atomic_compare_exchange_i64(mapvar_atomic *atomic,
                                           int64_t old_value,
                                           int64_t new_value,
                                           int32_t *exchanged,
                                           int64_t *found);

// Adds `value`, wrapping around at the ends of the type, and answers the one `before`, which may be
// NULL.
int32_t mapvar_atomic_add_i64(mapvar_atomic *atomic, int64_t value, int64_t *before);

// Subtracts `value`, wrapping around at the ends of the type, and answers the one `before`, which may be
// NULL.
int32_t mapvar_atomic_sub_i64(mapvar_atomic *atomic,
                              int64_t value,
                              int64_t *before);

// A handle to an atomic of uint64_t. Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND where the variable is no
// atomic, or one of another type.
int32_t mapvar_map_atomic_u64(mapvar_map *map,
                              const char *name,
                              size_t name_len,
                              mapvar_atomic **out);

// A handle to an atomic, which is made with `init` where there is none. Errors: MAPVAR_WRONG_KIND, and
// those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_u64_or(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 uint64_t init,
                                 mapvar_atomic **out);

// Its value. Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND where another variable took its name.
int32_t mapvar_atomic_get_u64(mapvar_atomic *atomic, uint64_t *out);

// Stores `value` and answers the one `before`, which may be NULL. Errors: those of
// mapvar_atomic_get_u64, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_u64(mapvar_atomic *atomic, uint64_t value, uint64_t *before);

// Stores `new_value` where `old_value` stands: `exchanged` is 1 then, else 0; `found` is what stood there. Either
// may be NULL.
int32_t mapvar_atomic_compare_exchange_u64(mapvar_atomic *atomic,
                                           uint64_t old_value,
                                           uint64_t new_value,
                                           int32_t *exchanged,
                                           uint64_t *found);

// Adds `value`, wrapping around at the ends of the type, and answers the one `before`, which may be
// NULL.
int32_t mapvar_atomic_add_u64(mapvar_atomic *atomic, uint64_t value, uint64_t *before);

// Subtracts `value`, wrapping around at the ends of the type, and answers the one `before`, which may be
// NULL.
int32_t mapvar_atomic_sub_u64(mapvar_atomic *atomic,
                              uint64_t value,
                              uint64_t *before);

// A handle to an atomic of double. Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND where the variable is no
// atomic, or one of another type.
int32_t mapvar_map_atomic_f64(mapvar_map *map,
                              const char *name,
                              size_t name_len,
                              mapvar_atomic **out);

// A handle to an atomic, which is made with `init` where there is none. Errors: MAPVAR_WRONG_KIND, and
// those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_f64_or(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 double init,
                                 mapvar_atomic **out);

// Its value. Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND where another variable took its name.
int32_t mapvar_atomic_get_f64(mapvar_atomic *atomic, double *out);

// Stores `value` and answers the one `before`, which may be NULL. Errors: those of
// mapvar_atomic_get_f64, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_f64(mapvar_atomic *atomic, double value, double *before);

// Stores `new_value` where `old_value` stands: `exchanged` is 1 then, else 0; `found` is what stood there. Either
// may be NULL. Compared by their bits.
int32_t mapvar_atomic_compare_exchange_f64(mapvar_atomic *atomic,
                                           double old_value,
                                           double new_value,
                                           int32_t *exchanged,
                                           double *found);

// A handle to an atomic of bool. Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND where the variable is no
// atomic, or one of another type.
int32_t mapvar_map_atomic_bool(mapvar_map *map,
                               const char *name,
                               size_t name_len,
                               mapvar_atomic **out);

// A handle to an atomic, which is made with `init` where there is none. Errors: MAPVAR_WRONG_KIND, and
// those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_bool_or(mapvar_map *map,
                                  const char *name,
                                  size_t name_len,
                                  int32_t init,
                                  mapvar_atomic **out);

// Its value. Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND where another variable took its name.
int32_t mapvar_atomic_get_bool(mapvar_atomic *atomic, int32_t *out);

// Stores `value` and answers the one `before`, which may be NULL. Errors: those of
// mapvar_atomic_get_bool, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_bool(mapvar_atomic *atomic, int32_t value, int32_t *before);

// Stores `new_value` where `old_value` stands: `exchanged` is 1 then, else 0; `found` is what stood there. Either
// may be NULL.
int32_t mapvar_atomic_compare_exchange_bool(mapvar_atomic *atomic,
                                            int32_t old_value,
                                            int32_t new_value,
                                            int32_t *exchanged,
                                            int32_t *found);

// Begins a transaction.
int32_t mapvar_transaction_begin(mapvar_map *map, mapvar_transaction **out);

// The value of a variable, as this transaction has set it, or as it was when the transaction first
// looked; where there is none, `value` is NULL and that is no error. Errors: MAPVAR_CONFLICT: restart;
// those of mapvar_map_get_value.
int32_t mapvar_transaction_get(mapvar_transaction *transaction,
                               const char *name,
                               size_t name_len,
                               mapvar_value **value);

// Sets a variable when the transaction is committed; the handle `value` stays the caller's.
int32_t mapvar_transaction_set(mapvar_transaction *transaction,
                               const char *name,
                               size_t name_len,
                               mapvar_value *value);

// Removes a variable when the transaction is committed.
int32_t mapvar_transaction_remove(mapvar_transaction *transaction,
                                  const char *name,
                                  size_t name_len);

// Does all that was set as one, if what was read has not changed meanwhile; it is an empty
// transaction then, for the next. May wait. Errors: MAPVAR_CONFLICT, with nothing written: restart;
// MAPVAR_TOO_LARGE for more than 512 variables; those of mapvar_map_set_i64.
int32_t mapvar_transaction_commit(mapvar_transaction *transaction);

// Forgets what was read and set, waits a little, the longer the more often, and begins anew.
// MAPVAR_CONFLICT after 16 runs.
int32_t mapvar_transaction_restart(mapvar_transaction *transaction);

// Frees a transaction; what was not committed is not done. NULL is well.
int32_t mapvar_transaction_free(mapvar_transaction *transaction);

// The `count` variables of these names as they were at one instant. `name_lens` may be NULL: then each
// name ends with a NUL. A new handle, to be freed. Errors: those of mapvar_map_get_value without
// MAPVAR_NOT_FOUND.
int32_t mapvar_map_snapshot(mapvar_map *map,
                            const char *const *names,
                            const size_t *name_lens,
                            size_t count,
                            mapvar_snapshot **out);

// The value that a variable had: a new handle, to be freed. MAPVAR_NOT_FOUND where there was none, or
// the snapshot was not asked for it.
int32_t mapvar_snapshot_get(mapvar_snapshot *snapshot,
                            const char *name,
                            size_t name_len,
                            mapvar_value **value);

// The version that a variable had; both 0 where there was none.
int32_t mapvar_snapshot_version(mapvar_snapshot *snapshot,
                                const char *name,
                                size_t name_len,
                                mapvar_version *version);

// Frees a snapshot. NULL is well.
int32_t mapvar_snapshot_free(mapvar_snapshot *snapshot);

// Begins a walk.
int32_t mapvar_map_iter(mapvar_map *map, mapvar_iter **out);

// The next variable: a new handle, to be freed; NULL at the end. An error stands for one variable that
// could not be read, or for the map: the next call goes on behind it, or comes to the end.
int32_t mapvar_iter_next(mapvar_iter *iter,
                         mapvar_entry **entry);

// Frees a walk, not the variables that it found. NULL is well.
int32_t mapvar_iter_free(mapvar_iter *iter);

// Where its name lies, UTF-8 without a NUL, and how long it is; it lives until the entry is freed.
int32_t mapvar_entry_name(mapvar_entry *entry, const char **name, size_t *name_len);

// Its kind, one of MAPVAR_KIND_….
int32_t mapvar_entry_kind(mapvar_entry *entry, uint32_t *kind);

// Its value: a new handle, to be freed.
int32_t mapvar_entry_value(mapvar_entry *entry, mapvar_value **value);

// The number of its version: the how-manieth value of this variable it is; 0 of a gem's map.
int32_t mapvar_entry_version(mapvar_entry *entry, uint64_t *number);

// Frees an entry, and with it its name. NULL is well.
int32_t mapvar_entry_free(mapvar_entry *entry);

// Begins to watch one variable, which need not be there yet. Errors: MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_watch(mapvar_map *map,
                         const char *name,
                         size_t name_len,
                         mapvar_watch **out);

// Begins to watch the `count` variables of these names, which need not be there yet. `name_lens` may be
// NULL: then each name ends with a NUL.
int32_t mapvar_map_watch_any(mapvar_map *map,
                             const char *const *names,
                             const size_t *name_lens,
                             size_t count,
                             mapvar_watch **out);

// Begins to watch the variables whose names begin so, also those that are made later; all, where the
// prefix is empty.
int32_t mapvar_map_watch_prefix(mapvar_map *map,
                                const char *prefix,
                                size_t prefix_len,
                                mapvar_watch **out);

// Waits for the next change up to so many milliseconds (0 looks whether there is one; UINT64_MAX is as
// good as for ever): a new handle, to be freed; NULL where none came in time, and that is no error. Of
// several changes of one variable since the last look the newest is told.
int32_t mapvar_watch_next(mapvar_watch *watch,
                          uint64_t milliseconds,
                          mapvar_change **change);

// Frees a watch, not the changes that it told. NULL is well. A thread that waits by it goes on to wait.
int32_t mapvar_watch_free(mapvar_watch *watch);

// Where the variable's name lies, UTF-8 without a NUL, and how long it is; it lives until the change is
// freed.
int32_t mapvar_change_name(mapvar_change *change,
                           const char **name,
                           size_t *name_len);

// Its value: a new handle, to be freed; NULL where the variable was removed, and that is no error.
int32_t mapvar_change_value(mapvar_change *change, mapvar_value **value);

// Its version. Of an atomic the number is its word.
int32_t mapvar_change_version(mapvar_change *change, mapvar_version *version);

// How many changes of this variable there were between the last one that the watch told and this one;
// at least so many, where the variable was removed and made again meanwhile; of an atomic 0.
int32_t mapvar_change_skipped(mapvar_change *change,
                              uint64_t *skipped);

// Frees a change, and with it its name. NULL is well.
int32_t mapvar_change_free(mapvar_change *change);

// A handle to the lock of this name, 1 to 1,017 bytes, which need not have been used before. Errors:
// MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_lock(mapvar_map *map,
                        const char *name,
                        size_t name_len,
                        mapvar_lock **out);

// Takes the lock, alone or (`shared` not 0) together with others that share it; waits up to so many
// milliseconds. Those who came before have it before; a holder that lives is never robbed. Errors:
// MAPVAR_TIMED_OUT, with mapvar_last_error_holder; MAPVAR_INVALID_ARGUMENT where this thread has it
// already; MAPVAR_READ_ONLY; MAPVAR_FULL.
int32_t mapvar_lock_take(mapvar_lock *lock,
                         int32_t shared,
                         uint64_t milliseconds,
                         mapvar_held **held);

// Enters the queue of a lock and waits for nothing: for callers that wait in slices, to be interrupted,
// and do not want to lose their place between two of them.
int32_t mapvar_lock_queue(mapvar_lock *lock,
                          int32_t shared,
                          mapvar_place **place);

// Waits for the lock up to so many milliseconds. The place is kept at MAPVAR_TIMED_OUT: call it again.
int32_t mapvar_place_wait(mapvar_place *place,
                          uint64_t milliseconds,
                          mapvar_held **held);

// Gives a place up; a lock that was had by it stays held. NULL is well.
int32_t mapvar_place_free(mapvar_place *place);

// Takes the lock if it is to be had at once; NULL where somebody has it, or came before, and that is no
// error.
int32_t mapvar_lock_try(mapvar_lock *lock,
                        int32_t shared,
                        mapvar_held **held);

// The process that has the lock, or the first of them; 0 where nobody has it.
int32_t mapvar_lock_holder(mapvar_lock *lock, uint32_t *process);

// Takes the lock away from whoever has it, living or not; says how many that were. What it protects may
// be half-changed, which the next to take it is told.
int32_t mapvar_lock_force_unlock(mapvar_lock *lock,
                                 size_t *robbed);

// Frees a handle; what is held by it stays held. NULL is well.
int32_t mapvar_lock_free(mapvar_lock *lock);

// The process whose lock this was, and who ended without giving it back, or had it taken away: what the
// lock protects may be half-changed. 0 where it was given back, the usual case.
int32_t mapvar_held_recovered(mapvar_held *held,
                              uint32_t *process);

// Gives the lock back; the handle is gone, whatever comes of it. NULL is well. Errors: MAPVAR_REMOVED
// where it was taken away by force.
int32_t mapvar_held_release(mapvar_held *held);

// Sets a variable that ends with this process: it is there as long as this process has the map open, and
// vanishes when it closes the map, or ends in any way; who watches it is told. Any other write makes it
// one that stays. The handle of the value stays the caller's. Errors: those of mapvar_map_set_i64;
// MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_set_ephemeral(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 mapvar_value *value);

// The process that a variable ends with, as mapvar_map_set_ephemeral set it; 0 of one that stays, or is
// not there.
int32_t mapvar_map_owner(mapvar_map *map,
                         const char *name,
                         size_t name_len,
                         uint32_t *process);

// The processes that have the map open for writing, living ones alone, by the system's own word: a list
// with a dictionary for each, a new handle, to be freed. Its keys: "pid" (a whole number), "program"
// (text or nil), "since" (seconds since 1970, or nil), "this" (whether it is this handle of the map),
// "holds" and "waits_for" (lists of locks), "owns" (a list of the variables that end with it), "watches"
// (the variable that it waits for to change; true for several, nil for none). Other keys may be added.
// Errors: MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_participants(mapvar_map *map,
                                mapvar_value **out);

// One of the figures: `which` is one of MAPVAR_STAT_….
int32_t mapvar_stat_get(mapvar_stat *stat, uint32_t which, uint64_t *out);

// Frees figures. NULL is well.
int32_t mapvar_stat_free(mapvar_stat *stat);

// How many findings there are, notes and faults.
int32_t mapvar_check_count(mapvar_check *check, uint64_t *out);

// How many of them are faults; a map without any is whole.
int32_t mapvar_check_faults(mapvar_check *check, uint64_t *out);

// How many variables were found.
int32_t mapvar_check_variables(mapvar_check *check, uint64_t *out);

// The finding at `index`, from 0 on: the byte `at` which it lies, whether it is a fault (1) or a note
// (0), the variable that it concerns (`name` is NULL where it is none), and what it is. The texts are
// UTF-8 without a NUL and live until the check is freed. MAPVAR_OUT_OF_RANGE beyond the last.
int32_t mapvar_check_finding(mapvar_check *check,
                             size_t index,
                             uint64_t *at,
                             int32_t *fault,
                             const char **name,
                             size_t *name_len,
                             const char **what,
                             size_t *what_len);

// Frees what a check found, and with it its texts. NULL is well.
int32_t mapvar_check_free(mapvar_check *check);

// How many variables were saved, those with an older value among them.
int32_t mapvar_salvage_saved(mapvar_salvage *salvage, uint64_t *out);

// How many were lost, or their newest value.
int32_t mapvar_salvage_lost_count(mapvar_salvage *salvage, uint64_t *out);

// What was lost, at `index`, from 0 on: where the damage lies, whether an older value of it is saved
// (1), its name as far as it is known (else NULL), and what is wrong there. Texts as in
// mapvar_check_finding.
int32_t mapvar_salvage_lost(mapvar_salvage *salvage,
                            size_t index,
                            uint64_t *at,
                            int32_t *older,
                            const char **name,
                            size_t *name_len,
                            const char **what,
                            size_t *what_len);

// Frees what came of a salvage, and with it its texts. NULL is well.
int32_t mapvar_salvage_free(mapvar_salvage *salvage);

// How the variables lie in the memory: MAPVAR_FORMAT_STORE or MAPVAR_FORMAT_MARSHAL. A new map is of the
// first unless set; one that is there is recognised (a gem's, where a Hash lies in it). Of a gem's map
// mapvar_options_size is exactly the bytes of the section, and the timeout 1,000 ms unless set.
int32_t mapvar_options_format(mapvar_options *options,
                              uint32_t format);

// What to do when a gem erases variables that this map has set, as each of a gem's writes does with those
// that it does not know: one of MAPVAR_CLOBBER_…; MAPVAR_CLOBBER_ACCEPT unless set.
int32_t mapvar_options_on_clobber(mapvar_options *options,
                                  uint32_t on_clobber);

// The protection of a gem's section, MAPVAR_PROTECTION_…: read and write unless set, or read only with
// mapvar_options_read_only. One that cannot be written to opens for reading alone, unless the access is
// MAPVAR_ACCESS_COPY_ON_WRITE. A map of another format answers MAPVAR_UNSUPPORTED when it is opened with this,
// or one of the five below.
int32_t mapvar_options_protection(mapvar_options *options,
                                  uint32_t protection);

// MAPVAR_SECTION_… flags of a gem's section, added together.
int32_t mapvar_options_flags(mapvar_options *options, uint32_t flags);

// Not 0: child processes inherit the handle of a gem's section.
int32_t mapvar_options_inherit(mapvar_options *options, int32_t inherit);

// What this process does with the memory of a gem's map, MAPVAR_ACCESS_…. With MAPVAR_ACCESS_COPY_ON_WRITE
// nobody else sees what it sets, and it is lost when the map is closed.
int32_t mapvar_options_access(mapvar_options *options,
                              uint32_t access);

// Not 0: this process may run code in the memory of a gem's map; the protection must allow it.
int32_t mapvar_options_execute(mapvar_options *options, int32_t execute);

// Where to map a gem's map, a multiple of the system's granularity (64 KiB on Windows, else a page); 0 =
// anywhere. There or nowhere.
int32_t mapvar_options_base_address(mapvar_options *options,
                                    size_t address);

// Frees the lock of a gem's map whose holder is gone; calls on the map do so by themselves, where they can
// tell. `force`, not 0: also where a living program may hold it, as a gem does for ever after an
// exception. `freed` (may be NULL) is 1 where it was held, 0 where nobody held it. Waits up to a second.
// Errors: MAPVAR_TIMED_OUT where a living program may hold it; MAPVAR_NOT_FOUND.
int32_t mapvar_options_unlock(mapvar_options *options,
                              int32_t force,
                              int32_t *freed);

// How the variables of this map lie in the memory: one of MAPVAR_FORMAT_….
int32_t mapvar_map_format(mapvar_map *map, uint32_t *format);

// Where the memory of a gem's map begins in this process, for those who hand it to foreign code: others
// change it, and it is gone when the last handle is closed. MAPVAR_UNSUPPORTED for a map of another format.
int32_t mapvar_map_address(mapvar_map *map,
                           void **out);

// What a gem has erased of what this map has set, where it was opened with MAPVAR_CLOBBER_REASSERT or
// MAPVAR_CLOBBER_ERROR: seen by calls on variables, and told once. A new handle, to be freed.
int32_t mapvar_map_clobbered(mapvar_map *map,
                             mapvar_clobbered **out);

// How often a variable of the map was seen to be erased since it was opened (`total`), and how many names
// there are here: those since the last mapvar_map_clobbered, the last 1,024 of them. Each may be NULL.
int32_t mapvar_clobbered_count(mapvar_clobbered *clobbered,
                               uint64_t *total,
                               size_t *names);

// The name at `index`, from 0 on, in the order in which the erases were seen: UTF-8 without a NUL; it
// lives until the handle is freed. MAPVAR_OUT_OF_RANGE beyond the last.
int32_t mapvar_clobbered_name(mapvar_clobbered *clobbered,
                              size_t index,
                              const char **name,
                              size_t *name_len);

// Frees it, and with it its names. NULL is well.
int32_t mapvar_clobbered_free(mapvar_clobbered *clobbered);

// How the lock of a gem's map went, for this handle and its duplicates: a new handle, to be freed; NULL,
// and no error, for a map of another format, which has no such lock.
int32_t mapvar_map_lock_stat(mapvar_map *map,
                             mapvar_lock_stat **out);

// One of the figures: `which` is one of MAPVAR_LOCK_STAT_….
int32_t mapvar_lock_stat_get(mapvar_lock_stat *stat, uint32_t which, uint64_t *out);

// Frees figures. NULL is well.
int32_t mapvar_lock_stat_free(mapvar_lock_stat *stat);

// The first `len` bytes of a gem's map as they lie there, variables or not, into a buffer (C3) of as
// many. May wait for the lock. Errors: MAPVAR_TOO_LARGE beyond the map's end; MAPVAR_TIMED_OUT;
// MAPVAR_UNSUPPORTED for a map of another format: raw bytes have a section.
int32_t mapvar_map_read_string(mapvar_map *map,
                               void *into,
                               size_t len);

// Writes bytes to the start of a gem's map, without a terminator, over its variables. May wait for the
// lock. Errors: those of mapvar_map_read_string; MAPVAR_READ_ONLY.
int32_t mapvar_map_write_string(mapvar_map *map,
                                const void *bytes,
                                size_t len);

// A new value: what Ruby's Marshal.dump wrote, of a kind of ours where there is one, else
// MAPVAR_KIND_OPAQUE of language 1, and so within lists and dictionaries. Nothing is executed. A Hash
// loses its default, and objects that are one become copies. Errors: MAPVAR_CORRUPT or MAPVAR_NOT_A_MAP for
// what is no Marshal 4.8, MAPVAR_INVALID_ARGUMENT where more follows it.
int32_t mapvar_value_from_marshal(const void *bytes,
                                  size_t bytes_len,
                                  mapvar_value **out);

// The value as Ruby's Marshal.dump would write it, into a buffer (C3). MAPVAR_UNSUPPORTED where it is or
// holds a pod, or an opaque value of another language.
int32_t mapvar_value_to_marshal(mapvar_value *value,
                                void *into,
                                size_t capacity,
                                size_t *len);

// A variable as Ruby's Marshal.dump would write it, into a buffer (C3); of a gem's map the bytes that lie
// there, with all that a value does not have. Errors as mapvar_map_get_value and
// mapvar_value_to_marshal, and MAPVAR_TOO_LARGE.
int32_t mapvar_map_get_marshal(mapvar_map *map,
                               const char *name,
                               size_t name_len,
                               void *into,
                               size_t capacity,
                               size_t *len);

// The names of the classes and modules that Ruby's Marshal.load would look up, and run code of, to load
// these bytes: each once, in UTF-8 with a NUL behind it, one after the other, into a buffer (C3). Errors:
// those of mapvar_value_from_marshal, and MAPVAR_TOO_LARGE, also where objects lie in each other more than
// 500 levels deep, for which the loader's stack may not do.
int32_t mapvar_marshal_classes(const void *bytes,
                               size_t bytes_len,
                               void *into,
                               size_t capacity,
                               size_t *len);

// New options.
int32_t mapvar_section_options_new(mapvar_section_options **out);

// Frees options; the sections made by them stay. NULL is well.
int32_t mapvar_section_options_free(mapvar_section_options *options);

// Known by this name to other processes, 1 to 120 of A-Z a-z 0-9 . _ -, in a scope, MAPVAR_SCOPE_….
// MAPVAR_INVALID_NAME says which rule it breaks.
int32_t mapvar_section_options_name(mapvar_section_options *options,
                                    const char *name,
                                    size_t name_len,
                                    uint32_t scope);

// Exactly this name of the operating system, for objects that other programs made.
int32_t mapvar_section_options_native_name(mapvar_section_options *options,
                                           const char *name,
                                           size_t name_len);

// Backed by this file; the path is UTF-8 on every system.
int32_t mapvar_section_options_file(mapvar_section_options *options,
                                    const char *path,
                                    size_t path_len);

// Bytes. Needed to create; when opening it is the least size that will do.
int32_t mapvar_section_options_size(mapvar_section_options *options, uint64_t bytes);

// How far one without a file may grow, in bytes.
int32_t mapvar_section_options_max_size(mapvar_section_options *options, uint64_t bytes);

// The most that views may do, MAPVAR_PROTECTION_….
int32_t mapvar_section_options_protection(mapvar_section_options *options, uint32_t protection);

// MAPVAR_SECTION_… flags, added together.
int32_t mapvar_section_options_flags(mapvar_section_options *options, uint32_t flags);

// Not 0: child processes inherit the handle.
int32_t mapvar_section_options_inherit(mapvar_section_options *options, int32_t inherit);

// Not 0: allows a file on a network drive.
int32_t mapvar_section_options_allow_network(mapvar_section_options *options, int32_t allow);

// How long to wait for another process that is just making or removing the object, in milliseconds;
// 5,000 unless set.
int32_t mapvar_section_options_timeout(mapvar_section_options *options, uint64_t milliseconds);

// Makes the section; it must not exist. Its bytes are 0. Errors as mapvar_options_create, and
// MAPVAR_UNSUPPORTED.
int32_t mapvar_section_options_create(mapvar_section_options *options, mapvar_section **out);

// Opens the section; it must exist. Errors: MAPVAR_NOT_FOUND, MAPVAR_FOREIGN_OWNER, MAPVAR_TOO_LARGE
// where it is smaller than the size asked for, and those of creating.
int32_t mapvar_section_options_open(mapvar_section_options *options,
                                    mapvar_section **out);

// Opens the section, or makes it.
int32_t mapvar_section_options_open_or_create(mapvar_section_options *options,
                                              mapvar_section **out);

// Closes the handle; views that are there keep theirs. NULL is well.
int32_t mapvar_section_close(mapvar_section *section);

// 1 where the call that opened the section made it, 0 where it found it.
int32_t mapvar_section_was_created(mapvar_section *section, int32_t *created);

// Its true size in bytes, now; of one without a file on Windows rounded up to a page, or the most that
// it may grow to.
int32_t mapvar_section_size(mapvar_section *section,
                            uint64_t *bytes);

// Makes it at least `bytes` long, for every process; never shorter. Views stay as long as they are.
// Errors: MAPVAR_NO_SPACE, MAPVAR_TOO_LARGE, MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT, MAPVAR_UNSUPPORTED.
int32_t mapvar_section_grow(mapvar_section *section,
                            uint64_t bytes);

// New options.
int32_t mapvar_view_options_new(mapvar_view_options **out);

// Frees options; the views made by them stay. NULL is well.
int32_t mapvar_view_options_free(mapvar_view_options *options);

// First byte of the range, any number, and its length in bytes; 0 = to the end of the section.
int32_t mapvar_view_options_range(mapvar_view_options *options, uint64_t offset, uint64_t len);

// Keeps address space behind the range, in bytes from its start, for mapvar_view_grow.
int32_t mapvar_view_options_reserve(mapvar_view_options *options, uint64_t bytes);

// What the view may do, MAPVAR_ACCESS_…: what the section's protection allows, unless set.
int32_t mapvar_view_options_access(mapvar_view_options *options, uint32_t access);

// Not 0: code in the range may be run; the section's protection must allow it.
int32_t mapvar_view_options_execute(mapvar_view_options *options, int32_t execute);

// Where to map, a multiple of the system's granularity; 0 = anywhere. There or nowhere.
int32_t mapvar_view_options_base_address(mapvar_view_options *options, size_t address);

// Maps a range of a section; `options` may be NULL: the whole. The view keeps the section open.
// Errors: MAPVAR_OUT_OF_RANGE, MAPVAR_INVALID_ARGUMENT, MAPVAR_READ_ONLY, MAPVAR_PERMISSION_DENIED,
// MAPVAR_NO_SPACE.
int32_t mapvar_section_view(mapvar_section *section,
                            mapvar_view_options *options,
                            mapvar_view **out);

// Unmaps the range; where another thread is in a call on it, when that ends. NULL is well.
int32_t mapvar_view_close(mapvar_view *view);

// Its length in bytes, how long it can grow, and where in the section it begins; each may be NULL.
int32_t mapvar_view_extent(mapvar_view *view, size_t *len, size_t *reserved, uint64_t *offset);

// What it may do, MAPVAR_ACCESS_….
int32_t mapvar_view_access(mapvar_view *view, uint32_t *access);

// The address of its first byte, for those who hand it to foreign code. It is the system's memory:
// other processes change it, and after mapvar_view_close it is gone.
int32_t mapvar_view_address(mapvar_view *view, void **out);

// Makes its first `len` bytes reachable, where it is; the section must be that long.
int32_t mapvar_view_grow(mapvar_view *view, size_t len);

// Copies `len` bytes from byte `at` of the range to `into` (C3). Errors: MAPVAR_OUT_OF_RANGE with
// nothing copied; MAPVAR_TRUNCATED and MAPVAR_IO where the memory is gone.
int32_t mapvar_view_read(mapvar_view *view, size_t at, void *into, size_t len);

// Copies `len` bytes from `from` to byte `at` of the range. Errors: MAPVAR_OUT_OF_RANGE and
// MAPVAR_READ_ONLY with nothing written; MAPVAR_TRUNCATED and MAPVAR_IO where the memory is gone.
int32_t mapvar_view_write(mapvar_view *view, size_t at, const void *from, size_t len);

// The first `len` bytes into `into` (C3): what mapvar_view_write_string wrote. Bytes, zeros included.
int32_t mapvar_view_read_string(mapvar_view *view,
                                char *into,
                                size_t len);

// Writes bytes at the start of the range, with no terminator and no length. `len` is true: no
// MAPVAR_NUL, for they may hold zeros.
int32_t mapvar_view_write_string(mapvar_view *view, const char *from, size_t len);

// Starts writing `len` bytes from byte `at` of the range to the file; the device may have them later.
// Nothing to do without a file.
int32_t mapvar_view_flush(mapvar_view *view,
                          size_t at,
                          size_t len);

// As mapvar_view_flush, without waiting for anything: before one mapvar_view_sync for many ranges.
int32_t mapvar_view_flush_start(mapvar_view *view, size_t at, size_t len);

// As mapvar_view_flush, and waits until the device has them. After MAPVAR_IO nothing is known of what
// reached it.
int32_t mapvar_view_flush_durable(mapvar_view *view,
                                  size_t at,
                                  size_t len);

// Waits until the device has what was flushed of the file, by whatever view.
int32_t mapvar_view_sync(mapvar_view *view);

// 0 as long as all of the memory is there; otherwise, and for ever, MAPVAR_TRUNCATED where the file
// was made shorter, or MAPVAR_IO where the system could not read or keep a page.
int32_t mapvar_view_lost(mapvar_view *view);

// The 64-bit word at byte `at`, atomically, with acquire order. MAPVAR_OUT_OF_RANGE where it does not
// lie within, or not at a multiple of 8 in the section.
int32_t mapvar_view_load(mapvar_view *view,
                         size_t at,
                         uint64_t *out);

// Stores the 64-bit word at byte `at`, atomically, with release order.
int32_t mapvar_view_store(mapvar_view *view, size_t at, uint64_t value);

// Adds to the 64-bit word at byte `at`, atomically; `before` may be NULL.
int32_t mapvar_view_add(mapvar_view *view, size_t at, uint64_t value, uint64_t *before);

// Stores `new_value` in the 64-bit word at byte `at` where `old_value` stands, atomically: `exchanged`
// is 1 then, else 0; `found` is what stood there. Either may be NULL.
int32_t mapvar_view_compare_exchange(mapvar_view *view,
                                     size_t at,
                                     uint64_t old_value,
                                     uint64_t new_value,
                                     int32_t *exchanged,
                                     uint64_t *found);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MAPVAR_H */
