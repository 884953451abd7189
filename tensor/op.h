/* The op descriptor: all that the engine knows of a primitive, and how a user adds one.
 *
 *     static ct_status infer_cube(const ct_infer *c, ct_type *y) { return ct_infer_float(c, y); }
 *     static void tile_cube(int64_t n, void *y, const void *const x[], const ct_tile *t) { ... }
 *     static ct_tensor *vjp_cube(ct_tensor *g, ct_tensor *y, int i) {
 *         ct_tensor *x = ct_input(y, 0);
 *         return ct_mul(g, ct_scale(ct_mul(x, x), 3.0));
 *     }
 *     CT_OP(op_cube) = {.name = "cube", .kind = CT_MAP, .n_inputs = 1, .infer = infer_cube,
 *                       .tile = {[CT_F64] = tile_cube}, .vjp = {vjp_cube}};
 *     ct_tensor *cube(ct_tensor *x) { return ct_node(&op_cube, &x, 1, NULL, 0); }
 */
#ifndef COTAN_OP_H
#define COTAN_OP_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* The kind is all that the planner may look at.
 * MAP     each output element from the elements at the same place of inputs of the same shape
 * REDUCE  combines the elements along one run of axes
 * VIEW    the elements of input 0 in another layout: nothing is computed
 * KERNEL  anything else: cuts itself into parts                                              */
typedef enum { CT_MAP, CT_REDUCE, CT_VIEW, CT_KERNEL } ct_kind;

typedef struct {
    ct_dtype dtype;
    ct_shape shape;
} ct_type;

/* What a shape rule sees. */
typedef struct {
    const char *name; /* the op's public name, for messages */
    const void *attr;
    int n_inputs;
    const ct_type *in;
} ct_infer;

/* What a tile function sees besides its operands. */
typedef struct {
    const void *attr;
    int64_t first; /* flat index of the tile's first element */
} ct_tile;

/* y[0..n) from x[i][0..n), contiguous. Runs on several threads at once. */
typedef void ct_tile_fn(int64_t n, void *y, const void *const x[], const ct_tile *tile);
/* y[o,i] = y[o,i] combined with x[0][o,c,i] for c < count in that order, for every o < outer and
 * i < inner. */
typedef void ct_reduce_fn(int64_t outer, int64_t count, int64_t inner, void *y,
                          const void *const x[]);
/* Fills y[0..n) with the neutral element. */
typedef void ct_start_fn(int64_t n, void *y);

/* The geometry of a reduction: x is [outer, count, inner], y is [outer, inner]. */
typedef struct {
    int64_t outer, count, inner;
} ct_reduction;

/* Where an element lies: offset + sum of index * stride, in elements of the base. */
typedef struct {
    int64_t offset, strides[CT_MAX_RANK];
} ct_layout;

/* What a kernel sees of an operand. `layout` is row-major unless the kernel takes strided inputs;
 * strides are never negative. */
typedef struct {
    ct_dtype dtype;
    ct_shape shape;
    ct_layout layout;
    void *data; /* the base's first element, NULL while preparing; inputs must not be written */
} ct_operand;

/* What it sees of a call. */
typedef struct {
    const void *attr;
    int n_inputs;
    const ct_operand *in;
    ct_operand out;
    const void *state; /* what `prepare` made */
    void *workspace;   /* shared by all parts, not zeroed */
} ct_call;

/* Elements first .. last - 1 of an operand, counted row-major. */
typedef struct {
    int64_t first, last;
} ct_span;

#define CT_KERNEL_STAGES 2

/* What `prepare` says of a call: before, one part for each stage, and zeros. It follows from types,
 * shapes and the attribute alone: so results are the same bits for any number of threads. */
typedef struct {
    void *state;                     /* `state` bytes of zeros to fill, for the runs to read */
    int64_t parts[CT_KERNEL_STAGES]; /* a stage of 0 parts is left out */
    size_t scratch, workspace;       /* bytes, per thread and per call */
    double operations;               /* arithmetic ones, for profiles and for the choice between one
                                        thread and several; 0: one for each element of the output */
    /* Both or none: what a part of the last stage writes, in ascending order of the parts, and what
     * a part of a stage reads of input i; more is allowed, less is not. Passes that follow each
     * other span by span run while the values are in the cache. */
    ct_span (*writes)(const ct_call *call, int64_t part);
    ct_span (*reads)(const ct_call *call, int stage, int i, int64_t part);
} ct_prepared;

