/* The planner: what is looked up and what is planned anew, how many passes a graph costs, what
 * memory it takes.
 * That results are right is checked elsewhere, by every other suite.
 * Invariant: every count is that of one evaluation, read from the engine's own statistics. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static ct_tensor *ramp(ct_shape shape) {
    double n = (double)ct_shape_numel(shape);
    return ct_reshape(ct_scale(ct_arange(CT_F32, 0, n, 1), 1.0 / n), shape);
}

/* An evaluated leaf. */
static ct_tensor *leaf(ct_shape shape) { return ct_detach(ramp(shape)); }

static int64_t misses(void) { return ct_stats_read().plan_misses; }
static int64_t hits(void) { return ct_stats_read().plan_hits; }

/* Evaluates and says whether that was planned anew. */
static bool planned(ct_tensor *t) {
    int64_t before = misses();
    EXPECT(ct_eval(&t, 1) == CT_OK, "%s", ct_error_message());
    return misses() > before;
}

static int64_t passes_of(ct_tensor *const roots[], int64_t n) {
    EXPECT(ct_eval(roots, n) == CT_OK, "%s", ct_error_message());
    return ct_plan_last().passes;
}

static int64_t passes(ct_tensor *t) { return passes_of(&t, 1); }

/* --- The cache -------------------------------------------------------------------------------- */

TEST(plan, the_same_graph_is_planned_once) {
    for (int k = 0; k < 5; k++) {
        ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3, 4), k), *y = ct_full(CT_F32, CT_SHAPE(4), 2);
        ct_tensor *z = ct_sum_all(ct_mul(ct_add(x, y), x));
        EXPECT(planned(z) == (k == 0));
        EXPECT(ct_item(z) == 12.0 * k * (k + 2));
    }
}

TEST(plan, which_leaf_is_which_counts) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3), 2), *y = ct_full(CT_F32, CT_SHAPE(3), 5);
    ct_tensor *square = ct_sum_all(ct_mul(x, x)), *product = ct_sum_all(ct_mul(x, y));
    EXPECT(planned(square) && planned(product));
    EXPECT(ct_item(square) == 12 && ct_item(product) == 30);
    ct_tensor *again = ct_sum_all(ct_mul(y, y)), *swapped = ct_sum_all(ct_mul(y, x));
    EXPECT(!planned(again) && !planned(swapped));
    EXPECT(ct_item(again) == 75 && ct_item(swapped) == 30);
}

TEST(plan, numbers_are_data) {
    ct_tensor *x = leaf(CT_SHAPE(5));
    int64_t before = misses();
    for (int k = 0; k < 100; k++) {
        ct_tensor *y = ct_sum_all(ct_offset(ct_scale(x, k), -0.5 * k));
        EXPECT(near(ct_item(y), k * (2.0 - 2.5), 1e-4, 0));
    }
    /* A literal 0 and a literal 1 have plans of their own, because those do less. */
    EXPECT(misses() == before + 3, "%lld plans", (long long)(misses() - before));
    before = misses();
    for (int k = 0; k < 100; k++) ct_data(ct_mul(x, ct_scalar(CT_F32, k)));
    EXPECT(misses() <= before + 1, "%lld plans", (long long)(misses() - before));
}

TEST(plan, a_derivative_under_a_schedule_is_planned_once) {
    int64_t before = misses();
    ct_tensor *w = ct_keep(leaf(CT_SHAPE(4, 3)));
    for (int k = 0; k < 50; k++) {
        int64_t scope = ct_scope_open();
        ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2, 4), k), *g;
        ct_tensor *loss = ct_mean_all(ct_square(ct_matmul(x, w)));
        EXPECT(ct_grad(loss, &w, 1, &g) == CT_OK);
        ct_tensor *next = ct_sub(w, ct_scale(g, 0.1 / (k + 1)));
        ct_tensor *roots[] = {loss, next};
        EXPECT(ct_eval(roots, 2) == CT_OK);
        ct_set(&w, ct_detach(next));
        ct_scope_close(scope);
    }
    ct_drop(w);
    EXPECT(misses() == before + 1 + 1, "%lld plans", (long long)(misses() - before));
}

