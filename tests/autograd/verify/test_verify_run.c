/* ct_verify_run: its exit status, and what it prints, for claims that hold, are refused, or cannot
 * be tried, and where nothing can be printed; what it says of mistakes at one op. */
#include "autograd/compose.h"
#include "autograd/ops.h"
#include "autograd/verify.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

static ct_tensor *square(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(in[0], in[0]);
}
static ct_status right(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                       ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_scale(ct_mul(dy, in[0]), 2);
    return ct_error();
}
static ct_status wrong(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                       ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_mul(dy, in[0]);
    return ct_error();
}
static void of_arrays(void *context, const double *const in[], int64_t n, const double *dy,
                      double *const out[]) {
    (void)context, (void)n;
    for (int i = 0; i < 3; i++) out[0][i] = 2 * dy[i] * in[0][i];
}

static const ct_claim_input x = {.name = "x", .shape = {1, {3}}};
static const ct_claim claim = {
    .name = "square", .f = square, .closed = right, .inputs = &x, .n_inputs = 1};

/* What is printed has to hold `says`. */
static void expect_run(const ct_claim *of, ct_verify_options options, int status,
                       const char *says) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    MADE(out);
    EXPECT(ct_verify_run(out, of, options) == status, "%s", says);
    fclose(out);
    EXPECT(strstr(text, says) != NULL, "%s: %s", says, text);
    free(text);
    EXPECT((ct_error() != CT_OK) == (status == 2), "%s", ct_error_message());
    ct_error_clear();
}

TEST(verify_run, the_status_is_what_the_report_says) {
    ct_verify_options plain = {0};
    expect_run(&claim, plain, 0, "square: the derived gradient is the closed form\n");
    expect_run(&claim, plain, 0, "mutants: none");
    ct_claim other = claim;
    other.closed = wrong;
    expect_run(&other, plain, 1, "square: REFUSED\n");
    expect_run(&other, plain, 1, "x: all of it has the factor 1/2");
    other.closed = NULL, other.arrays = of_arrays;
    expect_run(&other, plain, 0, "compared in f64 alone");
    expect_run(&other, plain, 0, "square: equal in f64, which proves less than the field\n");
    expect_run(&other, plain, 0, "mutants: none; a name in f (ct_name) gives three");
    expect_run(&other, plain, 0, "0.0e+00         -   2.0e+00");
}

TEST(verify_run, what_cannot_be_tried_is_said) {
    ct_claim other = claim;
    other.f = NULL;
    expect_run(&other, (ct_verify_options){0}, 2, "ct_verify_run: 'claim->f' is NULL\n");
    expect_run(NULL, (ct_verify_options){0}, 2, "ct_verify_run: 'claim' is NULL\n");
    expect_run(&claim, (ct_verify_options){.orders = 4}, 2,
               "ct_verify_run: orders needs 1..3, got 4\n");
    EXPECT(ct_verify_run(NULL, &claim, (ct_verify_options){0}) == 2);
    expect_error(ct_error(), "ct_verify_run: 'out' is NULL");
}

TEST(verify_run, a_report_that_was_not_written_proves_nothing) {
    FILE *full = fopen("/dev/full", "w");
    MADE(full);
    EXPECT(ct_verify_run(full, &claim, (ct_verify_options){0}) == 2);
    expect_error(ct_error(), "ct_verify_run: writing failed");
    fclose(full);
}

/* --- Mistakes at one op ----------------------------------------------------------------------- */

/* y = tanh(a b): what stands for b, and for the slope 1 - y^2. */
typedef enum { NOTHING, NO_B, A_FOR_B, TRANSPOSED, SLOPE, TURNED, ADDED, BROKEN } mistake;

static ct_tensor *tanh_of_product(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_tanh(ct_matmul(in[0], in[1]));
}
static ct_status by_hand(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                         ct_tensor *out[]) {
    const mistake made = *(const mistake *)context;
    ct_tensor *y = tanh_of_product(NULL, in, n), *b = ct_transpose(in[1]);
    ct_tensor *one = ct_scalar(ct_dtype_of(y), 1);
    ct_tensor *d = ct_mul(dy, ct_sub(one, made == SLOPE ? y : ct_square(y)));
    if (made == NO_B) b = ct_offset(ct_scale(b, 0), 1);
    if (made == A_FOR_B) b = ct_transpose(in[0]);
    if (made == TRANSPOSED) b = in[1];
    out[0] = ct_matmul(d, b);
    if (made == TURNED) out[0] = ct_transpose(out[0]);
    if (made == ADDED) out[0] = ct_add(out[0], ct_name(ct_mul(in[0], in[1]), "my term"));
    out[1] = ct_matmul(ct_transpose(in[0]), d);
    if (made == BROKEN) out[1] = ct_add(out[1], ct_iota(2));
    return ct_error();
}

static const ct_claim_input square_inputs[] = {{.name = "a", .shape = {2, {3, 3}}, .near = true},
                                               {.name = "b", .shape = {2, {3, 3}}, .near = true}};
static mistake made;
static const ct_claim product = {.name = "product",
                                 .f = tanh_of_product,
                                 .closed = by_hand,
                                 .context = &made,
                                 .inputs = square_inputs,
                                 .n_inputs = 2};

