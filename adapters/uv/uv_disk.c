/*
 * Files through plain libc calls, which block: at start-up and on worker threads only. A failing
 * call says on stderr what failed, as errno does not fit into a status; the caller decides what it
 * means.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "uv_parts.h"

/* The data is nobody else's business. */
#define DIR_MODE 0700
#define FILE_MODE 0600
#define LOCK_NAME "LOCK"

struct env_file {
    int fd;
    char path[]; /* for messages */
};

static enum status failed_call(const char *call, const char *path, int error)
{
    if (error == ENOSPC || error == EDQUOT) {
        return STATUS_NO_SPACE; /* says it all, and comes again and again */
    }
    uv_log_line(ENV_LEVEL_ERROR,
                "file_call_failed call=%s path=%s error=%s",
                call,
                path,
                uv_errno_text(error));
    return error == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
}

/* For calls that may ask whether a name is there: the two answers to that are no failures. */
static enum status failed_name(const char *call, const char *path, int error)
{
    switch (error) {
    case ENOENT:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_EXISTS;
    default:
        return failed_call(call, path, error);
    }
}

static int open_retry(const char *path, int flags)
{
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* ---- directories ----------------------------------------------------------------------------- */

enum status uv_disk_dir_create(struct env *env, const char *path)
{
    (void)env;
    if (mkdir(path, DIR_MODE) != 0) {
        return failed_name("mkdir", path, errno);
    }
    return STATUS_OK;
}

enum status uv_disk_dir_sync(struct env *env, const char *path)
{
    (void)env;
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return failed_call("open", path, errno);
    }
    enum status status = STATUS_OK;
    if (fsync(fd) != 0) {
        status = failed_call("fsync", path, errno);
    }
    (void)close(fd);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

struct names {
    char **items;
    size_t count;
    size_t capacity;
};

static void names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        names->items = mem_realloc(names->items, names->capacity * sizeof *names->items);
    }
    size_t size = strlen(name) + 1;
    char *copy = mem_alloc(size);
    memcpy(copy, name, size);
    names->items[names->count++] = copy;
}

static void names_deinit(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        mem_free(names->items[i]);
    }
    mem_free(names->items);
    *names = (struct names){0};
}

/* Files only: a directory inside has its own list. */
static bool is_directory(int dir_fd, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type == DT_DIR;
    }
    struct stat about;
    return fstatat(dir_fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(about.st_mode);
}

static enum status read_names(const char *path, DIR *dir, struct names *names)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir); /* this stream is used by one thread */
        if (entry == NULL) {
            return errno == 0 ? STATUS_OK : failed_call("readdir", path, errno);
        }
        if (!is_directory(dirfd(dir), entry)) {
            names_add(names, entry->d_name);
        }
    }
}

enum status uv_disk_dir_list(struct env *env,
                             const char *path,
                             void (*each)(void *ctx, const char *name),
                             void *ctx)
{
    (void)env;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return failed_name("opendir", path, errno);
    }
    struct names names = {0};
    enum status status = read_names(path, dir, &names);
    (void)closedir(dir);
    if (status == STATUS_OK && names.count > 0) {
        qsort(names.items, names.count, sizeof *names.items, compare_names);
        for (size_t i = 0; i < names.count; i++) {
            each(ctx, names.items[i]);
        }
    }
    names_deinit(&names);
    return status;
}

