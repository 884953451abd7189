/* Sources of batches: checked calls of the functions of a kind.
 * It knows no data; datasets/ and users' sources do.
 * Invariant: a call that fails leaves an error on record. */
#include "tensor/source.h"

#include "tensor/base/caller.h"

static const char *title(const ct_source *source) {
    return source->kind && source->kind->name ? source->kind->name : "a source";
}

static ct_status missing(const char *function, const ct_source *source, const char *member) {
    return ct_fail(CT_ERR_NULL, "%s: the kind of '%s' has no '%s'", function, title(source),
                   member);
}

static ct_status recorded(const char *function, const ct_source *source, ct_status status) {
    if (status == CT_OK || ct_error() != CT_OK) return status;
    return ct_fail(status, "%s: '%s' failed and recorded no error", function, title(source));
}

int64_t ct_source_count(const ct_source *source) {
    if (!source) return 0;
    if (!source->kind || !source->kind->count) {
        missing("ct_source_count", source, "count");
        return -1;
    }
    CTI_CALLS_USER;
    int64_t count = source->kind->count(source);
    if (count < 0 && ct_error() == CT_OK) {
        ct_fail(CT_ERR_RANGE, "ct_source_count: '%s' says %lld batches", title(source),
                (long long)count);
    }
    return count;
}

ct_status ct_source_seek(ct_source *source, int64_t epoch, int64_t batch) {
    if (!source) return cti_null("%s: 'source' is NULL", __func__);
    if (!source->kind || !source->kind->seek) return missing(__func__, source, "seek");
    CTI_CALLS_USER;
    return recorded(__func__, source, source->kind->seek(source, epoch, batch));
}

ct_status ct_source_next(ct_source *source, ct_batch *out) {
    if (!source || !out) return cti_null("%s: '%s' is NULL", __func__, source ? "out" : "source");
    *out = (ct_batch){0};
    if (!source->kind || !source->kind->next) return missing(__func__, source, "next");
    CTI_CALLS_USER;
    return recorded(__func__, source, source->kind->next(source, out));
}

void ct_source_free(ct_source *source) {
    if (source && source->kind && source->kind->free) source->kind->free(source);
}

const char *ct_source_describe(const ct_source *source) {
    return source && source->kind && source->kind->describe ? source->kind->describe(source) : NULL;
}