/* Attributes, types, wiring and roots are part of the signature. */
TEST(plan, structure_is_part_of_the_signature) {
    ct_tensor *x = leaf(CT_SHAPE(4, 4)), *wide = ct_detach(ct_cast(x, CT_F64));
    EXPECT(planned(ct_sum(ct_exp(x), CT_AXES(0))));
    EXPECT(planned(ct_sum(ct_exp(x), CT_AXES(1))));
    EXPECT(planned(ct_sum(ct_exp(wide), CT_AXES(0))));
    EXPECT(planned(ct_sum(ct_exp(leaf(CT_SHAPE(4, 5))), CT_AXES(0))));
    EXPECT(planned(ct_sin(ct_slice(x, 0, 0, 2, 1))));
    EXPECT(planned(ct_sin(ct_slice(x, 0, 1, 3, 1))));
    EXPECT(planned(ct_sin(ct_slice(x, 1, 1, 3, 1))));
    EXPECT(planned(ct_sin(ct_flip(x, CT_AXES(0)))));
    EXPECT(planned(ct_sin(ct_flip(x, CT_AXES(1)))));
    EXPECT(planned(ct_pad(x, 0, 1, 2, 0)));
    EXPECT(planned(ct_pad(x, 0, 2, 1, 0)));
    EXPECT(!planned(ct_pad(x, 0, 1, 2, 0)));
    EXPECT(!planned(ct_sum(ct_exp(x), CT_AXES(-2))));
}

/* An attribute with padding between its fields. */
typedef struct {
    char sign;
    double factor;
} scaling;

static void tile_scaled(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    const scaling *s = tile->attr;
    double factor = s->sign == '-' ? -s->factor : s->factor;
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = (float)factor * ((const float *)x[0])[i];
}

static void copy_scaling(void *to, const void *attr) {
    ((scaling *)to)->sign = ((const scaling *)attr)->sign;
    ((scaling *)to)->factor = ((const scaling *)attr)->factor;
}

static const ct_op scaled = {.name = "scaled",
                             .kind = CT_MAP,
                             .n_inputs = 1,
                             .infer = ct_infer_float,
                             .tile = {[CT_F32] = tile_scaled},
                             .copy = copy_scaling};

TEST(plan, an_attribute_that_is_copied_by_fields_has_no_padding) {
    ct_tensor *x = leaf(CT_SHAPE(3));
    for (int k = 0; k < 3; k++) {
        scaling s;
        memset(&s, k, sizeof s);
        s.sign = '-';
        s.factor = 2;
        ct_tensor *y = ct_sum_all(ct_node(&scaled, &x, 1, &s, sizeof s));
        EXPECT(planned(y) == (k == 0));
        EXPECT(ct_item(y) == -2);
    }
}

/* --- A kernel of the user's own: the sum of squares, by chunks and then of these -------------- */

typedef struct {
    int64_t n, chunks, chunk;
} chunking;

static int64_t preparations;

static void prepare_squares(const ct_call *call, ct_prepared *p) {
    chunking *c = p->state;
    preparations++;
    EXPECT(c->n == 0 && p->parts[0] == 1 && p->parts[1] == 1 && !call->in[0].data);
    c->n = ct_shape_numel(call->in[0].shape);
    c->chunk = 1000;
    c->chunks = (c->n + c->chunk - 1) / c->chunk;
    p->parts[0] = c->chunks;
    p->workspace = sizeof(double) * (size_t)c->chunks;
}

static void sum_chunk(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const chunking *c = call->state;
    double sum = 0;
    for (int64_t i = part * c->chunk; i < c->n && i < (part + 1) * c->chunk; i++) {
        sum += ((const double *)call->in[0].data)[i] * ((const double *)call->in[0].data)[i];
    }
    ((double *)call->workspace)[part] = sum;
}

static void sum_chunks(const ct_call *call, int64_t part, void *scratch) {
    (void)part, (void)scratch;
    const chunking *c = call->state;
    double *y = call->out.data;
    *y = 0;
    for (int64_t k = 0; k < c->chunks; k++) *y += ((const double *)call->workspace)[k];
}

