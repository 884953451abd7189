/* Out of memory at every allocation of a training step: a clean error, nothing lost, nothing
 * changed, and the next step as if it had never happened.
 * It does not reach the allocations of BLIS, which are not cotan's.
 * Invariant: the slots are compared with what they held, bit by bit, after every failure. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "tensor/mem.h"
#include "tensor/random.h"
#include "tensor/runtime.h"

#define SLOTS 5

typedef struct {
    ct_slot *slots[SLOTS]; /* kernel, weights, gamma, and two running statistics */
    ct_tensor *before[SLOTS], *after[SLOTS];
    ct_generator *generator;
    bool recorded; /* `after` holds what an undisturbed step gives */
} training;

static ct_tensor *image(int64_t n) {
    ct_tensor *x = ct_arange(CT_F32, 0, (double)(n * 6 * 6 * 2), 1);
    return ct_reshape(ct_sin(x), CT_SHAPE(n, 6, 6, 2));
}

/* Many kinds of op on the way, in a module of its own. */
static ct_tensor *forward(training *t, ct_tensor *x) {
    if (ct_path_push("model") != CT_OK) return NULL;
    ct_tensor *mean, *variance, *w[SLOTS];
    for (int i = 0; i < SLOTS; i++) w[i] = ct_slot_read(t->slots[i]);
    ct_tensor *y = ct_conv2d(x, w[0], (ct_conv2d_spec){.pad = {1, 1, 1, 1}});
    y = ct_max_pool2d(ct_relu(y), (ct_pool2d_spec){0});
    y = ct_batch_norm(y, w[2], w[2], 3, 1e-3, &mean, &variance);
    if (y) y = ct_stage(y, t->slots[3], 0.9, ct_scale(mean, 0.1));
    if (y) y = ct_stage(y, t->slots[4], 0.9, ct_scale(variance, 0.1));
    y = ct_name(y, "features");
    ct_tensor *noise = ct_random_uniform(ct_generator_draw(t->generator), CT_F32, ct_shape_of(y));
    ct_tensor *large = ct_greater(noise, ct_scalar(CT_F32, 0.2));
    y = ct_mul(y, ct_where(large, ct_offset(noise, 1.0), noise));
    y = y ? ct_matmul(ct_reshape(y, CT_SHAPE(ct_dim(y, 0), -1)), w[1]) : NULL;
    ct_path_pop();
    return y;
}

static ct_tensor *loss_of(ct_tensor *y) {
    ct_tensor *labels = ct_from(CT_I64, CT_SHAPE(4), (int64_t[]){0, 2, 1, 2});
    ct_tensor *hot = ct_one_hot(labels, 3, CT_F32);
    ct_tensor *cross = ct_neg(ct_mean_all(ct_sum(ct_mul(ct_log_softmax(y, 1), hot), CT_AXES(1))));
    ct_tensor *rows = ct_scatter_add(ct_take(y, labels), labels, 4);
    ct_tensor *tall = ct_pad(y, 0, 1, 1, 1), *turned = ct_flip(ct_slice(y, 0, 0, 3, 2), CT_AXES(0));
    ct_tensor *other = CT_CONCAT(0, rows, tall, turned);
    return ct_add(cross, ct_cast(ct_max(ct_cast(other, CT_F64), CT_ALL), CT_F32));
}

static ct_status step(training *t) {
    ct_tensor *parameters[3], *gradients[3], *curvature[3];
    ct_tensor *loss = loss_of(forward(t, image(4)));
    if (!loss) return ct_error();
    for (int i = 0; i < 3; i++) parameters[i] = ct_slot_read(t->slots[i]);
    ct_status status = ct_grad(loss, parameters, 3, gradients);
    if (status == CT_OK) status = ct_hvp(loss, parameters, gradients, 3, curvature);
    if (status != CT_OK) return status;
    ct_update updates[3];
    for (int i = 0; i < 3; i++) {
        ct_tensor *move = ct_add(gradients[i], ct_scale(curvature[i], 0.01));
        updates[i] = (ct_update){t->slots[i], ct_sub(parameters[i], ct_scale(move, 0.1))};
    }
    return ct_commit(&loss, 1, updates, 3);
}

/* --- The scenario ----------------------------------------------------------------------------- */

static bool slots_hold(training *t, ct_tensor *const expected[]) {
    bool same = true;
    for (int i = 0; i < SLOTS; i++) same &= same_bits(ct_slot_read(t->slots[i]), expected[i]);
    return same;
}

