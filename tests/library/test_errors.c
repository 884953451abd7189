/* Bad arguments to derivatives, user-defined ops, slots and evaluation, and a bad environment:
 * each with the exact text; and NULL through every op.
 * Ops and shapes are in test_op_errors.c, windows in test_window_refusals.c, files in their own.
 * Invariant: an error changes nothing: outputs keep what they held. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "tensor/base/alloc.h"
#include "tensor/base/context.h"
#include "tensor/op.h"
#include "tensor/random.h"
#include "tensor/runtime.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void expect_answer(int line, bool refused, ct_status expected, const char *expected_text) {
    ct_status status;
    const char *text = taken_error(&status);
    EXPECT(refused && status == expected, "line %d: %s", line, ct_status_name(status));
    EXPECT(strcmp(text, expected_text) == 0, "line %d said '%s'", line, text);
}

/* A call that returns a tensor, and one that returns a status. */
#define NO_TENSOR(call, status, text) expect_answer(__LINE__, (call) == NULL, status, text)
#define NO_SUCCESS(call, status, text) expect_answer(__LINE__, (call) == (status), status, text)

static ct_tensor *f32(ct_shape shape) { return ct_full(CT_F32, shape, 1.0); }

/* --- Derivatives ------------------------------------------------------------------------------ */

TEST(errors, of_a_gradient) {
    ct_tensor *x = f32(CT_SHAPE(32, 10)), *y = ct_sum_all(x), *i = ct_arange(CT_I64, 0, 3, 1);
    ct_tensor *mark = x, *out[2] = {mark, mark};
    NO_SUCCESS(ct_grad(x, &x, 1, out), CT_ERR_SHAPE,
               "ct_grad: y must have one element, got "
               "[32,10]; ct_vjp takes a cotangent of that shape");
    NO_SUCCESS(ct_grad(ct_sum_all(i), &x, 1, out), CT_ERR_DTYPE,
               "ct_grad: y is i64; only f32 and f64 have derivatives");
    NO_SUCCESS(ct_grad(y, (ct_tensor *[]){x, i}, 2, out), CT_ERR_DTYPE,
               "ct_grad: x[1] is i64; only f32 and f64 have derivatives");
    NO_SUCCESS(ct_grad(y, (ct_tensor *[]){x, NULL}, 2, out), CT_ERR_NULL, "ct_grad: x[1] is NULL");
    NO_SUCCESS(ct_grad(NULL, &x, 1, out), CT_ERR_NULL, "ct_grad: 'y' is NULL");
    EXPECT(out[0] == mark && out[1] == mark);
}

TEST(errors, of_products_with_a_jacobian) {
    ct_tensor *x = f32(CT_SHAPE(2, 3)), *y = ct_exp(x), *v = f32(CT_SHAPE(3)), *out = x;
    ct_tensor *i = ct_cast(x, CT_I64);
    NO_SUCCESS(ct_vjp(y, NULL, &x, 1, &out), CT_ERR_NULL, "ct_vjp: 'cotangent' is NULL");
    NO_SUCCESS(ct_vjp(y, v, &x, 1, &out), CT_ERR_SHAPE,
               "ct_vjp: y is f32 [2,3], the cotangent f32 [3]");
    NO_SUCCESS(ct_vjp(y, ct_cast(y, CT_F64), &x, 1, &out), CT_ERR_SHAPE,
               "ct_vjp: y is f32 [2,3], the cotangent f64 [2,3]");
    NO_SUCCESS(ct_vjp(i, i, &x, 1, &out), CT_ERR_DTYPE,
               "ct_vjp: y is i64; only f32 and f64 have derivatives");
    NO_TENSOR(ct_jvp(y, &x, &v, 1), CT_ERR_SHAPE, "ct_jvp: x[0] is f32 [2,3], v[0] is f32 [3]");
    NO_TENSOR(ct_jvp(y, &x, &v, 0), CT_ERR_RANGE, "ct_jvp: needs at least one x");
    NO_TENSOR(ct_jvp(NULL, &x, &x, 1), CT_ERR_NULL, "ct_jvp: 'y' is NULL");
    NO_SUCCESS(ct_hvp(ct_sum_all(y), &x, &v, 1, &out), CT_ERR_SHAPE,
               "ct_hvp: x[0] is f32 [2,3], v[0] is f32 [3]");
    NO_SUCCESS(ct_hvp(ct_sum_all(y), &x, (ct_tensor *[]){NULL}, 1, &out), CT_ERR_NULL,
               "ct_hvp: v[0] is NULL");
    NO_SUCCESS(ct_hvp(y, &x, &x, 1, &out), CT_ERR_SHAPE,
               "ct_hvp: y must have one element, got "
               "[2,3]; ct_vjp takes a cotangent of that shape");
    EXPECT(out == x);
}