/* A loop of its own over whole operands. It has one stage or two, each of parts that may run in any
 * order on any thread and write elements of their own; the second begins when the first has ended.
 * What runs evaluates no tensor: on the thread that evaluates its own, that is CT_ERR_STATE.
 * `prepare` is called once for a plan, `run` for each part whenever the plan is run:
 *
 *     static void prepare_rows(const ct_call *call, ct_prepared *p) {      // x [rows, columns]
 *         p->parts[0] = call->in[0].shape.dims[0];
 *     }
 *     static void run_row(const ct_call *call, int64_t part, void *scratch) {
 *         int64_t columns = call->in[0].shape.dims[1];
 *         const double *x = (const double *)call->in[0].data + part * columns;
 *         double *y = (double *)call->out.data + part * columns, sum = 0;
 *         for (int64_t i = 0; i < columns; i++) y[i] = sum += x[i];
 *     }
 *     static const ct_kernel running_sum = {.prepare = prepare_rows, .run = {run_row}}; */
typedef struct {
    bool strided_inputs; /* takes inputs of any layout, strides >= 0 */
    size_t state;        /* bytes */
    void (*prepare)(const ct_call *call, ct_prepared *p); /* NULL: one part for each stage */
    void (*run[CT_KERNEL_STAGES])(const ct_call *call, int64_t part, void *scratch);
} ct_kernel;

/* What a rule for the batch axis sees of a call of which some input varies between ranks. */
typedef struct {
    const void *attr;
    int n_inputs;
    const ct_type *in;
    const int *axis; /* along which each input varies, in the same rows; -1: it is replicated */
    ct_type out;
} ct_batch_axes;

#define CT_OP_INPUTS 4
#define CT_OP_JOINT 2 /* inputs that a loop may compute by itself: the first ones */

/* The cotangent of input i, given the cotangent g of y, as graph built from primitives. */
typedef ct_tensor *ct_vjp_fn(ct_tensor *g, ct_tensor *y, int i);
/* Marks an input to which no gradient flows (indices, conditions, steps). A NULL entry is an op
 * without that derivative: asking for it is an error, never silently zero. */
ct_tensor *ct_no_gradient(ct_tensor *g, ct_tensor *y, int i);

/* Two or three ops in one loop: this op, MAP or REDUCE, where its input k comes from the MAP op
 * inner[k] and goes nowhere else; NULL: from wherever it may. The function sees the inputs of the
 * inner ops, then the other inputs of this op, and the attribute of this op. It must give the bits
 * that the ops give one after the other. */
typedef struct {
    const struct ct_op *inner[CT_OP_JOINT]; /* all NULL ends a list; of several the first counts */
    ct_tile_fn *tile[CT_DTYPES];            /* for MAP */
    ct_reduce_fn *reduce[CT_DTYPES];        /* for REDUCE */
} ct_joint_loop;

/* A rewrite: what y can be replaced by, the same value from fewer or cheaper ops, built from y's
 * inputs or theirs and never from y; NULL: nothing better is known. Looks at ct_is, ct_is_number
 * and shapes alone. `name` says what it does: "x + 0 = x". */
typedef struct {
    const char *name;
    ct_tensor *(*rewrite)(ct_tensor *y);
} ct_rule;

/* What an op is as algebra, which is what a certificate (autograd/verify.h) knows of it: of
 * elements a and b of its inputs
 * LINEAR    sums of elements times numbers, or some of the elements
 * PRODUCT   sums of products of an element of each input
 * QUOTIENT  a / b            POWER          a^b
 * ROOT      sqrt a           INVERSE_ROOT   1 / sqrt a
 * STAND_IN  a function without algebra: in CT_P61 a hash of its operand
 * DECISION  whole numbers that follow from comparisons, or what depends on no input
 * UNTOLD    the op does not say: certificates say that they cannot tell what they overlook */
typedef enum {
    CT_UNTOLD,
    CT_LINEAR,
    CT_PRODUCT,
    CT_QUOTIENT,
    CT_POWER,
    CT_ROOT,
    CT_INVERSE_ROOT,
    CT_STAND_IN,
    CT_DECISION
} ct_algebra;

