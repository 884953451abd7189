/* Files that grow: opened once, and appended to.
 * What is to be replaced as a whole is file_write.c's business.
 * Invariant: after every call the file is a sequence of whole records. */
#include "tensor/io/append.h"

#include "tensor/base/alloc.h"
#include "tensor/base/context.h"
#include "tensor/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

ct_status cti_append_open(const char *function, const char *folder, const char *name, bool fresh,
                          cti_appended *out) {
    *out = (cti_appended){.path = cti_path_new(folder, name), .fd = -1};
    if (!out->path) return CT_ERR_MEMORY;
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (fresh ? O_EXCL : 0);
    do out->fd = cti_system_calls()->openat(AT_FDCWD, out->path, flags, 0666);
    while (out->fd < 0 && errno == EINTR);
    if (out->fd < 0 && fresh && errno == EEXIST) return CT_OK;
    if (out->fd >= 0) out->length = lseek(out->fd, 0, SEEK_END);
    if (out->fd >= 0 && out->length >= 0) return CT_OK;
    return ct_fail(CT_ERR_IO, "%s: cannot open %s: %s", function, cti_show_path(out->path).text,
                   cti_system_error(errno));
}

ct_status cti_append(const char *function, cti_appended *file, const cti_writer *record) {
    if (record->status != CT_OK) return record->status;
    for (size_t done = 0; done < record->used;) {
        const char *from = record->text + done;
        ssize_t wrote = cti_system_calls()->write(file->fd, from, record->used - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            int code = wrote < 0 ? errno : ENOSPC;
            const char *torn = "";
            if (done > 0 && ftruncate(file->fd, file->length) != 0) torn = "; it ends torn";
            return ct_fail(CT_ERR_IO, "%s: %s: %s%s", function, cti_show_path(file->path).text,
                           cti_system_error(code), torn);
        }
        done += (size_t)wrote;
    }
    file->length += (off_t)record->used;
    return CT_OK;
}

void cti_append_close(cti_appended *file) {
    if (file->fd >= 0) cti_system_calls()->close(file->fd);
    cti_free(file->path);
    *file = (cti_appended){.fd = -1};
}
