/* Modules of several inputs and outputs: kinds of one's own, functional calls of them, merging
 * layers, branches in summaries and pictures. */
#include "tests/support/nn_support.h"

#include <stdio.h>

static ct_tensor *row(double a, double b) {
    return ct_from(CT_F64, CT_SHAPE(1, 2), (double[]){a, b});
}

static ct_module *dense(void) { return ct_dense_new(2, 2, (ct_dense_options){.dtype = CT_F64}); }

static ct_module *linear(void) { return ct_activation_new(&ct_activation_linear); }

static void expect_values(ct_tensor *y, ct_shape shape, const double *wanted) {
    MADE(y);
    cr_expect(ct_shape_equal(ct_shape_of(y), shape), "%s", ct_shape_format(ct_shape_of(y)).text);
    cr_expect_eq(distance(y, wanted), 0);
}

/* --- Kinds of one's own ----------------------------------------------------------------------- */

/* {x, state or NULL} -> {w x + state, the same again}. */
static ct_status total_forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                               int n_out, ct_mode mode) {
    (void)mode;
    if (n_in > 2 || n_out > 2) return ct_fail(CT_ERR_RANGE, "Total: two of each at most");
    ct_tensor *sum = ct_mul(in[0], ct_module_read(self, 0));
    if (n_in > 1 && in[1]) sum = ct_add(sum, in[1]);
    for (int i = 0; i < n_out; i++) out[i] = sum;
    return sum ? CT_OK : ct_error();
}

static const ct_module_kind total_kind = {.name = "Total", .forward_many = total_forward};

static ct_module *total(double weight) {
    ct_module *module = ct_module_new(sizeof *module, &total_kind);
    OK(ct_module_add_slot(module, "w", ct_full(CT_F64, CT_SHAPE(2), weight), true));
    return module;
}

TEST(many, as_many_outputs_as_are_wanted) {
    ct_module *module = total(2);
    ct_tensor *x = row(1, 2), *y[2] = {0};
    OK(ct_forward_many(module, &x, 1, y, 2, CT_TRAINING));
    expect_values(y[1], CT_SHAPE(1, 2), (double[]){2, 4});
    OK(ct_forward_many(module, (ct_tensor *[]){x, y[1]}, 2, y, 1, CT_TRAINING));
    expect_values(y[0], CT_SHAPE(1, 2), (double[]){4, 8});
    OK(ct_forward_many(module, (ct_tensor *[]){x, NULL}, 2, y, 1, CT_TRAINING));
    expect_values(y[0], CT_SHAPE(1, 2), (double[]){2, 4});
    expect_values(ct_forward(module, x, CT_TRAINING), CT_SHAPE(1, 2), (double[]){2, 4});
    expect_values(ct_logits(module, x, CT_TRAINING), CT_SHAPE(1, 2), (double[]){2, 4});
    ct_module_free(module);
}

TEST(many, a_kind_of_one_input_and_one_output) {
    ct_module *module = CT_SEQUENTIAL("net", dense());
    ct_tensor *x = row(1, 2), *y[2] = {0};
    OK(ct_forward_many(module->children[0], &x, 1, y, 1, CT_TRAINING));
    cr_expect(same_bits(y[0], ct_forward(module, x, CT_TRAINING)));
    cr_expect_str_eq(ct_path_of(y[0]), "dense");
    y[0] = NULL;
    cr_expect_eq(ct_forward_many(module, (ct_tensor *[]){x, x}, 2, y, 2, CT_TRAINING),
                 CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE,
                 "ct_forward_many: Dense has 1 input and 1 output, got 2 and 2 (in net)");
    cr_expect(!y[0] && !y[1]);
    ct_module_free(module);
}

static ct_status bad_forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                             int n_out, ct_mode mode) {
    (void)self, (void)n_in, (void)n_out;
    out[0] = ct_neg(in[0]);
    return mode == CT_TRAINING ? CT_ERR_STATE : CT_OK;
}

