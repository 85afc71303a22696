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

// Visible to this user's programs in this session; on Unix, in all sessions of this user.
#define MAPVAR_SCOPE_LOCAL 0

// Visible to every session of the machine, as the map of a service must be. To create one takes a
// privilege on Windows.
#define MAPVAR_SCOPE_GLOBAL 1

// Version of the map's format; 408 for a gem's map, for Marshal 4.8.
#define MAPVAR_STAT_FORMAT 1

// Bytes of values that the map was created for.
#define MAPVAR_STAT_SIZE 2

// Bytes of the region.
#define MAPVAR_STAT_REGION 3

// Bytes taken by variables, including their names and spare slots.
#define MAPVAR_STAT_USED 4

// Bytes free for further variables, before the map has to grow.
#define MAPVAR_STAT_FREE 5

// The longest contiguous part of the free bytes.
#define MAPVAR_STAT_LARGEST_FREE 6

// Bytes that the region may grow to; 0 = limited only by the disk.
#define MAPVAR_STAT_MAX_SIZE 7

// Bytes that are neither used nor free: header, tables, index, ends of chunks.
#define MAPVAR_STAT_OVERHEAD 8

// How many variables there are.
#define MAPVAR_STAT_VARIABLES 9

// 1 if the map lives in a file.
#define MAPVAR_STAT_FILE 10

// When the map was created, in seconds since 1970 (UTC); 0 for a gem's map.
#define MAPVAR_STAT_CREATED 11

// The process that created the map, 0 for a gem's map; it may have ended, and its number may
// belong to another process.
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

// PAGE_READONLY: views can read, or write to a private copy.
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

// SEC_COMMIT: memory is committed from the start; the default.
#define MAPVAR_SECTION_COMMIT 1

// SEC_RESERVE: reserves address space only; memory is committed later.
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

// Read and write; other processes see the writes.
#define MAPVAR_ACCESS_READ_WRITE 2

// Read and write on private pages.
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

