/* What is refused of tensors that vary between ranks, row by row as docs/ranks.md lists it: the
 * error names the function that was called, and the operand and the axis, or the option. Two ranks
 * of four rows each.
 * Invariant: what is refused would need rows of other ranks that no sum over the batch gives. */
#include "autograd/compose.h"
#include "datasets/datasets.h"
#include "tensor/events.h"
#include "tensor/npy.h"
#include "tensor/op.h"
#include "tensor/safetensors.h"
#include "tensor/varying.h"
#include "tests/support/fit_support.h"
#include "tests/support/io_support.h"
#include "tests/support/varying_support.h"

enum { N = 4, C = 3 };

static ct_tensor *x_of(rank *me) { return rows_of(me, C, 1); }
static ct_tensor *across(rank *me) { return ct_transpose(x_of(me)); }
static ct_tensor *of_all(rank *me) { return parameter(me, CT_SHAPE(N, C), 1); }
static ct_tensor *images(rank *me) { return ct_reshape(rows_of(me, 8, 1), CT_SHAPE(N, 2, 2, 2)); }
static ct_tensor *indices(void) { return ct_varying(ct_full(CT_I64, CT_SHAPE(N), 0), 0); }

/* As an expression of `me`. */
#define REFUSED_OF(rows, name, message, ...)                      \
    static void name(rank *me) { (void)me, (void)(__VA_ARGS__); } \
    TEST(varying_refused, name) { expect_refused(rows, name, message); }
#define REFUSED(name, message, ...) REFUSED_OF(N, name, message, __VA_ARGS__)

/* --- Along the batch axis --------------------------------------------------------------------- */

#define TAKES_NO_ROWS(function) function ": operand 1 [4,3] varies between ranks along axis 0"

REFUSED(max, TAKES_NO_ROWS("ct_max"), ct_max(x_of(me), CT_AXES(0)))
REFUSED(min, TAKES_NO_ROWS("ct_min"), ct_min(x_of(me), CT_AXES(0)))
REFUSED(argmax, TAKES_NO_ROWS("ct_argmax"), ct_argmax(x_of(me), 0))
REFUSED(logsumexp, TAKES_NO_ROWS("ct_logsumexp"), ct_logsumexp(x_of(me), 0))
REFUSED(softmax, TAKES_NO_ROWS("ct_softmax"), ct_softmax(x_of(me), 0))
REFUSED(log_softmax, TAKES_NO_ROWS("ct_log_softmax"), ct_log_softmax(x_of(me), 0))
REFUSED(std, TAKES_NO_ROWS("ct_std"), ct_std(x_of(me), CT_AXES(0)))
REFUSED(std_of_all, TAKES_NO_ROWS("ct_std"), ct_std(x_of(me), CT_ALL))
REFUSED(norm, "ct_norm: operand 1 [4,3] varies between ranks", ct_norm(x_of(me)))
REFUSED(slice, TAKES_NO_ROWS("ct_slice"), ct_slice(x_of(me), 0, 0, CT_END, 1))
REFUSED(first_row, TAKES_NO_ROWS("ct_slice"), ct_slice(x_of(me), 0, 0, 1, 1))
REFUSED(flip, TAKES_NO_ROWS("ct_flip"), ct_flip(x_of(me), CT_AXES(0)))
REFUSED(pad, TAKES_NO_ROWS("ct_pad"), ct_pad(x_of(me), 0, 0, 1, 0))
REFUSED(pad_in_front, TAKES_NO_ROWS("ct_pad"), ct_pad(x_of(me), 0, 1, 0, 0))
REFUSED(concat, TAKES_NO_ROWS("ct_concat"), ct_concat((ct_tensor *[]){x_of(me), x_of(me)}, 2, 0))
REFUSED(take, TAKES_NO_ROWS("ct_take"), ct_take(x_of(me), indices()))

/* [2,4,2,2], whose rows lie along the height of images. */
static ct_tensor *upright(rank *me) { return ct_permute(images(me), CT_AXES(1, 0, 2, 3)); }

#define SLIDES(function) function ": operand 1 [2,4,2,2] varies between ranks along axis 1"

