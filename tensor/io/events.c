/* Summaries of event files: scalars, histograms, images.
 * It computes nothing but counts, and reads tensors as any reader does.
 * Invariant: a message that cannot be written whole is not begun. */
#include "tensor/io/event_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"
#include "tensor/io/json.h"
#include "tensor/io/png.h"

#include <math.h>
#include <string.h>

/* Fields of Summary.Value. */
enum { TAG = 1, SIMPLE_VALUE = 2, IMAGE = 4, HISTOGRAM = 5 };

/* --- Tags ------------------------------------------------------------------------------------- */

static ct_status check(const ct_events *events, const char *tag) {
    if (!events || !tag) return cti_null("ct_events: '%s' is NULL", events ? "tag" : "events");
    size_t length = strlen(tag), at = 0, sequence = 1;
    while (at < length && sequence) at += sequence = cti_utf8_length(tag + at, length - at);
    if (length > 0 && at == length) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "ct_events: the tag '%s' is %s", cti_show(tag, length).text,
                   length ? "not UTF-8" : "empty");
}

/* Begins a value of a summary, which cti_proto_end ends. */
static size_t begin_value(cti_writer *summary, const char *tag, const char *ending) {
    size_t value = cti_proto_begin(summary, 1);
    size_t name = cti_proto_begin(summary, TAG);
    cti_write_text(summary, tag);
    cti_write_text(summary, ending);
    cti_proto_end(summary, name);
    return value;
}

static ct_status put_summary(ct_events *events, int64_t step, cti_writer *summary) {
    ct_status status = cti_events_put(events, step, CTI_EVENT_SUMMARY, summary);
    cti_free(summary->text);
    return status;
}

/* --- Scalars ---------------------------------------------------------------------------------- */

static void put_scalar(cti_writer *summary, const char *tag, const char *ending, double number) {
    size_t value = begin_value(summary, tag, ending);
    cti_proto_float(summary, SIMPLE_VALUE, (float)number);
    cti_proto_end(summary, value);
}

ct_status ct_events_scalar(ct_events *events, const char *tag, int64_t step, double value) {
    CTI_CALLED;
    if (check(events, tag) != CT_OK) return ct_error();
    cti_writer summary = {0};
    put_scalar(&summary, tag, "", value);
    return put_summary(events, step, &summary);
}

/* --- Histograms ------------------------------------------------------------------------------- */

static void put_double(cti_writer *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    cti_write_little_endian(out, bits, 8);
}

/* A bucket begins where the one before it ends, so an empty one is named before one that is not;
 * the first of all begins at the least element. */
static bool is_named(const cti_histogram *h, int k) {
    return h->buckets[k] > 0 || (k + 1 < CTI_BUCKETS && h->buckets[k + 1] > 0);
}

static void put_histogram(cti_writer *out, const cti_histogram *h) {
    enum { MIN = 1, MAX, NUM, SUM, SUM_SQUARES, BUCKET_LIMIT, BUCKET };
    cti_proto_double(out, MIN, h->least);
    cti_proto_double(out, MAX, h->greatest);
    cti_proto_double(out, NUM, (double)h->count);
    cti_proto_double(out, SUM, h->sum);
    cti_proto_double(out, SUM_SQUARES, h->squares);
    int first = 0;
    while (first < CTI_BUCKETS && h->buckets[first] == 0) first++;
    size_t limits = cti_proto_begin(out, BUCKET_LIMIT);
    for (int k = first; k < CTI_BUCKETS; k++) {
        if (is_named(h, k)) put_double(out, cti_histogram_limit(k));
    }
    cti_proto_end(out, limits);
    size_t counts = cti_proto_begin(out, BUCKET);
    for (int k = first; k < CTI_BUCKETS; k++) {
        if (is_named(h, k)) put_double(out, (double)h->buckets[k]);
    }
    cti_proto_end(out, counts);
}