// Identifies one value of a variable: equal versions stand for the same set operation. The numbers
// have no meaning by themselves; both 0 = there is no variable of the name. For a gem's map, equal
// versions stand for equal values: the variable may have changed and changed back.
typedef struct {
    // Which variable of the name.
    uint64_t variable;
    // Which value of that variable.
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

// Creates new options.
int32_t mapvar_options_new(mapvar_options **out);

// Frees options; the maps opened by them stay open. Does nothing for NULL.
int32_t mapvar_options_free(mapvar_options *options);

// Selects a map without a file, known by this name: 1 to 120 characters of A-Z a-z 0-9 . _ -.
// The map lives until its last user is gone, on every system.
int32_t mapvar_options_name(mapvar_options *options, const char *name, size_t name_len);

// Selects a map in this file; the path is UTF-8 on every system.
int32_t mapvar_options_file(mapvar_options *options, const char *path, size_t path_len);

// Sets which programs can see the name: MAPVAR_SCOPE_LOCAL (the default) or MAPVAR_SCOPE_GLOBAL.
int32_t mapvar_options_scope(mapvar_options *options, uint32_t scope);

// Sets how many bytes of values a new map can hold without growing; 64 KiB by default. Ignored for
// an existing map.
int32_t mapvar_options_size(mapvar_options *options, uint64_t bytes);

// Sets the size in bytes that a new map may grow to, overhead included. The limit is permanent;
// the default is 1 GiB for a named map and none for a file.
// For an existing map it sets how much address space is reserved.
int32_t mapvar_options_max_size(mapvar_options *options,
                                uint64_t bytes);

// Sets the longest time in milliseconds that a call on the map waits for a lock, and that opening
// waits for a map under creation; 5,000 by default.
// After that time the call fails with MAPVAR_TIMED_OUT and has done nothing. To keep a wait
// interruptible, set a short time and call again.
int32_t mapvar_options_timeout(mapvar_options *options, uint64_t milliseconds);

// Not 0: opens read-only. The handle requests only read access and never writes.
int32_t mapvar_options_read_only(mapvar_options *options, int32_t read_only);

// Not 0: allows a file on a network drive, where processes on different machines do not see each
// other's changes. Refused by default.
int32_t mapvar_options_allow_network(mapvar_options *options, int32_t allow);

// Creates the map; it must not exist. May wait.
// Errors: MAPVAR_ALREADY_EXISTS, MAPVAR_INVALID_NAME, MAPVAR_INVALID_ARGUMENT (no name and no
// file, or both; a size of 0), MAPVAR_TOO_LARGE, MAPVAR_NO_SPACE with nothing left behind,
// MAPVAR_PERMISSION_DENIED, MAPVAR_NAME_TAKEN.
int32_t mapvar_options_create(mapvar_options *options, mapvar_map **out);

// Opens the map; it must exist. May wait.
// Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP, MAPVAR_VERSION, MAPVAR_CORRUPT, MAPVAR_TRUNCATED,
// MAPVAR_NEEDS_RECOVERY, MAPVAR_FOREIGN_OWNER, MAPVAR_TIMED_OUT, MAPVAR_PERMISSION_DENIED,
// MAPVAR_UNSUPPORTED.
int32_t mapvar_options_open(mapvar_options *options,
                            mapvar_map **out);

// Opens the map, or creates it if it does not exist; mapvar_map_was_created reports which. If many
// processes call this at once, one creates the map and all open the same one. May wait.
// Errors: those of mapvar_options_create and mapvar_options_open.
int32_t mapvar_options_open_or_create(mapvar_options *options,
                                      mapvar_map **out);

// Checks every part of a possibly damaged map, without opening it and without writing. Damage is a
// finding, not an error of this call.
// Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP if no part of a map is there, MAPVAR_VERSION.
int32_t mapvar_options_check(mapvar_options *options, mapvar_check **out);

// Sets, in the map `into`, every intact variable of this map, even if opening this map is refused.
// Not one byte of the damaged map changes.
// Errors: MAPVAR_NOT_A_MAP if no part of a map is there, MAPVAR_INVALID_ARGUMENT if both are the
// same map, and those of setting a variable.
int32_t mapvar_options_salvage(mapvar_options *options,
                               mapvar_map *into,
                               mapvar_salvage **out);

// Opens the map of this name, in this session, for reading and writing, as mapvar_options_open
// does.
int32_t mapvar_map_open(const char *name, size_t name_len, mapvar_map **out);

// Closes the handle and reports what the system reports. If it is the process's last handle to a
// map in a file, it first flushes what was set since the last flush. May wait for the disk.
// The map itself stays open until the handles made from it (of variables, atomics, transactions,
// snapshots and walks) are freed. If another thread is in a call on this handle, the map stays
// open until that call ends, and that close reports nothing. Does nothing for NULL.
// Errors: those of mapvar_map_flush. The handle is closed nonetheless, so only MAPVAR_CLOSED means
// that it had been closed before.
int32_t mapvar_map_close(mapvar_map *map);

// Returns a second handle to the same map, to be closed separately.
int32_t mapvar_map_duplicate(mapvar_map *map, mapvar_map **out);

// Reports 1 if the call that opened the map created it, 0 if the map existed.
int32_t mapvar_map_was_created(mapvar_map *map, int32_t *created);

// Reports the longest time in milliseconds that a call on the map waits for a lock.
int32_t mapvar_map_timeout(mapvar_map *map, uint64_t *milliseconds);

// Reports how many bytes of values the map was created for; for a gem's map, how many bytes its
// marshalled variables may take.
int32_t mapvar_map_size(mapvar_map *map,
                        uint64_t *bytes);

// Reports what opening the map recovered. Usually nothing was to be recovered: `happened` and all
// others are 0. Otherwise `variables` is how many variables were recovered and `lost` how many
// were lost; `damaged` is 1 if the disk did not keep what it had acknowledged. Each may be NULL.
int32_t mapvar_map_recovery(mapvar_map *map,
                            int32_t *happened,
                            uint64_t *variables,
                            uint64_t *lost,
                            int32_t *damaged);

// Sets a variable to an integer, and creates it if needed; its kind may change. Once this has
// returned, every process that reads the variable gets this value or a later one, whatever happens
// to this process. May wait for another writer of the same variable.
// Errors: MAPVAR_INVALID_NAME (1 to 1,023 bytes), MAPVAR_FULL and MAPVAR_NO_SPACE with nothing
// lost, MAPVAR_WRONG_KIND for an atomic of another kind, MAPVAR_TIMED_OUT if another writer of the
// variable is alive but stopped, MAPVAR_READ_ONLY.
int32_t mapvar_map_set_i64(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           int64_t value);

// Sets a variable to an integer, as mapvar_map_set_i64; one that fits int64_t is of
// MAPVAR_KIND_I64.
int32_t mapvar_map_set_u64(mapvar_map *map, const char *name, size_t name_len, uint64_t value);

// Sets a variable to a double, as mapvar_map_set_i64.
int32_t mapvar_map_set_f64(mapvar_map *map, const char *name, size_t name_len, double value);

// Sets a variable to true (not 0) or false (0), as mapvar_map_set_i64.
int32_t mapvar_map_set_bool(mapvar_map *map, const char *name, size_t name_len, int32_t value);

// Sets a variable to nil, as mapvar_map_set_i64: the variable exists and holds nil.
int32_t mapvar_map_set_nil(mapvar_map *map, const char *name, size_t name_len);

// Sets a variable to text, as mapvar_map_set_i64. MAPVAR_INVALID_ARGUMENT if the text is not
// UTF-8.
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

// Sets a variable to a value of any kind, as mapvar_map_set_i64. The caller keeps the handle
// `value`.
int32_t mapvar_map_set_value(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             mapvar_value *value);

// Reads a variable's value as an integer. Takes no lock; waits only while other writers rewrite
// the variable without a pause.
// Errors: MAPVAR_NOT_FOUND, MAPVAR_WRONG_KIND if the value is not an integer, MAPVAR_OUT_OF_RANGE
// if it does not fit int64_t, MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT or
// MAPVAR_CONTENDED if other writers rewrite it all the time. `out` is written only with MAPVAR_OK.
int32_t mapvar_map_get_i64(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           int64_t *out);

// Reads a variable's value as an integer, as mapvar_map_get_i64; MAPVAR_OUT_OF_RANGE if it is
// below 0.
int32_t mapvar_map_get_u64(mapvar_map *map, const char *name, size_t name_len, uint64_t *out);

// Reads a variable's value as a double, as mapvar_map_get_i64; an integer is MAPVAR_WRONG_KIND.
int32_t mapvar_map_get_f64(mapvar_map *map, const char *name, size_t name_len, double *out);

// Reads a variable's value as true (1) or false (0), as mapvar_map_get_i64.
int32_t mapvar_map_get_bool(mapvar_map *map, const char *name, size_t name_len, int32_t *out);

// Copies a variable's text into a buffer (C3), and a NUL after it if there is space. `len` is the
// length without the NUL.
// Errors: those of mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
int32_t mapvar_map_get_str(mapvar_map *map,
                           const char *name,
                           size_t name_len,
                           char *into,
                           size_t capacity,
                           size_t *len);

// Copies the bytes of a variable that holds text, bytes, a pod or an opaque value into a buffer
// (C3).
// Errors: those of mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
int32_t mapvar_map_get_bytes(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             void *into,
                             size_t capacity,
                             size_t *len);

// Reads a variable's value, of whatever kind. Returns a new handle; the caller frees it.
// Errors: MAPVAR_NOT_FOUND, MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT,
// MAPVAR_CONTENDED.
int32_t mapvar_map_get_value(mapvar_map *map,
                             const char *name,
                             size_t name_len,
                             mapvar_value **out);

// Reports 1 if there is a variable of this name, else 0.
// Errors: MAPVAR_INVALID_NAME, MAPVAR_CORRUPT.
int32_t mapvar_map_contains(mapvar_map *map, const char *name, size_t name_len, int32_t *out);

// Removes a variable; `removed` (may be NULL) is 1 if it existed, else 0. May wait for another
// writer of the same variable.
// Errors: MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT, MAPVAR_CORRUPT.
int32_t mapvar_map_remove(mapvar_map *map, const char *name, size_t name_len, int32_t *removed);

// Removes every variable that it finds, one after the other; variables that others create
// meanwhile may stay. `removed` (may be NULL) is how many it removed.
// Errors: those of mapvar_map_remove. It reports the first error, after it has removed the other
// variables.
int32_t mapvar_map_clear(mapvar_map *map, uint64_t *removed);

// Counts the variables, by a walk over them.
int32_t mapvar_map_count(mapvar_map *map, uint64_t *count);

// Makes everything that was set before this call survive a power cut; waits until the device has
// confirmed it. Does nothing for a map without a file.
// Errors: MAPVAR_IO if the device fails, then and at each later flush of this map;
// MAPVAR_TIMED_OUT if another process flushes or writes and makes no progress; MAPVAR_READ_ONLY.
int32_t mapvar_map_flush(mapvar_map *map);

// Returns the figures of this moment: a new handle; the caller frees it.
int32_t mapvar_map_stat(mapvar_map *map, mapvar_stat **out);

// Checks every part of the map against all other parts that refer to it; other processes may go on
// using the map. Damage is a finding, not an error of this call. Returns a new handle; the caller
// frees it.
int32_t mapvar_map_check(mapvar_map *map,
                         mapvar_check **out);

// Leaves the signals and exceptions of this process alone, for a host that handles all of them
// itself. A file that is truncated under a map then ends the process and is no longer an error.
// Call it before anything else of this library; MAPVAR_ALREADY_EXISTS if the library's handler is
// already installed.
int32_t mapvar_leave_faults_alone(void);

// Returns a new value: nil.
int32_t mapvar_value_nil(mapvar_value **out);

// Returns a new value: true or false.
int32_t mapvar_value_bool(int32_t value, mapvar_value **out);

// Returns a new value: an integer.
int32_t mapvar_value_i64(int64_t value, mapvar_value **out);

// Returns a new value: an integer. One that fits int64_t is of MAPVAR_KIND_I64.
int32_t mapvar_value_u64(uint64_t value, mapvar_value **out);

// Returns a new value: a double.
int32_t mapvar_value_f64(double value, mapvar_value **out);

// Returns a new value: a copy of a text, `text_len` bytes of UTF-8 or up to the NUL (C1).
// MAPVAR_INVALID_ARGUMENT if the text is not UTF-8.
int32_t mapvar_value_str(const char *text, size_t text_len, mapvar_value **out);

// Returns a new value: a copy of bytes.
int32_t mapvar_value_bytes(const void *bytes, size_t bytes_len, mapvar_value **out);

// Returns a new value: a copy of the bytes of a plain type that its users identify by the number
// `type_id`.
int32_t mapvar_value_pod(uint32_t type_id, const void *bytes, size_t bytes_len, mapvar_value **out);

// Returns a new value: a copy of bytes that only the language with the number `language`
// understands.
int32_t mapvar_value_opaque(uint32_t language,
                            const void *bytes,
                            size_t bytes_len,
                            mapvar_value **out);

// Returns a new value: a list of `count` values. The caller keeps their handles. MAPVAR_TOO_LARGE
// if lists and dictionaries would be nested more than 128 levels deep.
int32_t mapvar_value_list(mapvar_value *const *items, size_t count, mapvar_value **out);

// Returns a new value: a dictionary of `count` keys, which may be of any kind, and as many values,
// in this order. The caller keeps their handles. MAPVAR_TOO_LARGE as in mapvar_value_list.
int32_t mapvar_value_dict(mapvar_value *const *keys,
                          mapvar_value *const *values,
                          size_t count,
                          mapvar_value **out);

// Reports the value's kind, one of MAPVAR_KIND_…; later versions may add kinds.
int32_t mapvar_value_kind(mapvar_value *value, uint32_t *kind);

// Reads true (1) or false (0). MAPVAR_WRONG_KIND if the value is not a bool.
int32_t mapvar_value_as_bool(mapvar_value *value, int32_t *out);

// Reads an integer. MAPVAR_OUT_OF_RANGE if it does not fit int64_t; MAPVAR_WRONG_KIND if the value
// is not an integer.
int32_t mapvar_value_as_i64(mapvar_value *value,
                            int64_t *out);

// Reads an integer. MAPVAR_OUT_OF_RANGE if it is below 0; MAPVAR_WRONG_KIND if the value is not an
// integer.
int32_t mapvar_value_as_u64(mapvar_value *value,
                            uint64_t *out);

// Reads a double. MAPVAR_WRONG_KIND for any other kind, integers included: nothing is converted
// silently.
int32_t mapvar_value_as_f64(mapvar_value *value,
                            double *out);

// Reports the address and length of the bytes of a text, bytes, pod or opaque value. The bytes
// belong to the value, never change, and live until it is freed; no NUL follows. MAPVAR_WRONG_KIND
// for other kinds.
int32_t mapvar_value_as_bytes(mapvar_value *value,
                              const void **bytes,
                              size_t *bytes_len);

// Reports the number of a pod's type, or of an opaque value's language. MAPVAR_WRONG_KIND for
// other kinds.
int32_t mapvar_value_type_id(mapvar_value *value, uint32_t *type_id);

// Reports how many items a list has, or how many pairs a dictionary has. MAPVAR_WRONG_KIND for
// other kinds.
int32_t mapvar_value_count(mapvar_value *value, size_t *count);

// Returns the item of a list at `index`, from 0 on, or the value of a dictionary's pair. The
// result is a new handle; nothing is copied. MAPVAR_OUT_OF_RANGE beyond the end; MAPVAR_WRONG_KIND
// for other kinds.
int32_t mapvar_value_item(mapvar_value *value,
                          size_t index,
                          mapvar_value **out);

// Returns the key of a dictionary's pair at `index`, as mapvar_value_item.
int32_t mapvar_value_key(mapvar_value *value, size_t index, mapvar_value **out);

// Copies a human-readable form of the value into a buffer (C3): text as it is, bytes in
// hexadecimal, lists and dictionaries in a form like JSON.
int32_t mapvar_value_display(mapvar_value *value,
                             void *into,
                             size_t capacity,
                             size_t *len);

// Frees a value and the bytes that mapvar_value_as_bytes reported. Items with handles of their own
// stay valid. Does nothing for NULL.
int32_t mapvar_value_free(mapvar_value *value);

// Reports the present version of a variable; both 0 if it does not exist. MAPVAR_WRONG_KIND for an
// atomic, which has no version.
int32_t mapvar_map_version(mapvar_map *map, const char *name, size_t name_len, mapvar_version *out);

// Reads a variable's value, of whatever kind, and its version at one moment, for
// mapvar_map_compare_and_set. If there is no such variable, the value is NULL and the version both
// 0, which is not an error. MAPVAR_WRONG_KIND for an atomic.
int32_t mapvar_map_get_versioned(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 mapvar_value **value,
                                 mapvar_version *version);

// Sets a variable if it still has the version `expected`; both 0 means: if it does not exist.
// `now` (may be NULL) is the new version or, with MAPVAR_CONFLICT, the version found instead; it
// may be the same pointer as `expected`.
// To change a variable depending on its value: call mapvar_map_get_versioned, compute, and call
// this; repeat at MAPVAR_CONFLICT.
// Errors: those of mapvar_map_set_i64; MAPVAR_WRONG_KIND for an atomic.
int32_t mapvar_map_compare_and_set(mapvar_map *map,
                                   const char *name,
                                   size_t name_len,
                                   const mapvar_version *expected,
                                   mapvar_value *value,
                                   mapvar_version *now);

// Returns a handle to a variable. MAPVAR_NOT_FOUND if it does not exist.
int32_t mapvar_map_var(mapvar_map *map, const char *name, size_t name_len, mapvar_var **out);

// Returns a handle to a variable; creates it with `init` if it does not exist. The caller keeps
// the handle `init`.
// Errors: those of mapvar_map_set_i64.
int32_t mapvar_map_var_or(mapvar_map *map,
                          const char *name,
                          size_t name_len,
                          mapvar_value *init,
                          mapvar_var **out);

// Frees a handle; the variable stays. Does nothing for NULL.
int32_t mapvar_var_free(mapvar_var *var);

// Copies the variable's name into a buffer (C3).
int32_t mapvar_var_name(mapvar_var *var, char *into, size_t capacity, size_t *len);

// Reports the present kind, one of MAPVAR_KIND_….
int32_t mapvar_var_kind(mapvar_var *var, uint32_t *out);

// Reports the present version.
int32_t mapvar_var_version(mapvar_var *var, mapvar_version *out);

// Reads the value as an integer, as mapvar_map_get_i64.
int32_t mapvar_var_get_i64(mapvar_var *var, int64_t *out);

// Reads the value as an integer, as mapvar_map_get_u64.
int32_t mapvar_var_get_u64(mapvar_var *var, uint64_t *out);

// Reads the value as a double, as mapvar_map_get_f64.
int32_t mapvar_var_get_f64(mapvar_var *var, double *out);

// Reads the value as true (1) or false (0), as mapvar_map_get_bool.
int32_t mapvar_var_get_bool(mapvar_var *var, int32_t *out);

// Copies the bytes of the value (text, bytes, pod, opaque) into a buffer, as many as fit; `len` is
// how many there are. If `len` is more than `capacity`, the copy is incomplete, and the call
// returns MAPVAR_TOO_LARGE unless `capacity` is 0. This is the fast way for large values: it
// allocates nothing. A number yields its eight bytes, nil yields none.
int32_t mapvar_var_get_into(mapvar_var *var,
                            void *into,
                            size_t capacity,
                            size_t *len);

// Reads the value, of whatever kind. Returns a new handle; the caller frees it.
int32_t mapvar_var_get_value(mapvar_var *var, mapvar_value **out);

// Reads the value, of whatever kind, and its version. Returns a new handle; the caller frees it.
int32_t mapvar_var_get_versioned(mapvar_var *var, mapvar_value **value, mapvar_version *version);

// Sets the variable to an integer.
// Errors: MAPVAR_REMOVED, and those of mapvar_map_set_i64.
int32_t mapvar_var_set_i64(mapvar_var *var, int64_t value);

// Sets the variable to an integer; one that fits int64_t is of MAPVAR_KIND_I64.
int32_t mapvar_var_set_u64(mapvar_var *var, uint64_t value);

// Sets the variable to a double.
int32_t mapvar_var_set_f64(mapvar_var *var, double value);

// Sets the variable to true (not 0) or false (0).
int32_t mapvar_var_set_bool(mapvar_var *var, int32_t value);

// Sets the variable to nil: it exists and holds nil.
int32_t mapvar_var_set_nil(mapvar_var *var);

// Sets the variable to text. MAPVAR_INVALID_ARGUMENT if the text is not UTF-8.
int32_t mapvar_var_set_str(mapvar_var *var, const char *text, size_t text_len);

// Sets the variable to bytes.
int32_t mapvar_var_set_bytes(mapvar_var *var, const void *bytes, size_t bytes_len);

// Sets the variable to a value of any kind. The caller keeps the handle `value`.
int32_t mapvar_var_set_value(mapvar_var *var, mapvar_value *value);

// Sets the variable if it still has the version `expected`, as mapvar_map_compare_and_set;
// MAPVAR_REMOVED if the variable was removed.
int32_t mapvar_var_compare_and_set(mapvar_var *var,
                                   const mapvar_version *expected,
                                   mapvar_value *value,
                                   mapvar_version *now);

// Frees a handle; the variable stays. Does nothing for NULL.
int32_t mapvar_atomic_free(mapvar_atomic *atomic);

// Copies the variable's name into a buffer (C3).
int32_t mapvar_atomic_name(mapvar_atomic *atomic, char *into, size_t capacity, size_t *len);

// Returns a handle to an atomic of int64_t.
// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
// another type.
int32_t mapvar_map_atomic_i64(mapvar_map *map,
                              const char *name,
                              size_t name_len,
                              mapvar_atomic **out);

// Returns a handle to an atomic; creates it with `init` if it does not exist.
// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_i64_or(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 int64_t init,
                                 mapvar_atomic **out);