REFUSED(largest_windows, SLIDES("ct_max_pool2d"),
        ct_max_pool2d(upright(me), (ct_pool2d_spec){.window = {2, 2}}))
REFUSED(averaged_windows, SLIDES("ct_avg_pool2d"),
        ct_avg_pool2d(upright(me), (ct_pool2d_spec){.window = {2, 2}}))
REFUSED(convolved_windows, SLIDES("ct_conv2d"),
        ct_conv2d(upright(me), parameter(me, CT_SHAPE(2, 2, 2, 1), 1), (ct_conv2d_spec){0}))

/* --- Rows that would be lost ------------------------------------------------------------------ */

REFUSED(split, "ct_reshape: [4,3] varies between ranks along axis 0, which [2,6]",
        ct_reshape(x_of(me), CT_SHAPE(2, 6)))
REFUSED(in_front, "ct_reshape: [4,3] varies between ranks along axis 0, which [1,4,3]",
        ct_reshape(x_of(me), CT_SHAPE(1, N, C)))
REFUSED(one_moved_behind,
        "ct_reshape: [1,4,3] varies between ranks along axis 1, and [4,1,3] would",
        ct_reshape(ct_permute(ct_reshape(x_of(me), CT_SHAPE(N, 1, C)), CT_AXES(1, 0, 2)),
                   CT_SHAPE(N, 1, C)))
REFUSED(inferred_behind, "could not tell what -1 is behind them: give -1 for axis 0",
        ct_reshape(images(me), CT_SHAPE(2 * N, -1)))
REFUSED(inferred_behind_joined, "could not tell what -1 is behind them: give -1 for axis 0",
        ct_reshape(ct_reshape(images(me), CT_SHAPE(2 * N, 4)), CT_SHAPE(N, -1)))
REFUSED(summed_to_rows, "ct_sum_to: x [4,3] varies between ranks along axis 0, which [4,1]",
        ct_sum_to(x_of(me), CT_SHAPE(N, 1)))
REFUSED(all_pairs, "ct_matmul: operand 1 [4,3] varies between ranks along axis 0",
        ct_matmul(x_of(me), across(me)))
REFUSED(of_one_row_less, "ct_matmul: operand 2 [4,3] varies between ranks along axis 0",
        ct_matmul(parameter(me, CT_SHAPE(2, N), 1), x_of(me)))
REFUSED(kernel, "ct_conv2d: operand 2 [2,2,2,4] varies between ranks along axis 3",
        ct_conv2d(parameter(me, CT_SHAPE(1, 3, 3, 2), 1),
                  ct_permute(images(me), CT_AXES(1, 2, 3, 0)), (ct_conv2d_spec){0}))

REFUSED(kernel_alone, "ct_conv2d_kernel: operand 1 [4,2,2,2] varies between ranks along axis 0",
        ct_conv2d_kernel(images(me), parameter(me, CT_SHAPE(N, 2, 2, 2), 1), 1, 1,
                         (ct_conv2d_spec){0}))
REFUSED(kernel_of_cotangents,
        "ct_conv2d_kernel: operand 2 [4,2,2,2] varies between ranks along axis 0",
        ct_conv2d_kernel(parameter(me, CT_SHAPE(N, 2, 2, 2), 1), images(me), 1, 1,
                         (ct_conv2d_spec){0}))

/* --- Operands that do not go together --------------------------------------------------------- */

#define BESIDE(function) \
    function ": an operand [4,3] is the same on all ranks, the other one varies along axis 0"

REFUSED(map, BESIDE("ct_maximum"), ct_maximum(of_all(me), x_of(me)))
REFUSED(map_of_rows_first, BESIDE("ct_mul"), ct_mul(x_of(me), of_all(me)))
REFUSED(where, BESIDE("ct_where"),
        ct_where(ct_greater(x_of(me), ct_scalar(CT_F64, 0)), x_of(me), of_all(me)))
REFUSED(beside, "ct_concat: operand 1 [4,3] varies between ranks along axis 0, operand 2 [4,3]",
        ct_concat((ct_tensor *[]){x_of(me), of_all(me)}, 2, 1))
