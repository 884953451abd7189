/* Private: files that grow by whole records. */
#ifndef COTAN_APPEND_H
#define COTAN_APPEND_H

#include "tensor/io/writer.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    char *path; /* owned */
    int fd;     /* -1: none */
    off_t length;
} cti_appended;

/* Makes a folder where it is missing, with those above it. */
ct_status cti_make_folders(const char *function, const char *path);
/* Opens the file, or makes it; with `fresh`, one that is there is another's: then fd is -1. Close
 * it also after an error. */
ct_status cti_append_open(const char *function, const char *folder, const char *name, bool fresh,
                          cti_appended *out);
/* Appends the record in one piece, all of it or nothing: what a disk has no room for is taken away
 * again. So a process that is killed leaves whole records. */
ct_status cti_append(const char *function, cti_appended *file, const cti_writer *record);
void cti_append_close(cti_appended *file);

#endif