// Reads the value.
// Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND if another variable took the name.
int32_t mapvar_atomic_get_i64(mapvar_atomic *atomic, int64_t *out);

// Stores `value` and reports the value `before`, which may be NULL.
// Errors: those of mapvar_atomic_get_i64, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_i64(mapvar_atomic *atomic, int64_t value, int64_t *before);

// Stores `new_value` if the value is `old_value`. `exchanged` is then 1, else 0; `found` is the
// value before. Either may be NULL.
int32_t mapvar_atomic_compare_exchange_i64(mapvar_atomic *atomic,
                                           int64_t old_value,
                                           int64_t new_value,
                                           int32_t *exchanged,
                                           int64_t *found);

// Adds `value`, wrapping around at the ends of the type, and reports the value `before`, which may
// be NULL.
int32_t mapvar_atomic_add_i64(mapvar_atomic *atomic, int64_t value, int64_t *before);

// Subtracts `value`, wrapping around at the ends of the type, and reports the value `before`,
// which may be NULL.
int32_t mapvar_atomic_sub_i64(mapvar_atomic *atomic,
                              int64_t value,
                              int64_t *before);

// Returns a handle to an atomic of uint64_t.
// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
// another type.
int32_t mapvar_map_atomic_u64(mapvar_map *map,
                              const char *name,
                              size_t name_len,
                              mapvar_atomic **out);