REFUSED(scattered, "ct_scatter_add: operand 1 [4,3] varies between ranks along axis 0",
        ct_scatter_add(x_of(me), ct_full(CT_I64, CT_SHAPE(N), 0), 5))
REFUSED(scattered_by_rows,
        "ct_scatter_add: operand 2 [4] varies between ranks along axis 0, operand 1 [4,3] is the "
        "same on all; make it this rank's rows by ct_varying",
        ct_scatter_add(of_all(me), indices(), 5))

/* --- Of the primitives themselves ------------------------------------------------------------- */

REFUSED(no_partials, "ct_all_sum: x [4,3] has not one row for each grain of this rank along axis 0",
        ct_all_sum(x_of(me)))
REFUSED(replicated_twice, "ct_replicate: x [4,3] varies along axis 0", ct_replicate(x_of(me)))
REFUSED(varying_twice, "ct_varying: x varies along axis 0 already", ct_varying(x_of(me), 0))

/* --- Ops of which nothing is known, and what leaves a graph ----------------------------------- */

static void copy_all(const ct_call *call, int64_t part, void *scratch) {
    (void)part, (void)scratch;
    memcpy(call->out.data, call->in[0].data, sizeof(double) * N * C);
}
static const ct_kernel copies = {.run = {copy_all}};
static const ct_op without_a_rule = {
    .name = "own", .kind = CT_KERNEL, .n_inputs = 1, .infer = ct_infer_same, .kernel = &copies};

REFUSED(own_op,
        "own: operand 1 [4,3] varies between ranks along axis 0, and the op does not say what it "
        "means of rows (ct_op.batch)",
        ct_node(&without_a_rule, (ct_tensor *[]){x_of(me)}, 1, NULL, 0))

static ct_tensor *one_each(rank *me) { return ct_reshape(rows_of(me, 1, 1), CT_SHAPE(me->rows)); }

REFUSED_OF(1, item, "ct_item: the tensor varies between ranks along axis 0", ct_item(one_each(me)))

static void derive(ct_tensor *x) {
    ct_tensor *g = x;
    EXPECT(ct_grad(x, &x, 1, &g) == CT_ERR_STATE && g == x, "%s", ct_error_message());
}

#define DERIVED "ct_grad: y varies between ranks along axis 0, so each rank would derive"

REFUSED_OF(1, derived, DERIVED, derive(one_each(me)))
REFUSED(derived_rows, DERIVED, derive(x_of(me)))

REFUSED(slot_of_rows,
        "ct_slot_new: 'rows' is the same on all ranks, the initial value varies along axis 0",
        EXPECT(!ct_slot_new("rows", x_of(me))))

/* After which a slot has the value that it had. */
typedef ct_status write_rows(ct_slot *slot, ct_tensor *rows);

static void to_a_slot(rank *me, write_rows *write) {
    ct_slot *slot = ct_slot_new("rows", of_all(me));
    ct_tensor *before = ct_slot_read(slot);
    EXPECT(write(slot, x_of(me)) == CT_ERR_STATE && ct_slot_read(slot) == before, "rank %d: %s",
           me->rank, ct_error_message());
    ct_slot_drop(slot);
}

static ct_status commit(ct_slot *slot, ct_tensor *rows) {
    return ct_commit(NULL, 0, &(ct_update){slot, rows}, 1);
}
static ct_status stage(ct_slot *slot, ct_tensor *rows) {
    EXPECT(!ct_stage(ct_sum_all(rows), slot, 0.5, rows));
    return ct_error();
}

#define GETS_NO_ROWS(function) \
    function ": 'rows' is the same on all ranks, the new value varies along axis 0"

REFUSED(written, GETS_NO_ROWS("ct_slot_write"), to_a_slot(me, ct_slot_write))
REFUSED(committed, GETS_NO_ROWS("ct_commit"), to_a_slot(me, commit))
REFUSED(staged, "ct_stage: operand 2 [4,3] varies between ranks along axis 0", to_a_slot(me, stage))

