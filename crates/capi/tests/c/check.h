// Shared by the C tests: counted checks, and second processes.
#ifndef CHECK_H
#define CHECK_H

#include <mapvar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

static int failures;
#define CHECK(what) \
    do { \
        if (!(what)) { \
            failures++; \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #what, mapvar_last_error_message()); \
        } \
    } while (0)
#define OK(call) CHECK((call) == MAPVAR_OK)
#define N MAPVAR_NUL

static inline unsigned long process_id(void) {
#ifdef _WIN32
    return GetCurrentProcessId();
#else
    return (unsigned long)getpid();
#endif
}

static inline void sleep_ms(unsigned milliseconds) {
#ifdef _WIN32
    Sleep(milliseconds);
#else
    usleep(milliseconds * 1000);
#endif
}

#ifdef _WIN32
typedef PROCESS_INFORMATION child;
#else
typedef struct {
    pid_t dwProcessId;
} child;
#endif

// Starts this program again, with a role and an argument, which contain no spaces.
static inline child start_child(const char *program, const char *role, const char *argument) {
    child started;
#ifdef _WIN32
    char line[1024];
    STARTUPINFOA info = {.cb = sizeof info};
    snprintf(line, sizeof line, "\"%s\" %s %s", program, role, argument);
    if (!CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &info, &started)) abort();
#else
    started.dwProcessId = fork();
    if (started.dwProcessId < 0) abort();
    if (started.dwProcessId == 0) {
        execl(program, program, role, argument, (char *)NULL);
        _exit(8);
    }
#endif
    return started;
}

static inline void stop_child(child *child) {
#ifdef _WIN32
    SuspendThread(child->hThread);
#else
    int status;
    kill(child->dwProcessId, SIGSTOP);
    // Waits until it has stopped.
    waitpid(child->dwProcessId, &status, WUNTRACED);
#endif
}

static inline void continue_child(child *child) {
#ifdef _WIN32
    ResumeThread(child->hThread);
#else
    kill(child->dwProcessId, SIGCONT);
#endif
}

static inline void kill_child(child *child) {
#ifdef _WIN32
    TerminateProcess(child->hProcess, 9);
    WaitForSingleObject(child->hProcess, INFINITE);
    CloseHandle(child->hThread);
    CloseHandle(child->hProcess);
#else
    int status;
    kill(child->dwProcessId, SIGKILL);
    waitpid(child->dwProcessId, &status, 0);
#endif
}

#endif