static void restore(training *t) {
    for (int i = 0; i < SLOTS; i++) {
        EXPECT(ct_slot_write(t->slots[i], t->before[i]) == CT_OK, "%s", ct_error_message());
    }
    ct_generator_restore(t->generator, 5, 0);
}

static ct_status run_step(void *state) {
    training *t = state;
    ct_status status = step(t);
    ct_mem_fail_at(0, false);
    ct_status recorded = ct_error();
    if (status != CT_OK) {
        EXPECT(slots_hold(t, t->before), "a failed step changed a slot");
        ct_generator_restore(t->generator, 5, 0);
        return recorded;
    }
    if (!t->recorded) {
        for (int i = 0; i < SLOTS; i++) t->after[i] = ct_keep(ct_slot_read(t->slots[i]));
        t->recorded = true;
    }
    EXPECT(slots_hold(t, t->after), "a step gave other bits");
    restore(t);
    return CT_OK;
}

static void check_next(void *state, bool failed) {
    if (!failed) return;
    EXPECT(run_step(state) == CT_OK, "%s", ct_error_message());
}

TEST(oom, a_training_step_at_every_allocation) {
    training t = {.generator = ct_generator_new(5)};
    static const char *const names[SLOTS] = {"kernel", "weights", "gamma", "mean", "variance"};
    const ct_shape shapes[SLOTS] = {CT_SHAPE(3, 3, 2, 4), CT_SHAPE(36, 3), CT_SHAPE(4), CT_SHAPE(4),
                                    CT_SHAPE(4)};
    for (int i = 0; i < SLOTS; i++) {
        ct_tensor *ramp = ct_arange(CT_F32, 0, (double)ct_shape_numel(shapes[i]), 1);
        t.slots[i] = ct_slot_new(names[i], ct_reshape(ct_cos(ramp), shapes[i]));
        t.before[i] = ct_keep(ct_slot_read(t.slots[i]));
    }
    int threads = ct_threads();
    ct_threads_set(1);
    int64_t count = oom_sweep("a training step", run_step, check_next, &t);
    EXPECT(count > 500, "%lld", (long long)count);
    ct_threads_set(threads);
    for (int i = 0; i < SLOTS; i++) {
        ct_slot_drop(t.slots[i]);
        ct_drop(t.before[i]);
        ct_drop(t.after[i]);
    }
    ct_generator_free(t.generator);
}

/* --- What owns memory besides tensors --------------------------------------------------------- */

static ct_status make_and_free(void *state) {
    (void)state;
    ct_generator *generator = ct_generator_new(1);
    ct_slot *slot = ct_slot_new("a slot", ct_full(CT_F32, CT_SHAPE(3), 1.0));
    ct_tensor *kept = ct_keep(ct_random_permutation(generator, 9));
    ct_status status = ct_path_push("outer");
    if (status == CT_OK) {
        ct_name(ct_eye(CT_F64, 3), "identity");
        if (ct_path_push("inner") == CT_OK) ct_path_pop();
        ct_path_pop();
    }
    ct_tensor *y = ct_mul(ct_slot_read(slot), ct_scalar(CT_F32, 2.0));
    if (y && ct_slot_write(slot, y) == CT_OK) ct_detach(y);
    ct_drop(kept);
    ct_slot_drop(slot);
    ct_generator_free(generator);
    return ct_error();
}

static void check_nothing(void *state, bool failed) { (void)state, (void)failed; }

TEST(oom, slots_names_and_generators) {
    oom_sweep("slots, names and generators", make_and_free, check_nothing, NULL);
}

/* A graph refused at its first allocation by a hook that knows no memory at all. */
TEST(oom, nothing_works_without_memory) {
    ct_mem_fail_at(1, true);
    EXPECT(!ct_full(CT_F32, CT_SHAPE(2), 0.0) && !ct_generator_new(1) && !ct_exp(NULL));
    ct_mem_fail_at(0, false);
    ct_status status;
    const char *text = taken_error(&status);
    EXPECT(status == CT_ERR_MEMORY, "%s", text);
}

TEST(oom, no_scale_takes_more_than_every_allocation) {
    int64_t scale = support_scaled(100);
    static const int64_t scales[] = {1, 30, 100, 101, 1000}, strides[] = {100, 3, 1, 1, 1};
    for (int k = 0; k < 5; k++) {
        support_scale_set(scales[k]);
        EXPECT(support_stride() == strides[k], "%lld, not %lld, of scale %lld",
               (long long)support_stride(), (long long)strides[k], (long long)scales[k]);
    }
    support_scale_set(scale);
}
