/* Printing values as NumPy does: nested brackets, aligned columns, long axes summarized.
 * It prints values, and how many rows of all they are where ranks have different ones; types,
 * shapes and graphs are other functions' business.
 * Invariant: no recursion over anything but the rank, which is at most 8. */
#include "tensor/graph/node.h"

#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/varying.h"

#include <math.h>
#include <string.h>

#define SUMMARY_ABOVE 1000 /* elements */
#define EDGE 3             /* items shown at either end of a summarized axis */
#define LINE 75            /* columns before a row goes on in the next line */

typedef struct {
    FILE *out;
    const ct_tensor *t;
    int64_t strides[CT_MAX_RANK];
    bool summarize;
    int width, precision;
    bool exponent;
} printer;

static double value_at(const ct_tensor *t, int64_t i) {
    return cti_value(t->buffer->data, t->dtype, i);
}

static int format_value(const printer *p, int64_t i, char *text, size_t size) {
    if (p->t->dtype == CT_I64) {
        return snprintf(text, size, "%lld", (long long)((const int64_t *)p->t->buffer->data)[i]);
    }
    if (p->t->dtype == CT_P61) {
        ct_p61 element = ((const ct_p61 *)p->t->buffer->data)[i];
        return snprintf(text, size, "%s", ct_p61_format(element).text);
    }
    double value = value_at(p->t, i);
    if (p->t->dtype == CT_U8) return snprintf(text, size, "%.0f", value);
    if (!isfinite(value)) {
        return snprintf(text, size, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    }
    if (p->exponent) return snprintf(text, size, "%#.*e", p->precision, value);
    if (p->precision == 0) return snprintf(text, size, "%.0f.", value);
    return snprintf(text, size, "%.*f", p->precision, value);
}

/* The digits after the point that a value needs, at most 8 (f32: as many as it has). */
static int digits_of(double value, ct_dtype dtype, bool exponent) {
    int most = dtype == CT_F32 ? 7 : 8;
    double close = exponent ? fabs(value) * 5e-9 : 5e-9;
    for (int digits = 0; digits < most; digits++) {
        char text[512];
        snprintf(text, sizeof text, exponent ? "%.*e" : "%.*f", digits, value);
        double shown = 0;
        if (sscanf(text, "%lf", &shown) != 1) return most;
        if (dtype == CT_F32 ? (float)shown == (float)value : fabs(shown - value) <= close) {
            return digits;
        }
    }
    return most;
}

static void choose_format(printer *p) {
    double largest = 0, smallest = INFINITY;
    for (int64_t i = 0; i < p->t->numel; i++) {
        double value = fabs(value_at(p->t, i));
        if (!isfinite(value) || value == 0) continue;
        if (value > largest) largest = value;
        if (value < smallest) smallest = value;
    }
    p->exponent = ct_dtype_is_float(p->t->dtype) && (largest >= 1e8 || smallest < 1e-4);
    int64_t step = p->t->numel > SUMMARY_ABOVE ? p->t->numel / SUMMARY_ABOVE : 1;
    for (int64_t i = 0; i < p->t->numel; i += step) {
        double value = value_at(p->t, i);
        if (!isfinite(value) || !ct_dtype_is_float(p->t->dtype)) continue;
        int digits = digits_of(value, p->t->dtype, p->exponent);
        if (digits > p->precision) p->precision = digits;
    }
    for (int64_t i = 0; i < p->t->numel; i += step) {
        char text[64];
        int width = format_value(p, i, text, sizeof text);
        if (width > p->width) p->width = width;
    }
}

static void print_axis(const printer *p, int axis, int64_t at) {
    if (axis == p->t->shape.rank) {
        char text[64];
        format_value(p, at, text, sizeof text);
        fprintf(p->out, "%*s", p->width, text);
        return;
    }
    int64_t n = p->t->shape.dims[axis];
    bool last = axis == p->t->shape.rank - 1;
    int column = axis + 1;
    fputc('[', p->out);
    for (int64_t i = 0; i < n; i++) {
        column += p->width + 1;
        if (i > 0 && last && column > LINE) {
            fprintf(p->out, "\n%*s", axis + 1, "");
            column = axis + 2 + p->width;
        } else if (i > 0 && last) {
            fputc(' ', p->out);
        }
        for (int k = 0; i > 0 && !last && k < p->t->shape.rank - 1 - axis; k++) fputc('\n', p->out);
        if (i > 0 && !last) fprintf(p->out, "%*s", axis + 1, "");
        if (p->summarize && n > 2 * EDGE && i == EDGE) {
            fputs("...", p->out);
            i = n - EDGE - 1;
            continue;
        }
        print_axis(p, axis + 1, at + i * p->strides[axis]);
    }
    fputc(']', p->out);
}

ct_status ct_print(FILE *out, ct_tensor *t) {
    CTI_CALLED;
    if (!out || !t) return cti_null("ct_print: '%s' is NULL", out ? "t" : "out");
    if (!ct_data(t)) return ct_error();
    printer p = {.out = out, .t = t, .summarize = t->numel > SUMMARY_ABOVE};
    cti_shape_strides(t->shape, p.strides);
    choose_format(&p);
    print_axis(&p, 0, 0);
    fputc('\n', out);
    int axis = ct_varying_axis(t);
    if (axis >= 0) {
        fprintf(out, "varies between ranks along axis %d: %lld rows here, of %lld\n", axis,
                (long long)t->shape.dims[axis], (long long)cti_global_dim(t, axis));
    }
    return ferror(out) ? ct_fail(CT_ERR_IO, "ct_print: writing failed") : CT_OK;
}
