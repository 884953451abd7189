/* Profiles: every pass of an evaluation is counted once, with what it moved and computed; and the
 * picture of a profile.
 * Times themselves are not tested but for being there.
 * Invariant: what is not measured costs nothing and changes nothing. */
#define COTAN_SUITE
#include "tests/support.h"

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

CORE_TEST(profile, counts_passes_bytes_and_operations) {
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

CORE_TEST(profile, writes_tables) {
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

CORE_TEST(profile, colours_a_picture) {
    char *text = NULL;
    size_t length = 0;
    ct_tensor *x = leaf(CT_SHAPE(40, 8)), *y = ct_sum_all(ct_square(ct_matmul(x, leaf(CT_SHAPE(8, 3)))));
    ct_tensor *roots[2] = {y};
    EXPECT(ct_grad(y, &x, 1, &roots[1]) == CT_OK);
    ct_profile_start();
    EXPECT(ct_eval(roots, 2) == CT_OK);
    ct_profile_stop();
    FILE *out = open_memstream(&text, &length);
    EXPECT(ct_dot_write(out, roots, 2, (ct_dot_options){.profile = true}) == CT_OK);
    fclose(out);
    EXPECT(strstr(text, "label=\"pass 0: ") && strstr(text, "% of the time\""));
    EXPECT(strstr(text, "fillcolor=\"0.000 0.9"), "no pass is red");
    free(text);
    ct_profile_clear();
}

/* The same bits, measured or not. */
CORE_TEST(profile, changes_nothing) {
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

CORE_TEST(profile, out_of_memory) { oom_sweep("profile", measured, look, NULL); }
