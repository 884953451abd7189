/* Private: the making of a plan. Each stage owns one structure, and is the only one to write it.
 *
 *   sign      walk          -> plan->graph: structure without values, and its hash
 *   lower     graph         -> items: views folded into layouts, copies made explicit
 *   order     items         -> order: rounds between which ranks exchange sums
 *   group     items         -> groups: which MAP and REDUCE items may share a pass; levels
 *   store     groups        -> item.stored: what has memory, and what is recomputed instead
 *   emit      groups        -> passes, in order, each with its members
 *   program   a tile pass   -> loads, instructions, reductions, registers
 *   cut       a tile pass   -> tiles and parts
 *   schedule  parts         -> tasks and phases: dependencies between parts
 *   place     everything    -> byte offsets, in the arena and in the scratch of a thread */
#ifndef COTAN_PLANNING_H
#define COTAN_PLANNING_H

#include "tensor/plan/plan.h"

/* Items of one space and one level. The space is the number of elements that a pass streams over:
 * whole row-major operands are the same stream whatever their shapes are. */
typedef struct {
    int64_t space, level;
    bool reduces; /* it has a reduction, of this geometry */
    ct_reduction geometry;
    int64_t n_members, first, last; /* members, linked through next_member */
    int64_t open; /* if full: the lowest level that may have room for this space */
    int64_t next; /* next group of this level, or -1 */
} cti_group;

typedef struct {
    int64_t *group_of;    /* item -> group, or -1 */
    int64_t *next_member; /* item -> next member of its group, or next kernel of its level; or -1 */
    cti_group *groups;
    int64_t n_groups, n_kernels, levels;
    int64_t *level_groups;  /* level -> its last group, linked through `next` */
    int64_t *level_kernels; /* level -> its last kernel */
    int64_t *table;         /* hash table, open addressing: (space, level) -> group, or -1 */
    uint64_t table_mask;
} cti_groups;

typedef struct {
    cti_plan *plan;
    cti_zone work;  /* memory of planning alone */
    int64_t *round; /* item -> sums over other ranks on the longest path to it and with it */
    int64_t *order; /* the items by round; of one round its sums first */
    cti_groups groups;
} cti_planning;

ct_status cti_plan_lower(cti_planning *p);
ct_status cti_plan_order(cti_planning *p);
ct_status cti_plan_group(cti_planning *p);
ct_status cti_plan_store(cti_planning *p);
ct_status cti_plan_emit(cti_planning *p);
ct_status cti_plan_program(cti_planning *p);
ct_status cti_plan_cut(cti_planning *p);
ct_status cti_plan_schedule(cti_planning *p);
ct_status cti_plan_place(cti_planning *p);

static inline const cti_item *cti_input_of(const cti_plan *plan, const cti_item *item, int k) {
    return &plan->items[plan->edges[item->edges + k]];
}
/* The item whose memory input k of an item lies in. */
static inline int64_t cti_base_of(const cti_plan *plan, const cti_item *item, int k) {
    return cti_input_of(plan, item, k)->base;
}
/* The MAP item that input k can be streamed from within a pass, or -1. */
int64_t cti_streamed_input(const cti_plan *plan, const cti_item *item, int k);

#endif
