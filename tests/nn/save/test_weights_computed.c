/* Weights that are computed in the forward, each a few lines on ct_functional_call: an inner step
 * of MAML, a hypernetwork, spectral norm, LoRA, a mask, weight norm. Derivatives flow through all
 * of it, and the slots that an optimizer moves are those that the weights are computed from. */
#include "tests/support/nn_support.h"

static const ct_functional_options plain = {0}, staged = {.staged = true};

/* The child with a kernel in place of what its first slot holds. */
static ct_tensor *with_kernel(ct_module *child, ct_tensor *x, ct_mode mode, ct_tensor *kernel) {
    ct_named_slot item = {.slot = child->slots[0].slot};
    return ct_functional_call(child, x, mode, &(ct_slot_list){&item, 1}, &kernel, staged);
}

static ct_module *around(const ct_module_kind *kind, ct_module *child) {
    ct_module *module = ct_module_new(sizeof *module, kind);
    OK(ct_module_add_children(module, &child, 1));
    return module;
}

static ct_module *dense(int64_t inputs, int64_t units) {
    return ct_dense_new(inputs, units, (ct_dense_options){.no_bias = true, .dtype = CT_F64});
}

static ct_tensor *rows(int64_t n, uint32_t salt) {
    return centred(CT_F64, CT_SHAPE(4, n), salt, 1, 0);
}

/* Steps of descent on the mean square to a target; the last loss. */
static double train(ct_module *model, ct_tensor *x, ct_tensor *target, int steps) {
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.2)});
    double last = 0;
    for (int i = 0; i < steps; i++) {
        ct_tensor *loss = ct_mse(ct_forward(model, x, CT_TRAINING), target);
        OK(ct_optimizer_step(sgd, loss, NULL, 0));
        last = ct_item(loss);
    }
    ct_optimizer_free(sgd);
    return last;
}

static double gap(ct_tensor *a, ct_tensor *b) {
    return ct_item(ct_max(ct_abs(ct_sub(a, b)), CT_ALL));
}

/* --- MAML: the loss after a step, by the weights before it (Finn et al., 2017) ---------------- */

/* With y = w x and the loss (y - t)^2, a step of rate a gives w' = w - 2 a x (w x - t), and the
 * loss of w' on another point has the derivative 2 x' (w' x' - t') (1 - 2 a x^2). */
TEST(weights_computed, an_inner_step_of_maml) {
    ct_module *model = dense(1, 1);
    ct_slot_list p;
    OK(ct_module_parameters(model, &p));
    ct_tensor *w = ct_full(CT_F64, CT_SHAPE(1, 1), 0.5), *g, *outer;
    ct_tensor *x[] = {ct_full(CT_F64, CT_SHAPE(1, 1), 2), ct_full(CT_F64, CT_SHAPE(1, 1), 3)};
    ct_tensor *t[] = {ct_full(CT_F64, CT_SHAPE(1, 1), 2), ct_full(CT_F64, CT_SHAPE(1, 1), 1)};
    ct_tensor *y = ct_functional_call(model, x[0], CT_TRAINING, &p, &w, plain);
    OK(ct_grad(ct_mse(y, t[0]), &w, 1, &g));
    ct_tensor *moved = ct_sub(w, ct_scale(g, 0.1));
    y = ct_functional_call(model, x[1], CT_TRAINING, &p, &moved, plain);
    OK(ct_grad(ct_mse(y, t[1]), &w, 1, &outer));
    EXPECT_NEAR(ct_item(moved), 0.5 - 0.1 * 2 * 2 * (1 - 2), 1e-15);
    EXPECT_NEAR(ct_item(outer), 2 * 3 * (0.9 * 3 - 1) * (1 - 2 * 0.1 * 4), 1e-14);
    ct_slot_list_free(&p);
    ct_module_free(model);
}

/* --- A network that makes the weights of another, from a code (Ha et al., 2016) --------------- */

typedef struct {
    ct_module base; /* children: what makes the kernel, and what has it */
    ct_tensor *code;
} hypernetwork;

static ct_tensor *hyper_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_module *maker = self->children[0], *made = self->children[1];
    ct_tensor *flat = ct_forward(maker, ((hypernetwork *)self)->code, mode);
    return with_kernel(made, x, mode, ct_reshape(flat, ct_shape_of(ct_module_read(made, 0))));
}