TEST(verify_run, a_mistake_at_one_op_is_said) {
    static const char *const says[] = {
        [NO_B] = "a: 1 stands where b belongs, in what flows to a",
        [A_FOR_B] = "a: a stands where b belongs, in what flows to a",
        [TRANSPOSED] = "a: its transpose stands where b belongs, in what flows to a",
        [SLOPE] = "a: 1 - v, of its value v, stands where the slope of tanh(matmul(a, b)) belongs",
        [TURNED] = "a: all of it is transposed",
        [ADDED] = "a: the closed form's 'my term' does not belong there"};
    made = NOTHING;
    expect_run(&product, (ct_verify_options){0}, 0, "the derived gradient is the closed form");
    for (made = NO_B; made <= ADDED; made++) {
        expect_run(&product, (ct_verify_options){0}, 1, says[made]);
    }
}

/* x / rms with a mistake inside of the root, and as if f had it too. */
typedef struct {
    double factor, epsilon; /* of the root in the closed form */
    bool alone;             /* f's formula is right elsewhere */
    const char *says;
} root;

static ct_tensor *mean(ct_tensor *t) { return ct_mean_keep(t, CT_AXES(-1)); }
static ct_tensor *inverse_root(ct_tensor *of, double factor, double epsilon) {
    ct_tensor *square = mean(ct_square(of));
    if (factor != 1) square = ct_scale(square, factor);
    return ct_rsqrt(epsilon != 0 ? ct_offset(square, epsilon) : square);
}
static ct_tensor *rms_norm(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(in[0], inverse_root(in[0], 1, 1e-3));
}
static ct_status rms_norm_closed(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                                 ct_tensor *out[]) {
    const root *of = context;
    (void)n;
    ct_tensor *r = inverse_root(in[0], of->factor, of->epsilon), *y = ct_mul(in[0], r);
    ct_tensor *m = ct_scale(mean(ct_mul(dy, y)), of->alone ? 1 : of->factor);
    out[0] = ct_mul(r, ct_sub(dy, ct_mul(y, m)));
    return ct_error();
}

TEST(verify_run, a_mistake_inside_of_a_root_is_said) {
    static const ct_claim_input rows = {.name = "x", .shape = {2, {3, 4}}};
    root roots[] = {
        {4, 1e-3, true, "x: sum(mul(x, x)) stands where div(sum(..), ..) belongs"},
        {4, 1e-3, false, "x: the derivative of another f: sum(mul(x, x)) stands where div(sum(.."},
        {4.0 / 3, 1e-3, true, "x: sum(mul(x, x)) has the factor 4/3 = m / (m - 1)"},
        {1, 0, true, "x: div(sum(..), ..) stands where add(div(.., ..), 0.001) belongs"},
        {1, 1e-5, true, "x: it would be right with 0.001 in place of 1e-05, in add(div(.., ..), "},
    };
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        ct_claim of = {.name = "rms",
                       .f = rms_norm,
                       .closed = rms_norm_closed,
                       .context = &roots[i],
                       .inputs = &rows,
                       .n_inputs = 1};
        expect_run(&of, (ct_verify_options){.orders = 1}, 1, roots[i].says);
    }
}

/* Of six rows one draw in 2^12 has all roots: so many as the closed form has beside those of f. */
TEST(verify_run, roots_of_the_closed_form_alone_are_found) {
    static const ct_claim_input rows = {.name = "x", .shape = {2, {6, 4}}};
    root forgotten = {1, 0, true, "x: div(sum(..), ..) stands where add(div(.., ..), 0.001)"};
    ct_claim of = {.name = "rms", .f = rms_norm, .closed = rms_norm_closed, .inputs = &rows};
    of.context = &forgotten, of.n_inputs = 1;
    expect_run(&of, (ct_verify_options){.orders = 1}, 1, forgotten.says);
}

static ct_status first_alone(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                             ct_tensor *out[]) {
    made = NOTHING;
    ct_status status = by_hand(context, in, n, dy, out);
    out[1] = NULL;
    return status;
}

TEST(verify_run, what_is_not_claimed_is_said) {
    ct_claim half = product;
    half.closed = first_alone;
    expect_run(&half, (ct_verify_options){0}, 0,
               "nothing is claimed of the derivative with regard to b");
}

/* One error is enough, and the other input's cotangent, which is right, does not hide it. */
TEST(verify_run, a_closed_form_that_fails_is_no_claim) {
    made = BROKEN;
    expect_run(&product, (ct_verify_options){0}, 2, "ct_verify_run: ");
}

static ct_status verify_wrong(void *state) {
    ct_verify_report report;
    made = *(mistake *)state;
    int64_t scope = ct_scope_open();
    ct_status status = ct_verify(&product, (ct_verify_options){.orders = 1}, &report);
    EXPECT((status == CT_OK) == (report.rows != NULL));
    ct_verify_free(&report);
    ct_scope_close(scope);
    return status;
}
static void nothing_to_see(void *state, bool failed) { (void)state, (void)failed; }

TEST(verify_run, a_mistake_when_memory_runs_out) {
    mistake first = NO_B;
    oom_sweep("ct_verify of a mistake", verify_wrong, nothing_to_see, &first);
}
