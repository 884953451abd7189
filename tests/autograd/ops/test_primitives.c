/* Every primitive, by one table: values against naive loops, first and second derivatives against
 * finite differences, over ranks, broadcasts, sizes 0 and 1, and layouts.
 * Conventions at single points (ties, kinks, NaN) are in test_conventions.c.
 * Invariant: a descriptor that is linked in and has no row fails the run. */
#include "tests/autograd/ops/primitive_checks.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED UINT64_C(20240511)
#define SMALL_SAMPLES 40 /* of values, per dtype, real and whole */
#define LARGE_SAMPLES 6
#define ORDER_1_SAMPLES 200
#define ORDER_2_SAMPLES 50

/* COTAN_OP=name looks at one row alone. */
static bool chosen(const primitive_row *row) {
    const char *only = getenv("COTAN_OP");
    return !only || strcmp(only, row->op) == 0;
}

static uint64_t seed_of(const primitive_row *row, int64_t k) {
    uint64_t hash = support_seed(SEED);
    for (const char *at = row->op; *at; at++) {
        hash = (hash ^ (uint64_t)*at) * UINT64_C(1099511628211);
    }
    return hash + (uint64_t)k * 3;
}

typedef void sample_check(const sample *s, bool whole);

static sample_census census;

static void take_sample(const primitive_row *row, int64_t k, ct_dtype dtype, bool large, bool whole,
                        sample_check *check) {
    sample s;
    int64_t scope = ct_scope_open();
    sample_new(&s, row, seed_of(row, k), dtype, large, whole);
    sample_count(&s, &census);
    check(&s, whole);
    sample_free(&s);
    ct_scope_close(scope);
    EXPECT(ct_error() == CT_OK, "%s", ct_error_message());
    ct_error_clear();
}

TEST(primitives, every_descriptor_has_a_row) {
    const ct_op *op;
    int n = 0;
    for (; (op = primitive_descriptor(n)); n++) {
        EXPECT(primitive_row_of(op->name), "'%s' has no row in the primitive table", op->name);
    }
    for (int i = 0; primitive_row_at(i); i++) {
        bool found = false;
        for (int k = 0; (op = primitive_descriptor(k)); k++) {
            found |= strcmp(op->name, primitive_row_at(i)->op) == 0;
        }
        EXPECT(found, "row '%s' has no descriptor", primitive_row_at(i)->op);
    }
    printf("%d primitives\n", n);
}

/* Derivatives of all floats, or a statement that there are none: never a forgotten entry. */
TEST(primitives, every_input_has_a_derivative_or_says_that_it_has_none) {
    const ct_op *op;
    for (int k = 0; (op = primitive_descriptor(k)); k++) {
        for (int i = 0; i < op->n_inputs; i++) {
            EXPECT(op->vjp_any || op->vjp[i], "'%s', input %d", op->name, i);
        }
        EXPECT(op->n_inputs >= 0 || op->vjp_any, "'%s'", op->name);
    }
}

/* The row's op with operands of a type that it does not hold where the case has `held`. */
static ct_tensor *build_in(const primitive_row *row, ct_dtype held, ct_dtype refused) {
    test_random r = {seed_of(row, 0)};
    op_case c;
    ct_tensor *x[MOST_OPERANDS];
    primitive_case(row, &r, held, false, &c);
    c.dtype = refused;
    for (int i = 0; i < c.n; i++) {
        x[i] = ct_full(c.dtypes[i] == held ? refused : c.dtypes[i], c.shapes[i], 0);
    }
    return row->build(x, &c);
}

/* No table by dtype is read where it has nothing. */
TEST(primitives, other_dtypes_are_refused_by_name) {
    const primitive_row *row;
    for (int i = 0; (row = primitive_row_at(i)); i++) {
        ct_dtype held = row->dtypes & ON(CT_F64) ? CT_F64 : CT_I64;
        for (int dtype = 0; dtype < CT_DTYPES; dtype++) {
            if (row->dtypes >> dtype & 1) continue;
            int64_t scope = ct_scope_open();
            const char *name = ct_dtype_name((ct_dtype)dtype), *message = ct_error_message();
            ct_tensor *y = build_in(row, held, (ct_dtype)dtype);
            /* An op without operands, or one that had nothing to do. */
            bool harmless = y && (ct_input_count(y) == 0 || strcmp(ct_op_of(y)->name, row->op));
            EXPECT(harmless || (ct_error() == CT_ERR_DTYPE && strncmp(message, "ct_", 3) == 0 &&
                                (row->within || strstr(message, row->op)) && strstr(message, name)),
                   "%s of %s: %s", row->op, name, message);
            ct_error_clear();
            ct_scope_close(scope);
        }
    }
}

static void values(bool large, int64_t samples) {
    const primitive_row *row;
    for (int i = 0; (row = primitive_row_at(i)); i++) {
        for (int dtype = 0; dtype < CT_DTYPES && chosen(row); dtype++) {
            if (!(row->dtypes >> dtype & 1)) continue;
            for (int64_t k = 0; k < support_scaled(samples); k++) {
                bool real = ct_dtype_is_float((ct_dtype)dtype);
                if (real) take_sample(row, k, (ct_dtype)dtype, large, false, check_values);
                if (row->exact) take_sample(row, k, (ct_dtype)dtype, large, true, check_values);
            }
        }
    }
}

TEST(primitives, values) { values(false, SMALL_SAMPLES); }
TEST(primitives, values_beyond_one_tile) { values(true, LARGE_SAMPLES); }

static void order_1(const sample *s, bool whole) {
    (void)whole;
    check_order_1(s);
}

static void order_2(const sample *s, bool whole) {
    (void)whole;
    check_order_2(s);
}

/* In f64; conversions from each floating type. */
static void derivatives(int64_t samples, sample_check *check) {
    const primitive_row *row;
    census = (sample_census){0};
    for (int i = 0; (row = primitive_row_at(i)); i++) {
        for (int64_t k = 0; k < support_scaled(samples) && chosen(row); k++) {
            ct_dtype dtype = row->dtypes & ON(CT_F64) ? CT_F64 : CT_F32;
            take_sample(row, k, dtype, false, false, check);
        }
    }
}

/* That the samples are as varied as they should be. */
static void expect_variety(void) {
    int64_t n = census.samples;
    printf("%lld samples; stretched %lld of %lld with several operands, size 1 %lld, size 0 %lld, "
           "x x %lld; permuted %lld, sliced %lld, flipped %lld, stride 0 %lld\n",
           (long long)n, (long long)census.stretched, (long long)census.paired,
           (long long)census.ones, (long long)census.empty, (long long)census.same,
           (long long)census.laid_out[VIEW_PERMUTE], (long long)census.laid_out[VIEW_SLICE],
           (long long)census.laid_out[VIEW_FLIP], (long long)census.laid_out[VIEW_BROADCAST]);
    if (n < 2000 || getenv("COTAN_OP")) return;
    EXPECT(census.stretched * 100 >= census.paired * 25);
    EXPECT(census.ones * 100 >= n * 15);
    EXPECT(census.empty * 100 >= n * 10);
    EXPECT(census.same > 0);
    for (int k = 0; k < VIEW_KINDS; k++) EXPECT(census.laid_out[k] * 100 >= n * 8);
}

TEST(primitives, first_derivatives) {
    derivatives(ORDER_1_SAMPLES, order_1);
    expect_variety();
}

TEST(primitives, second_derivatives) { derivatives(ORDER_2_SAMPLES, order_2); }