TEST(weights_computed, by_a_hypernetwork) {
    static const ct_module_kind kind = {.name = "Hypernetwork", .forward = hyper_forward};
    hypernetwork *h = (hypernetwork *)ct_module_new(sizeof *h, &kind);
    ct_module *maker = dense(2, 6), *made = dense(3, 2);
    OK(ct_module_add_children(&h->base, (ct_module *[]){maker, made}, 2));
    h->code = ct_from(CT_F64, CT_SHAPE(1, 2), (double[]){0.5, -1});
    ct_tensor *wanted = ct_reshape(ct_matmul(h->code, ct_module_read(maker, 0)), CT_SHAPE(3, 2));
    cr_expect(
        same_bits(ct_forward(&h->base, rows(3, 1), CT_TRAINING), ct_matmul(rows(3, 1), wanted)));
    ct_module_freeze(made, true); /* what its slots hold counts for nothing */
    uint64_t before = state_hash(made, NULL);
    ct_tensor *target = ct_matmul(rows(3, 1), centred(CT_F64, CT_SHAPE(3, 2), 2, 1, 0));
    double first = train(&h->base, rows(3, 1), target, 1);
    cr_expect_lt(train(&h->base, rows(3, 1), target, 200), 0.1 * first);
    cr_expect_eq(state_hash(made, NULL), before);
    ct_module_free(&h->base);
}

/* --- Spectral norm: a kernel over its largest singular value (Miyato et al., 2018) ------------ */

static ct_tensor *unit(ct_tensor *x) { return ct_div(x, ct_norm(x)); }

/* Slot 0 holds u, which a step of the power iteration makes better at each committed forward. */
static ct_tensor *spectral_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_tensor *w = ct_module_read(self->children[0], 0), *fixed = ct_stop_gradient(w);
    ct_tensor *v = unit(ct_matmul(fixed, ct_module_read(self, 0)));
    ct_tensor *u = unit(ct_matmul(v, fixed));
    ct_tensor *sigma = ct_sum_all(ct_mul(v, ct_matmul(w, u)));
    ct_tensor *y = with_kernel(self->children[0], x, mode, ct_div(w, sigma));
    return mode == CT_TRAINING ? ct_stage(y, self->slots[0].slot, 0, u) : y;
}

TEST(weights_computed, by_spectral_norm) {
    static const ct_module_kind kind = {.name = "SpectralNorm", .forward = spectral_forward};
    ct_module *child = dense(2, 2), *model = around(&kind, child);
    OK(ct_module_add_slot(model, "u", ct_from(CT_F64, CT_SHAPE(2), (double[]){0.6, 0.8}), false));
    OK(ct_slot_write(child->slots[0].slot,
                     ct_from(CT_F64, CT_SHAPE(2, 2), (double[]){0, 5, -2, 0})));
    for (int i = 0; i < 30; i++) {
        ct_tensor *y = ct_forward(model, rows(2, 1), CT_TRAINING);
        OK(ct_commit(&y, 1, NULL, 0));
    }
    ct_tensor *w = ct_forward(model, ct_eye(CT_F64, 2), CT_INFERENCE);
    cr_expect_lt(distance(w, (double[]){0, 1, -0.4, 0}), 1e-15);
    /* The length of the kernel does not matter, so the derivative along it is 0. */
    ct_tensor *kernel = ct_module_read(child, 0), *g;
    OK(ct_grad(ct_sum_all(ct_square(ct_forward(model, rows(2, 1), CT_INFERENCE))), &kernel, 1, &g));
    cr_expect_lt(fabs(ct_item(ct_sum_all(ct_mul(g, kernel)))), 1e-14);
    cr_expect_gt(ct_item(ct_norm(g)), 0.01);
    ct_module_free(model);
}

/* --- LoRA: a frozen kernel and a trained product of low rank (Hu et al., 2021) ---------------- */

static ct_tensor *lora_kernel(ct_module *self) {
    ct_tensor *product = ct_matmul(ct_module_read(self, 0), ct_module_read(self, 1));
    return ct_add(ct_module_read(self->children[0], 0), ct_scale(product, 2.0));
}

static ct_tensor *lora_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    return with_kernel(self->children[0], x, mode, lora_kernel(self));
}

