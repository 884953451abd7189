/* Shapes and element types. The only place that multiplies dimensions: every product is checked. */
#ifndef COTAN_SHAPE_H
#define COTAN_SHAPE_H

#include <cotan/tensor/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

CT_C_BEGIN

typedef enum { CT_F32, CT_F64, CT_I64, CT_U8, CT_P61, CT_DTYPES } ct_dtype;

#define CT_MAX_RANK 8

typedef struct {
    int rank;                  /* 0 to CT_MAX_RANK; rank 0 is a scalar */
    int64_t dims[CT_MAX_RANK]; /* row-major, the last one varies fastest */
} ct_shape;

/* CT_SHAPE(32, 28, 28, 1); CT_SCALAR is the shape of one number. */
#define CT_SHAPE(...) CTI_COUNTED(ct_shape, int64_t, __VA_ARGS__)
#define CT_SCALAR CTI_STRUCT(ct_shape, 0, {0})

const char *ct_dtype_name(ct_dtype dtype); /* "f32", "f64", "i64", "u8", "p61" */
size_t ct_dtype_size(ct_dtype dtype);      /* bytes per element */
bool ct_dtype_is_float(ct_dtype dtype);    /* f32, f64 and p61: derivatives flow */
/* Inline because every node asks several times. */
static inline bool ct_shape_equal(ct_shape a, ct_shape b) {
    bool equal = a.rank == b.rank;
    for (int i = 0; i < a.rank && equal; i++) equal = a.dims[i] == b.dims[i];
    return equal;
}

/* A shape as text, "[32,10]", by value so that one message can hold several. */
typedef struct {
    char text[CT_MAX_RANK * 21 + 3];
} ct_shape_text;
ct_shape_text ct_shape_format(ct_shape shape);

/* The product of the dimensions, which must stay below 2^63: that of every tensor does. */
int64_t ct_shape_numel(ct_shape shape);

CT_C_END

#endif