static void vary_a_slot(rank *me) {
    ct_slot *slot = ct_slot_new("codes", of_all(me));
    EXPECT(!ct_varying(ct_slice(ct_slot_read(slot), 0, 0, 2, 1), 0));
    ct_slot_drop(slot);
}

REFUSED(computed_from_a_slot, "ct_varying: x is computed from a slot, and no derivative would go",
        vary_a_slot(me))

/* --- What takes all rows ---------------------------------------------------------------------- */

#define TAKES_ALL(function) function " [4,3] varies between ranks along axis 0: "

REFUSED(batches, TAKES_ALL("ct_batches_new: y") "each rank gives all items",
        EXPECT(!ct_batches_new(of_all(me), x_of(me), (ct_batches_options){0})))
REFUSED(npy, TAKES_ALL("ct_npy_save: t") "each has its own rows; ct_own_rows gives them",
        ct_npy_save("/nowhere/x.npy", x_of(me)))
REFUSED(safetensors, TAKES_ALL("ct_safetensors_save: rows") "each has its own rows",
        ct_safetensors_save("/nowhere/x", &(ct_named){"rows", x_of(me)}, 1, NULL, 0))

static ct_events *events;

static void count_rows(rank *me) { ct_events_histogram(events, "rows", 1, x_of(me)); }
static void show_rows(rank *me) { ct_events_image(events, "rows", 1, x_of(me)); }

FOLDER_TEST(varying_refused, events) {
    events = ct_events_new(folder);
    MADE(events);
    expect_refused(N, count_rows, TAKES_ALL("ct_events_histogram: values") "each has its own");
    expect_refused(N, show_rows, TAKES_ALL("ct_events_image: image") "each has its own");
    ct_events_free(events);
}

/* --- What looks at one process ---------------------------------------------------------------- */

static ct_monitor *watching;

/* A training that is refused has taken no step. */
static void train(ct_fit_options options) {
    bench b = open_bench(0.01);
    int64_t steps = ct_optimizer_steps(b.optimizer);
    uint64_t before = state_hash(b.model, b.optimizer);
    options.epochs = 1;
    EXPECT(fit(&b, options, NULL) == CT_ERR_STATE, "%s", ct_error_message());
    EXPECT(ct_optimizer_steps(b.optimizer) == steps);
    EXPECT(state_hash(b.model, b.optimizer) == before);
    close_bench(&b);
}

#define LOOKS_AT_ONE(option) \
    "ct_fit: " option " looks at one process, and there is a group of 2 ranks"

REFUSED(anomaly, LOOKS_AT_ONE("anomaly"), train((ct_fit_options){.anomaly = true}))

static void monitored(rank *me) {
    (void)me;
    train((ct_fit_options){.monitor = watching});
}

FOLDER_TEST(varying_refused, monitor) {
    watching = ct_monitor_new((ct_monitor_options){.directory = folder});
    MADE(watching);
    expect_refused(N, monitored, LOOKS_AT_ONE("monitor"));
    ct_monitor_free(watching);
}

/* Of more rows on all ranks than a batch has, if not on this one. */
static void predict(rank *me) {
    ct_module *model = ct_dense_new(C, 2, (ct_dense_options){.dtype = CT_F64});
    EXPECT(!ct_predict(model, x_of(me), N));
    ct_module_free(model);
}

REFUSED(several_batches,
        "ct_predict: the inputs vary between ranks and have 8 rows, batch is 4; give one batch",
        predict(me))

/* --- A rank of one row ------------------------------------------------------------------------ */

/* An operand [1,3] is the same on all ranks, be it meant so or as the only row of this rank: where
 * there are more rows, only the first is meant. */
static void one_row(rank *me) {
    ct_tensor *row = parameter(me, CT_SHAPE(1, C), 1);
    EXPECT(ct_varying_axis(ct_mul(x_of(me), row)) == 0);
}

TEST(varying_refused, an_operand_of_size_1_is_the_same_on_all_ranks) {
    for (int64_t rows = 1; rows < 3; rows++) {
        world *w = world_run(2, 4, (int64_t[]){rows, rows}, CT_F64, one_row);
        expect_well(w);
        free(w);
    }
}
