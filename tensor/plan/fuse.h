/* Private to the making of passes: the state that plan_fuse.c decides in and plan_emit.c reads. */
#ifndef COTAN_PLAN_FUSE_H
#define COTAN_PLAN_FUSE_H

#include "tensor/plan/plan.h"

typedef struct {
    int64_t space;
    bool reduces; /* it has a reduction, of this geometry */
    ct_reduction geometry;
    int64_t level, n_members;
    int64_t open;        /* full: no level below has room for this space */
    int64_t first, last; /* members, linked through next_member */
    int64_t next;        /* next group of this level, or -1 */
} cti_group;

/* Large stored values; more than these many are none that anybody wants to read again. */
#define CTI_OPERANDS 3
typedef struct {
    int64_t n, item[CTI_OPERANDS + 1];
} cti_operands;

typedef struct {
    int64_t group, next; /* next: another reader of the same item, or -1 */
} cti_reader;

typedef struct {
    cti_plan *plan;
    int64_t *group_of;      /* item -> group, or -1 */
    int64_t *next_member;   /* item -> next member of its group, or -1 */
    int64_t *operations;    /* item -> cost of recomputing it */
    cti_operands *operands; /* item -> what recomputing it reads */
    int64_t *first_reader;  /* item -> reader from another group, or -1 */
    cti_reader *readers;
    int64_t n_readers;
    cti_group *groups;
    int64_t n_groups;
    int64_t *table; /* open hash of (space, level) -> group, or -1 */
    uint64_t table_mask;
    int64_t *level_head;    /* level -> first group */
    int64_t *level_kernels; /* level -> last kernel, linked through next_member */
    int64_t n_kernels, levels;
    int64_t *scratch; /* a list of items */
    bool *marked;     /* item is in that list */
} cti_fusion;

/* The place in the table of the group of a space and level, or of where it would be. */
int64_t *cti_find_group(cti_fusion *f, int64_t space, int64_t level);
/* Whether there is room for another member, that reduces (or NULL) so. */
bool cti_group_takes(const cti_group *g, const ct_reduction *geometry);
/* Between levels and what is stored: moves reductions to later groups; see plan_delay.c. */
ct_status cti_delay_reductions(cti_fusion *f);
/* The item that edge k of `item` can be streamed from within a pass, or -1. */
int64_t cti_streamed_input(const cti_plan *plan, const cti_item *item, int k);
/* Appends the passes of a level to the plan. */
ct_status cti_emit_level(cti_fusion *f, int64_t level);

#endif