/* --- Ops of a user ---------------------------------------------------------------------------- */

static void tile_twice(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    for (int64_t i = 0; i < n; i++) ((double *)y)[i] = 2 * ((const double *)x[0])[i];
}

static ct_status infer_scalar(const ct_infer *call, ct_type *out) {
    *out = (ct_type){call->in[0].dtype, CT_SCALAR};
    return CT_OK;
}

static ct_tensor *vjp_forgetful(ct_tensor *g, ct_tensor *y, int i) {
    (void)g, (void)y, (void)i;
    return NULL;
}

static ct_tensor *vjp_too_small(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return ct_sum_all(g);
}

/* Not listed: these are no primitives of the library. */
/* clang-format off */
static const ct_op twice = {.name = "twice", .kind = CT_MAP, .n_inputs = 1,
                            .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice}};
static const ct_op forgetful = {.name = "forgetful", .kind = CT_MAP, .n_inputs = 1,
                                .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice},
                                .vjp = {vjp_forgetful}};
static const ct_op too_small = {.name = "too_small", .kind = CT_MAP, .n_inputs = 1,
                                .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice},
                                .vjp = {vjp_too_small}};
static const ct_op shrinks = {.name = "shrinks", .kind = CT_MAP, .n_inputs = 1,
                              .infer = infer_scalar, .tile = {[CT_F64] = tile_twice}};
/* clang-format on */

TEST(errors, of_a_users_op) {
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2), 3.0), *single = f32(CT_SHAPE(2)), *g;
    ct_tensor *y = ct_node(&twice, &x, 1, NULL, 0);
    EXPECT(element(y, 1) == 6);
    NO_SUCCESS(ct_grad(ct_sum_all(y), &x, 1, &g), CT_ERR_GRADIENT,
               "ct_grad: op 'twice' has no derivative for input 0");
    NO_SUCCESS(ct_grad(ct_sum_all(ct_node(&forgetful, &x, 1, NULL, 0)), &x, 1, &g), CT_ERR_GRADIENT,
               "ct_grad: the derivative of 'forgetful' for input 0 is NULL");
    NO_SUCCESS(ct_grad(ct_sum_all(ct_node(&too_small, &x, 1, NULL, 0)), &x, 1, &g), CT_ERR_GRADIENT,
               "ct_grad: the derivative of 'too_small' for input 0 has shape [], "
               "the input [2]");
    NO_TENSOR(ct_node(&twice, &single, 1, NULL, 0), CT_ERR_DTYPE,
              "twice: not defined for f32; give it .tile[CT_F32] or use ct_cast");
    NO_TENSOR(ct_node(&twice, (ct_tensor *[]){x, x}, 2, NULL, 0), CT_ERR_RANGE,
              "twice: takes 1 inputs, got 2");
    NO_TENSOR(ct_node(&shrinks, &x, 1, NULL, 0), CT_ERR_SHAPE,
              "shrinks: operand 1 is [2], the result []");
}

static ct_tensor *vjp_other_type(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return ct_cast(g, CT_F32);
}

static ct_tensor *sum_instead(ct_tensor *y) { return ct_sum_all(ct_input(y, 0)); }

static ct_tensor *itself_instead(ct_tensor *y) { return ct_neg(ct_neg(y)); }

static ct_tensor *f32_instead(ct_tensor *y) { return ct_cast(ct_input(y, 0), CT_F32); }

