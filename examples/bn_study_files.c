/* Files in the output folder and the programs that draw: the part of the study that meets the
 * operating system.
 * What is in a file is made elsewhere.
 * Invariant: a file is there whole, or it is not there; every failure prints one line. */
#include "bn_study.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int refuse(const char *path, int code) {
    fprintf(stderr, "bn_study: %s: %s\n", show(path).text, strerror(code));
    return EXIT_IO;
}

/* --- The folder ------------------------------------------------------------------------------- */

int study_folder_make(const char *folder) {
    char *path = strdup(folder);
    if (!path) return refuse(folder, ENOMEM);
    int status = 0;
    for (char *at = path + 1; status == 0; at++) {
        if (*at != '/' && *at != '\0') continue;
        char saved = *at;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) status = refuse(path, errno);
        *at = saved;
        if (saved == '\0') break;
    }
    struct stat found;
    if (status == 0 && stat(path, &found) != 0) status = refuse(path, errno);
    else if (status == 0 && !S_ISDIR(found.st_mode)) status = refuse(path, ENOTDIR);
    else if (status == 0 && access(path, W_OK | X_OK) != 0) status = refuse(path, errno);
    free(path);
    return status;
}

/* "folder/name"; the caller frees it. NULL when out of memory. */
static char *in_folder(const study *s, const char *name) {
    char *path;
    return asprintf(&path, "%s/%s", s->options.out, name) < 0 ? NULL : path;
}

/* --- Files ------------------------------------------------------------------------------------ */

static bool write_all(const char *path, const char *text, size_t length) {
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    bool whole = fwrite(text, 1, length, file) == length && fflush(file) == 0;
    int code = errno;
    if (fclose(file) == 0 && whole) return true;
    if (whole) code = errno;
    errno = code;
    return false;
}

int study_file_save(const study *s, const char *name, const char *text, size_t length) {
    char *path = in_folder(s, name), *temporary = NULL;
    if (!path || asprintf(&temporary, "%s.tmp", path) < 0) {
        free(path);
        return refuse(name, ENOMEM);
    }
    int status = 0;
    if (!write_all(temporary, text, length) || rename(temporary, path) != 0) {
        status = refuse(path, errno);
        unlink(temporary);
    }
    free(temporary);
    free(path);
    return status;
}

void study_file_remove(const study *s, const char *base, const char *ending) {
    char *path;
    if (asprintf(&path, "%s/%s.%s", s->options.out, base, ending) < 0) return;
    unlink(path);
    free(path);
}

bool study_text_open(study_text *text) {
    text->out = open_memstream(&text->text, &text->length);
    if (!text->out) fprintf(stderr, "bn_study: %s\n", strerror(errno));
    return text->out != NULL;
}

int study_text_save(const study *s, study_text *text, const char *name) {
    int status = 0;
    bool broken = ferror(text->out) != 0;
    if (fclose(text->out) != 0 || broken) status = refuse(name, ENOMEM);
    if (status == 0) status = study_file_save(s, name, text->text, text->length);
    free(text->text);
    return status;
}

/* Newlines after it do not matter. */
static bool ends_in(const char *text, size_t size, const char *tail) {
    size_t n = strlen(tail);
    while (size > 0 && text[size - 1] == '\n') size--;
    return size >= n && memcmp(text + size - n, tail, n) == 0;
}

char *study_file_read(const study *s, const char *name, const char *tail, size_t *length) {
    char *path = in_folder(s, name), *text = NULL;
    FILE *file = path ? fopen(path, "rb") : NULL;
    free(path);
    if (!file) return NULL;
    struct stat found;
    size_t size = 0;
    if (fstat(fileno(file), &found) == 0 && S_ISREG(found.st_mode)) size = (size_t)found.st_size;
    if (size > 0) text = malloc(size);
    bool whole = text && fread(text, 1, size, file) == size;
    fclose(file);
    if (whole && ends_in(text, size, tail)) {
        *length = size;
        return text;
    }
    free(text);
    return NULL;
}

/* --- Programs --------------------------------------------------------------------------------- */

/* POSIX: 127 is how a process ends that could not be made to run the program. */
static tool_result result_of(int exit_status) {
    if (exit_status == 127) return TOOL_MISSING;
    return exit_status == 0 ? TOOL_DONE : TOOL_BROKEN;
}

static tool_result wait_for(pid_t pid) {
    int how;
    for (int i = 0; i < 6000; i++) {
        pid_t ended = waitpid(pid, &how, WNOHANG);
        if (ended == pid && WIFEXITED(how)) return result_of(WEXITSTATUS(how));
        if (ended == pid) return TOOL_BROKEN;
        if (ended < 0 && errno != EINTR) return TOOL_BROKEN;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &how, 0);
    return TOOL_BROKEN;
}

tool_result study_tool_run(const study *s, char *const arguments[]) {
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return TOOL_BROKEN;
    pid_t pid;
    int code = posix_spawn_file_actions_addchdir_np(&actions, s->options.out);
    for (int fd = 0; fd < 3 && code == 0; fd++) {
        code = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY,
                                                0);
    }
    if (code == 0) code = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) return code == ENOENT ? TOOL_MISSING : TOOL_BROKEN;
    return wait_for(pid);
}
