/* Profiles: every pass of an evaluation is counted once, with what it moved and computed; and the
 * picture of a profile.
 * Times themselves are not tested but for being there.
 * Invariant: what is not measured costs nothing and changes nothing. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/dot.h"
#include "autograd/grad.h"
#include "tensor/profile.h"
#include "tensor/runtime.h"

#include <stdlib.h>
#include <string.h>

static ct_tensor *leaf(ct_shape shape) {
    ct_tensor *t = ct_full(CT_F32, shape, 0.5);
    ct_data(t);
    return t;
}

TEST(profile, counts_passes_bytes_and_operations) {
    ct_tensor *a = leaf(CT_SHAPE(64, 32)), *b = leaf(CT_SHAPE(32, 16));
    ct_profile_start();
    for (int k = 0; k < 3; k++) ct_data(ct_exp(ct_matmul(a, b)));
    ct_profile_stop();
    ct_data(ct_sin(a));
    int64_t n;
    const ct_profile_pass *passes = ct_profile_passes(&n);
    EXPECT(n == 2, "%lld passes", (long long)n);
    double seconds = 0;
    for (int64_t i = 0; i < n; i++) {
        bool product = strcmp(passes[i].ops, "matmul") == 0;
        EXPECT(product || strcmp(passes[i].ops, "exp") == 0, "%s", passes[i].ops);
        EXPECT(passes[i].calls == 3 && passes[i].seconds > 0);
        EXPECT(passes[i].operations == (product ? 2.0 * 64 * 32 * 16 : 64 * 16));
        EXPECT(passes[i].bytes == 4.0 * (product ? 64 * 32 + 32 * 16 + 64 * 16 : 2 * 64 * 16));
        EXPECT(i == 0 || passes[i].seconds <= passes[i - 1].seconds);
        seconds += passes[i].seconds;
    }
    EXPECT(ct_profile_seconds() > 0 && seconds <= ct_profile_seconds() * ct_threads());
    ct_profile_clear();
    EXPECT(ct_profile_passes(&n) && n == 0 && ct_profile_seconds() == 0);
    ct_profile_clear();
}

TEST(profile, writes_tables) {
    char *text = NULL;
    size_t length = 0;
    ct_path_push("layer");
    ct_tensor *y = ct_sum_all(ct_exp(leaf(CT_SHAPE(500))));
    ct_path_pop();
    ct_profile_start();
    ct_data(y);
    ct_profile_stop();
    FILE *out = open_memstream(&text, &length);
    EXPECT(ct_profile_write(out) == CT_OK);
    fclose(out);
    EXPECT(strstr(text, "layer: exp sum\n") && strstr(text, "module\n") && strstr(text, "%"));
    free(text);
    ct_profile_clear();
    EXPECT(ct_profile_write(NULL) == CT_ERR_NULL);
    EXPECT(strcmp(taken_error(NULL), "ct_profile_write: 'out' is NULL") == 0);
    out = fopen("/dev/full", "w");
    if (!out) return;
    EXPECT(ct_profile_write(out) == CT_ERR_IO);
    taken_error(NULL);
    fclose(out);
    ct_profile_clear();
}

static ct_tensor *in_module(const char *path, ct_tensor *(*op)(ct_tensor *), ct_tensor *x) {
    ct_path_push(path);
    ct_tensor *y = op(x);
    ct_path_pop();
    return y;
}

static double share_of(const ct_profile_pass *pass, const char *module) {
    double share = 0;
    for (int64_t k = 0; k < pass->n_shares; k++) {
        if (strcmp(pass->shares[k].module, module) == 0) share += pass->shares[k].share;
    }
    return share;
}

/* One loop of four ops: two of the encoder, one of the decoder, one of nobody. */
static ct_tensor *of_three(ct_tensor *x) {
    ct_tensor *y = in_module("encoder", ct_exp, x);
    return ct_neg(in_module("decoder", ct_sin, in_module("encoder", ct_abs, y)));
}

TEST(profile, divides_a_pass_among_its_modules) {
    ct_tensor *x = leaf(CT_SHAPE(4, 500));
    ct_profile_start();
    for (int k = 0; k < 3; k++) ct_data(of_three(x));
    ct_data(in_module("decoder", ct_cos, x));
    ct_profile_stop();
    int64_t n;
    const ct_profile_pass *passes = ct_profile_passes(&n);
    EXPECT(n == 2 && ct_profile_evaluations() == 4, "%lld", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        bool fused = passes[i].calls == 3;
        EXPECT(share_of(&passes[i], "encoder") == (fused ? 0.5 : 0));
        EXPECT(share_of(&passes[i], "decoder") == (fused ? 0.25 : 1));
        EXPECT(share_of(&passes[i], "") == (fused ? 0.25 : 0));
        EXPECT(passes[i].n_shares == (fused ? 3 : 1));
    }
    ct_profile_clear();
    EXPECT(ct_profile_evaluations() == 0);
}