static ct_status infer_squares(const ct_infer *call, ct_type *out) {
    *out = (ct_type){call->in[0].dtype, CT_SCALAR};
    return CT_OK;
}

static const ct_kernel squares_kernel = {
    .state = sizeof(chunking), .prepare = prepare_squares, .run = {sum_chunk, sum_chunks}};
static const ct_op squares = {.name = "squares",
                              .kind = CT_KERNEL,
                              .n_inputs = 1,
                              .infer = infer_squares,
                              .kernel = &squares_kernel};

TEST(plan, a_kernel_is_prepared_once_for_a_plan) {
    int64_t n = 12345, before = preparations;
    for (int k = 1; k < 4; k++) {
        ct_tensor *x = ct_full(CT_F64, CT_SHAPE(n), k);
        ct_tensor *y = ct_node(&squares, &x, 1, NULL, 0);
        EXPECT(ct_item(y) == (double)(n * k * k), "%g", ct_item(y));
        EXPECT(preparations == before + 1);
    }
    ct_tensor *none = ct_full(CT_F64, CT_SHAPE(0), 0);
    EXPECT(ct_item(ct_node(&squares, &none, 1, NULL, 0)) == 0);
}

/* Reads another sum while it is computed. */
static void read_another(const ct_call *call, int64_t part, void *scratch) {
    (void)part, (void)scratch;
    *(float *)call->out.data = (float)ct_item(ct_sum_all(ct_square(leaf(CT_SHAPE(3)))));
}

static const ct_kernel reads_kernel = {.run = {read_another}};
static const ct_op reads = {.name = "reads",
                            .kind = CT_KERNEL,
                            .n_inputs = 1,
                            .infer = infer_squares,
                            .kernel = &reads_kernel};

TEST(plan, an_op_that_evaluates_while_it_is_computed_is_told) {
    ct_tensor *x = leaf(CT_SHAPE(6)), *y = ct_sum_all(ct_square(x)),
              *z = ct_node(&reads, &x, 1, NULL, 0);
    EXPECT(isnan(ct_item(z)));
    EXPECT(ct_error() == CT_ERR_STATE && strstr(ct_error_message(), "ct_item: called by an op"),
           "%s", ct_error_message());
    ct_error_clear();
    EXPECT(ct_item(y) > 0);
}

TEST(plan, roots_are_part_of_the_signature) {
    ct_tensor *x = leaf(CT_SHAPE(6));
    for (int k = 0; k < 3; k++) {
        ct_tensor *a = ct_sin(x), *b = ct_cos(a);
        ct_tensor *both[] = {a, b}, *turned[] = {b, a}, *one[] = {b};
        int64_t before = misses();
        EXPECT(ct_eval(k == 0 ? both : k == 1 ? turned : one, k < 2 ? 2 : 1) == CT_OK);
        EXPECT(misses() == before + 1);
        EXPECT(near(element(b, 5), cos(sin(5.0 / 6.0)), 1e-6, 0));
    }
}

TEST(plan, an_evaluated_node_is_a_leaf) {
    ct_tensor *x = leaf(CT_SHAPE(6)), *a = ct_exp(x);
    EXPECT(planned(a));
    ct_tensor *b = ct_sqrt(a);
    EXPECT(planned(b));
    ct_tensor *c = ct_sqrt(ct_exp(x));
    EXPECT(planned(c));
    EXPECT(same_bits(b, c));
    EXPECT(!planned(ct_sqrt(leaf(CT_SHAPE(6)))));
}

TEST(plan, reading_again_runs_nothing) {
    ct_tensor *x = ct_exp(leaf(CT_SHAPE(6)));
    ct_data(x);
    int64_t before = ct_stats_read().evaluations;
    ct_data(x);
    ct_tensor *roots[] = {x, x};
    EXPECT(ct_eval(roots, 2) == CT_OK && ct_eval(NULL, 0) == CT_OK);
    EXPECT(ct_stats_read().evaluations == before);
}

