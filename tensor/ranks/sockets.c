/* The transport over connected stream sockets, one to each other rank.
 * It frames nothing: both sides know how many bytes are next.
 * Invariant: no system call blocks but the one that was given seconds to sleep. */
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/group.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    ct_transport base;
    ct_transfer now; /* what is left of it */
    int sockets[CT_GROUP_MOST];
} transport;

static ct_status start(ct_transport *self, const ct_transfer *transfer) {
    ((transport *)self)->now = *transfer;
    return CT_OK;
}

static ct_status refused(int peer) {
    if (errno == EPIPE || errno == ECONNRESET) {
        return ct_fail(CT_ERR_IO, "ct_group: rank %d closed its connection", peer);
    }
    return ct_fail(CT_ERR_IO, "ct_group: the connection to rank %d fails: %s", peer,
                   strerror(errno));
}

static bool would_wait(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/* What went through, 0 for nothing, -1 for an error. */
static ssize_t send_some(int socket, ct_transfer *t) {
    if (t->n_out == 0) return 0;
    ssize_t n = send(socket, t->out, t->n_out, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return would_wait() ? 0 : -1;
    t->out = (const char *)t->out + n;
    t->n_out -= (size_t)n;
    return n;
}

static ssize_t receive_some(int socket, ct_transfer *t) {
    if (t->n_in == 0) return 0;
    ssize_t n = recv(socket, t->in, t->n_in, MSG_DONTWAIT);
    if (n < 0) return would_wait() ? 0 : -1;
    if (n == 0) {
        errno = EPIPE;
        return -1;
    }
    t->in = (char *)t->in + n;
    t->n_in -= (size_t)n;
    return n;
}

static void sleep_for(int socket, const ct_transfer *t, double seconds) {
    short events = (short)((t->n_out > 0 ? POLLOUT : 0) | (t->n_in > 0 ? POLLIN : 0));
    struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    ppoll(&(struct pollfd){.fd = socket, .events = events}, 1, &time, NULL);
}

static ct_status carry_on(ct_transport *self, double seconds, bool *done) {
    transport *t = (transport *)self;
    ct_transfer *now = &t->now;
    int socket = t->sockets[now->peer];
    for (bool slept = false; now->n_in + now->n_out > 0;) {
        /* Received first: who has sent all and left is no error. */
        ssize_t received = receive_some(socket, now);
        ssize_t sent = received < 0 ? 0 : send_some(socket, now);
        if (received < 0 || sent < 0) return refused(now->peer);
        if (received + sent > 0) continue;
        if (slept || seconds <= 0) break;
        sleep_for(socket, now, seconds);
        slept = true;
    }
    *done = now->n_in + now->n_out == 0;
    return CT_OK;
}

static void leave(ct_transport *self, bool complete) {
    (void)complete;
    const transport *t = (transport *)self;
    for (int q = 0; q < self->size; q++) {
        if (q != self->rank && t->sockets[q] >= 0) close(t->sockets[q]);
    }
    cti_free(self);
}

static const ct_transport_kind kind = {"sockets", start, carry_on, leave};

static ct_status check(int rank, int size, const int sockets[]) {
    if (size < 1 || size > CT_GROUP_MOST || rank < 0 || rank >= size) {
        return ct_fail(CT_ERR_RANGE, "ct_group_sockets: rank %d of %d; a group has 1 to %d ranks",
                       rank, size, CT_GROUP_MOST);
    }
    if (!sockets) return cti_null("ct_group_sockets: 'sockets' is NULL");
    for (int q = 0; q < size; q++) {
        int type = 0;
        socklen_t length = sizeof type;
        if (q == rank) continue;
        if (getsockopt(sockets[q], SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
            type != SOCK_STREAM) {
            return ct_fail(CT_ERR_IO,
                           "ct_group_sockets: descriptor %d, to rank %d, is no stream "
                           "socket",
                           sockets[q], q);
        }
    }
    return CT_OK;
}

ct_group *ct_group_sockets(int rank, int size, const int sockets[]) {
    CTI_CALLED;
    if (check(rank, size, sockets) != CT_OK) return NULL;
    transport *t = cti_alloc(1, sizeof *t);
    if (!t) return NULL;
    t->base = (ct_transport){&kind, rank, size};
    memset(t->sockets, -1, sizeof t->sockets); /* the caller's until there is a group */
    ct_group *group = ct_group_new(&t->base);
    if (!group) return NULL;
    memcpy(t->sockets, sockets, (size_t)size * sizeof *sockets);
    return group;
}