static const ct_rule simplify_to_sum[] = {{"x = sum x", sum_instead}, {0}};
static const ct_rule simplify_to_itself[] = {{"x = --x", itself_instead}, {0}};
static const ct_rule simplify_to_f32[] = {{"x in f32", f32_instead}, {0}};

static ct_reduction geometry_all(const void *attr, ct_shape x) {
    (void)attr;
    return (ct_reduction){1, ct_shape_numel(x), 1};
}

static ct_status infer_single(const ct_infer *call, ct_type *out) {
    (void)call;
    *out = (ct_type){CT_F32, CT_SCALAR};
    return CT_OK;
}

static void reduce_nothing(int64_t outer, int64_t count, int64_t inner, void *y,
                           const void *const x[]) {
    (void)outer, (void)count, (void)inner, (void)y, (void)x;
}

static void start_nothing(int64_t n, void *y) { (void)n, (void)y; }

/* clang-format off */
static const ct_op other_type = {.name = "other_type", .kind = CT_MAP, .n_inputs = 1,
                                 .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice},
                                 .vjp = {vjp_other_type}};
static const ct_op to_sum = {.name = "to_sum", .kind = CT_MAP, .n_inputs = 1,
                             .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice},
                             .simplify = simplify_to_sum};
static const ct_op to_f32 = {.name = "to_f32", .kind = CT_MAP, .n_inputs = 1,
                             .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice},
                             .simplify = simplify_to_f32};
static const ct_op to_itself = {.name = "to_itself", .kind = CT_MAP, .n_inputs = 1,
                                .infer = ct_infer_float, .tile = {[CT_F64] = tile_twice},
                                .simplify = simplify_to_itself};
static const ct_op narrowing = {.name = "narrowing", .kind = CT_REDUCE, .n_inputs = 1,
                                .infer = infer_single, .geometry = geometry_all,
                                .reduce = {[CT_F64] = reduce_nothing},
                                .start = {[CT_F64] = start_nothing}};
static const ct_op of_two = {.name = "of_two", .kind = CT_REDUCE, .n_inputs = 2,
                             .infer = infer_scalar, .geometry = geometry_all,
                             .reduce = {[CT_F64] = reduce_nothing},
                             .start = {[CT_F64] = start_nothing}};
/* clang-format on */

TEST(errors, of_what_a_users_op_gives) {
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2), 3.0), *g;
    NO_SUCCESS(ct_grad(ct_sum_all(ct_node(&other_type, &x, 1, NULL, 0)), &x, 1, &g),
               CT_ERR_GRADIENT,
               "ct_grad: the derivative of 'other_type' for input 0 is f32, the input f64");
    ct_tensor *y = ct_node(&to_sum, &x, 1, NULL, 0);
    NO_SUCCESS(ct_eval(&y, 1), CT_ERR_SHAPE, "to_sum: its rewrite is f64 [], the node f64 [2]");
    y = ct_node(&to_f32, &x, 1, NULL, 0);
    NO_SUCCESS(ct_eval(&y, 1), CT_ERR_SHAPE, "to_f32: its rewrite is f32 [2], the node f64 [2]");
    y = ct_node(&to_itself, &x, 1, NULL, 0);
    NO_SUCCESS(ct_eval(&y, 1), CT_ERR_STATE, "to_itself: its rewrite contains the node itself");
    NO_TENSOR(ct_node(&narrowing, &x, 1, NULL, 0), CT_ERR_DTYPE,
              "narrowing: a reduction of f64 gives no f32");
    NO_TENSOR(ct_node(&of_two, (ct_tensor *[]){x, x}, 2, NULL, 0), CT_ERR_RANGE,
              "of_two: a reduction takes 1 input, not 2");
}

static void prepare_badly(const ct_call *call, ct_prepared *p) {
    switch (*(const int64_t *)call->attr) {
    case 0: p->parts[0] = 0; break;
    case 1: p->parts[0] = -3; break;
    case 2: p->parts[1] = 2; break;
    case 3: p->scratch = SIZE_MAX; break;
    default: p->workspace = SIZE_MAX; break;
    }
}

static void run_badly(const ct_call *call, int64_t part, void *scratch) {
    (void)call, (void)part, (void)scratch;
}

