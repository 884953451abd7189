/* Private: the plan, which says how a graph is computed and holds no value of it. planning.h says
 * how it is made; afterwards it is constant. */
#ifndef COTAN_PLAN_H
#define COTAN_PLAN_H

#include "tensor/base/zone.h"
#include "tensor/graph/signature.h"

#include <stdio.h>

/* Elements of a tile: a dozen tiles of f32 fit into an L1 cache of 32 KiB. Tiles of twice the size
 * are slower because they do not fit, tiles of half the size because calls begin to cost. */
#define CTI_TILE 512
#define CTI_LINE 64 /* bytes of a cache line */

/* --- Items: what lowering makes of the graph ------------------------------------------------ */

typedef enum { CTI_NOWHERE, CTI_LEAF, CTI_ARENA, CTI_ROOT } cti_place;

typedef struct {
    int64_t node;    /* of the graph, or -1: a copy */
    const ct_op *op; /* NULL: a leaf or a view */
    const void *attr;
    ct_dtype dtype;
    ct_shape shape;
    int64_t numel;
    int n_inputs;
    int64_t edges;    /* into plan->edges: item numbers */
    int64_t base;     /* the item whose memory this is; itself unless a view */
    ct_layout layout; /* where its elements lie in the base */
    bool whole;       /* row-major over all elements of the base */
    int64_t level;    /* 0 for leaves; higher than the level of whatever must be complete before */
    bool stored;      /* has memory; otherwise lives in tiles only */
    bool elsewhere;   /* a sum of which other ranks have terms */
    cti_place place;
    int64_t where;      /* leaf: graph node; arena: byte offset; root: root number */
    int64_t last_phase; /* its last reader runs in it */
} cti_item;

/* --- Passes --------------------------------------------------------------------------------- */

typedef enum {
    CTI_LINEAR,   /* the tile's elements are contiguous: read in place */
    CTI_PERIODIC, /* the same tile every time (scalars, per-channel values): expanded once */
    CTI_GATHERED, /* anything else: made contiguous by a copy for each tile */
} cti_load_kind;

typedef struct {
    int64_t item; /* whose memory */
    cti_load_kind kind;
    int64_t offset; /* in elements */
    size_t size;    /* bytes per element */
    int64_t period; /* PERIODIC: elements until it repeats */
    int rank;       /* after contiguous dimensions were merged */
    int64_t dims[CT_MAX_RANK], strides[CT_MAX_RANK];
} cti_load;

typedef struct {
    int64_t item;                /* what it computes */
    int64_t before[CT_OP_JOINT]; /* items that its joint loop computes first, or -1 */
    ct_tile_fn *tile;
    const void *attr;
    int n_inputs;
    int64_t inputs; /* into pass->inputs: operands */
    int64_t out;    /* operand */
} cti_instruction;

/* A operand is an operand of a tile: a load, a register, or a stored output. */
typedef struct {
    int64_t item; /* stored output: whose memory; -1 for a register */
    int64_t load; /* index of the load, or -1 */
    int64_t reg;  /* index of the register, or -1 */
    size_t size;  /* bytes per element */
} cti_operand;

/* Where an operand's tile begins: a byte offset from an item's memory or from the scratch. */
typedef struct {
    int64_t item; /* -1: the scratch */
    int64_t offset;
    size_t size; /* bytes that it advances by for each element; 0: the same for all tiles */
} cti_pointer;

typedef struct {
    int64_t item;                /* what it computes */
    int64_t before[CT_OP_JOINT]; /* items that its joint loop computes first, or -1 */
    ct_reduce_fn *reduce;        /* tiles into an accumulator */
    ct_reduce_fn *fold;          /* accumulators and partial results into one */
    ct_start_fn *start;
    int n_inputs;
    int64_t inputs;   /* into pass->inputs: operands */
    size_t size;      /* bytes per element */
    int64_t partials; /* arena offset of [outer, chunks, inner]; unused for one chunk */
    int64_t scratch;  /* byte offset of the thread's accumulator */
} cti_reduction;

/* What a pass over tiles does with each of them. */
typedef struct {
    int64_t numel, tile;   /* elements of the space and of one tile */
    ct_reduction geometry; /* count == 0 without a reduction */
    int64_t n_members;
    const int64_t *members; /* items that it computes, in topological order */
    int64_t n_loads, n_instructions, n_inputs, n_operands, n_stores, n_reductions, n_registers,
        n_moving;
    cti_load *loads;
    cti_instruction *instructions;
    int64_t *inputs; /* operands, those of one instruction or reduction contiguous */
    cti_operand *operands;
    int64_t *stores; /* operands that are stored outputs */
    cti_reduction *reductions;
    /* How it is cut: each part takes `per_part` units, or what is left of the `units` of a row; a
     * row has `chunks` parts. A unit is an element of a MAP pass, a block of a NARROW one, and of a
     * WIDE one the `inner` elements of a row of its block. */
    int64_t unit, units, per_part, chunks;
    int64_t accumulator; /* WIDE: elements of an accumulator, whole rows up to a tile */
    int64_t fetched;     /* elements of the next tile that each instruction prefetches, or 0 */
    /* Where the operands of a tile are. */
    bool gathers;          /* it has gathered loads */
    cti_pointer *pointers; /* of the operands, then of the inputs */
    int64_t *moving;       /* numbers of the pointers that advance from tile to tile */
    int64_t registers;     /* byte offset of the first one in the scratch */
    size_t register_bytes; /* of one register */
} cti_tiles;

