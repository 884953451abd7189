/* Modules that stand in several places: one set of slots, listed, counted and freed once, trained
 * by all their uses together; and frozen ones that several threads run. Every test ends with the
 * memory it began with. */
#include "tests/support/nn_support.h"

#include "autograd/dot.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static ct_module *dense(void) { return ct_dense_new(2, 2, (ct_dense_options){.dtype = CT_F64}); }

static void expect_paths(ct_module *model, const char *const wanted[], int64_t n) {
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    cr_expect_eq(list.count, n, "%lld slots", (long long)list.count);
    for (int64_t i = 0; i < list.count && i < n; i++) {
        cr_expect_str_eq(list.items[i].path, wanted[i]);
    }
    ct_slot_list_free(&list);
}

/* --- Ownership and lists ---------------------------------------------------------------------- */

TEST(sharing, a_module_twice_in_one_container) {
    ct_module *d = dense(), *model = CT_SEQUENTIAL("m", d, d);
    MADE(model);
    cr_expect_str_eq(d->name, "dense");
    expect_paths(model, (const char *[]){"dense/kernel", "dense/bias"}, 2);
    ct_module_free(d); /* it is the container's */
    ct_tensor *x = centred(CT_F64, CT_SHAPE(3, 2), 1, 1, 0);
    ct_tensor *once = ct_add(ct_matmul(x, read_slot(model, "dense/kernel")),
                             read_slot(model, "dense/bias"));
    ct_tensor *twice = ct_add(ct_matmul(once, read_slot(model, "dense/kernel")),
                              read_slot(model, "dense/bias"));
    ct_tensor *gap = ct_sub(ct_forward(model, x, CT_TRAINING), twice);
    cr_expect_eq(ct_item(ct_max(ct_abs(gap), CT_ALL)), 0);
    ct_module_free(model);
}

TEST(sharing, a_module_in_several_containers) {
    ct_module *d = dense();
    ct_module *first = CT_SEQUENTIAL("first", ct_activation_new(&ct_activation_relu), d);
    ct_module *second = CT_SEQUENTIAL("second", d, dense());
    ct_module *model = ct_residual_new(first, second);
    ct_module *alone = CT_SEQUENTIAL("alone", second);
    cr_assert(model && alone, "%s", ct_error_message());
    expect_paths(model,
                 (const char *[]){"first/dense/kernel", "first/dense/bias", "second/dense_1/kernel",
                                  "second/dense_1/bias"},
                 4);
    expect_paths(alone,
                 (const char *[]){"second/dense/kernel", "second/dense/bias",
                                  "second/dense_1/kernel", "second/dense_1/bias"},
                 4);
    ct_module_free(model);
    expect_paths(alone,
                 (const char *[]){"second/dense/kernel", "second/dense/bias",
                                  "second/dense_1/kernel", "second/dense_1/bias"},
                 4);
    MADE(ct_forward(alone, centred(CT_F64, CT_SHAPE(3, 2), 1, 1, 0), CT_TRAINING));
    ct_module_free(alone);
}

TEST(sharing, a_shared_container_is_listed_once) {
    ct_module *block = CT_SEQUENTIAL("block", dense(), dense());
    ct_module *model = CT_SEQUENTIAL("m", block, ct_residual_new(block, NULL), block);
    MADE(model);
    expect_paths(model,
                 (const char *[]){"block/dense/kernel", "block/dense/bias", "block/dense_1/kernel",
                                  "block/dense_1/bias"},
                 4);
    ct_module_free(model);
}

/* --- Names ------------------------------------------------------------------------------------ */

/* A name in another container is a path there, so the other namesake gets the number. */
TEST(sharing, names_in_other_containers_stay) {
    ct_module *a = dense(), *b = dense();
    ct_module *first = CT_SEQUENTIAL("first", a);
    ct_module *second = CT_SEQUENTIAL("second", b, a);
    cr_expect_str_eq(a->name, "dense");
    cr_expect_str_eq(b->name, "dense_1");
    ct_module *third = CT_SEQUENTIAL("third", a, dense(), dense());
    cr_expect_str_eq(third->children[1]->name, "dense_1");
    cr_expect_str_eq(third->children[2]->name, "dense_2");
    ct_module *c = dense();
    ct_module *fourth = CT_SEQUENTIAL("fourth", c);
    cr_expect_str_eq(c->name, "dense");
    cr_expect_null(CT_SEQUENTIAL("both", a, c));
    expect_error(CT_ERR_STATE, "ct_sequential_new: two modules that stand in other containers "
                               "too are named 'dense'; rename one");
    OK(ct_module_rename(c, "other"));
    ct_module *both = CT_SEQUENTIAL("both", a, c);
    MADE(both);
    ct_module *all[] = {first, second, third, fourth, both};
    for (int i = 0; i < 5; i++) ct_module_free(all[i]);
}

/* --- Failures --------------------------------------------------------------------------------- */