static const ct_kernel bad_kernel = {.prepare = prepare_badly, .run = {run_badly}};
static const ct_op badly = {.name = "badly",
                            .kind = CT_KERNEL,
                            .n_inputs = 1,
                            .infer = ct_infer_float,
                            .kernel = &bad_kernel};

TEST(errors, of_what_a_kernel_prepares) {
    static const struct {
        ct_status status;
        const char *message;
    } expected[] = {
        {CT_ERR_RANGE, "badly: prepare gave no parts"},
        {CT_ERR_RANGE, "badly: prepare gave stage 0 -3 parts"},
        {CT_ERR_RANGE, "badly: prepare gave stage 1 2 parts, which nothing runs"},
        {CT_ERR_MEMORY, "badly: prepare asks for 18446744073709551615 and 0 bytes"},
        {CT_ERR_MEMORY, "badly: prepare asks for 0 and 18446744073709551615 bytes"},
    };
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2), 3.0);
    for (int64_t k = 0; k < 5; k++) {
        ct_tensor *y = ct_node(&badly, &x, 1, &k, sizeof k);
        NO_SUCCESS(ct_eval(&y, 1), expected[k].status, expected[k].message);
    }
}

static void tile_total(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    int count = *(const int *)tile->attr;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < count; k++) sum += ((const double *)x[k])[i];
        ((double *)y)[i] = sum;
    }
}

static ct_tensor *vjp_total(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return g;
}

/* As many operands as one likes. */
TEST(errors, none_for_an_op_of_nine_operands) {
    static const ct_op total = {.name = "total",
                                .kind = CT_MAP,
                                .n_inputs = -1,
                                .infer = ct_infer_float,
                                .tile = {[CT_F64] = tile_total},
                                .vjp_any = vjp_total};
    ct_tensor *x[9], *g[9];
    int n = 9;
    for (int k = 0; k < n; k++) x[k] = ct_full(CT_F64, CT_SHAPE(3000), k);
    ct_tensor *y = ct_node(&total, x, n, &n, sizeof n);
    EXPECT(element(y, 2999) == 36);
    EXPECT(ct_grad(ct_sum_all(y), x, n, g) == CT_OK && element(g[8], 1) == 1);
}

/* --- Slots, stages, keys, rows ---------------------------------------------------------------- */

TEST(errors, of_slots_and_commits) {
    ct_slot *slot = ct_slot_new("mean", f32(CT_SHAPE(4)));
    ct_tensor *x = f32(CT_SHAPE(3)), *four = f32(CT_SHAPE(4));
    NO_TENSOR((void *)ct_slot_new("s", NULL), CT_ERR_NULL, "ct_slot_new: 'initial' is NULL");
    NO_TENSOR(ct_slot_read(NULL), CT_ERR_NULL, "ct_slot_read: 'slot' is NULL");
    NO_SUCCESS(ct_slot_write(slot, x), CT_ERR_SHAPE,
               "ct_slot_write: 'mean' is f32 [4], the new value is f32 [3]");
    NO_TENSOR(ct_stage(x, slot, 1, NULL), CT_ERR_NULL, "ct_stage: 'value' is NULL");
    NO_TENSOR(ct_stage(x, NULL, 1, x), CT_ERR_NULL, "ct_stage: 'slot' is NULL");
    NO_SUCCESS(ct_commit((ct_tensor *[]){x, NULL}, 2, NULL, 0), CT_ERR_NULL,
               "ct_commit: root 1 is NULL");
    NO_SUCCESS(ct_commit(&x, 1, &(ct_update){slot, NULL}, 1), CT_ERR_NULL,
               "ct_commit: update 0 is NULL");
    ct_tensor *staged = ct_stage(four, slot, 0.5, four);
    NO_SUCCESS(ct_commit(&staged, 1, &(ct_update){slot, four}, 1), CT_ERR_STATE,
               "ct_commit: slot 'mean' is both updated and staged");
    staged = ct_stage(four, slot, 0.5, ct_cast(four, CT_F64));
    NO_SUCCESS(ct_commit(&staged, 1, NULL, 0), CT_ERR_DTYPE,
               "ct_commit: slot 'mean' holds f32, the staged value is f64");
    EXPECT(element(ct_slot_read(slot), 0) == 1);
    ct_slot_drop(slot);
}