typedef struct ct_op {
    const char *name;
    ct_kind kind;
    int n_inputs;         /* -1: any number from 1 on */
    bool commutative;     /* two inputs: the same bits in either order, but for which NaN */
    bool costly;          /* MAP: store rather than recompute (exp, log, random, ...) */
    bool attr_is_runtime; /* the attribute is no part of the plan's signature */
    ct_status (*infer)(const ct_infer *call, ct_type *out);
    /* MAP: by the dtype of input 0, or of the output when there is no input. */
    ct_tile_fn *tile[CT_DTYPES];
    /* REDUCE: by dtype; the output has the input's dtype. */
    ct_reduce_fn *reduce[CT_DTYPES];
    ct_start_fn *start[CT_DTYPES];
    ct_reduction (*geometry)(const void *attr, ct_shape x);
    const ct_joint_loop *joint; /* faster ways to run a MAP or REDUCE behind MAPs; NULL: none */
    /* VIEW: the output's layout from the input's; false when a copy is needed first. */
    bool (*view)(const void *attr, ct_shape in, const ct_layout *x, ct_shape out, ct_layout *y);
    const ct_kernel *kernel; /* KERNEL */
    /* Along which axis the output varies (varying.h), whose rows are computed from the same rows of
     * the inputs; -1 where it is no such op then. NULL: an error when an input varies, but that a
     * MAP takes operands that all vary in the same way. So do ops of any number of inputs, whose
     * rule sees the first CT_OP_INPUTS. What the attribute says then is the same on all ranks, or
     * they count as having different graphs: it holds neither addresses nor how many rows there
     * are, unless it is the output's shape. */
    int (*batch)(const ct_batch_axes *call);
    bool sums_grains; /* KERNEL: the sum over axis 0 of input 0, which are the grains of all ranks.
                       * It runs where this rank has all of them; else the engine exchanges */
    ct_vjp_fn *vjp[CT_OP_INPUTS];
    ct_vjp_fn *vjp_any;      /* for ops of any number of inputs */
    const ct_rule *simplify; /* in the order in which they are tried; an empty one ends them */
    ct_algebra algebra;
    /* What decides between two branches of y, as graph: where it is 0 the one is taken, elsewhere
     * the other. NULL: there are none. */
    ct_tensor *(*branches)(ct_tensor *y);
    /* Attributes are compared byte by byte. One that has padding, or bytes that mean nothing, is
     * copied field by field into zeros, or every step makes a plan of its own. NULL: as it is. */
    void (*copy)(void *to, const void *attr);
    void (*release)(void *attr); /* frees what the attribute owns, when the node goes */
    /* How pictures write it. infix: "+", between two operands; NULL: as a function. detail: what an
     * attribute of int64_t says, in parts such as "axes #..#-; step #|1": # is the next number and
     * #- one less. Equal numbers of a part are written once; all of them n, |n leaves it out. */
    const char *infix, *detail;
} ct_op;

/* Defines a descriptor and lists it, so that tests can go through all of them. C++ has neither
 * initializers that name array elements nor tentative definitions: there, initialize it by a
 * function, CT_OP(op_cube) = make_cube(), and keep the symbol to its file by an unnamed namespace
 * around it. */
#ifdef __cplusplus
#define CTI_OP_DECLARE extern
#define CTI_OP_DEFINE
#else
#define CTI_OP_DECLARE static
#define CTI_OP_DEFINE static
#endif
#define CTI_OP_LISTED(symbol) \
    static const ct_op *const symbol##_listed __attribute__((section("ct_ops"), used)) = &symbol
#define CT_OP(symbol)                  \
    CTI_OP_DECLARE const ct_op symbol; \
    CTI_OP_LISTED(symbol);             \
    CTI_OP_DEFINE const ct_op symbol
/* The same with a symbol for other files, which a header declares as extern const ct_op. */
#define CT_OP_PUBLIC(symbol)   \
    extern const ct_op symbol; \
    CTI_OP_LISTED(symbol);     \
    const ct_op symbol

/* A tile or reduce function, compiled for several instruction sets and chosen at load time, which
 * glibc's loader can do and musl's cannot. Make it static, because other files do not find it when
 * clang 14 has compiled it, and give it a name of its own, because clang's resolvers are visible to
 * the linker. A build may have a definition of its own. */
#if !defined(CT_CLONES) && defined(__x86_64__) && defined(__GLIBC__)
#define CT_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#elif !defined(CT_CLONES)
#define CT_CLONES
#endif

/* The single way to make a node: checks for NULL, runs the shape rule, takes its own references,
 * copies `attr` and registers the node with the open scope. On failure `release` is not called. */
ct_tensor *ct_node(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                   size_t attr_size);
const ct_op *ct_op_of(const ct_tensor *t);      /* NULL for a leaf */
int ct_input_count(const ct_tensor *t);         /* 0 for a leaf */
ct_tensor *ct_input(const ct_tensor *t, int i); /* borrowed */
const void *ct_attr(const ct_tensor *t);        /* borrowed; NULL for a leaf */
/* For `simplify`: whether t is still to be computed, and by that op. NULL is not, and a value is
 * never looked behind. The ops of the library are declared where their functions are:
 *
 *     static ct_tensor *square_of_neg(ct_tensor *y) {
 *         ct_tensor *x = ct_input(y, 0);
 *         return ct_is(x, &ct_op_neg) ? ct_square(ct_input(x, 0)) : NULL;
 *     }
 *     static const ct_rule simplify_square[] = {{"(-x)^2 = x^2", square_of_neg}, {0}}; */
bool ct_is(const ct_tensor *t, const ct_op *op);
/* For `simplify`: whether all elements of t are this number, which must be 0 or 1. Plans are made
 * for graphs without values, but these two are part of a plan where they stand in a formula: in
 * ct_scale(x, 1), in a derivative. A ct_scalar is data. */
bool ct_is_number(const ct_tensor *t, double value);

/* Shape rules that many ops share: inputs of one shape and dtype give the same; the second one
 * takes floating point only. */
ct_status ct_infer_same(const ct_infer *call, ct_type *out);
ct_status ct_infer_float(const ct_infer *call, ct_type *out);

CT_C_END

#endif
