/* A group of ranks: processes that train one model together, each on its rows of a global batch.
 *
 * The global batch is cut into G grains, and rank r of P holds those in ceil(G r / P) ..
 * ceil(G (r + 1) / P) - 1. Sums over the batch follow one binary tree over the grains, whose lower
 * levels lie inside a rank and whose upper ones between ranks. So a sum has the same bits on every
 * rank, and the same for every P.
 *
 * No call hangs. All ranks of a group make the same calls in the same order; a rank that failed in
 * between, built another graph or was lost gives an error on every rank. After a loss (CT_ERR_IO),
 * or when a rank has left, the group is of no more use; after any other error it is as before, but
 * where a rank took no part in what the others evaluate (ct_item of NULL, or of what it made of
 * rows that do not vary): its next call meets theirs then, and so on, an error each. ct_group_agree
 * in its place tells them; ct_fit, ct_evaluate, ct_commit and steps of optimizers do by themselves.
 *
 *     ct_group *ranks = ct_group_alone();
 *     ct_group_use(ranks, (ct_group_options){0});
 *
 * Where mpirun starts the program, the first line is ct_group_mpi(&argc, &argv) of
 * cotan/tensor/mpi/mpi.h. A group belongs to one thread. */
#ifndef COTAN_GROUP_H
#define COTAN_GROUP_H

#include <cotan/tensor/transport.h>

#include <stdint.h>

CT_C_BEGIN

#define CT_GROUP_MOST 64 /* grains of a batch, and so ranks of a group */

typedef struct ct_group ct_group;

/* --- Making one ------------------------------------------------------------------------------- */

/* A group of one rank. Its sums follow the tree too, so they are those of any number of ranks. */
ct_group *ct_group_alone(void);
/* Processes joined by connected stream sockets: sockets[q] leads to rank q, sockets[rank] is not
 * looked at. The group owns the sockets; when this fails, the caller does. */
ct_group *ct_group_sockets(int rank, int size, const int sockets[]);
/* Over any transport, which the group owns, also when this fails. */
ct_group *ct_group_new(ct_transport *transport);
/* Leaves the group, which is nobody's current one then, once all ranks do or the timeout has
 * passed. A rank that is in another call, or comes to one, gets CT_ERR_STATE, also of the calls
 * after that; CT_ERR_IO where this one leaves before its first call. Takes NULL. */
void ct_group_free(ct_group *group);

/* --- Using it --------------------------------------------------------------------------------- */

typedef struct {
    int grains;     /* 0: 8; from the number of ranks to CT_GROUP_MOST; the same on all ranks */
    double timeout; /* seconds after which a rank that does not answer is lost, or from 3/4 of
                     * them where others have to be told; 0: 300 */
} ct_group_options;

/* Makes it the calling thread's current group, once all ranks have called this. Errors:
 * CT_ERR_NULL, CT_ERR_RANGE, CT_ERR_STATE when options differ between ranks, CT_ERR_IO for a lost
 * rank; the current group stays then. If there is none, the thread evaluates nothing (CT_ERR_STATE)
 * until it has one or wants none: each process would train for itself, and write into the others'
 * files. */
ct_status ct_group_use(ct_group *group, ct_group_options options);
void ct_group_use_none(void);     /* the calling thread has no current group then */
ct_group *ct_group_current(void); /* the calling thread's, or NULL */

int ct_group_rank(const ct_group *group); /* from 0; 0 for NULL */
int ct_group_size(const ct_group *group); /* the number of ranks; 1 for NULL */
/* Which grains are this rank's: from *first to *last - 1 of *total. For NULL there is one. */
void ct_group_grains(const ct_group *group, int *first, int *last, int *total);

/* Waits for all ranks and tells whether all are well: each says how it fared, and every one gets
 * CT_OK if all said so, else the status of a rank that did not. The error is recorded where it is
 * news. With CT_OK it is a barrier. For NULL there is nobody else, and it is `status`. */
ct_status ct_group_agree(ct_group *group, ct_status status);
/* The bytes of rank 0 on every rank; n is the same on all of them, or CT_ERR_STATE. */
ct_status ct_group_broadcast(ct_group *group, void *bytes, size_t n);

/* What this rank has sent so far. A sum of n bytes is a payload of 2 (P - 1) / P n on every rank,
 * where P is a power of two that divides G. Otherwise each rank sends the sums of all of its nodes
 * of the tree but those that it adds up itself, and the result comes back: of 8 grains that is on
 * average 5/3 n for P = 3 and 6, 9/5 n for 5, 12/7 n for 7; of more grains more. */
typedef struct {
    int64_t exchanges; /* sums, agreements, broadcasts */
    int64_t messages;  /* heads and payloads */
    int64_t bytes;     /* of both */
    int64_t payload;   /* without heads */
} ct_group_stats;
ct_group_stats ct_group_stats_read(const ct_group *group); /* zeros for NULL */

CT_C_END

#endif