/* Names are the user's. */
TEST(errors, are_one_line) {
    ct_slot *slot = ct_slot_new("a\tslot", f32(CT_SHAPE(4)));
    EXPECT(ct_path_push("two\nlines") == CT_OK);
    NO_SUCCESS(ct_slot_write(slot, f32(CT_SHAPE(3))), CT_ERR_SHAPE,
               "ct_slot_write: 'a?slot' is f32 [4], the new value is f32 [3] (in two?lines)");
    ct_path_pop();
    ct_slot_drop(slot);
}

TEST(errors, of_keys_and_rows) {
    ct_tensor *x = f32(CT_SHAPE(3, 2)), *rows = ct_arange(CT_I64, 0, 3, 1);
    NO_TENSOR(ct_random_uniform(rows, CT_F32, CT_SHAPE(2)), CT_ERR_SHAPE,
              "ct_random_uniform: the key must be i64 [2], got i64 [3]");
    NO_TENSOR(ct_random_normal(ct_arange(CT_I64, 0, 2, 1), CT_I64, CT_SHAPE(2)), CT_ERR_DTYPE,
              "ct_random_normal: dtype must be f32, f64 or p61, got i64; use ct_cast");
    NO_TENSOR(ct_generator_draw(NULL), CT_ERR_NULL, "ct_generator_draw: 'generator' is NULL");
    NO_TENSOR(ct_take(x, x), CT_ERR_DTYPE, "ct_take: indices must be i64, got f32");
    NO_TENSOR(ct_take(f32(CT_SHAPE(0, 2)), rows), CT_ERR_RANGE,
              "ct_take: there are no rows, got index 0 at [0]");
    NO_TENSOR(ct_take(ct_scalar(CT_F32, 1), ct_arange(CT_I64, 0, 0, 1)), CT_ERR_SHAPE,
              "ct_take: cannot take rows [0] of []");
    NO_TENSOR(ct_scatter_add(x, rows, -1), CT_ERR_RANGE,
              "ct_scatter_add: rows must be >= 0, got -1");
    NO_TENSOR(ct_scatter_add(x, rows, 2), CT_ERR_RANGE,
              "ct_scatter_add: index must be in 0..1, got 2 at [2]");
    NO_TENSOR(ct_scatter_add(x, ct_arange(CT_I64, 0, 2, 1), 2), CT_ERR_SHAPE,
              "ct_scatter_add: rows [3,2] do not start with the shape of the indices [2]");
    ct_axes many = {.count = 9};
    NO_TENSOR(ct_sum(x, many), CT_ERR_SHAPE, "ct_sum: at most 8 axes can be given, got 9");
    NO_TENSOR(ct_concat(NULL, 0, 0), CT_ERR_RANGE, "ct_concat: needs at least one tensor, got 0");
    NO_TENSOR(ct_cast(x, CT_DTYPES), CT_ERR_DTYPE, "ct_cast: unknown dtype 5");
    NO_TENSOR(ct_sum_to(x, CT_SHAPE(2, 2)), CT_ERR_SHAPE,
              "ct_sum_to: [2,2] does not stretch to [3,2]");
}

/* --- Evaluation and memory -------------------------------------------------------------------- */

TEST(errors, of_reading) {
    ct_tensor *x = f32(CT_SHAPE(2));
    NO_SUCCESS(ct_eval((ct_tensor *[]){x, NULL}, 2), CT_ERR_NULL, "ct_eval: root 1 is NULL");
    NO_TENSOR(ct_data_f64(x), CT_ERR_DTYPE, "ct_data_f64: the tensor is f32");
    NO_TENSOR(isnan(ct_item(x)) ? NULL : x, CT_ERR_SHAPE, "ct_item: needs one element, got [2]");
    NO_TENSOR(ct_detach(NULL), CT_ERR_NULL, "ct_detach: 't' is NULL");
    NO_TENSOR(ct_data(NULL), CT_ERR_NULL, "ct_data: 't' is NULL");
}

