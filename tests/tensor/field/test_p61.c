/* The field of CT_P61 against Python's integers; what doubles stand for; lost values; stand-ins and
 * which identities they know; tensors of the type: made, read, printed, refused by files. */
#include "tests/reference/p61.h"
#include "tests/support/test.h"

#include "autograd/ops.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"
#include "tensor/slot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ct_p61 zero = {0, 0}, one = {1, 1};

static ct_p61 drawn(test_random *r) {
    uint64_t field = random_word(r) % CT_P61_PRIME;
    return (ct_p61){field, random_real(r, -2, 2)};
}

TEST(p61, arithmetic_is_that_of_integers_modulo_p) {
    for (size_t i = 0; i < sizeof p61_elements / sizeof *p61_elements; i++) {
        ct_p61 a = {p61_elements[i].a, 3}, b = {p61_elements[i].b, 2};
        EXPECT(ct_p61_add(a, b).field == p61_elements[i].sum, "row %zu", i);
        EXPECT(ct_p61_sub(a, b).field == p61_elements[i].difference, "row %zu", i);
        EXPECT(ct_p61_mul(a, b).field == p61_elements[i].product, "row %zu", i);
        uint64_t quotient = p61_elements[i].quotient;
        if (quotient == UINT64_MAX) quotient = CT_P61_NO_QUOTIENT;
        EXPECT(ct_p61_div(a, b).field == quotient, "row %zu", i);
        EXPECT(ct_p61_sqrt(a).field == p61_elements[i].root, "row %zu", i);
        EXPECT(ct_p61_add(a, b).shadow == 5 && ct_p61_sub(a, b).shadow == 1);
        EXPECT(ct_p61_mul(a, b).shadow == 6 && ct_p61_div(a, b).shadow == 1.5);
        EXPECT(ct_p61_sqrt(a).shadow == sqrt(3) && ct_p61_neg(a).shadow == -3);
        EXPECT(ct_p61_add(ct_p61_neg(a), a).field == 0);
    }
}

TEST(p61, a_double_is_the_simplest_fraction_that_rounds_to_it) {
    for (size_t i = 0; i < sizeof p61_doubles / sizeof *p61_doubles; i++) {
        double value = p61_doubles[i].value;
        ct_p61 a = ct_p61_from(value);
        EXPECT(a.field == p61_doubles[i].field && a.shadow == value, "%.17g", value);
        int64_t n, d;
        bool is = ct_p61_is_fraction(value, &n, &d);
        EXPECT(is == (p61_doubles[i].denominator != 0), "%.17g", value);
        EXPECT(!is || (n == p61_doubles[i].numerator && d == p61_doubles[i].denominator),
               "%.17g: %lld / %lld", value, (long long)n, (long long)d);
    }
    for (int64_t d = 1; d < 400; d++) {
        int64_t n = 1, found_n, found_d;
        while (n % d == 0 && d > 1) n++;
        EXPECT(ct_p61_is_fraction((double)n / (double)d, &found_n, &found_d) && found_n == n &&
                   found_d == d,
               "1 / %lld", (long long)d);
    }
    EXPECT(ct_p61_whole(INT64_MIN).field == CT_P61_PRIME - 4 && ct_p61_whole(-1).shadow == -1);
    EXPECT(ct_p61_from(INFINITY).field == CT_P61_NO_NUMBER);
    EXPECT(ct_p61_from(NAN).field == CT_P61_NO_NUMBER && isnan(ct_p61_from(NAN).shadow));
    EXPECT(ct_p61_from(-0.0).field == 0 && signbit(ct_p61_from(-0.0).shadow));
}

/* A random double is a fraction by accident about once in 10000. */
TEST(p61, few_doubles_are_fractions) {
    test_random r = {support_seed(7)};
    int64_t n, d, fractions = 0;
    for (int i = 0; i < 100000; i++) fractions += ct_p61_is_fraction(random_real(&r, 0, 4), &n, &d);
    EXPECT(fractions < 40, "%lld", (long long)fractions);
}

TEST(p61, small_fractions_are_read_from_the_field) {
    int64_t n, d;
    ct_p61 third = ct_p61_div(ct_p61_whole(-7), ct_p61_whole(12));
    EXPECT(ct_p61_to_fraction(third, &n, &d) && n == -7 && d == 12);
    EXPECT(ct_p61_to_fraction(zero, &n, &d) && n == 0 && d == 1);
    EXPECT(ct_p61_to_fraction(ct_p61_whole(-5), &n, &d) && n == -5 && d == 1);
    test_random r = {support_seed(8)};
    for (int i = 0; i < 1000; i++) EXPECT(!ct_p61_to_fraction(drawn(&r), &n, &d));
}