TEST(plan, the_number_of_threads_is_not_part_of_it) {
    ct_tensor *x = leaf(CT_SHAPE(100, 300)), *first = ct_sum(ct_exp(x), CT_AXES(1));
    int before = ct_threads();
    EXPECT(planned(first));
    for (int threads = 1; threads <= 3; threads++) {
        ct_threads_set(threads);
        ct_tensor *y = ct_sum(ct_exp(x), CT_AXES(1));
        EXPECT(!planned(y) && same_bits(y, first));
    }
    ct_threads_set(before);
}

static ct_tensor *of_size(int64_t n) {
    return ct_sum_all(ct_exp(ct_full(CT_F32, CT_SHAPE(1000 + n), 0.0)));
}

/* Old plans go: memory does not grow with the number of different graphs. */
TEST(plan, the_cache_is_bounded) {
    int64_t scope = ct_scope_open(), after_100 = 0;
    for (int64_t n = 0; n < 500; n++) {
        EXPECT(planned(of_size(n)));
        ct_scope_close(scope);
        if (n == 100) after_100 = ct_mem_read().live_bytes;
    }
    EXPECT(ct_mem_read().live_bytes <= after_100 + 8192, "%lld bytes more",
           (long long)(ct_mem_read().live_bytes - after_100));
    int64_t before = hits();
    EXPECT(!planned(of_size(499)) && !planned(of_size(460)) && planned(of_size(0)));
    EXPECT(hits() == before + 2);
}

TEST(plan, a_cleared_cache_plans_anew_and_gives_the_same) {
    ct_tensor *a = ct_softmax(leaf(CT_SHAPE(7, 9)), 1);
    EXPECT(planned(a));
    ct_cache_clear();
    ct_tensor *b = ct_softmax(leaf(CT_SHAPE(7, 9)), 1);
    EXPECT(planned(b) && same_bits(a, b));
}

/* --- Passes ----------------------------------------------------------------------------------- */

TEST(plan, statistics_add_up) {
    ct_tensor *x = leaf(CT_SHAPE(40, 40));
    ct_stats_reset();
    EXPECT(passes(ct_sqrt(ct_exp(x))) == 1);
    EXPECT(passes(ct_matmul(x, x)) == 1 && ct_plan_last().kernels == 1);
    ct_stats stats = ct_stats_read();
    EXPECT(stats.evaluations == 2 && stats.plan_misses == 2 && stats.plan_hits == 0);
    EXPECT(stats.nodes == 3 + 2 && stats.passes == 2);
    EXPECT(stats.bytes == 2 * 40 * 40 * 4 + 3 * 40 * 40 * 4);
}

TEST(plan, a_chain_of_elementwise_ops_is_one_pass) {
    ct_tensor *x = leaf(CT_SHAPE(30, 50)), *row = leaf(CT_SHAPE(50)), *y = x;
    ct_tensor *column = leaf(CT_SHAPE(30, 1));
    for (int k = 0; k < 7; k++) y = ct_tanh(ct_scale(ct_mul(ct_add(y, row), column), 0.5));
    EXPECT(passes(y) == 1);
    EXPECT(ct_plan_last().arena_bytes == 0);
    EXPECT(passes(ct_sum_all(ct_square(ct_sub(x, row)))) == 1);
}

TEST(plan, sibling_reductions_share_a_pass) {
    ct_tensor *x = leaf(CT_SHAPE(30, 50));
    ct_tensor *roots[] = {ct_sum(x, CT_AXES(0)), ct_sum(ct_square(x), CT_AXES(0)),
                          ct_max(ct_sin(x), CT_AXES(0))};
    EXPECT(passes_of(roots, 3) == 1);
}

/* The mean has to be there first; the sum of y is formed where y is multiplied, and read once. */
TEST(plan, a_sum_waits_for_the_pass_that_reads_its_operand_anyway) {
    ct_tensor *x = leaf(CT_SHAPE(300, 50)), *y = ct_detach(ct_cos(x));
    ct_tensor *centred = ct_sub(x, ct_broadcast(ct_mean(x, CT_AXES(0)), CT_SHAPE(300, 50)));
    ct_tensor *roots[] = {ct_sum(y, CT_AXES(0)), ct_sum(ct_mul(y, centred), CT_AXES(0))};
    ct_stats_reset();
    EXPECT(ct_eval(roots, 2) == CT_OK);
    EXPECT(ct_stats_read().bytes < 3.2 * 300 * 50 * 4, "%g bytes", ct_stats_read().bytes);
    EXPECT(same_bits(roots[0], ct_sum(y, CT_AXES(0))));
}