ct_status cti_events_histogram(ct_events *events, const char *tag, int64_t step,
                               const cti_histogram *histogram) {
    cti_writer summary = {0};
    size_t value = begin_value(&summary, tag, "");
    size_t message = cti_proto_begin(&summary, HISTOGRAM);
    put_histogram(&summary, histogram);
    cti_proto_end(&summary, message);
    cti_proto_end(&summary, value);
    if (histogram->nonfinite > 0) {
        put_scalar(&summary, tag, "/nonfinite", (double)histogram->nonfinite);
    }
    return put_summary(events, step, &summary);
}

ct_status ct_events_histogram(ct_events *events, const char *tag, int64_t step, ct_tensor *values) {
    CTI_CALLED;
    if (check(events, tag) != CT_OK) return ct_error();
    if (!values) return cti_null("ct_events_histogram: 'values' is NULL");
    if (cti_check_for_file("ct_events_histogram", "values", values) != CT_OK) return ct_error();
    cti_histogram *histogram = cti_alloc(1, sizeof *histogram);
    if (!histogram) return CT_ERR_MEMORY;
    ct_status status = cti_histogram_of(values, histogram);
    if (status == CT_OK) status = cti_events_histogram(events, tag, step, histogram);
    cti_free(histogram);
    return status;
}

/* --- Images ----------------------------------------------------------------------------------- */

#define MOST_BYTES ((int64_t)1 << 28)

static ct_status check_image(const ct_tensor *image) {
    ct_shape s = image->shape;
    int64_t channels = s.rank == 3 ? s.dims[2] : 1;
    bool fits = (s.rank == 2 || s.rank == 3) && image->numel > 0 && image->numel <= MOST_BYTES &&
                (channels == 1 || channels == 3 || channels == 4);
    if (!fits) {
        return ct_fail(CT_ERR_SHAPE,
                       "ct_events_image: needs [H,W] or [H,W,C] with C = 1, 3 or 4 and at most "
                       "2^28 elements, got %s",
                       ct_shape_format(s).text);
    }
    if (image->dtype != CT_I64) return CT_OK;
    return ct_fail(CT_ERR_DTYPE, "ct_events_image: needs u8, f32 or f64, got i64");
}

static uint8_t byte_of(double light) {
    if (!(light > 0)) return 0;
    return light < 1 ? (uint8_t)lround(light * 255) : 255;
}

/* The pixels as bytes, in a block of their own. */
static uint8_t *pixels_of(ct_tensor *image) {
    const void *data = ct_data(image);
    uint8_t *pixels = data ? cti_alloc_raw((size_t)image->numel, 1) : NULL;
    for (int64_t i = 0; i < image->numel && pixels; i++) {
        if (image->dtype == CT_U8) pixels[i] = ((const uint8_t *)data)[i];
        else pixels[i] = byte_of(cti_value(data, image->dtype, i));
    }
    return pixels;
}

static void put_image(cti_writer *out, const uint8_t *pixels, ct_shape shape) {
    enum { HEIGHT = 1, WIDTH, COLORSPACE, ENCODED };
    int64_t channels = shape.rank == 3 ? shape.dims[2] : 1; /* colorspace is named after them */
    cti_proto_integer(out, HEIGHT, shape.dims[0]);
    cti_proto_integer(out, WIDTH, shape.dims[1]);
    cti_proto_integer(out, COLORSPACE, channels);
    size_t encoded = cti_proto_begin(out, ENCODED);
    cti_write_png(out, pixels, shape.dims[0], shape.dims[1], (int)channels);
    cti_proto_end(out, encoded);
}

ct_status ct_events_image(ct_events *events, const char *tag, int64_t step, ct_tensor *image) {
    CTI_CALLED;
    if (check(events, tag) != CT_OK) return ct_error();
    if (!image) return cti_null("ct_events_image: 'image' is NULL");
    if (check_image(image) != CT_OK ||
        cti_check_for_file("ct_events_image", "image", image) != CT_OK) {
        return ct_error();
    }
    uint8_t *pixels = pixels_of(image);
    if (!pixels) return ct_error();
    cti_writer summary = {0};
    size_t value = begin_value(&summary, tag, "");
    size_t message = cti_proto_begin(&summary, IMAGE);
    put_image(&summary, pixels, image->shape);
    cti_proto_end(&summary, message);
    cti_proto_end(&summary, value);
    cti_free(pixels);
    return put_summary(events, step, &summary);
}
