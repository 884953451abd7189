/* A module, a loss and a training loop of your own, on the built-in digits.
 * Nothing here is registered anywhere, and no derivative is written by hand.
 * The module is a gated residual block: y = x + sigmoid(gate(x)) * body(x). */
#include "options.h"
#include "program.h"

#include <cotan/cotan.h>

#include <stdio.h>

enum { TRAIN = 6000, TEST = 1000, BATCH = 50, EPOCHS = 5, WIDTH = 64 };

/* --- A module: a struct that begins with ct_module, and a kind with a forward ---------------- */

typedef struct {
    ct_module base; /* its name, its children, its slots: all this block needs */
} gated_block;

/* Children are modules too; the mode goes through to them, which is all that BatchNorm needs. */
static ct_tensor *gated_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_tensor *body = ct_forward(self->children[0], x, mode);
    ct_tensor *gate = ct_sigmoid(ct_forward(self->children[1], x, mode));
    return ct_add(x, ct_mul(gate, body));
}

static const ct_module_kind gated_kind = {.name = "GatedBlock", .forward = gated_forward};

static ct_module *gated_block_new(int64_t width) {
    ct_module *block = ct_module_new(sizeof(gated_block), &gated_kind);
    ct_module *body = CT_SEQUENTIAL("body", ct_dense_new(width, width, (ct_dense_options){0}),
                                    ct_batch_norm_new(width, ct_batch_norm_defaults()),
                                    ct_activation_new(&ct_activation_relu));
    ct_module *gate = ct_dense_new(width, width, (ct_dense_options){0});
    /* The block owns its children from here on, also if this fails. */
    if (ct_module_add_children(block, (ct_module *[]){body, gate}, 2) != CT_OK) {
        ct_module_free(block);
        return NULL;
    }
    return block;
}

/* Nobody wrote its derivative; that it is right can be tried all the same. */
static bool block_is_right(void) {
    ct_module *block = gated_block_new(3);
    ct_tensor *x = ct_reshape(ct_sin(ct_arange(CT_F32, 0, 12, 1)), CT_SHAPE(4, 3));
    ct_gradcheck_report report = {0};
    ct_gradcheck_options options = {.order = 2};
    if (ct_gradcheck_module(block, x, CT_TRAINING, options, &report) == CT_OK) {
        printf("GatedBlock: %lld of %lld comparisons of its derivatives agree\n",
               (long long)(report.compared - report.missed), (long long)report.compared);
    }
    ct_module_free(block);
    return report.passed;
}

/* --- A loss: any function to one number. The focal loss (Lin et al., 2017) weighs an image the
 * --- less, the surer the model is of its label: the mean of -(1 - p)^2 ln p ------------------- */

static ct_tensor *focal_loss(ct_tensor *logits, ct_tensor *labels) {
    ct_tensor *one_hot = ct_one_hot(labels, 10, CT_F32);
    ct_tensor *log_p = ct_sum(ct_weigh(one_hot, ct_log_softmax(logits, -1)), CT_AXES(-1));
    ct_tensor *doubt = ct_offset(ct_neg(ct_exp(log_p)), 1.0);
    return ct_neg(ct_mean_all(ct_mul(ct_square(doubt), log_p)));
}

/* --- Training by hand: one scope per step, so that the step's graph is gone after it ---------- */

static ct_status train_epoch(ct_module *model, ct_optimizer *adam, ct_source *data, int64_t epoch,
                             double *mean_loss) {
    ct_status status = ct_source_seek(data, epoch, 0);
    *mean_loss = 0;
    for (bool more = true; more && status == CT_OK;) {
        int64_t scope = ct_scope_open();
        ct_batch batch;
        status = ct_source_next(data, &batch); /* x and y are NULL when the epoch has ended */
        more = status == CT_OK && batch.x;
        if (more) {
            ct_tensor *loss = focal_loss(ct_logits(model, batch.x, CT_TRAINING), batch.y);
            status = ct_optimizer_step(adam, loss, NULL, 0); /* NULL goes in, an error comes out */
            *mean_loss += ct_item(loss) * BATCH / TRAIN;
        }
        ct_scope_close(scope);
    }
    return status;
}

static bool train(void) {
    ct_seed_set(1);
    ct_dataset *digits = ct_dataset_digits(TRAIN, TEST, 0);
    printf("data: built-in digits, %d training and %d test images\n", TRAIN, TEST);
    ct_batches_options options = {.size = BATCH, .shuffle = true, .divide_by = 255};
    ct_source *known = NULL, *unseen = NULL;
    if (digits) {
        known = ct_batches_new(digits->train_images, digits->train_labels, options);
        unseen = ct_batches_new(digits->test_images, digits->test_labels, options);
    }
    ct_module *model = CT_SEQUENTIAL("gated", ct_flatten_new(),
                                     ct_dense_new(784, WIDTH, (ct_dense_options){0}),
                                     gated_block_new(WIDTH), gated_block_new(WIDTH),
                                     ct_dense_new(WIDTH, 10, (ct_dense_options){0}));
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.003));
    for (int64_t epoch = 0; epoch < EPOCHS && ct_error() == CT_OK; epoch++) {
        double loss, accuracy;
        if (train_epoch(model, adam, known, epoch, &loss) != CT_OK) break;
        if (ct_evaluate(model, &ct_loss_cross_entropy, unseen, NULL, &accuracy) != CT_OK) break;
        printf("epoch %lld: loss %.4f, test accuracy %.3f\n", (long long)epoch + 1, loss, accuracy);
    }
    bool good = ct_error() == CT_OK;
    if (!good) fprintf(stderr, "custom_model: %s\n", ct_error_message());
    ct_optimizer_free(adam);
    ct_module_free(model);
    ct_source_free(known);
    ct_source_free(unseen);
    ct_dataset_free(digits);
    return good;
}

int main(int argc, char *argv[]) {
    int usage = options_parse("custom_model", "Trains a model of one's own on the built-in digits.",
                              NULL, 0, argc, argv);
    if (usage >= 0) return usage;
    program_begin();
    return program_end("custom_model", block_is_right() && train() ? 0 : 1);
}
