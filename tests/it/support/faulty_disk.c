/* A disk that fails on request, for programs that are loaded with this library before libc (LD_PRELOAD).
 *
 * FAULTY_DISK_BELOW    the files whose path begins with this are on the faulty disk; with = before it, that file alone
 * FAULTY_DISK_CONTROL  a file that says what is wrong with it, looked at before every call:
 *                          well
 *                          full N         no room: half of the next write, then ENOSPC
 *                          sync N         EIO from fsync and its relatives; what was written may be there all the same
 *                          readonly N     EROFS
 *                      each once N syncs of such files have gone well since this was written there. N is counted per
 *                      process: a program that is started again begins anew.
 *
 * Every failure is a line in <FAULTY_DISK_CONTROL>.failures. Covered are the calls that bundled SQLite (lseek and write,
 * fsync, ftruncate, open) and Rust's std::fs (open64, write, fsync, rename, unlink) make, with all their variants. A
 * mapped file (SQLite's -shm) is written past this library, as it is past a full disk: its pages were allocated before.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum fault { WELL, FULL, SYNC, READONLY };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last_said[64];
static unsigned long syncs_since;
static int torn;

#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        static const char words[] = "faulty_disk: a call of libc is missing\n";
        syscall(SYS_write, 2, words, sizeof words - 1);
        _exit(99);
    }
    return found;
}

static int is_below(const char *path)
{
    const char *below = getenv("FAULTY_DISK_BELOW");
    if (!below)
        return 0;
    return *below == '=' ? strcmp(path, below + 1) == 0 : strncmp(path, below, strlen(below)) == 0;
}

static int descriptor_is_below(int descriptor, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0 && is_below(path);
}

/* The fault that is on now. The lock is held. */
static enum fault now(void)
{
    const char *control = getenv("FAULTY_DISK_CONTROL");
    char said[sizeof last_said] = "";
    if (control) {
        long file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            long length = syscall(SYS_read, file, said, sizeof said - 1);
            said[length < 0 ? 0 : length] = 0;
            syscall(SYS_close, file);
        }
    }
    if (strcmp(said, last_said) != 0) {
        strcpy(last_said, said);
        syncs_since = 0;
        torn = 0;
    }
    char word[16] = "";
    unsigned long after = 0;
    sscanf(said, "%15s %lu", word, &after);
    if (syncs_since < after)
        return WELL;
    return strcmp(word, "full") == 0 ? FULL
         : strcmp(word, "sync") == 0 ? SYNC
         : strcmp(word, "readonly") == 0 ? READONLY : WELL;
}

static int fail(int error, const char *call, const char *path)
{
    char name[PATH_MAX], line[PATH_MAX + 64];
    const char *control = getenv("FAULTY_DISK_CONTROL");
    snprintf(name, sizeof name, "%s.failures", control ? control : "/dev/null");
    long file = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
        int length = snprintf(line, sizeof line, "%s %s\n", call, path);
        syscall(SYS_write, file, line, length);
        syscall(SYS_close, file);
    }
    errno = error;
    return -1;
}

/* The error of a call now, 0 for none. `grows`: whether it needs room; `changes`: whether it changes anything. The lock is held. */
static int error_now(int grows, int changes)
{
    switch (now()) {
    case FULL:
        return grows ? ENOSPC : 0;
    case READONLY:
        return changes ? EROFS : 0;
    case SYNC:
    case WELL:
        break;
    }
    return 0;
}

/* Whether a call on a path may be made. */
static int may(const char *path, const char *call, int grows, int changes)
{
    pthread_mutex_lock(&lock);
    int error = error_now(grows, changes);
    int allowed = !error || fail(error, call, path) == 0;
    pthread_mutex_unlock(&lock);
    return allowed;
}

/* What becomes of a write of so many bytes: as many as are still written, or -1. */
static ssize_t room(int descriptor, size_t size, const char *call)
{
    char path[PATH_MAX];
    if (!descriptor_is_below(descriptor, path))
        return (ssize_t)size;
    ssize_t allowed = (ssize_t)size;
    pthread_mutex_lock(&lock);
    int error = error_now(1, 1);
    if (error == ENOSPC && !torn && size > 1) {
        torn = 1;
        allowed = (ssize_t)(size / 2);
    } else if (error) {
        allowed = fail(error, call, path);
    }
    pthread_mutex_unlock(&lock);
    return allowed;
}

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    ssize_t allowed = room(descriptor, size, "write");
    return allowed < 0 ? -1 : NEXT(write)(descriptor, bytes, (size_t)allowed);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    ssize_t allowed = room(descriptor, size, "pwrite");
    return allowed < 0 ? -1 : NEXT(pwrite)(descriptor, bytes, (size_t)allowed, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t offset)
{
    ssize_t allowed = room(descriptor, size, "pwrite64");
    return allowed < 0 ? -1 : NEXT(pwrite64)(descriptor, bytes, (size_t)allowed, offset);
}

