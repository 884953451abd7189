/* Runs Graphviz: DOT goes into the standard input of the program `dot`, the picture comes out of
 * its standard output.
 * It does not make DOT and knows no graph.
 * Invariant: no shell, and no name on the command line; the picture is complete in memory before
 * a file is touched, so a failure leaves no part of one; where `dot` makes none, the text stays. */
#include "autograd/dot.h"

#include "autograd/draw/dot_label.h"
#include "tensor/base/alloc.h"
#include "tensor/base/text.h"
#include "tensor/io/file.h"
#include "tensor/io/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int cti_dot_patience = 30000;

typedef struct {
    const char *function, *text;
    size_t length; /* of the text */
    size_t sent;
    int fds[3]; /* our ends of its standard streams; -1 when closed */
    pid_t pid;
    int64_t deadline; /* in milliseconds */
    cti_writer picture;
    char said[160]; /* the beginning of what it says on standard error */
    size_t n_said;
    char reason[256]; /* why there is no picture; empty when an error is on record */
    const char *hint; /* what to do about it, or "" */
} run;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The error itself is recorded when it is known where the text is. */
static ct_status no_picture(run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static ct_status no_picture(run *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->reason, sizeof r->reason, format, arguments);
    va_end(arguments);
    return CT_ERR_IO;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* --- Starting ----------------------------------------------------------------------------- */

/* A descriptor above the standard three, in case the process runs without some of those. */
static ct_status lift(run *r, int *fd) {
    if (*fd > 2) return CT_OK;
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (lifted < 0) return no_picture(r, "dot: %s", cti_system_error(errno));
    close(*fd);
    *fd = lifted;
    return CT_OK;
}

/* Socket pairs rather than pipes: sending to a `dot` that has ended must not raise SIGPIPE. */
static ct_status connect_streams(run *r, int theirs[3]) {
    for (int i = 0; i < 3; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
            return no_picture(r, "dot: %s", cti_system_error(errno));
        }
        r->fds[i] = pair[0];
        theirs[i] = pair[1];
        if (lift(r, &theirs[i]) != CT_OK || lift(r, &r->fds[i]) != CT_OK) return CT_ERR_IO;
        if (fcntl(r->fds[i], F_SETFL, O_NONBLOCK) != 0) {
            return no_picture(r, "dot: %s", cti_system_error(errno));
        }
    }
    return CT_OK;
}

/* 0 or an errno value. */
static int spawn(run *r, const char *format, const int theirs[3]) {
    char option[8];
    snprintf(option, sizeof option, "-T%s", format);
    char *const arguments[] = {(char[]){"dot"}, option, NULL};
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    for (int i = 0; i < 3 && code == 0; i++) {
        code = posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
    }
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 34)
    if (code == 0) code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