/* A system that has a gigabyte, until the limit is taken away again. */
static size_t system_limit;

static void *limited_alloc(size_t size, void *user) {
    (void)user;
    return size <= system_limit ? aligned_alloc(64, size) : NULL;
}

static void system_free(void *block, void *user) {
    (void)user;
    free(block);
}

TEST(errors, name_what_the_memory_was_for) {
    system_limit = (size_t)1 << 30;
    ct_allocator_set((ct_allocator){limited_alloc, system_free, NULL});
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(1), 1);
    ct_tensor *wide = ct_exp(ct_broadcast(x, CT_SHAPE(INT64_C(1) << 30, INT64_C(1) << 27)));
    NO_TENSOR(ct_full(CT_F32, CT_SHAPE(INT64_C(1) << 30, INT64_C(1) << 27), 0), CT_ERR_MEMORY,
              "ct_full: out of memory: need 576460752303423488 bytes for f32 "
              "[1073741824,134217728]");
    NO_TENSOR(ct_data(wide), CT_ERR_MEMORY,
              "ct_data: out of memory: need 576460752303423488 bytes "
              "for f32 [1073741824,134217728]");
    NO_TENSOR(ct_full(CT_F64, CT_SHAPE(INT64_C(1) << 62), 0), CT_ERR_MEMORY,
              "ct_full: out of memory: [4611686018427387904] of f64 has more than 2^63-1 bytes");
    for (int power = 31; power < 63; power++) {
        EXPECT(!cti_alloc_raw((size_t)1 << power, 1) && ct_error() == CT_ERR_MEMORY, "%d", power);
        ct_error_clear();
    }
    system_limit = SIZE_MAX;
}

/* --- The environment -------------------------------------------------------------------------- */

/* A thread that has not asked yet reads the variable. */
static void *ask_for_threads(void *text) {
    char expected[128];
    setenv("CT_NUM_THREADS", text, 1);
    snprintf(expected, sizeof expected, "CT_NUM_THREADS must be 1..256, got '%s'",
             (const char *)text);
    NO_SUCCESS(ct_threads() == 0 ? ct_error() : CT_OK, CT_ERR_RANGE, expected);
    ct_tensor *y = ct_exp(ct_scalar(CT_F32, 1));
    NO_SUCCESS(ct_eval(&y, 1), CT_ERR_RANGE, expected);
    ct_scope_close(0);
    ct_cache_clear();
    return NULL;
}

TEST(errors, of_the_environment) {
    static const char *const texts[] = {"100000", "0", "two", "", "3x", "-1"};
    const char *set = getenv("CT_NUM_THREADS");
    char saved[16];
    snprintf(saved, sizeof saved, "%s", set ? set : "");
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        pthread_t thread;
        pthread_create(&thread, NULL, ask_for_threads, (void *)texts[k]);
        pthread_join(thread, NULL);
    }
    if (set) setenv("CT_NUM_THREADS", saved, 1);
    else unsetenv("CT_NUM_THREADS");
}

/* --- NULL ------------------------------------------------------------------------------------- */