TEST(profile, adds_up_graphs_of_one_structure) {
    ct_tensor *x = leaf(CT_SHAPE(300));
    ct_profile_start();
    ct_data(in_module("first", ct_exp, x));
    ct_data(in_module("second", ct_exp, x));
    ct_profile_stop();
    int64_t n;
    const ct_profile_pass *passes = ct_profile_passes(&n);
    EXPECT(n == 1 && passes->calls == 2 && strcmp(passes->module, "first") == 0);
    ct_profile_clear();
}

/* The line of a table that ends in `end`, and its first number. */
static double first_number(const char *text, const char *end) {
    const char *line = strstr(text, end);
    if (!EXPECT(line, "'%s' in\n%s", end, text)) return 0;
    while (line > text && line[-1] != '\n') line--;
    return strtod(line, NULL);
}

/* Both tables are in microseconds, and what the modules have got adds up to the passes. */
TEST(profile, has_one_unit) {
    ct_tensor *x = leaf(CT_SHAPE(200, 500));
    char *text = NULL;
    size_t length = 0;
    ct_profile_start();
    for (int k = 0; k < 5; k++) ct_data(of_three(x));
    ct_profile_stop();
    FILE *out = open_memstream(&text, &length);
    EXPECT(ct_profile_write(out) == CT_OK);
    fclose(out);
    int64_t n;
    double whole = ct_profile_passes(&n)->seconds / 5 * 1e6;
    EXPECT(strstr(text, "us/call") && strstr(text, "us/eval") && !strstr(text, " ms "));
    EXPECT(near(first_number(text, "exp abs sin neg\n"), whole, 0.06, 0), "%s", text);
    EXPECT(near(first_number(text, "  encoder\n"), 0.5 * whole, 0.06, 0), "%s", text);
    EXPECT(near(first_number(text, "  decoder\n"), 0.25 * whole, 0.06, 0), "%s", text);
    EXPECT(near(first_number(text, "  (no module)\n"), 0.25 * whole, 0.06, 0), "%s", text);
    free(text);
    ct_profile_clear();
}

TEST(profile, colours_a_picture) {
    char *text = NULL;
    size_t length = 0;
    ct_tensor *x = leaf(CT_SHAPE(40, 8));
    ct_tensor *y = ct_sum_all(ct_square(ct_matmul(x, leaf(CT_SHAPE(8, 3)))));
    ct_tensor *roots[2] = {y};
    EXPECT(ct_grad(y, &x, 1, &roots[1]) == CT_OK);
    ct_profile_start();
    EXPECT(ct_eval(roots, 2) == CT_OK);
    ct_profile_stop();
    FILE *out = open_memstream(&text, &length);
    EXPECT(ct_dot_write(out, roots, 2, (ct_dot_options){.profile = true}) == CT_OK);
    fclose(out);
    EXPECT(strstr(text, "label=\"pass 0: ") && strstr(text, "% of the time\""));
    EXPECT(strstr(text, "fillcolor=\"0.080 0.8"), "no pass is dark");
    free(text);
    ct_profile_clear();
}

/* --- Traces ----------------------------------------------------------------------------------- */

static char *trace(void) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    EXPECT(ct_profile_write_trace(out) == CT_OK, "%s", ct_error_message());
    fclose(out);
    return text;
}

/* What lies outside of strings: brackets that match, and no control characters inside. */
static bool is_balanced(const char *text) {
    char open[16];
    int depth = 0;
    for (bool quoted = false; *text; text++) {
        if (quoted && *text == '\\') text++;
        else if (*text == '"') quoted = !quoted;
        else if (quoted && (unsigned char)*text < ' ') return false;
        else if (!quoted && strchr("{[", *text)) open[depth++] = *text == '{' ? '}' : ']';
        else if (!quoted && strchr("}]", *text) && (depth == 0 || open[--depth] != *text)) {
            return false;
        }
        if (depth == 16) return false;
    }
    return depth == 0;
}

