/* Private: the inside of a group, for the files of this folder alone. */
#ifndef COTAN_GROUP_PRIVATE_H
#define COTAN_GROUP_PRIVATE_H

#include "tensor/ranks/exchange.h"

typedef enum {
    CTI_SOUND,
    CTI_UNLIKE,
    CTI_DIFFERENT,
    CTI_FAILED,
    CTI_LEFT,
    CTI_LOST
} cti_fault_kind;

/* What went wrong on some rank, or that it left. Of two faults the larger kind counts, then the
 * smaller rank, so that all ranks come to the same. */
typedef struct {
    cti_fault_kind kind;
    ct_status status;
    int16_t rank, other; /* whose it is; the rank that it differs from */
} cti_fault;

/* What two ranks find, and pass on to all. */
enum {
    CTI_APART = 1,     /* not all have made the same call, */
    CTI_ELSEWHERE = 2, /* nor within the same watched one, */
    CTI_UNEVEN = 4,    /* nor the same draws, */
    CTI_UNSURE = 8     /* and some rank wants that to be made good */
};

/* The first thing that two ranks tell each other in a step. Payload follows if both are sound. */
typedef struct {
    uint64_t hash;   /* of what the rank computes, and of how much it sends */
    uint64_t value;  /* of an entry */
    int64_t seed[2]; /* of the thread; of ranks of one seed, how far the first has come */
    int64_t next;    /* of layers, likewise */
    cti_fault fault;
    uint32_t draws; /* of layers, on this rank, as a hash */
    uint32_t watch; /* the call that it is watched in */
    uint32_t found;
} cti_head;

typedef struct {
    const cti_steps *steps;
    int at; /* the step that it is in */
    enum { CTI_TURN, CTI_HEADS, CTI_PAYLOAD } stage;
    double began;  /* the step, or the last look at it after other work */
    bool was_busy; /* has had other work since the last look */
    double waits_since;
    double patience; /* seconds that the next poll may sleep */
    const cti_parts *parts;
    cti_head mine, theirs;
    cti_fault fault;
    bool on_record;      /* the fault's error */
    uint32_t found;      /* as in heads; known on all ranks, as the fault is */
    int64_t drawn, next; /* seed[1] and next of heads, as far as it is known */
    bool over;           /* the fault is an earlier exchange's, and nothing is sent */
    uint64_t unasked;    /* ranks that are lost, as bits */
    /* The payload: n elements of each own node. */
    char *nodes;
    char *received; /* room for n elements that are to be added */
    int64_t n;
    ct_dtype dtype;
    size_t size; /* of an element */
    const cti_summand *summands;
    int64_t count;
} cti_exchange;

struct ct_group {
    ct_transport *transport; /* NULL when a rank was lost, or of ct_group_alone */
    int rank, size, gone;    /* a rank that was lost or has left, or -1 */
    ct_group_options options;
    ct_group_stats stats;
    cti_schedule schedule;
    cti_exchange exchange;
    int keepers;    /* see cti_group_keep: how deep a call is in others */
    bool left;      /* ct_group_free was called */
    bool comparing; /* within cti_difference_find */
    bool watched;   /* see cti_watch_begin: */
    uint32_t watch; /* within which call, and from so many exchanges on */
    int64_t watched_from;
    char *room; /* for the payload of sums */
    size_t capacity;
};

/* Takes part in the next exchange of the others, as one who has left; without it, who goes on would
 * wait for him as long as for a lost rank. Records no error. */
void cti_leave(ct_group *group);
/* An exchange after which node 0 of some ranks is node k of others, as the steps say. */
ct_status cti_exchange_bytes(ct_group *group, cti_entry entry, const cti_steps *steps, void *nodes,
                             size_t n);

/* Where two ranks differ. */
enum { CTI_DIFFERENCE_TEXT = 128 };
typedef struct {
    cti_fault fault;
    char text[2][CTI_DIFFERENCE_TEXT]; /* fault.rank's, fault.other's; or "" */
} cti_difference;
/* After an exchange that all ranks found to be CTI_DIFFERENT, called by all: the first part in
 * which any two differ. The exchange is as it was. */
cti_difference cti_difference_find(ct_group *group);

#endif
