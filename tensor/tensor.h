/* Tensors: what they are, who owns them, how to make and read them.
 *
 * A tensor is a node of a graph. An op checks its operands, records a node and computes nothing;
 * values are computed when somebody reads them, and never change afterwards.
 *
 * Three rules of ownership:
 *  1. Every tensor that a function returns is a temporary of the open scope: it lives until that
 *     scope closes and must not be dropped.
 *  2. ct_keep(t) holds it longer, ct_drop(t) undoes that. Both take NULL.
 *  3. Structs own what they store, and change it only through ct_set.
 *
 *     int64_t scope = ct_scope_open();
 *     ct_tensor *x = ct_from(CT_F32, CT_SHAPE(2, 2), (float[]){1, 2, 3, 4});
 *     ct_tensor *y = ct_sum_all(ct_mul(x, x));
 *     ct_tensor *dx;
 *     if (ct_grad(y, &x, 1, &dx) != CT_OK) puts(ct_error_message());
 *     ct_print(stdout, dx);                        // [[2. 4.]\n [6. 8.]]
 *     ct_scope_close(scope);                       // x, y, dx and all between are gone
 *
 * A tensor and everything it reaches belong to one thread, and graphs of a thread share the numbers
 * of their formulas: what goes to another thread is a value alone (ct_detach), or a frozen module
 * that several threads read (nn/module.h). */
#ifndef COTAN_TENSOR_H
#define COTAN_TENSOR_H

#include <cotan/tensor/error.h>
#include <cotan/tensor/p61.h>
#include <cotan/tensor/shape.h>

#include <stdio.h>

CT_C_BEGIN

typedef struct ct_tensor ct_tensor;

/* --- Scopes ------------------------------------------------------------------------------- */

/* Opens a scope and returns its mark (the number of temporaries so far, so it cannot dangle). */
int64_t ct_scope_open(void);
/* Drops every temporary made since `scope` was opened, inner scopes included. Repeatable. */
void ct_scope_close(int64_t scope);
/* Closes `scope`, but `t` lives on as a temporary of the scope around it. Returns t. */
ct_tensor *ct_scope_yield(int64_t scope, ct_tensor *t);
/* Makes t a temporary of the open scope too. For functions that return a tensor they did not make.
 * Returns t; NULL when out of memory. */
ct_tensor *ct_scope_add(ct_tensor *t);
ct_tensor *ct_keep(ct_tensor *t); /* one more owner; returns t */
void ct_drop(ct_tensor *t);       /* one owner less; the last one frees */
/* *slot = t: keeps the new tensor, drops the old one. */
void ct_set(ct_tensor **slot, ct_tensor *t);

/* --- Leaves ------------------------------------------------------------------------------- */

/* Copies row-major elements of the given type. */
ct_tensor *ct_from(ct_dtype dtype, ct_shape shape, const void *elements);
/* All elements equal `value`. The value is data, so that another one does not make a new plan. */
ct_tensor *ct_full(ct_dtype dtype, ct_shape shape, double value);
ct_tensor *ct_scalar(ct_dtype dtype, double value); /* of rank 0 */
/* start, start + step, ... below `stop` (above it for step < 0): ceil((stop - start) / step). */
ct_tensor *ct_arange(ct_dtype dtype, double start, double stop, double step);
ct_tensor *ct_eye(ct_dtype dtype, int64_t n); /* [n,n], ones on the diagonal */

/* --- Reading ------------------------------------------------------------------------------ */

ct_dtype ct_dtype_of(const ct_tensor *t);     /* CT_F32 for NULL */
ct_shape ct_shape_of(const ct_tensor *t);     /* the scalar shape for NULL */
int64_t ct_dim(const ct_tensor *t, int axis); /* negative axes count from the end; 0 if absent */
int64_t ct_numel(const ct_tensor *t);         /* 0 for NULL */

/* Computes the roots together; each keeps its value. All of them or, after an error, none. */
ct_status ct_eval(ct_tensor *const roots[], int64_t n);
/* Row-major elements typed by the dtype, computed if need be; valid as long as t lives. Not NULL
 * for a tensor without elements; NULL on error. */
const void *ct_data(ct_tensor *t);
/* The same, checking that the type is the one named. */
const float *ct_data_f32(ct_tensor *t);
const double *ct_data_f64(ct_tensor *t);
const int64_t *ct_data_i64(ct_tensor *t);
const uint8_t *ct_data_u8(ct_tensor *t);
const ct_p61 *ct_data_p61(ct_tensor *t);
/* The value of a tensor with one element; NaN on error. */
double ct_item(ct_tensor *t);
/* An evaluated leaf with t's value and no history. */
ct_tensor *ct_detach(ct_tensor *t);
/* Writes the values as NumPy does (more than 1000 elements are summarized). Of what varies between
 * ranks they are this rank's, and a line says so: along which axis, how many rows of how many. */
ct_status ct_print(FILE *out, ct_tensor *t);

/* --- Names -------------------------------------------------------------------------------- */

/* Names t for pictures and messages and returns it. The text is copied. */
ct_tensor *ct_name(ct_tensor *t, const char *name);
const char *ct_name_of(const ct_tensor *t); /* "" when it has none */
/* Nodes made between push and pop carry the module path "outer/inner". Errors, with nothing pushed:
 * CT_ERR_RANGE for a name with a '/' or a path above 511 bytes; CT_ERR_MEMORY. */
ct_status ct_path_push(const char *name);
void ct_path_pop(void); /* the last one that was pushed */
const char *ct_path_of(const ct_tensor *t);
/* 0 for what the user built, 1 for nodes of a first derivative, and so on. */
int ct_order_of(const ct_tensor *t);

CT_C_END

#endif