// Returns a handle to an atomic; creates it with `init` if it does not exist.
// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_u64_or(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 uint64_t init,
                                 mapvar_atomic **out);

// Reads the value.
// Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND if another variable took the name.
int32_t mapvar_atomic_get_u64(mapvar_atomic *atomic, uint64_t *out);

// Stores `value` and reports the value `before`, which may be NULL.
// Errors: those of mapvar_atomic_get_u64, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_u64(mapvar_atomic *atomic, uint64_t value, uint64_t *before);

// Stores `new_value` if the value is `old_value`. `exchanged` is then 1, else 0; `found` is the
// value before. Either may be NULL.
int32_t mapvar_atomic_compare_exchange_u64(mapvar_atomic *atomic,
                                           uint64_t old_value,
                                           uint64_t new_value,
                                           int32_t *exchanged,
                                           uint64_t *found);

// Adds `value`, wrapping around at the ends of the type, and reports the value `before`, which may
// be NULL.
int32_t mapvar_atomic_add_u64(mapvar_atomic *atomic, uint64_t value, uint64_t *before);

// Subtracts `value`, wrapping around at the ends of the type, and reports the value `before`,
// which may be NULL.
int32_t mapvar_atomic_sub_u64(mapvar_atomic *atomic,
                              uint64_t value,
                              uint64_t *before);

