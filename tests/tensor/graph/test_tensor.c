/* Ownership, leaves, reading, printing, slots and staged updates: what tensor.h promises. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/stage.h"
#include "tensor/mem.h"
#include "tensor/op.h"
#include "tensor/runtime.h"
#include "tensor/slot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Scopes ----------------------------------------------------------------------------------- */

TEST(tensor, scope_close_drops_temporaries) {
    int64_t before = ct_mem_read().live_blocks, scope = ct_scope_open();
    for (int i = 0; i < 10; i++) ct_exp(ct_full(CT_F32, CT_SHAPE(3), i));
    EXPECT(ct_mem_read().live_blocks > before);
    ct_scope_close(scope);
    EXPECT(ct_mem_read().live_blocks <= before + 1); /* the stack itself may stay */
    ct_scope_close(scope);
}

TEST(tensor, keep_outlives_the_scope) {
    int64_t scope = ct_scope_open();
    ct_tensor *kept = ct_keep(ct_scalar(CT_F64, 7));
    ct_scope_close(scope);
    EXPECT(ct_item(kept) == 7);
    ct_drop(kept);
    ct_drop(NULL);
    EXPECT(ct_keep(NULL) == NULL);
}

TEST(tensor, yield_moves_one_tensor_out) {
    int64_t outer = ct_scope_open(), inner = ct_scope_open();
    ct_tensor *x = ct_scalar(CT_F64, 2);
    ct_tensor *y = ct_scope_yield(inner, ct_mul(x, x));
    EXPECT(ct_item(y) == 4);
    ct_scope_close(outer);
}

static ct_tensor *forgets_to_close(void) {
    ct_scope_open();
    ct_scalar(CT_F64, 1);
    return NULL;
}

TEST(tensor, an_outer_close_heals_a_forgotten_one) {
    int64_t scope = ct_scope_open();
    forgets_to_close();
    ct_scalar(CT_F64, 2);
    ct_scope_close(scope);
    EXPECT(ct_scope_open() == scope);
}

TEST(tensor, set_keeps_the_new_and_drops_the_old) {
    int64_t scope = ct_scope_open();
    ct_tensor *slot = NULL;
    ct_set(&slot, ct_scalar(CT_F64, 1));
    ct_set(&slot, ct_scalar(CT_F64, 2));
    ct_set(&slot, slot);
    ct_scope_close(scope);
    EXPECT(ct_item(slot) == 2);
    ct_set(&slot, NULL);
}

/* --- Leaves and reading ----------------------------------------------------------------------- */

TEST(tensor, leaves) {
    ct_tensor *a = ct_arange(CT_F64, 1, 0, -0.25);
    EXPECT(ct_numel(a) == 4 && element(a, 3) == 0.25);
    EXPECT(ct_numel(ct_arange(CT_I64, 5, 5, 1)) == 0);
    ct_tensor *eye = ct_eye(CT_I64, 3);
    EXPECT(element(eye, 4) == 1 && element(eye, 5) == 0);
    EXPECT(ct_data_u8(ct_full(CT_U8, CT_SHAPE(2), 255))[1] == 255);
    EXPECT(ct_data(ct_full(CT_F32, CT_SHAPE(0, 3), 1)) != NULL);
    EXPECT(ct_item(ct_scalar(CT_I64, -3)) == -3);
}

TEST(tensor, dims_of_nothing) {
    EXPECT(ct_dim(NULL, 0) == 0 && ct_numel(NULL) == 0 && ct_shape_of(NULL).rank == 0);
    ct_tensor *t = ct_full(CT_F32, CT_SHAPE(2, 3), 0);
    EXPECT(ct_dim(t, -1) == 3 && ct_dim(t, 0) == 2 && ct_dim(t, 2) == 0 && ct_dim(t, -3) == 0);
}

TEST(tensor, typed_reading_checks_the_type) {
    EXPECT(ct_data_f32(ct_scalar(CT_F64, 1)) == NULL);
    EXPECT(strcmp(taken_error(NULL), "ct_data_f32: the tensor is f64") == 0);
    EXPECT(isnan(ct_item(ct_full(CT_F32, CT_SHAPE(2), 0))));
    EXPECT(strcmp(taken_error(NULL), "ct_item: needs one element, got [2]") == 0);
}