TEST(p61, lost_values_stay_lost_and_shadows_go_on) {
    ct_p61 quotient = ct_p61_div(one, zero), root = ct_p61_sqrt(ct_p61_whole(-4));
    EXPECT(quotient.field == CT_P61_NO_QUOTIENT && quotient.shadow == INFINITY);
    EXPECT(root.field == CT_P61_NO_ROOT && isnan(root.shadow));
    EXPECT(ct_p61_add(quotient, root).field == CT_P61_NO_ROOT);
    EXPECT(ct_p61_mul(root, quotient).field == CT_P61_NO_ROOT);
    EXPECT(ct_p61_mul(zero, quotient).field == CT_P61_NO_QUOTIENT);
    EXPECT(ct_p61_neg(quotient).field == CT_P61_NO_QUOTIENT);
    EXPECT(ct_p61_div(one, root).field == CT_P61_NO_ROOT);
    EXPECT(ct_p61_sqrt(quotient).field == CT_P61_NO_QUOTIENT);
    EXPECT(ct_p61_exp(root).field == CT_P61_NO_ROOT && ct_p61_sin(root).field == CT_P61_NO_ROOT);
    EXPECT(ct_p61_pow(root, ct_p61_whole(2)).field == CT_P61_NO_ROOT);
    EXPECT(ct_p61_sigmoid(quotient).field == CT_P61_NO_QUOTIENT);
}

TEST(p61, roots_and_powers) {
    test_random r = {support_seed(9)};
    int roots = 0;
    for (int i = 0; i < 1000; i++) {
        ct_p61 a = drawn(&r), b = drawn(&r), root = ct_p61_sqrt(ct_p61_mul(a, a));
        ct_p61 x = ct_p61_mul(a, a), y = ct_p61_mul(b, b);
        EXPECT(root.field == a.field || root.field == ct_p61_neg(a).field);
        EXPECT(ct_p61_sqrt(ct_p61_mul(x, y)).field ==
               ct_p61_mul(ct_p61_sqrt(x), ct_p61_sqrt(y)).field);
        roots += ct_p61_has_value(ct_p61_sqrt(a));
        EXPECT(ct_p61_pow(a, ct_p61_whole(3)).field == ct_p61_mul(x, a).field);
        EXPECT(ct_p61_mul(ct_p61_pow(a, ct_p61_whole(-2)), x).field == 1);
        EXPECT(ct_p61_pow(x, ct_p61_from(0.5)).field == root.field);
        EXPECT(ct_p61_mul(ct_p61_pow(x, ct_p61_from(-0.5)), root).field == 1);
        ct_p61 third = ct_p61_pow(a, ct_p61_from(1.0 / 3));
        EXPECT(ct_p61_mul(third, a).field == ct_p61_pow(a, ct_p61_from(4.0 / 3)).field);
    }
    EXPECT(roots > 400 && roots < 600, "%d", roots);
}

TEST(p61, stand_ins_know_what_the_header_says) {
    test_random r = {support_seed(10)};
    for (int i = 0; i < 200; i++) {
        ct_p61 a = drawn(&r), b = drawn(&r), minus = ct_p61_neg(a);
        EXPECT(ct_p61_mul(ct_p61_exp(a), ct_p61_exp(minus)).field == 1);
        EXPECT(ct_p61_add(ct_p61_sin(a), ct_p61_sin(minus)).field == 0);
        EXPECT(ct_p61_add(ct_p61_erf(a), ct_p61_erf(minus)).field == 0);
        EXPECT(ct_p61_add(ct_p61_tanh(a), ct_p61_tanh(minus)).field == 0);
        EXPECT(ct_p61_cos(a).field == ct_p61_cos(minus).field);
        EXPECT(ct_p61_add(ct_p61_ndtr(a), ct_p61_ndtr(minus)).field == 1);
        EXPECT(ct_p61_add(ct_p61_sigmoid(a), ct_p61_sigmoid(minus)).field == 1);
        EXPECT(ct_p61_expm1(a).field == ct_p61_sub(ct_p61_exp(a), one).field);
        EXPECT(ct_p61_log1p(a).field == ct_p61_log(ct_p61_add(a, one)).field);
        EXPECT(ct_p61_exp(a).field != ct_p61_exp(b).field);
        EXPECT(ct_p61_exp(a).field != ct_p61_log(a).field);
        ct_p61 product = ct_p61_mul(ct_p61_exp(a), ct_p61_exp(b));
        EXPECT(product.field != ct_p61_exp(ct_p61_add(a, b)).field, "exp(a + b)");
        EXPECT(ct_p61_tanh(a).shadow == tanh(a.shadow) && ct_p61_erf(a).shadow == erf(a.shadow));
    }
    EXPECT(ct_p61_exp(zero).field == 1 && ct_p61_log(one).field == 0);
    EXPECT(ct_p61_sin(zero).field == 0 && ct_p61_cos(zero).field == 1);
    EXPECT(ct_p61_erf(zero).field == 0 && ct_p61_tanh(zero).field == 0);
    EXPECT(ct_p61_ndtr(zero).field == ct_p61_from(0.5).field);
}

