/* The profile of one evaluation as a trace of what ran when and where.
 * It measures nothing; run.c does, and profile.c says which pass a part belongs to.
 * Invariant: of one thread the events follow each other without overlap, also when rounded. */
#include "tensor/profile.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/json.h"

#include <stdlib.h>
#include <string.h>

/* Rounding keeps order, so ends are rounded and not lengths. */
static long long nanoseconds(double seconds) { return (long long)(seconds * 1e9 + 0.5); }

static int by_begin(const void *a, const void *b) {
    const ct_profile_part *x = a, *y = b;
    int order = (x->begin > y->begin) - (x->begin < y->begin);
    return order ? order : x->thread - y->thread;
}

static void put_microseconds(cti_writer *out, const char *key, long long nanoseconds) {
    cti_write_format(out, ",\"%s\":%lld.%03lld", key, nanoseconds / 1000, nanoseconds % 1000);
}

/* Names of modules may hold any bytes; JSON holds UTF-8. */
static void put_text(cti_writer *out, const char *text) {
    char plain[512];
    snprintf(plain, sizeof plain, "%s", text);
    size_t length = strlen(plain);
    for (size_t at = 0; at < length;) {
        size_t sequence = cti_utf8_length(plain + at, length - at);
        if (sequence == 0) plain[at] = '?';
        at += sequence ? sequence : 1;
    }
    cti_write_json_string(out, plain);
}

/* The track of a thread. Perfetto takes 0 for the process's first thread, which it shows on the
 * track whose number is the process's: another thread's. */
static int track(int thread) { return thread + 1; }

static void put_part(cti_writer *out, const ct_profile_part *part, double origin) {
    const ct_profile_pass *pass = part->pass;
    long long begin = nanoseconds(part->begin - origin), end = nanoseconds(part->end - origin);
    cti_write_text(out, ",\n{\"name\":");
    put_text(out, pass->ops);
    cti_write_format(out, ",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%d",
                     pass->order > 0 ? "derivative" : "forward", track(part->thread));
    put_microseconds(out, "ts", begin);
    put_microseconds(out, "dur", end - begin);
    cti_write_format(out, ",\"args\":{\"pass\":%lld,\"module\":", (long long)part->number);
    put_text(out, pass->module);
    cti_write_format(out, ",\"order\":%d,\"bytes\":%.0f,\"operations\":%.0f}}", pass->order,
                     pass->bytes, pass->operations);
}

static void put_names(cti_writer *out, const ct_profile_part *parts, int64_t n) {
    int threads = 0;
    for (int64_t k = 0; k < n; k++) {
        if (parts[k].thread >= threads) threads = parts[k].thread + 1;
    }
    cti_write_text(out, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"tid\":1,\"args\":{"
                        "\"name\":\"cotan: one evaluation\"}}");
    for (int t = 0; t < threads; t++) {
        cti_write_format(out,
                         ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,"
                         "\"args\":{\"name\":\"thread %d\"}}",
                         track(t), t);
    }
}

ct_status ct_profile_write_trace(FILE *out) {
    CTI_CALLED;
    if (!out) return ct_fail(CT_ERR_NULL, "ct_profile_write_trace: 'out' is NULL");
    int64_t n;
    const ct_profile_part *parts = ct_profile_parts(&n);
    ct_profile_part *sorted = cti_alloc((size_t)n, sizeof *sorted);
    if (!sorted) return CT_ERR_MEMORY;
    if (n > 0) memcpy(sorted, parts, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_begin);
    cti_writer text = {0};
    cti_write_text(&text, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    put_names(&text, sorted, n);
    for (int64_t k = 0; k < n; k++) put_part(&text, &sorted[k], sorted[0].begin);
    cti_write_text(&text, "\n]}\n");
    cti_free(sorted);
    ct_status status = text.status;
    if (status == CT_OK) {
        bool written = fwrite(text.text, 1, text.used, out) == text.used && fflush(out) == 0;
        if (!written) status = ct_fail(CT_ERR_IO, "ct_profile_write_trace: cannot write");
    }
    cti_free(text.text);
    return status;
}