TEST(sharing, a_failing_container_frees_what_stands_nowhere_else) {
    ct_module *d = dense();
    cr_expect_null(CT_SEQUENTIAL("m", d, d, NULL));
    expect_error(CT_ERR_NULL, "ct_sequential_new: child 2 is NULL");
    ct_module *kept = dense(), *model = CT_SEQUENTIAL("m", kept);
    cr_expect_null(CT_SEQUENTIAL("n", kept, NULL, kept, dense()));
    ct_error_clear();
    cr_expect_eq(ct_module_add_children(NULL, (ct_module *[]){kept, dense()}, 2), CT_ERR_NULL);
    ct_error_clear();
    expect_paths(model, (const char *[]){"dense/kernel", "dense/bias"}, 2);
    ct_module_free(model);
}

TEST(sharing, a_container_in_itself_is_an_error) {
    ct_module *inner = CT_SEQUENTIAL("inner", dense());
    cr_expect_eq(ct_module_add_children(inner, &inner, 1), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_module_add_children: 'inner' would contain itself, by child 0");
    ct_module *outer = CT_SEQUENTIAL("outer", CT_SEQUENTIAL("middle", inner));
    MADE(outer);
    ct_module *below[] = {dense(), outer};
    cr_expect_eq(ct_module_add_children(inner, below, 2), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_module_add_children: 'inner' would contain itself, by child 1");
    expect_paths(outer, (const char *[]){"middle/inner/dense/kernel", "middle/inner/dense/bias"},
                 2);
    ct_module_free(outer);
}

TEST(sharing, building_survives_every_failing_allocation) {
    int64_t failed = 0;
    for (int persistent = 0; persistent < 2; persistent++) {
        ct_status status = CT_ERR_MEMORY;
        for (int64_t k = 1; status != CT_OK; k++) {
            ct_mem_fail_at(k, persistent);
            ct_module *d = dense(), *pair = d ? CT_SEQUENTIAL("pair", d, d) : NULL;
            status = pair ? CT_OK : ct_error();
            ct_mem_fail_at(0, false);
            failed += status != CT_OK;
            ct_module_free(pair);
            ct_error_clear();
            cr_assert_eq(live_now(), live_before(), "allocation %lld", (long long)k);
        }
    }
    cr_expect_gt(failed, 20);
}

/* --- Training --------------------------------------------------------------------------------- */

/* y = w (w x), and d (y - t)^2 / dw = 2 (y - t) 2 w x: of both uses together. */
TEST(sharing, all_uses_train_one_set_of_parameters) {
    ct_dense_options options = {.no_bias = true, .dtype = CT_F64, .kernel = ct_init_constant(0.5)};
    ct_module *d = ct_dense_new(1, 1, options), *model = CT_SEQUENTIAL("m", d, d);
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
    MADE(sgd);
    double w = 0.5, x = 2, target = 6;
    for (int step = 0; step < 5; step++) {
        ct_tensor *in = ct_full(CT_F64, CT_SHAPE(1, 1), x);
        ct_tensor *t = ct_full(CT_F64, CT_SHAPE(1, 1), target);
        OK(ct_optimizer_step(sgd, ct_mse(ct_forward(model, in, CT_TRAINING), t), NULL, 0));
        w -= 0.1 * 2 * (w * w * x - target) * 2 * w * x;
        EXPECT_NEAR(ct_item(read_slot(model, "dense/kernel")), w, 1e-12);
    }
    ct_slot_list list;
    OK(ct_optimizer_list(sgd, &list));
    cr_expect_eq(list.count, 1);
    ct_slot_list_free(&list);
    ct_module_freeze(model->children[1], true);
    ct_tensor *in = ct_full(CT_F64, CT_SHAPE(1, 1), x);
    cr_expect_eq(ct_optimizer_step(sgd, ct_sum_all(ct_forward(model, in, CT_TRAINING)), NULL, 0),
                 CT_ERR_STATE);
    ct_error_clear();
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* Two forwards of one BatchNorm move its statistics one after the other. */
TEST(sharing, a_shared_batch_norm_moves_once_per_use) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.dtype = CT_F64;
    options.momentum = 0.5;
    ct_module *bn = ct_batch_norm_new(1, options), *model = CT_SEQUENTIAL("m", bn, bn);
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2, 1), (double[]){3, 5});
    ct_tensor *y = ct_forward(model, x, CT_TRAINING);
    OK(ct_commit(&y, 1, NULL, 0));
    EXPECT_NEAR(ct_item(read_slot(model, "batch_norm/moving_mean")), 0.5 * (0.5 * 4), 1e-14);
    ct_module_free(model);
}

TEST(sharing, weights_are_saved_once) {
    char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-sharing-%ld.safetensors", base ? base : "/tmp",
             (long)getpid());
    ct_module *d = dense(), *model = CT_SEQUENTIAL("m", d, d);
    uint64_t before = state_hash(model, NULL);
    OK(ct_weights_save(model, path));
    OK(ct_slot_write(slot_at(model, "dense/kernel"), ct_full(CT_F64, CT_SHAPE(2, 2), 0)));
    OK(ct_weights_load(model, path));
    cr_expect_eq(state_hash(model, NULL), before);
    unlink(path);
    ct_module_free(model);
}