static void refused(ct_module *module, ct_tensor *const in[], int n_in, int n_out, ct_mode mode,
                    ct_status status, const char *message) {
    ct_tensor *mark = ct_scalar(CT_F64, 7), *out[] = {mark, mark};
    cr_expect_eq(ct_forward_many(module, in, n_in, out, n_out, mode), status);
    expect_error(status, message);
    cr_expect(out[0] == mark && out[1] == mark);
}

TEST(many, errors_leave_outputs_as_they_were) {
    static const ct_module_kind bad_kind = {.name = "Bad", .forward_many = bad_forward};
    static const ct_module_kind none = {.name = "None"};
    ct_module *bad = ct_module_new(sizeof *bad, &bad_kind), *sum = total(1);
    ct_module *empty = ct_module_new(sizeof *empty, &none);
    ct_tensor *x[] = {row(1, 2), row(1, 2), row(1, 2)};
    refused(NULL, x, 1, 1, CT_TRAINING, CT_ERR_NULL, "ct_forward_many: 'module' is NULL");
    refused(sum, NULL, 1, 1, CT_TRAINING, CT_ERR_NULL, "ct_forward_many: 'in' is NULL");
    refused(sum, x, 0, 1, CT_TRAINING, CT_ERR_RANGE,
            "ct_forward_many: n_in and n_out must be >= 1, got 0 and 1");
    refused(sum, x, 3, 1, CT_TRAINING, CT_ERR_RANGE, "Total: two of each at most");
    refused(bad, x, 1, 1, CT_TRAINING, CT_ERR_STATE,
            "ct_forward_many: Bad failed without an error");
    refused(bad, x, 1, 2, CT_INFERENCE, CT_ERR_NULL, "ct_forward_many: Bad left output 1 NULL");
    refused(empty, x, 1, 1, CT_INFERENCE, CT_ERR_NULL,
            "ct_forward: the kind None has no 'forward'");
    cr_expect_eq(ct_forward_many(sum, x, 1, NULL, 1, CT_TRAINING), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_forward_many: 'out' is NULL");
    cr_expect_null(ct_forward(bad, x[0], CT_TRAINING));
    expect_error(CT_ERR_NULL, "ct_forward: Bad returned NULL and no error");
    /* A NULL that an error made is no optional input that is absent. */
    ct_tensor *failed[] = {row(1, 2), ct_add(row(1, 2), ct_full(CT_F64, CT_SHAPE(3), 0))}, *y;
    cr_expect_eq(ct_forward_many(sum, failed, 2, &y, 1, CT_TRAINING), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_add: cannot broadcast [1,2] with [3]: dim 1 is 2 vs 3 "
                               "(an earlier error; now ct_forward_many: in[1] is NULL)");
    ct_module_free(bad);
    ct_module_free(sum);
    ct_module_free(empty);
}

/* --- Functional calls ------------------------------------------------------------------------- */

TEST(many, functional_calls_give_values_and_derivatives) {
    ct_module *module = total(2);
    ct_slot_list slots;
    OK(ct_module_parameters(module, &slots));
    ct_tensor *w = row(3, 4), *x[] = {row(1, 2), row(10, 20)}, *y[2], *d[3];
    w = ct_reshape(w, CT_SHAPE(2));
    OK(ct_functional_call_many(module, x, 2, y, 2, CT_TRAINING, &slots, &w,
                               (ct_functional_options){0}));
    expect_values(y[0], CT_SHAPE(1, 2), (double[]){13, 28});
    OK(ct_grad(ct_sum_all(y[1]), (ct_tensor *[]){w, x[0], x[1]}, 3, d));
    expect_values(d[0], CT_SHAPE(2), (double[]){1, 2});
    expect_values(d[1], CT_SHAPE(1, 2), (double[]){3, 4});
    expect_values(d[2], CT_SHAPE(1, 2), (double[]){1, 1});
    OK(ct_forward_many(module, x, 1, y, 1, CT_TRAINING));
    expect_values(y[0], CT_SHAPE(1, 2), (double[]){2, 4});
    ct_tensor *one = ct_functional_call(module, x[0], CT_TRAINING, &slots, &w,
                                        (ct_functional_options){0});
    expect_values(one, CT_SHAPE(1, 2), (double[]){3, 8});
    ct_tensor *narrow = row(1, 1), *mark = y[1];
    cr_expect_eq(ct_functional_call_many(module, x, 1, &y[1], 1, CT_TRAINING, &slots, &narrow,
                                         (ct_functional_options){0}),
                 CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_functional_call_many: 'w' is f64 [2], the value for it f64 "
                               "[1,2]");
    cr_expect_eq(ct_functional_call_many(module, x, 2, &y[1], 1, CT_TRAINING, &slots, &w,
                                         (ct_functional_options){.logits = true}),
                 CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_functional_call_many: logits are of 1 input and 1 output, "
                               "got 2 and 1");
    cr_expect_eq(ct_functional_call_many(module, x, 1, &y[1], 1, CT_TRAINING, NULL, &w,
                                         (ct_functional_options){0}),
                 CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_functional_call_many: 'slots' is NULL");
    cr_expect_eq(y[1], mark);
    ct_slot_list_free(&slots);
    ct_module_free(module);
}

/* --- Merging ---------------------------------------------------------------------------------- */

TEST(many, merging_layers) {
    ct_module *join = ct_concatenate_new(-1), *add = ct_add_new();
    ct_tensor *in[] = {row(1, 2), ct_full(CT_F64, CT_SHAPE(1, 1), 5), row(3, 4)}, *y;
    OK(ct_forward_many(join, in, 3, &y, 1, CT_TRAINING));
    expect_values(y, CT_SHAPE(1, 5), (double[]){1, 2, 5, 3, 4});
    OK(ct_forward_many(add, in, 3, &y, 1, CT_TRAINING));
    expect_values(y, CT_SHAPE(1, 2), (double[]){9, 11});
    expect_values(ct_forward(add, in[0], CT_TRAINING), CT_SHAPE(1, 2), (double[]){1, 2});
    refused(join, (ct_tensor *[]){in[0], NULL}, 2, 1, CT_TRAINING, CT_ERR_NULL,
            "Concatenate: input 1 is NULL");
    refused(add, in, 3, 2, CT_TRAINING, CT_ERR_RANGE, "Add: has at most 1 outputs, got 2");
    refused(add, (ct_tensor *[]){in[0], ct_full(CT_F64, CT_SHAPE(1, 3), 0)}, 2, 1, CT_TRAINING,
            CT_ERR_SHAPE, "Add: cannot broadcast [1,2] with [1,3]: dim 1 is 2 vs 3");
    refused(join, (ct_tensor *[]){in[0], ct_full(CT_F64, CT_SHAPE(2, 3), 0)}, 2, 1, CT_TRAINING,
            CT_ERR_SHAPE,
            "Concatenate: part 1 is f64 [2,3], part 0 is f64 [1,2]; only dim 1 may differ");
    ct_module_free(join);
    ct_module_free(add);
}

TEST(many, branches_and_towers) {
    ct_module *shared = dense();
    ct_module *net = CT_BRANCHES("net", CT_SEQUENTIAL("join", ct_concatenate_new(-1), linear()),
                                 shared, linear(), shared);
    MADE(net);
    ct_tensor *x = row(1, 2), *y;
    ct_tensor *a = ct_forward(shared, x, CT_TRAINING),
              *b = ct_forward(shared, ct_neg(x), CT_TRAINING);
    y = ct_forward(net, x, CT_TRAINING);
    cr_expect(same_bits(y, CT_CONCAT(-1, a, x, a)));
    OK(ct_forward_many(net, (ct_tensor *[]){x, x, ct_neg(x)}, 3, &y, 1, CT_TRAINING));
    cr_expect(same_bits(y, CT_CONCAT(-1, a, x, b)));
    refused(net, (ct_tensor *[]){x, x}, 2, 1, CT_TRAINING, CT_ERR_RANGE,
            "Branches: 3 branches take 1 input or as many, got 2 (in net)");
    refused(net, (ct_tensor *[]){x, x, NULL}, 3, 1, CT_TRAINING, CT_ERR_NULL,
            "Branches: input 2 is NULL (in net)");
    ct_module_free(net);
}

TEST(many, a_sequential_of_several_inputs) {
    ct_module *net = CT_SEQUENTIAL("net", ct_add_new(), total(2)), *none = CT_SEQUENTIAL("n", net);
    ct_tensor *in[] = {row(1, 2), row(3, 4)}, *y[2];
    OK(ct_forward_many(none, in, 2, y, 2, CT_TRAINING));
    expect_values(y[1], CT_SHAPE(1, 2), (double[]){8, 12});
    ct_module *empty = ct_sequential_new("", NULL, 0);
    OK(ct_forward_many(empty, in, 1, y, 1, CT_TRAINING));
    cr_expect_eq(y[0], in[0]);
    refused(empty, in, 2, 1, CT_TRAINING, CT_ERR_RANGE, "Sequential: has at most 1 inputs, got 2");
    ct_module_free(none);
    ct_module_free(empty);
}

TEST(many, branches_free_what_they_were_given) {
    cr_expect_null(ct_branches_new("b", NULL, (ct_module *[]){dense(), linear()}, 2));
    expect_error(CT_ERR_NULL, "ct_branches_new: 'merge' is NULL");
    cr_expect_null(CT_BRANCHES("b", ct_add_new(), dense(), NULL));
    expect_error(CT_ERR_NULL, "ct_branches_new: child 1 is NULL");
    cr_expect_null(ct_branches_new("b", ct_add_new(), NULL, 0));
    expect_error(CT_ERR_RANGE, "ct_branches_new: needs at least one branch, got 0");
    cr_expect_null(CT_BRANCHES("a/b", ct_add_new(), dense()));
    expect_error(CT_ERR_RANGE, "ct_branches_new: a name has at least one character and no '/', "
                               "got 'a/b'");
}

/* --- What they look like ---------------------------------------------------------------------- */

static ct_module *inception(void) {
    ct_conv2d_options point = {.kernel = {1, 1}}, same = {.padding = CT_SAME};
    ct_module *block = CT_BRANCHES(
        "block",
        CT_SEQUENTIAL("merge", ct_concatenate_new(-1), ct_activation_new(&ct_activation_relu)),
        ct_conv2d_new(2, 3, point),
        CT_SEQUENTIAL("deep", ct_conv2d_new(2, 4, point), ct_conv2d_new(4, 5, same)),
        ct_sequential_new("skip", NULL, 0));
    ct_module *net = CT_SEQUENTIAL("net", ct_dropout_new(0.5), block, ct_global_avg_pool2d_new());
    MADE(net);
    return net;
}

static char *text_of(ct_module *model, bool summary, ct_shape input) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ct_show_options options = {.input = input};
    OK(summary ? ct_summary(out, model, options) : ct_model_plot(out, model, options));
    fclose(out);
    return text;
}

TEST(many, summary_of_branches) {
    ct_module *net = inception(), *block = net->children[1];
    char *text = text_of(block, true, CT_SHAPE(4, 6, 6, 2));
    const char *rows = "conv2d (Conv2D)              (None, 6, 6, 3)           9\n"
                       "deep (Sequential)            (None, 6, 6, 5)           197\n"
                       "  conv2d (Conv2D)            (None, 6, 6, 4)           12\n"
                       "  conv2d_1 (Conv2D)          (None, 6, 6, 5)           185\n"
                       "skip (Sequential)            (None, 6, 6, 2)           0\n"
                       "merge (Sequential)           (None, 6, 6, 10)          0\n"
                       "  concatenate (Concatenate)  (None, 6, 6, 10)          0\n"
                       "  activation (relu)          (None, 6, 6, 10)          0\n";
    cr_expect_not_null(strstr(text, rows), "%s", text);
    cr_expect_not_null(strstr(text, "Total params: 206\n"), "%s", text);
    free(text);
    ct_module_free(net);
}

#define DOT " \xc2\xb7 "

TEST(many, picture_of_branches) {
    ct_module *net = inception();
    char *text = text_of(net, false, CT_SHAPE(4, 6, 6, 2));
    static const char *const boxes[] = {"input: Input\\n(None, 6, 6, 2) f32",
                                        "dropout: Dropout\\n(None, 6, 6, 2)",
                                        "conv2d: Conv2D\\n(None, 6, 6, 3)" DOT "9 params",
                                        "conv2d: Conv2D\\n(None, 6, 6, 4)" DOT "12 params",
                                        "conv2d_1: Conv2D\\n(None, 6, 6, 5)" DOT "185 params",
                                        "skip: Sequential\\n(None, 6, 6, 2)",
                                        "concatenate: Concatenate\\n(None, 6, 6, 10)",
                                        "activation: relu\\n(None, 6, 6, 10)",
                                        "global_avg_pool2d: GlobalAvgPool2D\\n(None, 10)"};
    static const int arrows[][2] = {{0, 1}, {1, 2}, {1, 3}, {3, 4}, {1, 5},
                                    {2, 6}, {4, 6}, {5, 6}, {6, 7}, {7, 8}};
    char line[128];
    for (int i = 0; i < 9; i++) {
        snprintf(line, sizeof line, "  n%d [label=\"%s\"", i, boxes[i]);
        cr_expect_not_null(strstr(text, line), "%s not in %s", line, text);
    }
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof line, "  n%d -> n%d ", arrows[i][0], arrows[i][1]);
        cr_expect_not_null(strstr(text, line), "%s not in %s", line, text);
    }
    int n = 0;
    for (const char *at = text; (at = strstr(at, " -> ")); at++) n++;
    cr_expect_eq(n, 10);
    free(text);
    ct_module_free(net);
}