// Returns a handle to an atomic of double.
// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
// another type.
int32_t mapvar_map_atomic_f64(mapvar_map *map,
                              const char *name,
                              size_t name_len,
                              mapvar_atomic **out);

// Returns a handle to an atomic; creates it with `init` if it does not exist.
// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_f64_or(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 double init,
                                 mapvar_atomic **out);

// Reads the value.
// Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND if another variable took the name.
int32_t mapvar_atomic_get_f64(mapvar_atomic *atomic, double *out);

// Stores `value` and reports the value `before`, which may be NULL.
// Errors: those of mapvar_atomic_get_f64, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_f64(mapvar_atomic *atomic, double value, double *before);

// Stores `new_value` if the value is `old_value`, compared bit by bit. `exchanged` is then 1, else
// 0; `found` is the value before. Either may be NULL.
int32_t mapvar_atomic_compare_exchange_f64(mapvar_atomic *atomic,
                                           double old_value,
                                           double new_value,
                                           int32_t *exchanged,
                                           double *found);

// Returns a handle to an atomic of bool.
// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
// another type.
int32_t mapvar_map_atomic_bool(mapvar_map *map,
                               const char *name,
                               size_t name_len,
                               mapvar_atomic **out);

// Returns a handle to an atomic; creates it with `init` if it does not exist.
// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
int32_t mapvar_map_atomic_bool_or(mapvar_map *map,
                                  const char *name,
                                  size_t name_len,
                                  int32_t init,
                                  mapvar_atomic **out);

// Reads the value.
// Errors: MAPVAR_REMOVED; MAPVAR_WRONG_KIND if another variable took the name.
int32_t mapvar_atomic_get_bool(mapvar_atomic *atomic, int32_t *out);

// Stores `value` and reports the value `before`, which may be NULL.
// Errors: those of mapvar_atomic_get_bool, and MAPVAR_READ_ONLY.
int32_t mapvar_atomic_swap_bool(mapvar_atomic *atomic, int32_t value, int32_t *before);

// Stores `new_value` if the value is `old_value`. `exchanged` is then 1, else 0; `found` is the
// value before. Either may be NULL.
int32_t mapvar_atomic_compare_exchange_bool(mapvar_atomic *atomic,
                                            int32_t old_value,
                                            int32_t new_value,
                                            int32_t *exchanged,
                                            int32_t *found);

// Begins a transaction.
int32_t mapvar_transaction_begin(mapvar_map *map, mapvar_transaction **out);

// Reads a variable's value as this transaction has set it, or as it was when the transaction first
// read it. If there is no such variable, `value` is NULL, which is not an error.
// Errors: MAPVAR_CONFLICT: restart; those of mapvar_map_get_value.
int32_t mapvar_transaction_get(mapvar_transaction *transaction,
                               const char *name,
                               size_t name_len,
                               mapvar_value **value);

// Sets a variable when the transaction is committed. The caller keeps the handle `value`.
int32_t mapvar_transaction_set(mapvar_transaction *transaction,
                               const char *name,
                               size_t name_len,
                               mapvar_value *value);

// Removes a variable when the transaction is committed.
int32_t mapvar_transaction_remove(mapvar_transaction *transaction,
                                  const char *name,
                                  size_t name_len);

// Publishes all that was set, as one, if what was read has not changed meanwhile. The transaction
// is then empty and can be used for the next. May wait.
// Errors: MAPVAR_CONFLICT, with nothing written: restart; MAPVAR_TOO_LARGE for more than 512
// variables; those of mapvar_map_set_i64.
int32_t mapvar_transaction_commit(mapvar_transaction *transaction);

// Discards what was read and set, waits briefly, longer with each restart, and begins again.
// MAPVAR_CONFLICT after 16 runs.
int32_t mapvar_transaction_restart(mapvar_transaction *transaction);

// Frees a transaction; what was not committed is discarded. Does nothing for NULL.
int32_t mapvar_transaction_free(mapvar_transaction *transaction);

// Returns the `count` variables of these names as they were at one instant. If `name_lens` is
// NULL, each name ends with a NUL. The result is a new handle; the caller frees it.
// Errors: those of mapvar_map_get_value without MAPVAR_NOT_FOUND.
int32_t mapvar_map_snapshot(mapvar_map *map,
                            const char *const *names,
                            const size_t *name_lens,
                            size_t count,
                            mapvar_snapshot **out);

// Returns the value that a variable had: a new handle; the caller frees it. MAPVAR_NOT_FOUND if
// there was none, or the name was not among those of the snapshot.
int32_t mapvar_snapshot_get(mapvar_snapshot *snapshot,
                            const char *name,
                            size_t name_len,
                            mapvar_value **value);

// Reports the version that a variable had; both 0 if there was none.
int32_t mapvar_snapshot_version(mapvar_snapshot *snapshot,
                                const char *name,
                                size_t name_len,
                                mapvar_version *version);

// Frees a snapshot. Does nothing for NULL.
int32_t mapvar_snapshot_free(mapvar_snapshot *snapshot);

// Begins a walk.
int32_t mapvar_map_iter(mapvar_map *map, mapvar_iter **out);

// Returns the next variable: a new handle, which the caller frees; NULL at the end. An error
// concerns one variable that could not be read, or the map; the next call goes on after it, or
// reaches the end.
int32_t mapvar_iter_next(mapvar_iter *iter,
                         mapvar_entry **entry);

// Frees a walk, but not the entries that it returned. Does nothing for NULL.
int32_t mapvar_iter_free(mapvar_iter *iter);

// Reports the address and length of the variable's name: UTF-8 without a NUL, valid until the
// entry is freed.
int32_t mapvar_entry_name(mapvar_entry *entry, const char **name, size_t *name_len);

