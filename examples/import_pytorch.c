/* A network that PyTorch has trained goes on here: its state_dict is loaded, with PyTorch's names
 * and layouts, tried on digits that it has not seen, and trained a little more on such digits.
 *
 *     safetensors.torch.save_file(net.state_dict(), "net.safetensors")     # in Python        */
#include "twin.h"

#include <stdio.h>

enum { BATCH = 20, STEPS = 200, TEST = 1000 };

/* The file of weights: for these digits, a network that PyTorch trained on MNIST. */
static const char *weights = "tests/reference/files/import_pytorch.safetensors";

/* --- The network, and what PyTorch's is called ------------------------------------------------ */

/* What two convolutions without padding, each with pooling behind it, leave of a side. */
static int64_t last_side(int64_t side) { return ((side - 2) / 2 - 2) / 2; }

static ct_module *model_new(int64_t side, ct_dtype dtype) {
    ct_conv2d_options conv = {.dtype = dtype};
    ct_dense_options dense = {.dtype = dtype};
    ct_batch_norm_options norm = ct_batch_norm_pytorch(); /* its epsilon and momentum */
    norm.dtype = dtype;
    int64_t features = last_side(side) * last_side(side) * 8;
    return CT_SEQUENTIAL("net", ct_conv2d_new(1, 4, conv), ct_batch_norm_new(4, norm),
                         ct_activation_new(&ct_activation_relu),
                         ct_max_pool2d_new((ct_pool2d_options){0}), ct_conv2d_new(4, 8, conv),
                         ct_batch_norm_new(8, norm), ct_activation_new(&ct_activation_relu),
                         ct_max_pool2d_new((ct_pool2d_options){0}), ct_flatten_new(),
                         ct_dense_new(features, 10, dense));
}

/* Layers are called by what they are; PyTorch's by where they stand in which Sequential. The form
 * knows the rest: that a kernel is a "weight", and how its axes are turned. */
static const ct_weights_name names[] = {{"conv2d/", "features.0."},
                                        {"batch_norm/", "features.1."},
                                        {"conv2d_1/", "features.4."},
                                        {"batch_norm_1/", "features.5."},
                                        {"dense/", "head."}};

/* Everything must fit, or nothing changes and the error says what does not: the names, and both
 * shapes. The file of a twin holds images beside the weights. */
static ct_status load(ct_module *model, const char *path, int64_t side, bool with_images) {
    /* PyTorch flattens [channels, height, width], cotan [height, width, channels]. */
    ct_weights_flattened image = {"dense/kernel", 8, last_side(side), last_side(side)};
    ct_weights_load_options options = {.form = &ct_weights_pytorch,
                                       .names = names,
                                       .n_names = sizeof names / sizeof *names,
                                       .flattened = &image,
                                       .n_flattened = 1,
                                       .partial = with_images};
    return ct_weights_load_with(model, path, options, NULL);
}

/* --- Predicting ------------------------------------------------------------------------------- */

static ct_tensor *scaled(ct_tensor *bytes, ct_dtype dtype) {
    return ct_scale(ct_cast(bytes, dtype), 1 / 255.0);
}

static ct_status report(ct_module *model, ct_tensor *images, ct_tensor *labels, const char *when) {
    ct_tensor *x = scaled(ct_slice(images, 0, 0, TEST, 1), CT_F32);
    ct_tensor *y = ct_slice(labels, 0, 0, TEST, 1), *scores = ct_predict(model, x, 0);
    const int64_t *guesses = ct_data_i64(ct_argmax(scores, 1)), *answers = ct_data_i64(y);
    double accuracy = ct_item(ct_accuracy(scores, y));
    if (!guesses || !answers) return ct_error();
    printf("%s: %.3f of %d digits are right; of the first ten, ", when, accuracy, TEST);
    for (int i = 0; i < 10; i++) {
        printf(guesses[i] == answers[i] ? " %lld" : " (%lld)", (long long)guesses[i]);
    }
    printf("\n");
    return CT_OK;
}

/* --- Going on --------------------------------------------------------------------------------- */

static ct_status train(const char *twin, int64_t steps) {
    ct_dtype dtype = twin ? CT_F64 : CT_F32;
    ct_dataset *data = twin ? NULL : ct_dataset_open(NULL); /* MNIST, where it is */
    ct_tensor *images = twin ? twin_tensor(twin, "images") : data ? data->train_images : NULL;
    ct_tensor *labels = twin ? twin_tensor(twin, "labels") : data ? data->train_labels : NULL;
    int64_t side = ct_dim(images, 1);
    ct_module *model = model_new(side, dtype);
    ct_status status = ct_error(); /* of anything so far: NULL goes in, an error comes out */
    if (status == CT_OK) status = load(model, twin ? twin : weights, side, twin);
    if (status == CT_OK && data) {
        status = report(model, data->test_images, data->test_labels, "as it came from PyTorch");
    }
    ct_batches_options batches = {.size = BATCH, .shuffle = !twin, .limit = twin ? 0 : 6000};
    ct_source *known = ct_batches_new(scaled(images, dtype), labels, batches);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_pytorch(0.003));
    ct_fit_options options = {.epochs = 1000, .record_steps = true};
    options.max_steps = steps ? steps : STEPS;
    ct_history history = {0};
    if (status == CT_OK) {
        status = ct_fit(model, adam, &ct_loss_cross_entropy, known, options, &history);
    }
    if (twin) twin_losses(&history);
    else if (status == CT_OK && data) {
        status = report(model, data->test_images, data->test_labels, "after a few more steps");
    }
    ct_history_free(&history);
    ct_optimizer_free(adam), ct_module_free(model);
    ct_source_free(known), ct_dataset_free(data);
    return status;
}

int main(int argc, char *argv[]) {
    const option file = {"--weights", "FILE", "a state_dict", OPTION_TEXT, &weights, 0, 0};
    return twin_main("import_pytorch", "Goes on with a net of PyTorch.", train, &file, argc, argv);
}