/* Vectors are written whole or not at all, which is as allowed as any other part. */
static int vector_fits(int descriptor, const char *call)
{
    return room(descriptor, 1, call) == 1;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    return vector_fits(descriptor, "writev") ? NEXT(writev)(descriptor, parts, count) : -1;
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    return vector_fits(descriptor, "pwritev") ? NEXT(pwritev)(descriptor, parts, count, offset) : -1;
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
    return vector_fits(descriptor, "pwritev64") ? NEXT(pwritev64)(descriptor, parts, count, offset) : -1;
}

/* Whether a file may change its length; a full disk minds growing only, and neither caller asks for less than there is. */
static int may_resize(int descriptor, off64_t length, const char *call)
{
    char path[PATH_MAX];
    struct stat64 is;
    if (!descriptor_is_below(descriptor, path))
        return 1;
    int grows = fstat64(descriptor, &is) != 0 || length > is.st_size;
    return may(path, call, grows, 1);
}

int ftruncate(int descriptor, off_t length)
{
    return may_resize(descriptor, length, "ftruncate") ? NEXT(ftruncate)(descriptor, length) : -1;
}

int ftruncate64(int descriptor, off64_t length)
{
    return may_resize(descriptor, length, "ftruncate64") ? NEXT(ftruncate64)(descriptor, length) : -1;
}

int fallocate(int descriptor, int mode, off_t offset, off_t length)
{
    int may = may_resize(descriptor, LLONG_MAX, "fallocate");
    return may ? NEXT(fallocate)(descriptor, mode, offset, length) : -1;
}

int fallocate64(int descriptor, int mode, off64_t offset, off64_t length)
{
    int may = may_resize(descriptor, LLONG_MAX, "fallocate64");
    return may ? NEXT(fallocate64)(descriptor, mode, offset, length) : -1;
}

int posix_fallocate(int descriptor, off_t offset, off_t length)
{
    int may = may_resize(descriptor, LLONG_MAX, "posix_fallocate");
    return may ? NEXT(posix_fallocate)(descriptor, offset, length) : errno;
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t length)
{
    int may = may_resize(descriptor, LLONG_MAX, "posix_fallocate64");
    return may ? NEXT(posix_fallocate64)(descriptor, offset, length) : errno;
}

/* Held across the sync, so that the count is exact. */
#define SYNC_CALL(name)                                      \
    int name(int descriptor)                                 \
    {                                                        \
        char path[PATH_MAX];                                 \
        if (!descriptor_is_below(descriptor, path))          \
            return NEXT(name)(descriptor);                   \
        pthread_mutex_lock(&lock);                           \
        int done = now() == SYNC ? fail(EIO, #name, path)    \
                                 : NEXT(name)(descriptor);   \
        syncs_since += done == 0;                            \
        pthread_mutex_unlock(&lock);                         \
        return done;                                         \
    }

SYNC_CALL(fsync)
SYNC_CALL(fdatasync)

/* Whether a path may be opened so. */
static int may_open(const char *path, int flags)
{
    if (!is_below(path))
        return 1;
    int is_there = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) || ((flags & O_CREAT) && !is_there);
    return may(path, "open", !is_there && (flags & O_CREAT), writes);
}

#define MODE_OF(flags)                                       \
    mode_t mode = 0;                                         \
    if (flags & (O_CREAT | O_TMPFILE)) {                     \
        va_list rest;                                        \
        va_start(rest, flags);                               \
        mode = va_arg(rest, mode_t);                         \
        va_end(rest);                                        \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return may_open(path, flags) ? NEXT(open)(path, flags, mode) : -1;
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return may_open(path, flags) ? NEXT(open64)(path, flags, mode) : -1;
}

int openat(int directory, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return may_open(path, flags) ? NEXT(openat)(directory, path, flags, mode) : -1;
}

int openat64(int directory, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return may_open(path, flags) ? NEXT(openat64)(directory, path, flags, mode) : -1;
}

int creat(const char *path, mode_t mode)
{
    return may_open(path, O_CREAT | O_WRONLY | O_TRUNC) ? NEXT(creat)(path, mode) : -1;
}

/* Whether a name may be taken away or given. A full disk has room for that. */
static int may_rename(const char *path, const char *call)
{
    return !is_below(path) || may(path, call, 0, 1);
}

int rename(const char *from, const char *to)
{
    return may_rename(from, "rename") && may_rename(to, "rename") ? NEXT(rename)(from, to) : -1;
}

int unlink(const char *path)
{
    return may_rename(path, "unlink") ? NEXT(unlink)(path) : -1;
}