TEST(tensor, detach_cuts_history) {
    ct_tensor *y = ct_exp(ct_scalar(CT_F64, 0));
    ct_tensor *d = ct_detach(y);
    EXPECT(ct_item(d) == 1 && ct_input_count(d) == 0 && ct_input_count(y) == 1);
}

TEST(tensor, roots_keep_their_values) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(8), 2), *a = ct_exp(x), *b = ct_sum_all(a);
    EXPECT(ct_eval((ct_tensor *[]){a, b}, 2) == CT_OK);
    int64_t before = ct_stats_read().evaluations;
    ct_item(b), ct_data(a), ct_data(x);
    EXPECT(ct_stats_read().evaluations == before);
}

TEST(tensor, a_path_has_whole_names) {
    EXPECT(ct_path_push("outer") == CT_OK);
    EXPECT(ct_path_push("in/ner") == CT_ERR_RANGE);
    EXPECT(strcmp(ct_error_message(), "ct_path_push: a name has no '/', got 'in/ner' (in outer)") ==
               0,
           "%s", ct_error_message());
    ct_error_clear();
    EXPECT(strcmp(ct_path_of(ct_scalar(CT_F32, 1)), "outer") == 0);
    ct_path_pop();
    EXPECT(strcmp(ct_path_of(ct_scalar(CT_F32, 1)), "") == 0);
}

TEST(tensor, names_and_paths) {
    EXPECT(ct_path_push("model") == CT_OK && ct_path_push("dense") == CT_OK);
    ct_tensor *t = ct_name(ct_scalar(CT_F32, 1), "weight");
    ct_path_pop();
    ct_path_pop();
    EXPECT(strcmp(ct_path_of(t), "model/dense") == 0 && strcmp(ct_name_of(t), "weight") == 0);
    EXPECT(strcmp(ct_path_of(ct_neg(t)), "") == 0);
}

TEST(tensor, errors_name_the_module) {
    ct_path_push("model");
    ct_reshape(ct_full(CT_F32, CT_SHAPE(2, 3), 0), CT_SHAPE(4, 2));
    ct_path_pop();
    EXPECT(strcmp(taken_error(NULL),
                  "ct_reshape: [2,3] has 6 elements, [4,2] needs 8 (in model)") == 0);
}

/* --- Printing --------------------------------------------------------------------------------- */

static void expect_printed(ct_tensor *t, const char *expected) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    EXPECT(out && ct_print(out, t) == CT_OK);
    fclose(out);
    EXPECT(text && strcmp(text, expected) == 0, "printed\n%sexpected\n%s", text, expected);
    free(text);
}

TEST(tensor, prints_like_numpy) {
    expect_printed(ct_from(CT_F32, CT_SHAPE(2, 2), (float[]){1, 2, 3, 4}), "[[1. 2.]\n [3. 4.]]\n");
    expect_printed(ct_from(CT_F64, CT_SHAPE(3), (double[]){1e-10, 1, 3}),
                   "[1.e-10 1.e+00 3.e+00]\n");
    expect_printed(ct_from(CT_F64, CT_SHAPE(3), (double[]){INFINITY, -0.0, NAN}),
                   "[inf -0. nan]\n");
    expect_printed(ct_reshape(ct_arange(CT_I64, 0, 8, 1), CT_SHAPE(2, 2, 2)),
                   "[[[0 1]\n  [2 3]]\n\n [[4 5]\n  [6 7]]]\n");
    expect_printed(ct_arange(CT_F64, 0, 5000, 1), "[   0.    1.    2. ... 4997. 4998. 4999.]\n");
    expect_printed(ct_full(CT_F32, CT_SHAPE(0), 0), "[]\n");
    expect_printed(ct_arange(CT_I64, 0, 30, 1),
                   "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
                   " 24 25 26 27 28 29]\n");
}

/* --- Slots and staged updates ----------------------------------------------------------------- */

TEST(slot, holds_an_evaluated_leaf) {
    ct_slot *slot = ct_slot_new("gamma", ct_exp(ct_scalar(CT_F64, 0)));
    ct_tensor *before = ct_slot_read(slot);
    EXPECT(ct_item(before) == 1 && strcmp(ct_name_of(before), "gamma") == 0);
    EXPECT(ct_slot_write(slot, ct_scalar(CT_F64, 5)) == CT_OK);
    EXPECT(ct_item(ct_slot_read(slot)) == 5 && ct_item(before) == 1);
    EXPECT(!ct_slot_holds(slot, before));
    ct_slot_drop(slot);
}

