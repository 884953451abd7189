/* The node context of a thread, module paths, and the table of interned texts.
 * Interned texts are not reference counted: a program has as many as it has distinct names.
 * Invariant: equal interned texts have one address. */
#include "tensor/base/context.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/base/process.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

static _Thread_local cti_node_context context = {.path = ""};

cti_node_context *cti_context(void) { return &context; }

typedef struct entry {
    struct entry *next;
    char text[];
} entry;

#define BUCKETS 256
static entry *table[BUCKETS]; /* under the process lock */

const char *cti_intern(const char *text) {
    if (!text || !*text) return "";
    size_t size = strlen(text) + 1;
    entry **head = &table[cti_mix_bytes(0, text, size) % BUCKETS];
    cti_process_lock();
    entry *found = *head;
    while (found && strcmp(found->text, text) != 0) found = found->next;
    if (!found) {
        found = cti_alloc_raw(1, sizeof(entry) + size);
        if (found) {
            memcpy(found->text, text, size);
            found->next = *head;
            *head = found;
        }
    }
    cti_process_unlock();
    return found ? found->text : NULL;
}

void cti_intern_clear(void) {
    cti_process_lock();
    for (int i = 0; i < BUCKETS; i++) {
        while (table[i]) {
            entry *dead = table[i];
            table[i] = dead->next;
            cti_free(dead);
        }
    }
    cti_process_unlock();
}

ct_status cti_path_join(const char *function, const char *prefix, const char *name,
                        char path[CTI_PATH_SIZE]) {
    int length = snprintf(path, CTI_PATH_SIZE, "%s%s%s", prefix, *prefix ? "/" : "", name);
    if (length < CTI_PATH_SIZE) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: a module path is longer than %d bytes", function,
                   CTI_PATH_SIZE - 1);
}

bool cti_path_within(const char *path, const char *module) {
    size_t length = strlen(module);
    if (length > 0 && module[length - 1] == '/') length--;
    return strncmp(path, module, length) == 0 && (!path[length] || path[length] == '/');
}

const char *cti_path_common(const char *a, const char *b) {
    if (a == b || cti_path_within(b, a)) return a;
    if (cti_path_within(a, b)) return b;
    size_t common = 0;
    for (size_t k = 0; a[k] && a[k] == b[k]; k++) {
        if (a[k] == '/') common = k;
    }
    char path[CTI_PATH_SIZE];
    snprintf(path, sizeof path, "%.*s", (int)common, a);
    return cti_intern(path);
}

char *cti_path_new(const char *prefix, const char *name) {
    size_t size = strlen(prefix) + strlen(name) + 2;
    char *path = cti_alloc_raw(size, 1);
    if (path) snprintf(path, size, "%s%s%s", prefix, *prefix ? "/" : "", name);
    return path;
}

ct_status ct_path_push(const char *name) {
    CTI_CALLED;
    char path[CTI_PATH_SIZE];
    if (name && strchr(name, '/')) { /* a pop would take a part of it away */
        return ct_fail(CT_ERR_RANGE, "ct_path_push: a name has no '/', got '%.64s'", name);
    }
    ct_status status = cti_path_join("ct_path_push", context.path, name ? name : "", path);
    if (status != CT_OK) return status;
    const char *interned = cti_intern(path);
    if (!interned) return CT_ERR_MEMORY;
    context.path = interned;
    return CT_OK;
}

void ct_path_pop(void) {
    char path[CTI_PATH_SIZE];
    const char *slash = strrchr(context.path, '/');
    snprintf(path, sizeof path, "%.*s", slash ? (int)(slash - context.path) : 0, context.path);
    const char *outer = cti_intern(path);
    context.path = outer ? outer : "";
}