/* flock ends with the process, however it ends: no stale lock can keep a node from starting. */
enum status uv_disk_dir_lock(struct env *env, const char *path)
{
    struct uv_env *self = uv_env_of(env);
    ensure(self->lock_fd < 0);
    char name[PATH_MAX];
    int size = snprintf(name, sizeof name, "%s/%s", path, LOCK_NAME);
    if (size < 0 || (size_t)size >= sizeof name) {
        return failed_call("open", path, ENAMETOOLONG);
    }
    int fd = open_retry(name, O_RDWR | O_CREAT);
    if (fd < 0) {
        return failed_name("open", name, errno);
    }
    int failed = 0;
    do {
        failed = flock(fd, LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) {
        enum status status = errno == EWOULDBLOCK ? STATUS_BUSY : failed_call("flock", name, errno);
        (void)close(fd);
        return status;
    }
    self->lock_fd = fd;
    return STATUS_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int open_flags(enum env_open mode)
{
    switch (mode) {
    case ENV_OPEN_READ:
        return O_RDONLY;
    case ENV_OPEN_WRITE:
        return O_RDWR;
    case ENV_OPEN_CREATE:
        return O_RDWR | O_CREAT | O_EXCL;
    }
    unreachable("open mode");
}

enum status uv_disk_open(struct env *env,
                         const char *path,
                         enum env_open mode,
                         struct env_file **out_file)
{
    (void)env;
    int fd = open_retry(path, open_flags(mode));
    if (fd < 0) {
        /* Whoever creates a file knows its directory is there. */
        bool is_question = mode != ENV_OPEN_CREATE || errno == EEXIST;
        return is_question ? failed_name("open", path, errno) : failed_call("open", path, errno);
    }
    size_t path_size = strlen(path) + 1;
    struct env_file *file = mem_alloc(sizeof *file + path_size);
    file->fd = fd;
    memcpy(file->path, path, path_size);
    *out_file = file;
    return STATUS_OK;
}

enum status uv_disk_size(struct env *env, struct env_file *file, uint64_t *out_size)
{
    (void)env;
    struct stat about;
    if (fstat(file->fd, &about) != 0) {
        return failed_call("fstat", file->path, errno);
    }
    *out_size = (uint64_t)about.st_size;
    return STATUS_OK;
}

enum status uv_disk_read(struct env *env,
                         struct env_file *file,
                         uint64_t offset,
                         void *data,
                         size_t size,
                         size_t *out_read)
{
    (void)env;
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return failed_call("pread", file->path, errno);
        }
        if (got == 0) {
            break; /* the end of the file */
        }
        done += (size_t)got;
    }
    *out_read = done;
    return STATUS_OK;
}

enum status uv_disk_write(struct env *env,
                          struct env_file *file,
                          uint64_t offset,
                          struct bytes bytes)
{
    (void)env;
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t put =
            pwrite(file->fd, bytes.data + done, bytes.size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return failed_call("pwrite", file->path, put < 0 ? errno : EIO);
        }
        done += (size_t)put;
    }
    return STATUS_OK;
}

/* Never retried, not even after EINTR: a second call may return 0 for pages that were lost. */
enum status uv_disk_sync(struct env *env, struct env_file *file)
{
    (void)env;
    if (fdatasync(file->fd) != 0) {
        return failed_call("fdatasync", file->path, errno);
    }
    return STATUS_OK;
}

/* What close reports says nothing about durability: that was file_sync's answer. */
void uv_disk_close(struct env *env, struct env_file *file)
{
    (void)env;
    (void)close(file->fd);
    mem_free(file);
}

enum status uv_disk_rename(struct env *env, const char *from, const char *to)
{
    (void)env;
    if (rename(from, to) != 0) {
        return failed_call("rename", from, errno);
    }
    return STATUS_OK;
}

enum status uv_disk_remove(struct env *env, const char *path)
{
    (void)env;
    if (unlink(path) != 0) {
        return failed_name("unlink", path, errno);
    }
    return STATUS_OK;
}

enum status uv_disk_space(struct env *env,
                          const char *path,
                          uint64_t *out_free,
                          uint64_t *out_total)
{
    (void)env;
    struct statvfs about;
    int failed = 0;
    do {
        failed = statvfs(path, &about);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) {
        return failed_call("statvfs", path, errno);
    }
    /* f_bavail: what is kept for root is not for us. */
    *out_free = (uint64_t)about.f_bavail * about.f_frsize;
    *out_total = (uint64_t)about.f_blocks * about.f_frsize;
    return STATUS_OK;
}