/* --- Out of memory ---------------------------------------------------------------------------- */

/* Everything that this suite's modules, summaries and rewrites allocate. */
static ct_status make_and_use(void *state) {
    ct_module *net = CT_BRANCHES(
        "net", ct_concatenate_new(-1), ct_lstm_new(2, 2, (ct_recurrent_options){.dtype = CT_F64}),
        CT_SEQUENTIAL("attention",
                      ct_multi_head_attention_new(2, 1, (ct_attention_options){.dtype = CT_F64})));
    if (!net) return ct_error();
    ct_tensor *x = centred(CT_F64, CT_SHAPE(1, 2, 2), 1, 1, 0), *in[] = {x, x}, *y, *dx;
    ct_show_options options = {.input = CT_SHAPE(1, 2, 2)};
    ct_status status = ct_summary(state, net, options);
    if (status == CT_OK) status = ct_model_plot(state, net, options);
    if (status == CT_OK) status = ct_forward_many(net, in, 2, &y, 1, CT_TRAINING);
    if (status == CT_OK) status = ct_grad(ct_sum_all(y), &x, 1, &dx);
    if (status == CT_OK) status = ct_eval(&dx, 1);
    ct_module_free(net);
    return status;
}

static void nothing_to_see(void *state, bool failed) { (void)state, (void)failed; }

TEST(many, out_of_memory) {
    FILE *out = fopen("/dev/null", "w");
    cr_assert_not_null(out);
    cr_expect_gt(oom_sweep("modules of several inputs", make_and_use, nothing_to_see, out), 100);
    fclose(out);
}