/* The product is not stored when its sum alone is asked for, and it is when it is a root. */
TEST(plan, a_sum_of_products_has_the_bits_of_one_op_after_the_other) {
    const ct_shape shapes[] = {CT_SHAPE(700, 64), CT_SHAPE(91, 71), CT_SHAPE(33, 3),
                               CT_SHAPE(3000, 1), CT_SHAPE(5, 700), CT_SHAPE(0, 4)};
    const ct_dtype dtypes[] = {CT_F32, CT_F64};
    for (size_t k = 0; k < 2 * sizeof shapes / sizeof *shapes; k++) {
        ct_tensor *x = ct_detach(
            ct_cast(ct_sin(ct_scale(ramp(shapes[k / 2]), 1e3)), dtypes[k % 2]));
        ct_tensor *y = ct_detach(ct_cos(x)), *product = ct_mul(x, y);
        ct_tensor *fused = ct_sum(ct_mul(x, y), CT_AXES(0)), *sum = ct_sum(product, CT_AXES(0));
        EXPECT(ct_eval(&fused, 1) == CT_OK && ct_eval(&product, 1) == CT_OK);
        EXPECT(ct_eval(&sum, 1) == CT_OK);
        size_t bytes = (size_t)ct_numel(sum) * ct_dtype_size(dtypes[k % 2]);
        EXPECT(memcmp(ct_data(fused), ct_data(sum), bytes) == 0, "shape %zu", k / 2);
    }
}

TEST(plan, views_cost_no_pass) {
    ct_tensor *x = leaf(CT_SHAPE(30, 50));
    ct_tensor *y = ct_transpose(ct_slice(ct_flip(x, CT_AXES(1)), 0, 3, CT_END, 2));
    EXPECT(passes(ct_sum_all(ct_exp(y))) == 1);
    EXPECT(passes(ct_reshape(x, CT_SHAPE(1500))) == 0);
    EXPECT(passes(ct_stop_gradient(ct_reshape(x, CT_SHAPE(2, 750)))) == 0);
    EXPECT(passes(y) == 1); /* as a root it is copied out of what is larger */
    EXPECT(passes(ct_matmul(ct_transpose(x), x)) == 1);
    EXPECT(passes(ct_reshape(ct_exp(x), CT_SHAPE(1500))) == 1);
}

/* A transposed operand is copied where many kernels read it; few read it where it lies. */
TEST(plan, what_many_kernels_read_transposed_is_copied_once) {
    enum { MANY = 4 };
    ct_tensor *w = leaf(CT_SHAPE(5, 7)), *turned = ct_transpose(w);
    ct_tensor *whole = ct_detach(ct_transpose(w));
    for (int n = 1; n <= MANY; n++) {
        ct_tensor *y[MANY], *same[MANY];
        for (int i = 0; i < n; i++) {
            ct_tensor *x = leaf(CT_SHAPE(i + 1, 7));
            y[i] = ct_matmul(x, turned);
            same[i] = ct_matmul(x, whole);
        }
        EXPECT(passes_of(y, n) == n + (n == MANY), "%d: %lld", n, (long long)ct_plan_last().passes);
        EXPECT(passes_of(same, n) == n);
        for (int i = 0; i < n; i++) EXPECT(same_bits(y[i], same[i]));
    }
}

TEST(plan, one_row_of_a_large_tensor_does_not_keep_it) {
    int64_t before = ct_mem_read().live_bytes, scope = ct_scope_open();
    ct_tensor *row = ct_slice(ct_exp(leaf(CT_SHAPE(1000, 100))), 0, 3, 4, 1);
    EXPECT(ct_data(row));
    ct_tensor *kept = ct_keep(ct_detach(row));
    ct_scope_close(scope);
    ct_cache_clear();
    EXPECT(ct_mem_read().live_bytes - before < 4096);
    ct_drop(kept);
}

