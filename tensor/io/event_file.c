/* An event file: a name of its own, and records that are there wholly or not at all.
 * What records say is events.c's and event_graph.c's business.
 * Invariant: after every call the file is a sequence of whole records. */
#include "tensor/io/event_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/io/file.h"
#include "tensor/io/png.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct ct_events {
    char *path;
    int fd;
    off_t length; /* of whole records */
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

/* All of the record, or none of it. */
static ct_status append(ct_events *events, const cti_writer *record) {
    for (size_t done = 0; done < record->used;) {
        ssize_t wrote = cti_system_calls()->write(events->fd, record->text + done,
                                                  record->used - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            int code = wrote < 0 ? errno : ENOSPC;
            const char *torn = "";
            if (done > 0 && ftruncate(events->fd, events->length) != 0) torn = "; it ends torn";
            return ct_fail(CT_ERR_IO, "ct_events_new: %s: %s%s", cti_show_path(events->path).text,
                           cti_system_error(code), torn);
        }
        done += (size_t)wrote;
    }
    events->length += (off_t)record->used;
    return CT_OK;
}

ct_status cti_events_put(ct_events *events, int64_t step, int field, const cti_writer *what) {
    cti_writer event = {.status = what->status}, record = {0};
    cti_proto_double(&event, 1, wall_time());
    cti_proto_integer(&event, 2, step);
    cti_proto_bytes(&event, field, what->text, what->used);
    if (event.status == CT_OK) frame(&record, &event);
    ct_status status = event.status != CT_OK ? event.status : record.status;
    if (status == CT_OK) status = append(events, &record);
    cti_free(event.text);
    cti_free(record.text);
    return status;
}

/* --- Files ------------------------------------------------------------------------------------ */

static ct_status make_folder(const char *function, const char *path, size_t length) {
    char *part = cti_alloc(length + 1, 1);
    if (!part) return CT_ERR_MEMORY;
    memcpy(part, path, length);
    bool made = mkdir(part, 0777) == 0 || errno == EEXIST;
    ct_status status = CT_OK;
    if (!made) {
        status = ct_fail(CT_ERR_IO, "%s: cannot make the folder %s: %s", function,
                         cti_show_path(part).text, cti_system_error(errno));
    }
    cti_free(part);
    return status;
}

ct_status cti_make_folders(const char *function, const char *path) {
    size_t length = strlen(path);
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/') continue;
        if (make_folder(function, path, i) != CT_OK) return ct_error();
    }
    return CT_OK;
}

/* A file of that name is another writer's, so the next number is tried. */
static ct_status open_file(ct_events *events, const char *directory) {
    char name[96];
    for (int number = 0;; number++) {
        snprintf(name, sizeof name, "events.out.tfevents.%010lld.cotan.%lld.%d",
                 (long long)wall_time(), (long long)getpid(), number);
        cti_free(events->path);
        events->path = cti_path_new(directory, name);
        if (!events->path) return CT_ERR_MEMORY;
        int flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC;
        events->fd = cti_system_calls()->openat(AT_FDCWD, events->path, flags, 0666);
        if (events->fd >= 0) return CT_OK;
        if (errno == EINTR || errno == EEXIST) continue;
        return ct_fail(CT_ERR_IO, "ct_events_new: cannot make %s: %s",
                       cti_show_path(events->path).text, cti_system_error(errno));
    }
}

ct_events *ct_events_new(const char *directory) {
    CTI_CALLED;
    if (!directory) return cti_null_in("ct_events_new: 'directory' is NULL");
    if (!*directory) return ct_fail_null(CT_ERR_RANGE, "ct_events_new: 'directory' is empty");
    ct_events *events = cti_alloc(1, sizeof *events);
    if (!events) return NULL;
    events->fd = -1;
    ct_status status = cti_make_folders("ct_events_new", directory);
    if (status == CT_OK) status = open_file(events, directory);
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
    if (events->fd >= 0) cti_system_calls()->close(events->fd);
    cti_free(events->path);
    cti_free(events);
}
