/* An event file: a name of its own, and records that are there wholly or not at all.
 * What records say is events.c's and event_graph.c's business.
 * Invariant: after every call the file is a sequence of whole records. */
#include "tensor/io/event_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/append.h"
#include "tensor/io/png.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct ct_events {
    cti_appended file;
};

/* Seconds since 1970. */
static double wall_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- Records ---------------------------------------------------------------------------------- */

static void put_masked_crc(cti_writer *out, const void *bytes, size_t length) {
    uint32_t crc = cti_crc(CTI_CRC32C, bytes, length);
    cti_write_little_endian(out, (uint32_t)((crc >> 15 | crc << 17) + 0xa282ead8u), 4);
}

/* TFRecord: the length and its CRC, the bytes and theirs. */
static void frame(cti_writer *out, const cti_writer *event) {
    cti_write_little_endian(out, event->used, 8);
    if (out->status == CT_OK) put_masked_crc(out, out->text, 8);
    cti_write_bytes(out, event->text, event->used);
    put_masked_crc(out, event->text, event->used);
}

ct_status cti_events_put(ct_events *events, int64_t step, int field, const cti_writer *what) {
    cti_writer event = {.status = what->status}, record = {0};
    cti_proto_double(&event, 1, wall_time());
    cti_proto_integer(&event, 2, step);
    cti_proto_bytes(&event, field, what->text, what->used);
    if (event.status == CT_OK) frame(&record, &event);
    ct_status status = event.status;
    if (status == CT_OK) status = cti_append("ct_events_new", &events->file, &record);
    cti_free(event.text);
    cti_free(record.text);
    return status;
}

/* --- Files ------------------------------------------------------------------------------------ */

/* A file of that name is another writer's, so the next number is tried. */
static ct_status open_file(ct_events *events, const char *directory) {
    static const char function[] = "ct_events_new";
    if (cti_make_folders(function, directory) != CT_OK) return ct_error();
    for (int number = 0; events->file.fd < 0; number++) {
        char name[96];
        snprintf(name, sizeof name, "events.out.tfevents.%010lld.cotan.%lld.%d",
                 (long long)wall_time(), (long long)getpid(), number);
        cti_append_close(&events->file);
        ct_status status = cti_append_open(function, directory, name, true, &events->file);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

ct_events *ct_events_new(const char *directory) {
    CTI_CALLED;
    if (!directory) return cti_null_in("ct_events_new: 'directory' is NULL");
    if (!*directory) return ct_fail_null(CT_ERR_RANGE, "ct_events_new: 'directory' is empty");
    ct_events *events = cti_alloc(1, sizeof *events);
    if (!events) return NULL;
    events->file.fd = -1;
    ct_status status = open_file(events, directory);
    cti_writer version = {0};
    cti_write_text(&version, "brain.Event:2");
    if (status == CT_OK) status = cti_events_put(events, 0, CTI_EVENT_VERSION, &version);
    cti_free(version.text);
    if (status == CT_OK) return events;
    ct_events_free(events);
    return NULL;
}

void ct_events_free(ct_events *events) {
    if (!events) return;
    cti_append_close(&events->file);
    cti_free(events);
}