/* --- Looking ---------------------------------------------------------------------------------- */

TEST(sharing, summary_counts_shared_parameters_once) {
    ct_module *d = dense();
    ct_module *model = CT_SEQUENTIAL("m", d, ct_activation_new(&ct_activation_relu), d,
                                     ct_residual_new(CT_SEQUENTIAL("both", d, dense()), NULL));
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_summary(out, model, (ct_show_options){.input = CT_SHAPE(1, 2)}));
    OK(ct_model_plot(out, model, (ct_show_options){.input = CT_SHAPE(1, 2)}));
    fclose(out);
    const char *rows = "dense (Dense)                (None, 2)                 6\n"
                       "activation (relu)            (None, 2)                 0\n"
                       "dense (Dense)                (None, 2)                 0 (shared)\n"
                       "residual (Residual)          (None, 2)                 6 (shared)\n";
    cr_expect_not_null(strstr(text, rows), "%s", text);
    cr_expect_not_null(strstr(text, "Total params: 12\nTrainable params: 12\n"), "%s", text);
    for (int box = 0; box < 5; box++) {
        char id[16];
        snprintf(id, sizeof id, "n%d [", box);
        cr_expect_not_null(strstr(text, id), "%s in %s", id, text);
    }
    free(text);
    ct_tensor *y = ct_forward(model, centred(CT_F64, CT_SHAPE(1, 2), 1, 1, 0), CT_TRAINING);
    out = open_memstream(&text, &length);
    OK(ct_dot_write(out, &y, 1, (ct_dot_options){.clusters = true}));
    fclose(out);
    cr_expect_not_null(strstr(text, "m/dense"), "%s", text);
    free(text);
    ct_module_free(model);
}

/* --- Several threads -------------------------------------------------------------------------- */

enum { THREADS = 4, REQUESTS = 20 };

typedef struct {
    ct_module *model;
    int number;
    bool right; /* each answer is that of the thread that owns the model, to the bit */
    const float *wanted;
} request_server;

static ct_tensor *request(int number) {
    return centred(CT_F32, CT_SHAPE(2, 6, 6, 2), (unsigned)number + 1, 1, 0);
}

static void *answer(void *argument) {
    request_server *s = argument;
    s->right = ct_threads_set(1) == CT_OK;
    for (int k = 0; k < REQUESTS && s->right; k++) {
        int64_t scope = ct_scope_open();
        ct_tensor *y = ct_forward(s->model, request(s->number), CT_INFERENCE);
        const float *scores = ct_data_f32(y);
        size_t bytes = sizeof(float) * (size_t)ct_numel(y);
        s->right = scores && memcmp(scores, s->wanted, bytes) == 0;
        ct_scope_close(scope);
    }
    ct_cache_clear();
    return NULL;
}

/* With a forward that gives its child another kernel. */
static ct_module *served_model(void) {
    ct_module *head = ct_weight_norm_new(ct_dense_new(3, 3, (ct_dense_options){0}));
    ct_module *model = CT_SEQUENTIAL("served", small_cnn(0.5), head);
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

TEST(sharing, a_frozen_module_is_run_by_several_threads) {
    ct_module *model = served_model();
    ct_module_freeze(model, true);
    pthread_t threads[THREADS];
    request_server servers[THREADS];
    for (int k = 0; k < THREADS; k++) {
        ct_tensor *y = ct_forward(model, request(k), CT_INFERENCE);
        servers[k] = (request_server){.model = model, .number = k, .wanted = ct_data_f32(y)};
        cr_assert_not_null(servers[k].wanted);
    }
    for (int k = 0; k < THREADS; k++) {
        cr_assert_eq(pthread_create(&threads[k], NULL, answer, &servers[k]), 0);
    }
    for (int k = 0; k < THREADS; k++) pthread_join(threads[k], NULL);
    for (int k = 0; k < THREADS; k++) cr_expect(servers[k].right, "thread %d", k);
    ct_module_free(model);
}

static void *read_it(void *slot) {
    void *leaf = ct_keep(ct_slot_read(slot));
    ct_scope_close(0);
    return leaf;
}

/* In its own thread a frozen slot gives one leaf, so that derivatives with respect to it are those
 * of every reading; elsewhere each reading is a leaf over the same elements. */
TEST(sharing, threads_read_leaves_of_their_own) {
    ct_module *d = dense();
    ct_slot *slot = d->slots[0].slot;
    ct_tensor *here = ct_slot_read(slot);
    void *there[2];
    for (int frozen = 0; frozen < 2; frozen++) {
        pthread_t thread;
        ct_module_freeze(d, frozen);
        cr_assert_eq(pthread_create(&thread, NULL, read_it, slot), 0);
        pthread_join(thread, &there[frozen]);
        cr_expect_eq(ct_slot_read(slot), here);
    }
    cr_expect(there[0] == here && there[1] != here && same_bits(there[1], here));
    cr_expect_eq(ct_data(there[1]), ct_data(here));
    ct_drop(there[0]), ct_drop(there[1]);
    ct_module_free(d);
}
