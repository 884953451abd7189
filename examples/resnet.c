/* ResNet-18 (He et al., 2016, arXiv:1512.03385) for pictures of 32 x 32 in colour, as CIFAR has;
 * narrow, so that it learns in seconds. The pictures are the built-in digits, each in two colours.
 * Every batch is shifted at random; the rate rises and falls; norms and biases do not decay. */
#include "twin.h"

enum { TRAIN = 1920, TEST = 500, BATCH = 32, EPOCHS = 2, STAGES = 4, SHIFT = 3 };
static ct_dtype dtype = CT_F32; /* f64 with a twin */

/* --- The network ------------------------------------------------------------------------------ */

/* Padded by number, as PyTorch does on all sides; CT_SAME puts what is odd at the end. */
static ct_module *conv(int64_t in, int64_t out, int64_t size, int64_t stride) {
    ct_conv2d_options options = {.kernel = {size, size}, .stride = {stride, stride}};
    for (int i = 0; i < 4; i++) options.pad[i] = size / 2;
    options.no_bias = true, options.kernel_init = ct_he_normal, options.dtype = dtype;
    return ct_conv2d_new(in, out, options);
}

static ct_module *norm(int64_t channels) {
    ct_batch_norm_options options = ct_batch_norm_pytorch();
    options.dtype = dtype;
    return ct_batch_norm_new(channels, options);
}

static ct_module *relu(void) { return ct_activation_new(&ct_activation_relu); }

/* relu(shortcut(x) + body(x)); the shortcut is x itself where the shapes are the same. */
static ct_module *block(int64_t in, int64_t out, int64_t stride) {
    ct_module *body = CT_SEQUENTIAL("body", conv(in, out, 3, stride), norm(out), relu(),
                                    conv(out, out, 3, 1), norm(out));
    ct_module *shortcut = NULL;
    if (stride != 1 || in != out)
        shortcut = CT_SEQUENTIAL("shortcut", conv(in, out, 1, stride), norm(out));
    return CT_SEQUENTIAL("block", ct_residual_new(body, shortcut), relu());
}

/* Two blocks in each stage; from stage to stage `growth` times as many filters on half the side. */
static ct_module *resnet18(int64_t width, int64_t growth) {
    ct_module *layers[3 + 2 * STAGES] = {conv(3, width, 3, 1), norm(width), relu()};
    int64_t in = width, n = 3;
    for (int stage = 0; stage < STAGES; stage++) {
        int64_t out = stage ? in * growth : in;
        layers[n++] = block(in, out, stage ? 2 : 1);
        layers[n++] = block(out, out, 1);
        in = out;
    }
    return CT_SEQUENTIAL("resnet18", ct_sequential_new("features", layers, n),
                         ct_global_avg_pool2d_new(),
                         ct_dense_new(in, 10, (ct_dense_options){.dtype = dtype}));
}

/* --- Data ------------------------------------------------------------------------------------- */

static ct_tensor *colours(int64_t n, double darkest) {
    ct_tensor *u = ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(n, 1, 1, 3));
    return ct_offset(ct_scale(u, 0.5), darkest);
}

/* Grey bytes [N,28,28,1] as [N,32,32,3]: ink of some bright colour on some dark ground. */
static ct_source *painted(ct_tensor *grey, ct_tensor *labels) {
    ct_tensor *dark = colours(ct_dim(grey, 0), 0), *bright = colours(ct_dim(grey, 0), 0.5);
    ct_tensor *ink = ct_pad(ct_pad(ct_cast(grey, CT_F32), 1, 2, 2, 0), 2, 2, 2, 0);
    ct_tensor *x = ct_add(dark, ct_mul(ct_scale(ink, 1 / 255.0), ct_sub(bright, dark)));
    return ct_batches_new(x, labels, (ct_batches_options){.size = BATCH, .shuffle = true});
}

/* Moves each picture by up to SHIFT pixels. ct_take picks rows, so pixels are made rows. What is
 * drawn depends on epoch and batch alone; only a twin brings moves [N,2]. */
static ct_status shift(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)context;
    const int64_t key[2] = {epoch, number}, n = ct_dim(batch->x, 0), side = ct_dim(batch->x, 1);
    ct_tensor *u = ct_random_uniform(ct_from(CT_I64, CT_SHAPE(2), key), CT_F32, CT_SHAPE(n, 2));
    ct_tensor *moves = ct_cast(ct_floor(ct_scale(u, 2 * SHIFT + 1)), CT_I64);
    moves = batch->n_more ? batch->more[0] : ct_offset(moves, -SHIFT);
    ct_tensor *at = ct_add(ct_iota(side), ct_reshape(moves, CT_SHAPE(n, 2, 1))); /* [N,2,side] */
    at = ct_clip(at, 0, (double)side - 1);                                       /* at the edges */
    ct_tensor *row = ct_reshape(ct_slice(at, 1, 0, 1, 1), CT_SHAPE(n, side, 1));
    ct_tensor *picture = ct_reshape(ct_scale(ct_iota(n), (double)side), CT_SHAPE(n, 1, 1));
    row = ct_scale(ct_add(row, picture), (double)side);
    ct_tensor *pixels = ct_add(row, ct_slice(at, 1, 1, 2, 1)); /* [N,side,side] */
    batch->x = ct_take(ct_reshape(batch->x, CT_SHAPE(-1, 3)), pixels);
    return batch->x ? CT_OK : ct_error();
}

static ct_source *batches_of(const char *twin) {
    ct_tensor *x = ct_scale(ct_cast(twin_tensor(twin, "images"), CT_F64), 1 / 255.0);
    ct_tensor *all[] = {x, twin_tensor(twin, "labels"), twin_tensor(twin, "moves")};
    return ct_batches_many_new(all, 3, (ct_batches_options){.size = 10});
}

static ct_status train(const char *twin, int64_t steps) {
    if (twin) dtype = CT_F64;
    ct_dataset *data = ct_dataset_digits(TRAIN, TEST, 0);
    if (!data) return ct_error();
    ct_source *known = painted(data->train_images, data->train_labels);
    ct_source *unseen = painted(data->test_images, data->test_labels);
    if (twin) ct_source_free(known), known = batches_of(twin);
    known = ct_source_map_new(known, shift, NULL);
    ct_module *net = twin ? resnet18(2, 1) : resnet18(8, 2);
    if (steps == 0) steps = EPOCHS * TRAIN / BATCH;
    ct_sgd_options rule = {.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4};
    rule.rate = ct_rate_warmup(ct_rate_cosine(0.1, 0, steps - steps / 5), steps / 5);
    rule.step.groups = &ct_group_no_decay, rule.step.n_groups = 1;
    ct_optimizer *sgd = ct_sgd_new(net, rule);
    ct_fit_options fit = {.epochs = twin ? steps : EPOCHS, .max_steps = steps};
    if (!twin) fit.log = stdout, fit.validation = unseen;
    fit.record_steps = true;
    ct_history history = {0};
    ct_status status = net ? twin_weights(twin, "net", net->children[0]) : ct_error();
    if (net && status == CT_OK) status = twin_weights(twin, "head", net->children[2]);
    if (status == CT_OK) status = ct_fit(net, sgd, &ct_loss_cross_entropy, known, fit, &history);
    if (twin) twin_losses(&history);
    ct_history_free(&history), ct_optimizer_free(sgd), ct_module_free(net);
    ct_source_free(known), ct_source_free(unseen), ct_dataset_free(data);
    return status;
}

int main(int argc, char *argv[]) {
    return twin_main("resnet", "Trains a narrow ResNet-18.", train, NULL, argc, argv);
}
