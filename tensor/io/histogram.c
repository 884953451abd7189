/* Histograms: elements that were computed, counted for people to look at.
 * They are no part of a graph: what is trained by is an op.
 * Invariant: the ends of buckets are exact numbers, and every finite element is in one bucket. */
#include "tensor/io/histogram.h"

#include "tensor/graph/node.h"

#include <math.h>
#include <string.h>

enum { PER_OCTAVE = 8, FIRST_EXPONENT = -40, SIDE = PER_OCTAVE * CTI_OCTAVES, ZERO = SIDE };

/* The left end of bucket k of those above 0. */
static double edge(int k) {
    return ldexp(1.0 + (double)(k % PER_OCTAVE) / PER_OCTAVE, k / PER_OCTAVE + FIRST_EXPONENT);
}

double cti_histogram_limit(int bucket) {
    return bucket >= ZERO ? edge(bucket - ZERO) : -edge(ZERO - 1 - bucket);
}

/* Exponent and first three bits of the mantissa are the number of the bucket. */
static int bucket_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int octave = (int)(bits >> 52 & 0x7ff) - 1023 - FIRST_EXPONENT;
    if (octave < 0) return ZERO;
    int k = octave < CTI_OCTAVES ? octave * PER_OCTAVE + (int)(bits >> 49 & 7) : SIDE - 1;
    return value > 0 ? ZERO + 1 + k : ZERO - 1 - k;
}

static void count(cti_histogram *h, double value) {
    if (!isfinite(value)) {
        h->nonfinite++;
        return;
    }
    if (h->count == 0 || value < h->least) h->least = value;
    if (h->count == 0 || value > h->greatest) h->greatest = value;
    h->count++;
    h->sum += value;
    h->squares += value * value;
    h->buckets[bucket_of(value)]++;
}

ct_status cti_histogram_of(ct_tensor *values, cti_histogram *out) {
    memset(out, 0, sizeof *out);
    const void *data = ct_data(values);
    if (!data) return ct_error();
    for (int64_t i = 0; i < values->numel; i++) count(out, cti_value(data, values->dtype, i));
    return CT_OK;
}

static double within(double low, double high, double value) {
    return value < low ? low : value > high ? high : value;
}

double cti_histogram_quantile(const cti_histogram *h, double part) {
    if (h->count == 0) return (double)NAN;
    double wanted = part * (double)h->count, before = 0;
    int k = 0;
    for (; k < CTI_BUCKETS - 1; k++) {
        double here = (double)h->buckets[k];
        if (here > 0 && before + here >= wanted) break;
        before += here;
    }
    if (k == ZERO) return within(h->least, h->greatest, 0);
    double left = within(h->least, h->greatest, cti_histogram_limit(k - 1));
    double right = within(h->least, h->greatest, cti_histogram_limit(k));
    double share = h->buckets[k] > 0 ? (wanted - before) / (double)h->buckets[k] : 1;
    return left + (right - left) * share;
}
