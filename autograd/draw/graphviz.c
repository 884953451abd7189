/* Runs Graphviz: DOT goes into the standard input of the program `dot`, the picture comes out of
 * its standard output.
 * It does not make DOT, knows no graph and opens no file.
 * Invariant: no shell, and no name on the command line; whatever happens, no process and no
 * descriptor is left. */
#include "autograd/draw/graphviz.h"

#include "tensor/base/process.h"
#include "tensor/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int cti_dot_patience = 30000;

typedef struct {
    const char *text;
    size_t length, sent; /* of the text */
    int fds[3];          /* our ends of its standard streams; -1 when closed */
    pid_t pid;
    double seconds;  /* that it may take */
    double deadline; /* of cti_now */
    cti_writer *picture;
    cti_no_picture *why;
    char said[160]; /* the beginning of what it says on standard error */
    size_t n_said;
} run;

/* The error itself is recorded when it is known where the text is. */
static ct_status no_picture(run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static ct_status no_picture(run *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->why->reason, sizeof r->why->reason, format, arguments);
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
static int spawn(run *r, const char *format, const char *limit, const int theirs[3]) {
    char option[8], more[16];
    snprintf(option, sizeof option, "-T%s", format);
    snprintf(more, sizeof more, "%s", limit ? limit : "");
    char *const arguments[] = {(char[]){"dot"}, option, limit ? more : NULL, NULL};
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
        cti_write_bytes(r->picture, bytes, (size_t)got);
        return r->picture->status;
    }
    size_t room = sizeof r->said - 1 - r->n_said, taken = (size_t)got < room ? (size_t)got : room;
    memcpy(r->said + r->n_said, bytes, taken);
    r->n_said += taken;
    return CT_OK;
}

static ct_status too_slow(run *r) {
    r->why->slow = true;
    return no_picture(r, "dot took more than %g s and was stopped", r->seconds);
}

/* Until it has closed both of its outputs. */
static ct_status talk(run *r) {
    ct_status status = CT_OK;
    while (status == CT_OK && (r->fds[1] >= 0 || r->fds[2] >= 0)) {
        double left = r->deadline - cti_now();
        if (left <= 0) return too_slow(r);
        struct pollfd polled[] = {{.fd = r->fds[0], .events = POLLOUT},
                                  {.fd = r->fds[1], .events = POLLIN},
                                  {.fd = r->fds[2], .events = POLLIN}};
        int ready = poll(polled, 3, 1 + (int)(left * 1e3));
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
    r->why->hint = " (install graphviz)";
    return no_picture(r, "'dot' not found in PATH");
}

/* Waits for the process, which has closed its outputs, and judges how it ended. */
static ct_status judge(run *r) {
    int how;
    pid_t ended;
    while ((ended = waitpid(r->pid, &how, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
        if (cti_now() >= r->deadline) return too_slow(r);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    r->pid = 0;
    if (ended < 0) return no_picture(r, "dot: %s", cti_system_error(errno));
    if (WIFSIGNALED(how)) return no_picture(r, "dot was ended by signal %d", WTERMSIG(how));
    /* POSIX: so ends a process that could not be made to run the program. */
    if (WEXITSTATUS(how) == 127) return not_started(r, ENOENT);
    const char *said = first_line(r);
    const char *before = *said ? ": " : ", and said nothing";
    if (WEXITSTATUS(how) != 0) {
        return no_picture(r, "dot failed with exit status %d%s%s", WEXITSTATUS(how), before, said);
    }
    if (r->picture->used == 0) return no_picture(r, "dot made no picture%s%s", before, said);
    return CT_OK;
}

static void stop(run *r) {
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    for (int i = 0; i < 3; i++) close_fd(&r->fds[i]);
}

ct_status cti_graphviz(const char *format, const char *limit, const char *text, size_t length,
                       double seconds, cti_writer *picture, cti_no_picture *why) {
    int theirs[3] = {-1, -1, -1};
    *why = (cti_no_picture){.hint = ""};
    run r = {.text = text,
             .length = length,
             .fds = {-1, -1, -1},
             .seconds = seconds,
             .deadline = cti_now() + seconds,
             .picture = picture,
             .why = why};
    ct_status status = connect_streams(&r, theirs);
    int code = status == CT_OK ? spawn(&r, format, limit, theirs) : 0;
    for (int i = 0; i < 3; i++) close_fd(&theirs[i]);
    if (code != 0) {
        r.pid = 0;
        status = not_started(&r, code);
    }
    if (status == CT_OK) status = talk(&r);
    if (status == CT_OK) status = judge(&r);
    stop(&r);
    return status;
}