#endif
    if (code == 0) code = posix_spawnp(&r->pid, "dot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* --- Talking ------------------------------------------------------------------------------ */

static void send_text(run *r) {
    ssize_t sent = send(r->fds[0], r->text + r->sent, r->length - r->sent, MSG_NOSIGNAL);
    if (sent > 0) r->sent += (size_t)sent;
    bool wait = sent < 0 && (errno == EAGAIN || errno == EINTR);
    if ((sent < 0 && !wait) || r->sent == r->length) close_fd(&r->fds[0]);
}

static ct_status receive(run *r, int stream) {
    char bytes[16384];
    ssize_t got = read(r->fds[stream], bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return CT_OK;
    if (got <= 0) {
        close_fd(&r->fds[stream]);
        return CT_OK;
    }
    if (stream == 1) {
        cti_write_bytes(&r->picture, bytes, (size_t)got);
        return r->picture.status;
    }
    size_t room = sizeof r->said - 1 - r->n_said, taken = (size_t)got < room ? (size_t)got : room;
    memcpy(r->said + r->n_said, bytes, taken);
    r->n_said += taken;
    return CT_OK;
}

static ct_status too_slow(run *r) {
    return no_picture(r, "dot took more than %g s and was stopped", cti_dot_patience / 1e3);
}

/* Until it has closed both of its outputs. */
static ct_status talk(run *r) {
    ct_status status = CT_OK;
    while (status == CT_OK && (r->fds[1] >= 0 || r->fds[2] >= 0)) {
        int64_t left = r->deadline - now();
        if (left <= 0) return too_slow(r);
        struct pollfd polled[] = {{.fd = r->fds[0], .events = POLLOUT},
                                  {.fd = r->fds[1], .events = POLLIN},
                                  {.fd = r->fds[2], .events = POLLIN}};
        int ready = poll(polled, 3, (int)left);
        if (ready < 0 && errno != EINTR) {
            return no_picture(r, "dot: %s", cti_system_error(errno));
        }
        if (ready <= 0) continue;
        if (polled[0].revents) send_text(r);
        for (int i = 1; i < 3 && status == CT_OK; i++) {
            if (polled[i].revents) status = receive(r, i);
        }
    }
    return status;
}

/* --- Ending ------------------------------------------------------------------------------- */

/* Its first line, without anything that a terminal could obey. */
static const char *first_line(run *r) {
    r->said[r->n_said] = '\0';
    r->said[strcspn(r->said, "\n")] = '\0';
    for (char *c = r->said; *c; c++) {
        if (*c < ' ' || *c == 0x7f) *c = '?';
    }
    return r->said;
}

static ct_status not_started(run *r, int code) {
    if (code != ENOENT) return no_picture(r, "dot: %s", cti_system_error(code));
    r->hint = " (install graphviz)";
    return no_picture(r, "'dot' not found in PATH");
}

/* Waits for the process, which has closed its outputs, and judges how it ended. */
static ct_status judge(run *r) {
    int how;
    pid_t ended;
    while ((ended = waitpid(r->pid, &how, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
        if (now() >= r->deadline) return too_slow(r);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    r->pid = 0;
    if (ended < 0) return no_picture(r, "dot: %s", cti_system_error(errno));
    if (WIFSIGNALED(how)) return no_picture(r, "dot was ended by signal %d", WTERMSIG(how));
    /* POSIX: so ends a process that could not be made to run the program. */
    if (WEXITSTATUS(how) == 127) return not_started(r, ENOENT);
    if (WEXITSTATUS(how) != 0 || r->picture.used == 0) {
        return no_picture(r, "dot failed with exit status %d: %s", WEXITSTATUS(how), first_line(r));
    }
    return CT_OK;
}

static void stop(run *r) {
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    for (int i = 0; i < 3; i++) close_fd(&r->fds[i]);
}

/* The picture of `text` in r->picture, which the caller frees. */
static ct_status make_picture(run *r, const char *format) {
    int theirs[3] = {-1, -1, -1};
    for (int i = 0; i < 3; i++) r->fds[i] = -1;
    r->deadline = now() + cti_dot_patience;
    r->hint = "";
    ct_status status = connect_streams(r, theirs);
    int code = status == CT_OK ? spawn(r, format, theirs) : 0;
    for (int i = 0; i < 3; i++) close_fd(&theirs[i]);
    if (code != 0) {
        r->pid = 0;
        status = not_started(r, code);
    }
    if (status == CT_OK) status = talk(r);
    if (status == CT_OK) status = judge(r);
    stop(r);
    return status;
}

/* --- Files -------------------------------------------------------------------------------- */

static const char *const formats[] = {"svg", "png", "pdf", "dot"};
enum { PICTURES = 3, FORMATS = 4 };

/* By the ending of a path: one of the first n formats, or NULL with the error recorded. */
static const char *format_of(const char *function, const char *path, int n) {
    const char *point = strrchr(path, '.');
    for (int i = 0; i < n && point; i++) {
        if (strcasecmp(point + 1, formats[i]) == 0) return formats[i];
    }
    return ct_fail_null(CT_ERR_RANGE, "%s: '%s' must end in %s.svg, .png or .pdf", function,
                        cti_show_path(path).text, n == FORMATS ? ".dot, " : "");
}

static ct_status fail_with_text(const run *r, const char *where, const char *dot_path) {
    return ct_fail(CT_ERR_IO, "%s: %s; %s %s%s", r->function, r->reason, where,
                   cti_show_path(dot_path).text, r->hint);
}

/* The text beside the picture that could not be made: graph.svg -> graph.dot. */
static ct_status write_beside(const run *r, const char *path) {
    char *beside = cti_strdup(path);
    if (!beside) return CT_ERR_MEMORY;
    memcpy(strrchr(beside, '.') + 1, "dot", 3);
    ct_status status = cti_file_write(r->function, beside, &(cti_chunk){r->text, r->length}, 1);
    if (status == CT_OK) status = fail_with_text(r, "wrote", beside);
    cti_free(beside);
    return status;
}

static ct_status write_picture(const run *r, const char *path) {
    return cti_file_write(r->function, path, &(cti_chunk){r->picture.text, r->picture.used}, 1);
}

ct_status cti_dot_save_text(const char *function, const char *path, const char *text,
                            size_t length) {
    if (!path) return ct_fail(CT_ERR_NULL, "%s: 'path' is NULL", function);
    const char *format = format_of(function, path, FORMATS);
    if (!format) return CT_ERR_RANGE;
    if (strcmp(format, "dot") == 0) {
        return cti_file_write(function, path, &(cti_chunk){text, length}, 1);
    }
    run r = {.function = function, .text = text, .length = length};
    ct_status status = make_picture(&r, format);
    if (status == CT_OK) status = write_picture(&r, path);
    else if (*r.reason) status = write_beside(&r, path);
    cti_free(r.picture.text);
    return status;
}

ct_status ct_dot_render(const char *dot_path, const char *picture_path) {
    static const char function[] = "ct_dot_render";
    if (!dot_path || !picture_path) {
        return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function,
                       dot_path ? "picture_path" : "dot_path");
    }
    const char *format = format_of(function, picture_path, PICTURES);
    if (!format) return CT_ERR_RANGE;
    uint8_t *text;
    run r = {.function = function};
    ct_status status = cti_file_read(function, dot_path, &text, &r.length);
    if (status != CT_OK) return status;
    r.text = (const char *)text;
    status = make_picture(&r, format);
    if (status == CT_OK) status = write_picture(&r, picture_path);
    else if (*r.reason) status = fail_with_text(&r, "the text is in", dot_path);
    cti_free(r.picture.text);
    cti_free(text);
    return status;
}