TEST(p61, as_text) {
    EXPECT(strcmp(ct_p61_format(ct_p61_from(1.0 / 3)).text, "1/3 (0.333333)") == 0);
    EXPECT(strcmp(ct_p61_format(ct_p61_whole(-3)).text, "-3 (-3)") == 0);
    EXPECT(strcmp(ct_p61_format((ct_p61){1630477228166597888u, 0.5}).text,
                  "1630477228166597888 (0.5)") == 0);
    EXPECT(strcmp(ct_p61_format(ct_p61_div(one, zero)).text, "no quotient (inf)") == 0);
    EXPECT(strcmp(ct_p61_format((ct_p61){CT_P61_NO_ROOT, -1}).text, "no root (-1)") == 0);
    EXPECT(strcmp(ct_p61_format(ct_p61_from(INFINITY)).text, "no number (inf)") == 0);
}

/* --- Tensors ---------------------------------------------------------------------------------- */

static uint64_t field_of(ct_tensor *t, int64_t i) {
    const ct_p61 *elements = ct_data_p61(t);
    MADE(elements);
    return elements[i].field;
}

TEST(p61, tensors_are_made_and_cast) {
    EXPECT(strcmp(ct_dtype_name(CT_P61), "p61") == 0 && ct_dtype_size(CT_P61) == 16);
    uint64_t third = ct_p61_from(1.0 / 3).field;
    EXPECT(field_of(ct_full(CT_P61, CT_SHAPE(3), 1.0 / 3), 2) == third);
    EXPECT(ct_item(ct_scalar(CT_P61, -2.5)) == -2.5);
    EXPECT(field_of(ct_cast(ct_scalar(CT_F64, 1.0 / 3), CT_P61), 0) == third);
    EXPECT(field_of(ct_cast(ct_iota(4), CT_P61), 3) == 3);
    EXPECT(field_of(ct_cast(ct_full(CT_U8, CT_SHAPE(1), 200), CT_P61), 0) == 200);
    EXPECT(field_of(ct_cast(ct_scalar(CT_F32, -0.5), CT_P61), 0) == ct_p61_from(-0.5).field);
    ct_tensor *x = ct_scalar(CT_P61, 2.75);
    EXPECT(*ct_data_f64(ct_cast(x, CT_F64)) == 2.75 && *ct_data_f32(ct_cast(x, CT_F32)) == 2.75f);
    EXPECT(*ct_data_i64(ct_cast(x, CT_I64)) == 2 && *ct_data_u8(ct_cast(x, CT_U8)) == 2);
    ct_tensor *y = ct_scale(ct_scale(ct_full(CT_P61, CT_SHAPE(5), 6), 1.0 / 6), 0.1);
    EXPECT(field_of(ct_scale(ct_sum_all(y), 2), 0) == 1, "a literal is a fraction");
    EXPECT(field_of(ct_random_uniform(ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){1, 2}), CT_P61,
                                      CT_SHAPE(3)),
                    0) < CT_P61_PRIME);
    EXPECT(!ct_data_f64(x));
    expect_error(CT_ERR_DTYPE, "ct_data_f64: the tensor is p61");
}

TEST(p61, slots_hold_it) {
    ct_slot *slot = ct_slot_new("w", ct_full(CT_P61, CT_SHAPE(2), 0.1));
    OK(ct_slot_write(slot, ct_add(ct_slot_read(slot), ct_slot_read(slot))));
    EXPECT(field_of(ct_slot_read(slot), 1) == ct_p61_from(0.2).field);
    ct_slot_drop(slot);
}

static void softsign(int64_t n, void *out, const void *const in[], const ct_tile *tile) {
    (void)tile;
    const double *x = in[0];
    for (int64_t i = 0; i < n; i++) ((double *)out)[i] = x[i] / (1 + fabs(x[i]));
}

/* Of an op that has no arithmetic for it the message says what is missing. */
TEST(p61, an_op_without_it_is_refused_by_name) {
    static const ct_op op = {.name = "softsign",
                             .kind = CT_MAP,
                             .n_inputs = 1,
                             .infer = ct_infer_float,
                             .tile = {[CT_F64] = softsign},
                             .vjp = {ct_no_gradient}};
    ct_tensor *x = ct_full(CT_P61, CT_SHAPE(2), 1);
    EXPECT(!ct_node(&op, &x, 1, NULL, 0));
    expect_error(CT_ERR_DTYPE,
                 "softsign: not defined for p61; give it .tile[CT_P61] or use ct_cast");
}

TEST(p61, files_refuse_it) {
    ct_tensor *x = ct_full(CT_P61, CT_SHAPE(2), 1);
    EXPECT(ct_npy_save("/nowhere/x.npy", x) != CT_OK);
    expect_error(CT_ERR_DTYPE,
                 "ct_npy_save: dtype must be f32, f64, i64 or u8, got p61; use ct_cast");
    ct_named entry = {"x", x};
    EXPECT(ct_safetensors_save("/nowhere/x.st", &entry, 1, NULL, 0) != CT_OK);
    expect_error(CT_ERR_DTYPE,
                 "ct_safetensors_save: dtype must be f32, f64, i64 or u8, got p61; use ct_cast");
}

TEST(p61, prints_both) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ct_print(out, ct_scale(ct_from(CT_P61, CT_SHAPE(2), (ct_p61[]){{1, 1}, {3, 3}}), 0.5));
    fclose(out);
    EXPECT(strcmp(text, "[1/2 (0.5) 3/2 (1.5)]\n") == 0, "%s", text);
    free(text);
}
