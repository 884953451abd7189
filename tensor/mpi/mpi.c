/* The transport over MPI, and the only file that knows of it.
 * A call of MPI that blocks spins, and where there are more ranks than processors it keeps the rank
 * that it waits for from running; so every message is started and then tested for.
 * Invariant: an error of MPI is returned, and never ends the process, as its default would. */
#include "tensor/mpi/mpi.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A count is an int. */
#define PIECE ((size_t)1 << 30)

typedef struct {
    ct_transport base;
    MPI_Comm ranks;   /* MPI_COMM_NULL until all ranks have a group */
    bool initialized; /* here, and so finalized here */
    ct_transfer now;  /* what was not yet started of it */
    MPI_Request out, in;
} transport;

static ct_status failed(const char *what, int code) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    MPI_Error_string(code, text, &length);
    return ct_fail(CT_ERR_IO, "%s: MPI: %s", what, text);
}

static ct_status failed_with(const transport *t, int code) {
    char peer[64];
    snprintf(peer, sizeof peer, "ct_group: rank %d", t->now.peer);
    return failed(peer, code);
}

/* --- Transfers -------------------------------------------------------------------------------- */

static int start_pieces(transport *t) {
    ct_transfer *now = &t->now;
    size_t in = now->n_in < PIECE ? now->n_in : PIECE,
           out = now->n_out < PIECE ? now->n_out : PIECE;
    int code = MPI_SUCCESS;
    if (in > 0) code = MPI_Irecv(now->in, (int)in, MPI_BYTE, now->peer, 0, t->ranks, &t->in);
    if (code == MPI_SUCCESS && out > 0) {
        code = MPI_Isend(now->out, (int)out, MPI_BYTE, now->peer, 0, t->ranks, &t->out);
    }
    now->in = (char *)now->in + in;
    now->n_in -= in;
    now->out = (const char *)now->out + out;
    now->n_out -= out;
    return code;
}

/* What a lost rank left behind. */
static void give_up(transport *t) {
    if (t->in != MPI_REQUEST_NULL) {
        MPI_Cancel(&t->in);
        MPI_Request_free(&t->in);
    }
    if (t->out != MPI_REQUEST_NULL) MPI_Request_free(&t->out);
}

static ct_status start(ct_transport *self, const ct_transfer *transfer) {
    transport *t = (transport *)self;
    give_up(t);
    t->now = *transfer;
    int code = start_pieces(t);
    return code == MPI_SUCCESS ? CT_OK : failed_with(t, code);
}

static ct_status carry_on(ct_transport *self, double seconds, bool *done) {
    transport *t = (transport *)self;
    int in = 0, out = 0;
    int code = MPI_Test(&t->in, &in, MPI_STATUS_IGNORE);
    if (code == MPI_SUCCESS) code = MPI_Test(&t->out, &out, MPI_STATUS_IGNORE);
    if (code == MPI_SUCCESS && in && out) {
        *done = t->now.n_in + t->now.n_out == 0;
        if (!*done) code = start_pieces(t);
    } else if (code == MPI_SUCCESS && seconds > 0) {
        double whole = (double)(time_t)seconds;
        nanosleep(&(struct timespec){(time_t)seconds, (long)(1e9 * (seconds - whole))}, NULL);
    }
    return code == MPI_SUCCESS ? CT_OK : failed_with(t, code);
}

static void leave(ct_transport *self, bool complete) {
    transport *t = (transport *)self;
    give_up(t);
    if (complete && t->ranks != MPI_COMM_NULL) {
        MPI_Comm_free(&t->ranks);
        if (t->initialized) MPI_Finalize();
    }
    free(t);
}

static const ct_transport_kind kind = {"MPI", start, carry_on, leave};

/* --- Groups ----------------------------------------------------------------------------------- */

static ct_status initialize(int *argc, char ***argv, bool *here) {
    int initialized, finalized, level, code = MPI_SUCCESS;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (finalized) return ct_fail(CT_ERR_STATE, "ct_group_mpi: MPI was finalized before");
    *here = !initialized;
    if (*here) code = MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &level);
    return code == MPI_SUCCESS ? CT_OK : failed("ct_group_mpi", code);
}

/* What starts programs says how many it started. */
static ct_status check_size(int size) {
    static const char *const promises[] = {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"};
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        const char *text = getenv(promises[i]);
        if (!text || atoi(text) <= size) continue;
        return ct_fail(CT_ERR_STATE,
                       "ct_group_mpi: %s is %s, and MPI sees %d: is mpirun that of the MPI which "
                       "the program was linked with?",
                       promises[i], text, size);
    }
    if (size <= CT_GROUP_MOST) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "ct_group_mpi: %d ranks; a group has 1 to %d", size,
                   CT_GROUP_MOST);
}

static ct_status connect_ranks(MPI_Comm *ranks) {
    int code = MPI_Comm_dup(MPI_COMM_WORLD, ranks);
    if (code != MPI_SUCCESS) return failed("ct_group_mpi", code);
    MPI_Comm_set_errhandler(*ranks, MPI_ERRORS_RETURN);
    return CT_OK;
}

static transport *transport_of(MPI_Comm ranks) {
    transport *t = calloc(1, sizeof *t);
    if (!t) {
        return ct_fail_null(CT_ERR_MEMORY, "ct_group_mpi: out of memory (%zu bytes)", sizeof *t);
    }
    t->base.kind = &kind;
    t->ranks = MPI_COMM_NULL;
    t->in = t->out = MPI_REQUEST_NULL;
    MPI_Comm_rank(ranks, &t->base.rank);
    MPI_Comm_size(ranks, &t->base.size);
    return t;
}

/* Frees it where a rank has none. This blocks, as MPI_Init does. */
static bool all_have(ct_group *group, MPI_Comm ranks) {
    int have = group != NULL;
    int code = MPI_Allreduce(MPI_IN_PLACE, &have, 1, MPI_INT, MPI_MIN, ranks);
    if (code == MPI_SUCCESS && have) return true;
    if (group && code != MPI_SUCCESS) failed("ct_group_mpi", code);
    else if (group) ct_fail(CT_ERR_MEMORY, "ct_group_mpi: another rank is out of memory");
    ct_group_free(group);
    return false;
}

/* From here on a rank that leaves tells the others, as ct_group_free does once ranks have met. */
static ct_group *meet(ct_group *group) {
    if (ct_group_agree(group, CT_OK) == CT_OK) return group;
    ct_group_free(group);
    return NULL;
}

ct_group *ct_group_mpi(int *argc, char ***argv) {
    int size = 1;
    bool here = false;
    MPI_Comm ranks;
    if (initialize(argc, argv, &here) != CT_OK) return NULL;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (check_size(size) == CT_OK && connect_ranks(&ranks) == CT_OK) {
        transport *t = transport_of(ranks);
        ct_group *group = t ? ct_group_new(&t->base) : NULL;
        if (all_have(group, ranks)) {
            t->ranks = ranks;
            t->initialized = here;
            return meet(group);
        }
        MPI_Comm_free(&ranks);
    }
    if (here) MPI_Finalize();
    return NULL;
}