TEST(weights_computed, by_lora) {
    static const ct_module_kind kind = {.name = "Lora", .forward = lora_forward};
    ct_module *child = dense(4, 3), *model = around(&kind, child);
    ct_module_freeze(child, true);
    OK(ct_module_add_slot(model, "a", centred(CT_F64, CT_SHAPE(4, 1), 1, 1, 0), true));
    OK(ct_module_add_slot(model, "b", ct_full(CT_F64, CT_SHAPE(1, 3), 0), true));
    ct_tensor *x = rows(4, 2), *before = ct_module_read(child, 0);
    cr_expect(same_bits(ct_forward(model, x, CT_TRAINING), ct_forward(child, x, CT_TRAINING)));
    ct_tensor *column = centred(CT_F64, CT_SHAPE(4, 1), 3, 1, 0);
    ct_tensor *shift = ct_mul(column, centred(CT_F64, CT_SHAPE(1, 3), 4, 1, 0)); /* of rank 1 */
    ct_tensor *target = ct_detach(ct_matmul(x, ct_add(before, shift)));
    cr_expect_lt(train(model, x, target, 400), 1e-6);
    cr_expect(same_bits(ct_module_read(child, 0), before));
    ct_tensor *tuned = ct_detach(ct_forward(model, x, CT_INFERENCE));
    OK(ct_slot_write(child->slots[0].slot, lora_kernel(model))); /* merged */
    cr_expect_lt(gap(ct_forward(child, x, CT_INFERENCE), tuned), 1e-15);
    ct_module_free(model);
}

/* --- A mask: weights that stay 0, as after pruning -------------------------------------------- */

static ct_tensor *masked_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_module *child = self->children[0];
    return with_kernel(child, x, mode, ct_mul(ct_module_read(child, 0), ct_module_read(self, 0)));
}

TEST(weights_computed, by_a_mask) {
    static const ct_module_kind kind = {.name = "Masked", .forward = masked_forward};
    ct_module *child = dense(4, 3), *model = around(&kind, child);
    ct_tensor *before = ct_module_read(child, 0);
    ct_tensor *mask = ct_greater(ct_abs(before), ct_mean_all(ct_abs(before)));
    OK(ct_module_add_slot(model, "mask", mask, false));
    double first = train(model, rows(4, 2), rows(3, 3), 1), last;
    last = train(model, rows(4, 2), rows(3, 3), 100);
    cr_expect_lt(last, 0.9 * first);
    for (int64_t i = 0; i < 12; i++) {
        bool moved = element(ct_module_read(child, 0), i) != element(before, i);
        cr_expect_eq(moved, element(mask, i) != 0, "%lld", (long long)i);
    }
    ct_tensor *y = ct_forward(model, rows(4, 2), CT_INFERENCE);
    ct_tensor *sparse = ct_mul(ct_module_read(child, 0), mask);
    cr_expect(same_bits(y, ct_matmul(rows(4, 2), sparse)));
    ct_module_free(model);
}

/* --- Weight norm, the layer ------------------------------------------------------------------- */

TEST(weights_computed, by_weight_norm) {
    ct_module *child = dense(4, 3), *model;
    ct_tensor *x = rows(4, 2), *wanted = ct_detach(ct_forward(child, x, CT_TRAINING));
    model = ct_weight_norm_new(child);
    MADE(model);
    cr_expect_lt(gap(ct_forward(model, x, CT_TRAINING), wanted), 1e-15);
    /* The length of v does not matter, g is that of the kernel. */
    OK(ct_slot_write(child->slots[0].slot, ct_scale(ct_module_read(child, 0), 3.0)));
    OK(ct_slot_write(slot_at(model, "g"), ct_scale(read_slot(model, "g"), 2.0)));
    cr_expect_lt(gap(ct_forward(model, x, CT_TRAINING), ct_scale(wanted, 2.0)), 1e-15);
    ct_module_free(model);
}

/* A kernel, statistics that are staged, and a softmax that logits leave out. */
static ct_tensor *staging_logits(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    ct_tensor *y = ct_matmul(x, ct_module_read(self, 0));
    return ct_stage(y, self->slots[1].slot, 0, ct_mean(y, CT_AXES(0)));
}

static ct_tensor *staging_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    return ct_softmax(staging_logits(self, x, mode), -1);
}

TEST(weights_computed, weight_norm_keeps_logits_and_staged_updates) {
    static const ct_module_kind kind = {
        .name = "Staging", .forward = staging_forward, .logits = staging_logits};
    ct_module *child = ct_module_new(sizeof *child, &kind), *model;
    OK(ct_module_add_slot(child, "kernel", centred(CT_F64, CT_SHAPE(4, 3), 1, 1, 0), true));
    OK(ct_module_add_slot(child, "mean", ct_full(CT_F64, CT_SHAPE(3), 0), false));
    model = ct_weight_norm_new(child);
    MADE(model);
    ct_tensor *y = ct_logits(model, rows(4, 2), CT_TRAINING), *z;
    z = ct_forward(model, rows(4, 2), CT_TRAINING);
    cr_expect_lt(gap(z, ct_softmax(y, -1)), 1e-15);
    OK(ct_commit(&y, 1, NULL, 0));
    cr_expect_lt(gap(ct_module_read(child, 1), ct_mean(y, CT_AXES(0))), 1e-15);
    ct_module_free(model);
}
