/* Private: what the ranks of a group do together. The engine sums with cti_all_sum, or part by part
 * beside other work: begin, local sums on any threads, polls. */
#ifndef COTAN_EXCHANGE_H
#define COTAN_EXCHANGE_H

#include "tensor/group.h"
#include "tensor/ranks/add.h"

/* Of what a hash is made, part by part, so that ranks that differ can say in which one. */
typedef struct {
    const void *of;
    uint64_t (*hash)(const void *of, int64_t n); /* of the first n parts, or of all if fewer */
    void (*say)(const void *of, int64_t part, char *text, size_t size);
} cti_parts;

/* What a rank brings to an exchange: what it computes, which has to be equal on all ranks, what
 * came of it, and how it fared up to here. If that is not CT_OK, the error is on record already,
 * and the rank takes part all the same, so that the others learn of it. */
typedef struct {
    uint64_t hash;
    ct_status status;
    const cti_parts *parts; /* of the hash, until the exchange is done; NULL: not known */
    uint64_t value; /* a hash of numbers that are the same on all ranks if they fared well */
} cti_entry;

/* One array of a sum. The ranges of memory stay until the sum is done. */
typedef struct {
    const void *partials; /* [local grains, n] of ct_group_grains */
    void *sum;            /* [n]; unchanged after an error */
    int64_t n;
} cti_summand;

/* The sums over the grains of all ranks, of arrays that travel as one message. The status is the
 * same on all ranks, but after a loss: then some may have the sums already. Errors are recorded as
 * those of ct_group, which CTI_CALLED replaces by what the user called: CT_ERR_STATE for another
 * hash, type or length, the status of a rank that failed, CT_ERR_IO for one that is lost. */
ct_status cti_all_sum(ct_group *group, cti_entry entry, ct_dtype dtype,
                      const cti_summand summands[], int64_t count);
ct_status cti_agree(ct_group *group, cti_entry entry);
/* The bytes of rank 0 on every rank. */
ct_status cti_spread(ct_group *group, cti_entry entry, void *bytes, size_t n);
/* For an entry: only ranks that are in the same function that the user called, and as deep in it,
 * share the exchange. `what` tells its exchanges from each other. */
uint64_t cti_call_hash(const char *what);
/* CT_OK, or CT_ERR_STATE in a thread whose ct_group_use failed: what it computes alone, and writes
 * into a file of them all, is not what was meant. */
ct_status cti_check_joined(const char *function);
/* What the ranks of the current group come to, of which this one fared so; without a group, that.
 * They have to be in the same function that the user called.
 * A rank that failed where the others go on to their next exchange, whatever it is, calls this once
 * in its place, so that none waits. */
ct_status cti_agreed(ct_status status);
/* And what came of it, an entry's value. */
ct_status cti_agreed_on(ct_status status, uint64_t value);
/* Around user functions: the current group, or NULL, which stays in memory until its release, also
 * where they free it. cti_group_kept looks whether it is the current one still. If they have chosen
 * another or none, it is again, so that this rank can tell the others, and the status is
 * CT_ERR_STATE where it was CT_OK; that alone if they have freed it: the others know. */
ct_group *cti_group_keep(void);
ct_status cti_group_kept(ct_group *group, ct_status status);
void cti_group_release(ct_group *group);
/* Around all that exchanges more than once, as a commit does and what calls user functions, with
 * the same care for the group: a rank that fails elsewhere tells in place of the first exchange
 * that the others come to, and one may evaluate what sums nothing. So after an exchange to which
 * not all ranks came by the same call, further ones fail likewise, and send nothing; who has told
 * may tell again. At its end they meet once more, where all are within the same call, and draw
 * random keys alike. Within another watch it adds nothing. */
typedef struct {
    ct_group *group;
    bool outermost;
} cti_watch;
cti_watch cti_watch_begin(void);
void cti_watch_end(cti_watch watch);

/* The same in parts. One exchange at a time, begun and polled by one thread at a time; one that was
 * begun has to be polled until it is done. */
void cti_sum_begin(ct_group *group, cti_entry entry, ct_dtype dtype, const cti_summand summands[],
                   int64_t count);
/* Adds up this rank's grains for elements from .. to - 1 of the arrays laid end to end: each
 * element once, before the first poll; several threads may do so at once. */
void cti_sum_local(ct_group *group, int64_t from, int64_t to);
/* Carries on what was begun, sleeping at most `seconds`. The status counts when it is done. */
ct_status cti_sum_poll(ct_group *group, double seconds, bool *done);
/* The same again and again: who is idle sleeps the longer the longer nothing comes. */
ct_status cti_sum_carry_on(ct_group *group, bool idle, bool *done);

#endif
