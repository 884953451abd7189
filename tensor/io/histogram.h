/* Private: how the elements of a tensor are distributed, for files and tables. */
#ifndef COTAN_HISTOGRAM_H
#define COTAN_HISTOGRAM_H

#include "tensor/tensor.h"

/* Eight buckets in an octave from 2^-40 to 2^64, of either sign; one around 0 in the middle. */
enum { CTI_OCTAVES = 104, CTI_BUCKETS = 2 * 8 * CTI_OCTAVES + 1 };

/* Of the finite elements, but `nonfinite`. */
typedef struct {
    int64_t count, nonfinite;
    double least, greatest, sum, squares; /* 0 without any */
    int64_t buckets[CTI_BUCKETS];
} cti_histogram;

/* Reads the elements, which evaluates where there is no value. */
ct_status cti_histogram_of(ct_tensor *values, cti_histogram *out);
/* The right end of a bucket, exact; -1 is the left end of bucket 0. */
double cti_histogram_limit(int bucket);
/* The number below which this part of the elements lies, 0 <= part <= 1, linear within a bucket,
 * and 0 in the one around it; NaN without elements. */
double cti_histogram_quantile(const cti_histogram *histogram, double part);

#endif