// Reports the value's kind, one of MAPVAR_KIND_….
int32_t mapvar_entry_kind(mapvar_entry *entry, uint32_t *kind);

// Returns the value: a new handle; the caller frees it.
int32_t mapvar_entry_value(mapvar_entry *entry, mapvar_value **value);

// Reports the number of the value's version: the value was the variable's n-th; 0 for a gem's map.
int32_t mapvar_entry_version(mapvar_entry *entry, uint64_t *number);

// Frees an entry and its name. Does nothing for NULL.
int32_t mapvar_entry_free(mapvar_entry *entry);

// Begins to watch one variable, which need not exist yet.
// Errors: MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_watch(mapvar_map *map,
                         const char *name,
                         size_t name_len,
                         mapvar_watch **out);

// Begins to watch the `count` variables of these names, which need not exist yet. If `name_lens`
// is NULL, each name ends with a NUL.
int32_t mapvar_map_watch_any(mapvar_map *map,
                             const char *const *names,
                             const size_t *name_lens,
                             size_t count,
                             mapvar_watch **out);

// Begins to watch the variables whose names begin with the prefix, including those created later;
// all variables if the prefix is empty.
int32_t mapvar_map_watch_prefix(mapvar_map *map,
                                const char *prefix,
                                size_t prefix_len,
                                mapvar_watch **out);

// Waits for the next change for at most this many milliseconds; 0 only polls, UINT64_MAX is
// practically forever. Returns a new handle, which the caller frees; NULL if no change came in
// time, which is not an error. Of several changes of one variable since the last call, it reports
// the newest.
int32_t mapvar_watch_next(mapvar_watch *watch,
                          uint64_t milliseconds,
                          mapvar_change **change);

// Frees a watch, but not the changes that it reported. Does nothing for NULL. A thread that waits
// on it continues to wait.
int32_t mapvar_watch_free(mapvar_watch *watch);

// Reports the address and length of the variable's name: UTF-8 without a NUL, valid until the
// change is freed.
int32_t mapvar_change_name(mapvar_change *change,
                           const char **name,
                           size_t *name_len);

// Returns the value: a new handle; the caller frees it. NULL if the variable was removed, which is
// not an error.
int32_t mapvar_change_value(mapvar_change *change, mapvar_value **value);

// Reports the version. For an atomic the number is its word.
int32_t mapvar_change_version(mapvar_change *change, mapvar_version *version);

// Reports how many changes of this variable were skipped between the change that the watch
// reported last and this one. At least that many, if the variable was removed and created again
// meanwhile; 0 for an atomic.
int32_t mapvar_change_skipped(mapvar_change *change,
                              uint64_t *skipped);

// Frees a change and its name. Does nothing for NULL.
int32_t mapvar_change_free(mapvar_change *change);

// Returns a handle to the lock of this name, 1 to 1,017 bytes; the lock need not have been used
// before.
// Errors: MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_lock(mapvar_map *map,
                        const char *name,
                        size_t name_len,
                        mapvar_lock **out);

// Acquires the lock, exclusively or (`shared` not 0) together with others that share it; waits for
// at most this many milliseconds. Acquisition is in order of arrival; a lock is never taken from a
// living owner.
// Errors: MAPVAR_TIMED_OUT, with mapvar_last_error_holder; MAPVAR_INVALID_ARGUMENT if this thread
// has it already; MAPVAR_READ_ONLY; MAPVAR_FULL.
int32_t mapvar_lock_take(mapvar_lock *lock,
                         int32_t shared,
                         uint64_t milliseconds,
                         mapvar_held **held);

// Enters the queue of a lock without waiting. For callers that wait in slices, to stay
// interruptible, and keep their place in between.
int32_t mapvar_lock_queue(mapvar_lock *lock,
                          int32_t shared,
                          mapvar_place **place);

// Waits for the lock for at most this many milliseconds. MAPVAR_TIMED_OUT keeps the place: call
// again.
int32_t mapvar_place_wait(mapvar_place *place,
                          uint64_t milliseconds,
                          mapvar_held **held);

// Gives up a place in the queue; a lock acquired through it stays held. Does nothing for NULL.
int32_t mapvar_place_free(mapvar_place *place);

// Acquires the lock if that is possible at once. NULL if another owner has it or others came
// first, which is not an error.
int32_t mapvar_lock_try(mapvar_lock *lock,
                        int32_t shared,
                        mapvar_held **held);

// Reports the process that owns the lock, or the first of several; 0 if the lock is free.
int32_t mapvar_lock_holder(mapvar_lock *lock, uint32_t *process);

// Takes the lock from all its owners, living or dead; `robbed` (may be NULL) is how many owners
// there were. What the lock protects may be half-changed; the next owner learns that from
// mapvar_held_recovered.
int32_t mapvar_lock_force_unlock(mapvar_lock *lock,
                                 size_t *robbed);

// Frees a handle; a lock acquired through it stays held. Does nothing for NULL.
int32_t mapvar_lock_free(mapvar_lock *lock);

// Reports the process that owned the lock and ended without releasing it, or from which it was
// taken by force. What the lock protects may be half-changed then. 0 if the lock was released, the
// usual case.
int32_t mapvar_held_recovered(mapvar_held *held,
                              uint32_t *process);

// Releases the lock; the handle is freed, whatever the result. Does nothing for NULL.
// Errors: MAPVAR_REMOVED if the lock was taken away by force.
int32_t mapvar_held_release(mapvar_held *held);

// Sets an ephemeral variable: it exists as long as this process has the map open. It vanishes when
// the process closes the map or ends in any way; watches report that. Any other write makes the
// variable permanent. The caller keeps the handle `value`.
// Errors: those of mapvar_map_set_i64; MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_set_ephemeral(mapvar_map *map,
                                 const char *name,
                                 size_t name_len,
                                 mapvar_value *value);

// Reports the owner process of an ephemeral variable (mapvar_map_set_ephemeral); 0 if the variable
// is permanent or does not exist.
int32_t mapvar_map_owner(mapvar_map *map,
                         const char *name,
                         size_t name_len,
                         uint32_t *process);

// Returns the living processes that have the map open for writing, as the system reports them. The
// result is a list with a dictionary for each, a new handle; the caller frees it.
// The keys are "pid" (an integer), "program" (text or nil), "since" (seconds since 1970, or nil),
// "this" (whether it is this handle of the map), "holds" and "waits_for" (lists of locks), "owns"
// (a list of its ephemeral variables), and "watches" (the variable whose change it waits for; true
// for several, nil for none). Later versions may add keys.
// Errors: MAPVAR_UNSUPPORTED for a gem's map.
int32_t mapvar_map_participants(mapvar_map *map,
                                mapvar_value **out);

