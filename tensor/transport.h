/* A transport: how bytes travel between the ranks of a group. A group of your own is made from a
 * struct that begins with ct_transport and a kind of three functions (ct_group_new). Nothing here
 * waits for a peer: a transfer is started and then looked at until it is done, so that the group
 * can give up. cotan has socket pairs (ct_group_sockets) and, in a library of its own, MPI. */
#ifndef COTAN_TRANSPORT_H
#define COTAN_TRANSPORT_H

#include <cotan/tensor/error.h>

#include <stdbool.h>
#include <stddef.h>

CT_C_BEGIN

typedef struct ct_transport ct_transport;

/* Bytes to and from one peer at the same time. Both sides know how many: what one sends is what the
 * other takes. Bytes of one rank arrive in the order in which they were sent. */
typedef struct {
    int peer; /* another rank */
    const void *out;
    size_t n_out; /* may be 0 */
    void *in;
    size_t n_in; /* may be 0 */
} ct_transfer;

/* An error is CT_ERR_IO and names the peer: "ct_group: rank 2 closed its connection". */
typedef struct {
    const char *name;
    /* Starts a transfer, the only one at a time; one that was not done is given up, and its peer is
     * never asked again. The memory stays until the transfer is done. */
    ct_status (*start)(ct_transport *self, const ct_transfer *transfer);
    /* Carries it on; *done when all has been handed over and received. Where nothing can be done it
     * may sleep, `seconds` at most. */
    ct_status (*poll)(ct_transport *self, double seconds, bool *done);
    /* Frees the transport. `complete`: all ranks are there, so it may wait for them to leave. */
    void (*close)(ct_transport *self, bool complete);
} ct_transport_kind;

struct ct_transport {
    const ct_transport_kind *kind;
    int rank, size; /* 0 <= rank < size */
};

CT_C_END

#endif