TEST(plan, passes_of_softmax) {
    ct_tensor *x = leaf(CT_SHAPE(64, 10));
    int64_t n = passes(ct_softmax(x, 1));
    printf("softmax: %lld passes\n", (long long)n);
    EXPECT(n <= 3);
}

/* Forward: sum, centred squares, normalize; and two over the channels alone between them. */
TEST(plan, passes_of_batch_norm) {
    ct_tensor *x = leaf(CT_SHAPE(200, 32)), *gamma = leaf(CT_SHAPE(32)), *beta = leaf(CT_SHAPE(32));
    ct_tensor *w = leaf(CT_SHAPE(200, 32)), *in[] = {x, gamma, beta}, *out[3];
    ct_tensor *y = ct_batch_norm(x, gamma, beta, 1, 1e-3, NULL, NULL);
    int64_t forward = passes(ct_batch_norm(x, gamma, beta, 1, 1e-3, NULL, NULL));
    EXPECT(ct_vjp(y, w, in, 3, out) == CT_OK);
    ct_tensor *roots[] = {y, out[0], out[1], out[2]};
    int64_t both = passes_of(roots, 4);
    printf("batch norm: %lld passes forward, %lld forward and backward\n", (long long)forward,
           (long long)both);
    EXPECT(forward <= 5 && both <= 5 && ct_plan_last().kernels == 0);
}

/* --- Schedule --------------------------------------------------------------------------------- */

/* Bands of the large image that lie under no window need nothing of what is chained before. */
static ct_tensor *far_apart(int k, ct_tensor *y, ct_tensor *x, ct_tensor *w) {
    ct_pool2d_spec spec = {.window = {1, 1}, .stride = {8, 1}};
    if (k == 0) return ct_max_pool2d_scatter(y, x, spec);
    if (k == 1) return ct_avg_pool2d_spread(y, 64, 512, spec);
    return ct_conv2d_input(y, w, 64, 512, (ct_conv2d_spec){.stride = {8, 1}});
}

TEST(plan, parts_that_wait_for_nothing_run_too) {
    ct_tensor *x = leaf(CT_SHAPE(1, 64, 512, 64)), *w = leaf(CT_SHAPE(1, 1, 64, 64));
    ct_tensor *y = leaf(CT_SHAPE(1, 8, 512, 64)), *exp_y = ct_detach(ct_exp(y));
    for (int k = 0; k < 3; k++) {
        ct_tensor *alone = ct_detach(far_apart(k, exp_y, x, w));
        /* The five tells what was not computed from memory that happens to be zero. */
        ct_tensor *chained = ct_offset(far_apart(k, ct_exp(y), x, w), 5);
        EXPECT(same_bits(chained, ct_offset(alone, 5)), "op %d", k);
    }
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Each step needs the one before it alone, so two buffers do for all of them. */
TEST(plan, buffers_are_used_again) {
    ct_tensor *x = leaf(CT_SHAPE(64, 64)), *y = x;
    for (int k = 0; k < 30; k++) y = ct_matmul(y, x);
    ct_tensor *z = ct_sum_all(y);
    EXPECT(passes(z) == 31);
    int64_t one = 64 * 64 * 4;
    EXPECT(ct_plan_last().arena_bytes <= 3 * one, "%lld bytes, one value has %lld",
           (long long)ct_plan_last().arena_bytes, (long long)one);
    EXPECT(ct_plan_last().needed_bytes == 2 * one);
}

TEST(plan, a_root_shares_memory_with_nothing) {
    ct_tensor *x = leaf(CT_SHAPE(64, 64)), *y = x, *roots[10];
    for (int k = 0; k < 10; k++) y = roots[k] = ct_matmul(y, x);
    EXPECT(ct_eval(roots, 10) == CT_OK && ct_plan_last().arena_bytes == 0);
    y = x;
    for (int k = 0; k < 10; k++) {
        y = ct_matmul(y, x);
        EXPECT(same_bits(y, roots[k]));
    }
}
