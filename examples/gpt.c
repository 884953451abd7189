/* A small GPT (Radford et al., 2019) that learns to continue a text, character by character, and
 * then writes some. It reads FILE (--text), or the few lines of counting below, which it comes to
 * know by heart. The model is ct_gpt_new (nn/models.h): attention, norms, residuals, put together.
 */
#include "twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 32, BATCH = 16, STEPS = 200, WRITTEN = 200, PROMPT = 8 };
static const char *text_file;
static const char own_text[] =
    "one and one is two, two and one is three, three and one is four, four and one is five, "
    "five and one is six, six and one is seven, seven and one is eight, eight and one is nine, "
    "nine and one is ten, ten less one is nine, nine less one is eight, eight less one is seven, "
    "seven less one is six, six less one is five, five less one is four, four less one is three. ";

/* --- Text as numbers: each byte that occurs is a token ---------------------------------------- */

static int64_t token_of[256], letters;
static char letter_of[256];

static ct_tensor *read_text(void) {
    size_t length = sizeof own_text - 1;
    static char room[1 << 20]; /* the first MiB of a file */
    FILE *file = text_file ? fopen(text_file, "rb") : NULL;
    if (text_file && !file) return ct_fail_null(CT_ERR_IO, "%s cannot be read", text_file);
    if (file) length = fread(room, 1, sizeof room, file), fclose(file);
    else memcpy(room, own_text, length);
    if (length <= LENGTH) return ct_fail_null(CT_ERR_RANGE, "a text has more than 32 bytes");
    int64_t *tokens = calloc(length, sizeof *tokens);
    for (int c = 0; c < 256; c++) {
        token_of[c] = letters;
        letter_of[letters] = (char)c;
        letters += memchr(room, c, length) != NULL;
    }
    for (size_t i = 0; i < length && tokens; i++) tokens[i] = token_of[(unsigned char)room[i]];
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE((int64_t)length), tokens);
    free(tokens);
    return t;
}

/* LENGTH + 1 tokens from each of BATCH random places: [BATCH,LENGTH+1]. */
static ct_tensor *pieces(ct_tensor *text) {
    double places = (double)(ct_numel(text) - LENGTH);
    ct_tensor *u = ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(BATCH, 1));
    ct_tensor *first = ct_cast(ct_floor(ct_scale(u, places)), CT_I64);
    return ct_take(text, ct_add(first, ct_iota(LENGTH + 1)));
}

/* --- Training and writing --------------------------------------------------------------------- */

/* How surprising each token is after those before it. */
static ct_tensor *loss_of(ct_module *gpt, ct_tensor *tokens) {
    int64_t n = ct_dim(tokens, 1);
    ct_tensor *logits = ct_forward(gpt, ct_slice(tokens, 1, 0, n - 1, 1), CT_TRAINING);
    ct_cross_entropy_options plain = {0}; /* over [N,T] labels */
    return ct_cross_entropy_with(logits, ct_slice(tokens, 1, 1, n, 1), plain);
}

static ct_status learn(ct_module *gpt, ct_tensor *text, ct_tensor *given, int64_t steps) {
    ct_adam_options options = ct_adamw_pytorch(3e-3);
    options.step.groups = &ct_group_no_decay, options.step.n_groups = 1;
    ct_optimizer *adamw = ct_adamw_new(gpt, options);
    ct_status status = adamw ? CT_OK : ct_error();
    for (int64_t k = 0; k < steps && status == CT_OK; k++) {
        int64_t scope = ct_scope_open();
        ct_tensor *tokens = given ? ct_take(given, ct_from(CT_I64, CT_SCALAR, &k)) : pieces(text);
        ct_tensor *loss = loss_of(gpt, tokens);
        status = ct_optimizer_step(adamw, loss, NULL, 0);
        if (given && status == CT_OK) twin_loss(ct_item(loss));
        else if ((k + 1) % 50 == 0) printf("step %lld: %.3f\n", (long long)(k + 1), ct_item(loss));
        ct_scope_close(scope);
    }
    ct_optimizer_free(adamw);
    return status;
}

/* One character after the other, each drawn as likely as the model finds it. */
static ct_status write_some(ct_module *gpt, ct_tensor *text) {
    const int64_t *begin = ct_data_i64(text);
    int64_t seen[PROMPT + WRITTEN], n = PROMPT;
    for (int i = 0; i < PROMPT && begin; i++) putchar(letter_of[seen[i] = begin[i]]);
    for (; n < PROMPT + WRITTEN && ct_error() == CT_OK; n++) {
        int64_t scope = ct_scope_open(), first = n > LENGTH ? n - LENGTH : 0, length = n - first;
        ct_tensor *x = ct_from(CT_I64, CT_SHAPE(1, length), seen + first);
        ct_tensor *logits = ct_slice(ct_forward(gpt, x, CT_INFERENCE), 1, length - 1, length, 1);
        /* The largest of logit - ln(-ln u) is drawn with the softmax's probability (Gumbel). */
        ct_tensor *u = ct_random_uniform_like(ct_seed_draw(), logits);
        ct_tensor *noise = ct_neg(ct_log(ct_neg(ct_log(ct_offset(ct_scale(u, 0.999), 5e-4)))));
        seen[n] = (int64_t)ct_item(ct_argmax(ct_add(logits, noise), -1));
        if (ct_error() == CT_OK) putchar(letter_of[seen[n]]);
        ct_scope_close(scope);
    }
    putchar('\n');
    return ct_error();
}

static ct_status train(const char *twin, int64_t steps) {
    ct_gpt_options small = {.length = LENGTH, .width = 48, .layers = 2, .heads = 4};
    ct_gpt_options tiny = {11, 8, 8, 2, 2, 0, CT_F64};
    ct_tensor *given = twin ? twin_tensor(twin, "tokens") : NULL;
    ct_tensor *text = twin ? NULL : read_text();
    small.vocabulary = letters;
    ct_module *gpt = ct_error() == CT_OK ? ct_gpt_new(twin ? tiny : small) : NULL;
    ct_status status = gpt ? twin_weights(twin, "gpt", gpt) : ct_error();
    if (status == CT_OK) status = learn(gpt, text, given, steps ? steps : STEPS);
    if (!twin && status == CT_OK) status = write_some(gpt, text);
    ct_module_free(gpt);
    return status;
}

int main(int argc, char *argv[]) {
    option text = {"--text", "FILE", "learn this text", OPTION_TEXT, &text_file, 0, 0};
    return twin_main("gpt", "Learns a text, and writes some.", train, &text, argc, argv);
}
