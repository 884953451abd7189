/* A variational autoencoder (Kingma and Welling, 2014) on the built-in digits. The encoder says
 * where in a space of a few numbers a picture lies, and how surely; the decoder draws what is
 * there. Its loss has no labels and looks into the model: it is an objective of ct_fit. */
#include "twin.h"

#include <stdio.h>

enum { TRAIN = 6000, TEST = 1000, BATCH = 100, EPOCHS = 10, SIDE = 8 /* of the grid of samples */ };

static const char *out; /* the value of --out */

/* --- The model: two networks, of which nothing is called alone -------------------------------- */

static ct_module *network(const char *name, int64_t in, int64_t hidden, int64_t units,
                          ct_dtype dtype) {
    ct_dense_options dense = {.dtype = dtype};
    return CT_SEQUENTIAL(name, ct_dense_new(in, hidden, dense),
                         ct_activation_new(&ct_activation_relu),
                         ct_dense_new(hidden, units, dense));
}

static ct_module *encoder_of(ct_module *vae) { return vae->children[0]; }
static ct_module *decoder_of(ct_module *vae) { return vae->children[1]; }

/* What is to be small, for each picture: -ln p(picture | z) by pixels that are black or white, and
 * the divergence of what the encoder says from a normal distribution. */
static ct_tensor *negative_elbo(void *context, ct_module *vae, const ct_batch *batch, ct_mode mode,
                                ct_output outputs[]) {
    (void)context, (void)outputs;
    ct_tensor *code = ct_forward(encoder_of(vae), batch->x, mode);
    int64_t latent = ct_dim(code, 1) / 2, pixels = ct_dim(batch->x, 1);
    ct_tensor *mean = ct_slice(code, 1, 0, latent, 1);
    ct_tensor *log_var = ct_slice(code, 1, latent, CT_END, 1);
    /* A key of the library makes other numbers in each step, and the same ones in each run. Only a
     * twin brings its own, as if they were labels. */
    ct_tensor *noise = batch->y;
    if (!noise) noise = ct_random_normal_like(ct_seed_draw(), mean);
    ct_tensor *z = ct_add(mean, ct_mul(ct_exp(ct_scale(log_var, 0.5)), noise));
    ct_tensor *drawing = ct_forward(decoder_of(vae), z, mode);
    ct_tensor *unlike = ct_scale(ct_binary_cross_entropy(drawing, batch->x), (double)pixels);
    ct_tensor *kl = ct_sub(ct_add(ct_square(mean), ct_exp(log_var)), ct_offset(log_var, 1));
    return ct_add(unlike, ct_scale(ct_mean_all(ct_sum(kl, CT_AXES(1))), 0.5));
}

/* --- Data and pictures ------------------------------------------------------------------------ */

/* Bytes [N,height,width,1] as rows of numbers in 0..1. */
static ct_source *batches(ct_tensor *images, ct_tensor *noise, ct_dtype dtype) {
    ct_tensor *x = ct_scale(ct_cast(images, dtype), 1 / 255.0);
    x = ct_reshape(x, CT_SHAPE(ct_dim(x, 0), -1));
    ct_batches_options options = {.size = noise ? 8 : BATCH, .shuffle = !noise};
    return ct_batches_many_new((ct_tensor *[]){x, noise}, noise ? 2 : 1, options);
}

/* Draws what lies at random places: a grid of SIDE x SIDE digits as a grey PGM file. */
static ct_status write_samples(ct_module *vae, int64_t latent, const char *path) {
    ct_tensor *z = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(SIDE * SIDE, latent));
    ct_tensor *grey = ct_sigmoid(ct_forward(decoder_of(vae), z, CT_INFERENCE));
    ct_tensor *digits = ct_reshape(ct_scale(grey, 255), CT_SHAPE(SIDE, SIDE, 28, 28));
    ct_tensor *rows = ct_permute(digits, CT_AXES(0, 2, 1, 3)); /* as they lie on paper */
    const uint8_t *bytes = ct_data_u8(ct_cast(rows, CT_U8));
    if (!bytes) return ct_error();
    size_t side = SIDE * 28, written = 0;
    FILE *file = fopen(path, "wb");
    if (file) {
        fprintf(file, "P5\n%zu %zu\n255\n", side, side);
        written = fwrite(bytes, 1, side * side, file);
        if (fclose(file) != 0) written = 0;
    }
    if (written != side * side) return ct_fail(CT_ERR_IO, "%s could not be written", path);
    printf("wrote %d samples to %s\n", SIDE * SIDE, path);
    return CT_OK;
}

/* --- Training --------------------------------------------------------------------------------- */

static ct_status train(const char *twin, int64_t steps) {
    ct_dtype dtype = twin ? CT_F64 : CT_F32;
    ct_dataset *digits = ct_dataset_digits(twin ? 0 : TRAIN, twin ? 0 : TEST, 0);
    ct_source *known = NULL, *unseen = NULL;
    if (twin) known = batches(twin_tensor(twin, "images"), twin_tensor(twin, "noise"), dtype);
    else if (digits) known = batches(digits->train_images, NULL, dtype);
    if (!twin && digits) unseen = batches(digits->test_images, NULL, dtype);
    int64_t pixels = twin ? 49 : 784, hidden = twin ? 12 : 128, latent = twin ? 2 : 8;
    ct_module *vae = CT_SEQUENTIAL("vae", network("encoder", pixels, hidden, 2 * latent, dtype),
                                   network("decoder", latent, hidden, pixels, dtype));
    ct_optimizer *adam = ct_adam_new(vae, ct_adam_pytorch(0.002));
    ct_fit_options options = {.epochs = EPOCHS, .max_steps = steps, .validation = unseen};
    options.objective = negative_elbo;
    options.log = twin ? NULL : stdout;
    options.record_steps = true;
    ct_history history = {0};
    ct_status status = vae ? twin_weights(twin, "encoder", encoder_of(vae)) : ct_error();
    if (status == CT_OK) status = twin_weights(twin, "decoder", decoder_of(vae));
    if (status == CT_OK) status = ct_fit(vae, adam, NULL, known, options, &history);
    if (twin) twin_losses(&history);
    if (out && !twin && status == CT_OK) status = write_samples(vae, latent, out);
    ct_history_free(&history);
    ct_optimizer_free(adam), ct_module_free(vae);
    ct_source_free(known), ct_source_free(unseen), ct_dataset_free(digits);
    return status;
}

int main(int argc, char *argv[]) {
    const option picture = {"--out", "FILE.pgm", "draw 64 samples", OPTION_TEXT, &out, 0, 0};
    return twin_main("vae", "Learns to draw digits.", train, &picture, argc, argv);
}