TEST(slot, refuses_another_shape) {
    ct_slot *slot = ct_slot_new("w", ct_full(CT_F32, CT_SHAPE(2), 1));
    EXPECT(ct_slot_write(slot, ct_full(CT_F32, CT_SHAPE(3), 1)) == CT_ERR_SHAPE);
    EXPECT(strcmp(taken_error(NULL), "ct_slot_write: 'w' is f32 [2], the new value is f32 [3]") ==
           0);
    EXPECT(element(ct_slot_read(slot), 0) == 1);
    ct_slot_drop(slot);
}

TEST(stage, nothing_changes_without_a_commit) {
    ct_slot *slot = ct_slot_new("mean", ct_scalar(CT_F64, 10));
    ct_tensor *x = ct_scalar(CT_F64, 3), *y = ct_stage(x, slot, 0.5, x);
    EXPECT(ct_item(y) == 3 && ct_item(ct_slot_read(slot)) == 10);
    EXPECT(ct_commit(&y, 1, NULL, 0) == CT_OK);
    EXPECT(ct_item(ct_slot_read(slot)) == 8);
    ct_slot_drop(slot);
}

TEST(stage, two_compose_in_the_order_of_construction) {
    ct_slot *slot = ct_slot_new("mean", ct_scalar(CT_F64, 16));
    ct_tensor *one = ct_scalar(CT_F64, 1), *two = ct_scalar(CT_F64, 2);
    ct_tensor *a = ct_stage(one, slot, 0.5, one), *b = ct_stage(two, slot, 0.5, two);
    ct_tensor *sum = ct_add(b, a); /* the walk meets b first */
    EXPECT(ct_commit(&sum, 1, NULL, 0) == CT_OK);
    EXPECT(ct_item(ct_slot_read(slot)) == (16 * 0.5 + 1) * 0.5 + 2);
    ct_slot_drop(slot);
}

TEST(stage, reached_twice_counts_once) {
    ct_slot *slot = ct_slot_new("mean", ct_scalar(CT_F64, 4));
    ct_tensor *one = ct_scalar(CT_F64, 1), *a = ct_stage(one, slot, 0.5, one);
    ct_tensor *roots[] = {ct_mul(a, a), a};
    EXPECT(ct_commit(roots, 2, NULL, 0) == CT_OK && ct_item(ct_slot_read(slot)) == 3);
    ct_slot_drop(slot);
}

TEST(stage, an_error_changes_no_slot) {
    ct_slot *good = ct_slot_new("good", ct_scalar(CT_F64, 1));
    ct_slot *bad = ct_slot_new("bad", ct_scalar(CT_F64, 1));
    ct_update updates[] = {{good, ct_scalar(CT_F64, 2)}, {bad, ct_full(CT_F64, CT_SHAPE(2), 0)}};
    EXPECT(ct_commit(NULL, 0, updates, 2) == CT_ERR_SHAPE);
    taken_error(NULL);
    EXPECT(ct_item(ct_slot_read(good)) == 1);
    ct_slot_drop(good);
    ct_slot_drop(bad);
}

TEST(stage, the_slot_may_go_before_the_graph) {
    ct_slot *slot = ct_slot_new("mean", ct_scalar(CT_F64, 4));
    ct_tensor *one = ct_scalar(CT_F64, 1), *a = ct_stage(one, slot, 0.5, one);
    ct_slot_drop(slot);
    EXPECT(ct_commit(&a, 1, NULL, 0) == CT_OK);
}

/* --- The library itself ----------------------------------------------------------------------- */

TEST(tensor, version_is_that_of_the_header) {
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", CT_VERSION_MAJOR, CT_VERSION_MINOR,
             CT_VERSION_PATCH);
    EXPECT(strcmp(ct_version(), expected) == 0, "%s is not %s", ct_version(), expected);
    EXPECT(strncmp(ct_info(), "cotan ", 6) == 0 &&
               strncmp(ct_info() + 6, expected, strlen(expected)) == 0,
           "%s", ct_info());
}