// Reports one of the figures; `which` is one of MAPVAR_STAT_….
int32_t mapvar_stat_get(mapvar_stat *stat, uint32_t which, uint64_t *out);

// Frees figures. Does nothing for NULL.
int32_t mapvar_stat_free(mapvar_stat *stat);

// Reports how many findings there are, notes and faults together.
int32_t mapvar_check_count(mapvar_check *check, uint64_t *out);

// Reports how many findings are faults; a map without faults is intact.
int32_t mapvar_check_faults(mapvar_check *check, uint64_t *out);

// Reports how many variables were found.
int32_t mapvar_check_variables(mapvar_check *check, uint64_t *out);

// Reports the finding at `index`, from 0 on: its byte offset `at`, whether it is a fault (1) or a
// note (0), the variable concerned (`name` is NULL if there is none), and a description. The texts
// are UTF-8 without a NUL and live until the check is freed. MAPVAR_OUT_OF_RANGE beyond the last.
int32_t mapvar_check_finding(mapvar_check *check,
                             size_t index,
                             uint64_t *at,
                             int32_t *fault,
                             const char **name,
                             size_t *name_len,
                             const char **what,
                             size_t *what_len);

// Frees a check and its texts. Does nothing for NULL.
int32_t mapvar_check_free(mapvar_check *check);

// Reports how many variables were saved, including those saved with an older value.
int32_t mapvar_salvage_saved(mapvar_salvage *salvage, uint64_t *out);

// Reports how many variables were lost, or lost their newest value.
int32_t mapvar_salvage_lost_count(mapvar_salvage *salvage, uint64_t *out);

// Reports the loss at `index`, from 0 on: where the damage is, whether an older value was saved
// (1), the variable's name as far as it is known (else NULL), and what is wrong. The texts live as
// in mapvar_check_finding.
int32_t mapvar_salvage_lost(mapvar_salvage *salvage,
                            size_t index,
                            uint64_t *at,
                            int32_t *older,
                            const char **name,
                            size_t *name_len,
                            const char **what,
                            size_t *what_len);

// Frees a salvage and its texts. Does nothing for NULL.
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

// Returns a new value from what Ruby's Marshal.dump wrote. It has a native kind if there is one,
// else MAPVAR_KIND_OPAQUE of language 1; the same holds within lists and dictionaries. Nothing is
// executed. A Hash loses its default, and references to one object become copies.
// Errors: MAPVAR_CORRUPT or MAPVAR_NOT_A_MAP if the bytes are not Marshal 4.8,
// MAPVAR_INVALID_ARGUMENT if more bytes follow it.
int32_t mapvar_value_from_marshal(const void *bytes,
                                  size_t bytes_len,
                                  mapvar_value **out);

// Copies the value, as Ruby's Marshal.dump would write it, into a buffer (C3). MAPVAR_UNSUPPORTED
// if it is or holds a pod, or an opaque value of another language.
int32_t mapvar_value_to_marshal(mapvar_value *value,
                                void *into,
                                size_t capacity,
                                size_t *len);

// Copies a variable's value, as Ruby's Marshal.dump would write it, into a buffer (C3). For a
// gem's map these are the stored bytes, including all that a mapvar_value cannot hold.
// Errors: those of mapvar_map_get_value and mapvar_value_to_marshal, and MAPVAR_TOO_LARGE.
int32_t mapvar_map_get_marshal(mapvar_map *map,
                               const char *name,
                               size_t name_len,
                               void *into,
                               size_t capacity,
                               size_t *len);

// Copies the names of the classes and modules that Ruby's Marshal.load would look up, and run code
// of, to load these bytes, into a buffer (C3). Each name appears once, in UTF-8 and followed by a
// NUL.
// Errors: those of mapvar_value_from_marshal, and MAPVAR_TOO_LARGE, also if objects are nested
// more than 500 levels deep, which could exhaust the loader's stack.
int32_t mapvar_marshal_classes(const void *bytes,
                               size_t bytes_len,
                               void *into,
                               size_t capacity,
                               size_t *len);

// Creates new options.
int32_t mapvar_section_options_new(mapvar_section_options **out);

// Frees options; the sections opened by them stay open. Does nothing for NULL.
int32_t mapvar_section_options_free(mapvar_section_options *options);

// Selects the name by which other processes open the section, 1 to 120 characters of A-Z a-z 0-9 .
// _ -, in a scope, MAPVAR_SCOPE_…. MAPVAR_INVALID_NAME reports which rule the name breaks.
int32_t mapvar_section_options_name(mapvar_section_options *options,
                                    const char *name,
                                    size_t name_len,
                                    uint32_t scope);

// Selects exactly this name of the operating system, for objects that other programs created.
int32_t mapvar_section_options_native_name(mapvar_section_options *options,
                                           const char *name,
                                           size_t name_len);

// Selects the file behind the section; the path is UTF-8 on every system.
int32_t mapvar_section_options_file(mapvar_section_options *options,
                                    const char *path,
                                    size_t path_len);

// Sets the size in bytes. Creating needs it; for opening it is the smallest acceptable size.
int32_t mapvar_section_options_size(mapvar_section_options *options, uint64_t bytes);

// Sets the size in bytes that a section without a file may grow to.
int32_t mapvar_section_options_max_size(mapvar_section_options *options, uint64_t bytes);

// Sets the most that views may do, MAPVAR_PROTECTION_….
int32_t mapvar_section_options_protection(mapvar_section_options *options, uint32_t protection);

// Sets MAPVAR_SECTION_… flags, added together.
int32_t mapvar_section_options_flags(mapvar_section_options *options, uint32_t flags);

// Not 0: child processes inherit the handle.
int32_t mapvar_section_options_inherit(mapvar_section_options *options, int32_t inherit);

// Not 0: allows a file on a network drive.
int32_t mapvar_section_options_allow_network(mapvar_section_options *options, int32_t allow);

// Sets the longest time in milliseconds to wait while another process creates or removes the
// object; 5,000 by default.
int32_t mapvar_section_options_timeout(mapvar_section_options *options, uint64_t milliseconds);

// Creates the section; it must not exist. Its bytes are 0.
// Errors: those of mapvar_options_create, and MAPVAR_UNSUPPORTED.
int32_t mapvar_section_options_create(mapvar_section_options *options, mapvar_section **out);