typedef struct {
    int64_t item;
    ct_call call; /* without data: that belongs to a run */
    ct_prepared prepared;
    int64_t workspace; /* arena offset */
} cti_kernel;

/* Sums over ranks, whose bytes travel together. */
typedef struct {
    ct_dtype dtype;
    int64_t n, *items;
} cti_exchanged;

/* A block is the [count, inner] elements that a reduction makes `inner` results of. */
typedef enum {
    CTI_KERNEL,   /* an op with a loop of its own over whole operands */
    CTI_EXCHANGE, /* ranks add up what they have; one part, which the calling thread carries on */
    CTI_MAP,      /* tiles without reductions; this kind and those below are of tiles */
    CTI_NARROW,   /* a tile holds whole blocks, each reduced on its own */
    CTI_WIDE,     /* a block is many tiles; its chunks give partial results, combined by stage 1 */
} cti_pass_kind;

typedef struct {
    cti_pass_kind kind;
    int64_t parts[CT_KERNEL_STAGES];
    size_t scratch_bytes; /* per thread */
    union {
        cti_kernel kernel;      /* KERNEL */
        cti_exchanged exchange; /* EXCHANGE */
        cti_tiles tiles;        /* all others */
    };
} cti_pass;

static inline bool cti_has_tiles(const cti_pass *pass) { return pass->kind >= CTI_MAP; }

/* The items that a pass computes; their number. */
static inline int64_t cti_pass_items(const cti_pass *pass, const int64_t **items) {
    if (cti_has_tiles(pass)) {
        *items = pass->tiles.members;
        return pass->tiles.n_members;
    }
    bool kernel = pass->kind == CTI_KERNEL;
    *items = kernel ? &pass->kernel.item : pass->exchange.items;
    return kernel ? 1 : pass->exchange.n;
}

/* The units that a part of the first stage goes through, counted through all rows. */
static inline ct_span cti_part_units(const cti_tiles *t, int64_t part) {
    int64_t row = part / t->chunks * t->units, first = part % t->chunks * t->per_part;
    int64_t last = first + t->per_part < t->units ? first + t->per_part : t->units;
    return (ct_span){row + first, row + last};
}

/* ... and its elements. */
static inline ct_span cti_part_elements(const cti_tiles *t, int64_t part) {
    ct_span span = cti_part_units(t, part);
    return (ct_span){span.first * t->unit, span.last * t->unit};
}

/* Memory traffic of one run of a pass, and its arithmetic. */
typedef struct {
    double bytes, operations;
} cti_cost;

/* --- Schedule ------------------------------------------------------------------------------- */

/* One kernel stage of a pass, or the only one. Its parts are numbers first .. first + parts - 1 of
 * the plan; where a stage has too many parts, each number is a bundle of them. */
typedef struct {
    int64_t pass;
    int stage;
    int64_t bundle;
    int64_t parts, first, phase;
    int64_t depth; /* length of the chain of tasks in its phase that it depends on */
    bool chained;  /* each part has dependencies within the phase, and starts when they are done */
} cti_task;

/* A phase is a barrier: it begins when all parts of the one before are done. Its parts first ..
 * first + roots - 1 have no dependency inside it; the rest start when their counter reaches 0, but
 * for an exchange, which begins with the phase. */
typedef struct {
    int64_t first, roots;
    int64_t exchange; /* its only part that is one, or -1 */
} cti_phase;

typedef struct cti_plan {
    cti_zone *zone; /* where the plan lies, and all that it points to */
    cti_graph graph;
    int64_t n_items, n_edges, n_passes, n_tasks, n_phases, n_parts;
    int64_t n_exchanges, most_exchanged; /* passes of that kind; sums of one of them */
    cti_item *items;
    int64_t *edges;
    int64_t *roots;   /* root number -> item */
    cti_pass *passes; /* in topological order */
    cti_task *tasks;  /* in the order of the passes */
    cti_phase *phases;
    /* By part: */
    int64_t *task_of_part;
    int64_t *turns;         /* the roots of each phase in the order in which they start */
    int64_t *successor_end; /* end of its successors, which begin at the end of the part before */
    int64_t *successors;    /* parts of the same phase that depend on it */
    int *waits;             /* number of its dependencies in its phase */
    size_t arena_bytes, scratch_bytes; /* shared; per thread */
    size_t needed_bytes;               /* most bytes of the arena alive at one time */
    cti_cost cost;                     /* of all passes */
} cti_plan;

cti_cost cti_pass_cost(const cti_plan *plan, const cti_pass *pass);
cti_cost cti_plan_cost(const cti_plan *plan);

/* The plan for the current walk along needed inputs, or NULL with the error recorded. */
cti_plan *cti_plan_new(cti_zone *zone, const cti_walk *walk, ct_tensor *const roots[],
                       int64_t n_roots);

/* Byte offset in the scratch of the tile of a load that is not read in place. */
static inline int64_t cti_load_tile(const cti_tiles *t, int64_t load) {
    return t->registers + (t->n_registers + load) * (int64_t)t->register_bytes;
}

/* The whole plan as text; to standard error if the environment has COTAN_DEBUG=plan. */
void cti_plan_print(FILE *out, const cti_plan *plan);
void cti_plan_debug(const cti_plan *plan);

#endif
