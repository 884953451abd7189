/* The text of a plan: the same graph gives the same text, and each stage is in it.
 * What a good plan is, test_plan.c says.
 * Invariant: nothing is evaluated. */
#include "tests/support/test.h"

#include "autograd/ops.h"
#include "tensor/runtime.h"

#include <string.h>

static void write_into(char *text, size_t size, ct_tensor *const roots[], int64_t n) {
    FILE *out = fmemopen(text, size, "w");
    EXPECT(out && ct_plan_write(out, roots, n) == CT_OK, "%s", ct_error_message());
    if (out) fclose(out);
}

static ct_tensor *graph(double value) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3, 4), value), *y = ct_full(CT_F32, CT_SHAPE(4), 2);
    return ct_sum(ct_mul(ct_exp(ct_reshape(ct_add(x, y), CT_SHAPE(4, 3))), ct_scalar(CT_F32, 3)),
                  CT_AXES(0));
}

TEST(plan_write, shows_every_stage) {
    char text[4096] = "", again[4096] = "";
    int64_t evaluations = ct_stats_read().evaluations;
    ct_tensor *a = graph(1), *b = graph(5);
    write_into(text, sizeof text, &a, 1);
    write_into(again, sizeof again, &b, 1);
    EXPECT(strcmp(text, again) == 0, "%s\n%s", text, again);
    static const char *const lines[] = {
        "leaf               f32 [3,4]                0 stored  leaf",
        "reshape            f32 [4,3] ",
        "view of",
        "exp                f32 [4,3] ",
        "pass 0: ",
        "reduces [1,4,3] over the middle",
        "repeated every",
        "mul+sum ",
        "schedule:\n",
        "  phase 0: pass 0 stage 0, 1 parts\n"};
    for (size_t k = 0; k < sizeof lines / sizeof *lines; k++) {
        EXPECT(strstr(text, lines[k]), "'%s' in\n%s", lines[k], text);
    }
    EXPECT(ct_stats_read().evaluations == evaluations);
}

TEST(plan_write, refuses_what_is_missing) {
    ct_tensor *none = NULL, *x = ct_full(CT_F32, CT_SHAPE(2), 1);
    EXPECT(ct_plan_write(NULL, &x, 1) == CT_ERR_NULL);
    EXPECT(strcmp(ct_error_message(), "ct_plan_write: 'out' is NULL") == 0);
    ct_error_clear();
    EXPECT(ct_plan_write(stdout, &none, 1) == CT_ERR_NULL);
    EXPECT(strcmp(ct_error_message(), "ct_plan_write: root 0 is NULL") == 0);
    ct_error_clear();
}