// Opens the section; it must exist.
// Errors: MAPVAR_NOT_FOUND, MAPVAR_FOREIGN_OWNER, MAPVAR_TOO_LARGE if it is smaller than the
// requested size, and those of creating.
int32_t mapvar_section_options_open(mapvar_section_options *options,
                                    mapvar_section **out);

// Opens the section, or creates it if it does not exist.
int32_t mapvar_section_options_open_or_create(mapvar_section_options *options,
                                              mapvar_section **out);

// Closes the handle; existing views keep the section open. Does nothing for NULL.
int32_t mapvar_section_close(mapvar_section *section);

// Reports 1 if the call that opened the section created it, 0 if the section existed.
int32_t mapvar_section_was_created(mapvar_section *section, int32_t *created);

// Reports the present size in bytes. For a section without a file on Windows this is rounded up to
// a page, or is the size that it may grow to.
int32_t mapvar_section_size(mapvar_section *section,
                            uint64_t *bytes);

// Makes the section at least `bytes` long, for every process; it never shrinks. Existing views
// keep their length.
// Errors: MAPVAR_NO_SPACE, MAPVAR_TOO_LARGE, MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT,
// MAPVAR_UNSUPPORTED.
int32_t mapvar_section_grow(mapvar_section *section,
                            uint64_t bytes);

// Creates new options.
int32_t mapvar_view_options_new(mapvar_view_options **out);

// Frees options; the views opened by them stay. Does nothing for NULL.
int32_t mapvar_view_options_free(mapvar_view_options *options);

// Sets the first byte of the range, at any offset, and its length in bytes; 0 = to the end of the
// section.
int32_t mapvar_view_options_range(mapvar_view_options *options, uint64_t offset, uint64_t len);

// Reserves address space for mapvar_view_grow, in bytes from the start of the range.
int32_t mapvar_view_options_reserve(mapvar_view_options *options, uint64_t bytes);

// Sets what the view may do, MAPVAR_ACCESS_…; by default, all that the section's protection
// allows.
int32_t mapvar_view_options_access(mapvar_view_options *options, uint32_t access);

// Not 0: code in the range can be executed; the section's protection must allow it.
int32_t mapvar_view_options_execute(mapvar_view_options *options, int32_t execute);

// Sets the address to map at, a multiple of the system's granularity; 0 = anywhere. If that
// address is taken, mapping fails.
int32_t mapvar_view_options_base_address(mapvar_view_options *options, size_t address);

// Maps a range of a section; if `options` is NULL, the whole section. The view keeps the section
// open.
// Errors: MAPVAR_OUT_OF_RANGE, MAPVAR_INVALID_ARGUMENT, MAPVAR_READ_ONLY,
// MAPVAR_PERMISSION_DENIED, MAPVAR_NO_SPACE.
int32_t mapvar_section_view(mapvar_section *section,
                            mapvar_view_options *options,
                            mapvar_view **out);

// Unmaps the range; if another thread is in a call on the view, when that call ends. Does nothing
// for NULL.
int32_t mapvar_view_close(mapvar_view *view);

// Reports the view's length in bytes, the length that it can grow to, and its offset in the
// section. Each may be NULL.
int32_t mapvar_view_extent(mapvar_view *view, size_t *len, size_t *reserved, uint64_t *offset);

// Reports what the view may do, MAPVAR_ACCESS_….
int32_t mapvar_view_access(mapvar_view *view, uint32_t *access);

// Reports the address of the first byte, for callers that pass it to foreign code. The memory is
// the system's: other processes change it, and it is unmapped after mapvar_view_close.
int32_t mapvar_view_address(mapvar_view *view, void **out);

// Makes the first `len` bytes accessible without moving the view; the section must be that long.
int32_t mapvar_view_grow(mapvar_view *view, size_t len);

// Copies `len` bytes from byte `at` of the range to `into` (C3).
// Errors: MAPVAR_OUT_OF_RANGE with nothing copied; MAPVAR_TRUNCATED and MAPVAR_IO for a lost
// mapping.
int32_t mapvar_view_read(mapvar_view *view, size_t at, void *into, size_t len);

// Copies `len` bytes from `from` to byte `at` of the range.
// Errors: MAPVAR_OUT_OF_RANGE and MAPVAR_READ_ONLY with nothing written; MAPVAR_TRUNCATED and
// MAPVAR_IO for a lost mapping.
int32_t mapvar_view_write(mapvar_view *view, size_t at, const void *from, size_t len);

// Copies the first `len` bytes to `into` (C3), as mapvar_view_write_string wrote them, zeros
// included.
int32_t mapvar_view_read_string(mapvar_view *view,
                                char *into,
                                size_t len);

// Writes bytes at the start of the range, with no terminator and no length. `len` is the true
// length, never MAPVAR_NUL, since the bytes may hold zeros.
int32_t mapvar_view_write_string(mapvar_view *view, const char *from, size_t len);

// Starts writing `len` bytes from byte `at` of the range to the file; the device may receive them
// later. Does nothing without a file.
int32_t mapvar_view_flush(mapvar_view *view,
                          size_t at,
                          size_t len);

// Does the same as mapvar_view_flush, but waits for nothing: for many ranges before one
// mapvar_view_sync.
int32_t mapvar_view_flush_start(mapvar_view *view, size_t at, size_t len);

// Does the same as mapvar_view_flush, and waits until the device has the bytes. After MAPVAR_IO it
// is unknown which bytes reached the device.
int32_t mapvar_view_flush_durable(mapvar_view *view,
                                  size_t at,
                                  size_t len);

// Waits until the device has all of the file that was flushed, by any view.
int32_t mapvar_view_sync(mapvar_view *view);

// Returns 0 as long as all of the memory is mapped. Afterwards it always returns MAPVAR_TRUNCATED,
// if the file was truncated, or MAPVAR_IO, if the system could not read or keep a page.
int32_t mapvar_view_lost(mapvar_view *view);

// Loads the 64-bit word at byte `at`, atomically, with acquire order. MAPVAR_OUT_OF_RANGE if the
// word is not within the range, or not at a multiple of 8 in the section.
int32_t mapvar_view_load(mapvar_view *view,
                         size_t at,
                         uint64_t *out);

// Stores the 64-bit word at byte `at`, atomically, with release order.
int32_t mapvar_view_store(mapvar_view *view, size_t at, uint64_t value);

// Adds to the 64-bit word at byte `at`, atomically; `before` may be NULL.
int32_t mapvar_view_add(mapvar_view *view, size_t at, uint64_t value, uint64_t *before);

// Stores `new_value` in the 64-bit word at byte `at` if it holds `old_value`, atomically.
// `exchanged` is then 1, else 0; `found` is the word before. Either may be NULL.
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