TEST(errors, null_goes_through_every_op) {
    ct_tensor *x = f32(CT_SHAPE(2, 2)), *c = f32(CT_SHAPE(2)), *n = NULL;
    ct_fail(CT_ERR_RANGE, "the first");
    ct_tensor *results[] = {ct_neg(n),
                            ct_exp(n),
                            ct_log(n),
                            ct_sqrt(n),
                            ct_rsqrt(n),
                            ct_sin(n),
                            ct_cos(n),
                            ct_tanh(n),
                            ct_erf(n),
                            ct_abs(n),
                            ct_sign(n),
                            ct_floor(n),
                            ct_cast(n, CT_F64),
                            ct_add(n, x),
                            ct_sub(x, n),
                            ct_mul(n, n),
                            ct_div(n, x),
                            ct_pow(x, n),
                            ct_maximum(n, x),
                            ct_minimum(x, n),
                            ct_equal(n, x),
                            ct_not_equal(x, n),
                            ct_less(n, x),
                            ct_less_equal(n, x),
                            ct_greater(n, x),
                            ct_greater_equal(n, x),
                            ct_where(n, x, x),
                            ct_where(x, n, x),
                            ct_where(x, x, n),
                            ct_scale(n, 2),
                            ct_offset(n, 2),
                            ct_reshape(n, CT_SHAPE(4)),
                            ct_permute(n, CT_AXES(0)),
                            ct_transpose(n),
                            ct_broadcast(n, CT_SHAPE(2)),
                            ct_slice(n, 0, 0, 1, 1),
                            ct_flip(n, CT_AXES(0)),
                            ct_stop_gradient(n),
                            ct_pad(n, 0, 1, 1, 0),
                            CT_CONCAT(0, x, n),
                            CT_CONCAT(0, n, x),
                            ct_take(n, x),
                            ct_take(x, n),
                            ct_scatter_add(n, x, 1),
                            ct_scatter_add(x, n, 1),
                            ct_sum(n, CT_ALL),
                            ct_sum_keep(n, CT_AXES(0)),
                            ct_sum_all(n),
                            ct_sum_to(n, CT_SCALAR),
                            ct_max(n, CT_ALL),
                            ct_max_keep(n, CT_ALL),
                            ct_argmax(n, 0),
                            ct_matmul(n, x),
                            ct_matmul(x, n),
                            ct_conv2d(n, x, (ct_conv2d_spec){0}),
                            ct_conv2d_input(x, n, 1, 1, (ct_conv2d_spec){0}),
                            ct_conv2d_kernel(n, x, 1, 1, (ct_conv2d_spec){0}),
                            ct_max_pool2d(n, (ct_pool2d_spec){0}),
                            ct_max_pool2d_scatter(n, x, (ct_pool2d_spec){0}),
                            ct_max_pool2d_gather(x, n, (ct_pool2d_spec){0}),
                            ct_avg_pool2d(n, (ct_pool2d_spec){0}),
                            ct_avg_pool2d_spread(n, 1, 1, (ct_pool2d_spec){0}),
                            ct_random_uniform(n, CT_F32, CT_SCALAR),
                            ct_random_normal(n, CT_F32, CT_SCALAR),
                            ct_square(n),
                            ct_reciprocal(n),
                            ct_clip(n, 0, 1),
                            ct_mean(n, CT_ALL),
                            ct_mean_all(n),
                            ct_mean_keep(n, CT_ALL),
                            ct_var(n, CT_ALL),
                            ct_var_keep(n, CT_ALL),
                            ct_std(n, CT_ALL),
                            ct_min(n, CT_ALL),
                            ct_norm(n),
                            ct_logsumexp(n, 0),
                            ct_softmax(n, 0),
                            ct_log_softmax(n, 0),
                            ct_one_hot(n, 3, CT_F32),
                            ct_relu(n),
                            ct_leaky_relu(n, 0.1),
                            ct_elu(n, 1),
                            ct_sigmoid(n),
                            ct_softplus(n),
                            ct_gelu(n),
                            ct_silu(n),
                            ct_batch_norm(n, c, c, 0, 0, NULL, NULL),
                            ct_batch_norm(x, n, c, 0, 0, NULL, NULL),
                            ct_batch_norm_inference(x, c, c, n, c, 0, 0),
                            ct_layer_norm(x, n, c, 0),
                            ct_name(n, "n"),
                            ct_detach(n),
                            ct_scope_add(n),
                            ct_keep(n),
                            ct_jvp(n, &x, &x, 1)};
    for (size_t k = 0; k < sizeof results / sizeof *results; k++) {
        EXPECT(results[k] == NULL, "result %zu", k);
    }
    EXPECT(ct_error_count() == 0, "%d", ct_error_count());
    NO_TENSOR(NULL, CT_ERR_RANGE, "the first");
    NO_TENSOR(ct_where(x, NULL, x), CT_ERR_NULL, "ct_where: argument 2 is NULL");
    NO_TENSOR(ct_scale(NULL, 2), CT_ERR_NULL, "ct_scale: 'x' is NULL");
    NO_TENSOR(ct_layer_norm(x, NULL, x, 0), CT_ERR_NULL, "ct_layer_norm: 'gamma' is NULL");
}