static double number_of(const char *event, const char *key) {
    const char *at = strstr(event, key);
    return EXPECT(at, "no %s in %s", key, event) ? strtod(at + strlen(key), NULL) : 0;
}

/* Ascending, and of one thread without overlap; how many events there are. */
static int64_t expect_events(const char *text) {
    double end[64] = {0}, before = 0;
    int64_t n = 0;
    for (const char *at = text; (at = strstr(at, "\"ph\":\"X\"")); at++, n++) {
        double begin = number_of(at, "\"ts\":"), last = begin + number_of(at, "\"dur\":");
        int thread = (int)number_of(at, "\"tid\":");
        REQUIRE(thread >= 1 && thread < 64); /* 0 is another track's thread to Perfetto */
        EXPECT(number_of(at, "\"pid\":") == 1 && begin >= before && last >= begin);
        EXPECT(begin >= end[thread] - 1e-6, "%g before %g", begin, end[thread]);
        EXPECT(number_of(at, "\"bytes\":") >= 0 && number_of(at, "\"operations\":") >= 0);
        end[thread] = last, before = begin;
    }
    return n;
}

TEST(profile, a_trace_of_threads) {
    ct_tensor *x = leaf(CT_SHAPE(400, 300));
    ct_tensor *y = ct_sum_all(
        ct_square(in_module("enc\"\n\xffoder", ct_exp, ct_matmul(ct_transpose(x), x))));
    ct_tensor *roots[2] = {y};
    EXPECT(ct_grad(y, &x, 1, &roots[1]) == CT_OK);
    int before = ct_threads();
    EXPECT(ct_threads_set(3) == CT_OK);
    ct_profile_start();
    ct_data(ct_exp(leaf(CT_SHAPE(5)))); /* the last evaluation counts alone */
    EXPECT(ct_eval(roots, 2) == CT_OK);
    ct_profile_stop();
    EXPECT(ct_threads_set(before) == CT_OK);
    char *text = trace();
    int64_t n;
    const ct_profile_part *parts = ct_profile_parts(&n);
    for (int64_t k = 0; k < n; k++) {
        double seconds = 0;
        for (int64_t i = 0; i < n; i++) {
            if (parts[i].pass == parts[k].pass) seconds += parts[i].end - parts[i].begin;
        }
        EXPECT(parts[k].number >= 0 && parts[k].number < n);
        EXPECT(near(seconds, parts[k].pass->seconds, 1e-9, 0) && parts[k].pass->calls == 1);
    }
    EXPECT(is_balanced(text), "%s", text);
    EXPECT(n > 3 && expect_events(text) == n);
    EXPECT(strstr(text, "\"module\":\"enc\\\"\\n?oder\"") &&
           strstr(text, "\"cat\":\"derivative\""));
    free(text);
    ct_profile_clear();
}

TEST(profile, a_trace_of_nothing) {
    ct_profile_clear();
    int64_t n = 1;
    ct_profile_parts(&n);
    char *text = trace();
    EXPECT(n == 0 && is_balanced(text) && expect_events(text) == 0, "%s", text);
    free(text);
    EXPECT(ct_profile_write_trace(NULL) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_profile_write_trace: 'out' is NULL");
    EXPECT(!ct_profile_parts(NULL));
    expect_error(CT_ERR_NULL, "ct_profile_parts: 'n' is NULL");
    FILE *full = fopen("/dev/full", "w");
    EXPECT(ct_profile_write_trace(full) == CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_profile_write_trace: cannot write");
    fclose(full);
}

/* The same bits, measured or not. */
TEST(profile, changes_nothing) {
    ct_tensor *x = leaf(CT_SHAPE(100, 7)), *a = ct_softmax(x, 1), *b = ct_softmax(x, 1);
    ct_data(a);
    ct_profile_start();
    ct_data(b);
    ct_profile_stop();
    ct_profile_clear();
    EXPECT(same_bits(a, b));
}

static ct_status measured(void *user) {
    (void)user;
    ct_profile_start();
    ct_tensor *y = ct_exp(ct_full(CT_F32, CT_SHAPE(9), 1));
    ct_status status = ct_eval(&y, 1);
    ct_profile_stop();
    ct_profile_clear();
    ct_cache_clear();
    return status;
}

static void look(void *user, bool failed) {
    (void)user, (void)failed;
    EXPECT(ct_profile_seconds() == 0);
}

TEST(profile, out_of_memory) { oom_sweep("profile", measured, look, NULL); }
