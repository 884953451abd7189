/* The node context of a thread, module paths, and the table of interned texts.
 * Interned texts are not reference counted: their number is that of distinct names in a program.
 * Invariant: two equal texts have one address. */
#include "tensor/base/context.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
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

static size_t bucket_of(const char *text) {
    uint32_t hash = 2166136261u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash % BUCKETS;
}

const char *cti_intern(const char *text) {
    if (!text || !*text) return "";
    entry **head = &table[bucket_of(text)];
    cti_process_lock();
    entry *found = *head;
    while (found && strcmp(found->text, text) != 0) found = found->next;
    if (!found) {
        size_t size = strlen(text) + 1;
        found = cti_alloc(1, sizeof(entry) + size);
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

ct_status ct_path_push(const char *name) {
    CTI_CALLED;
    char path[512];
    int length = snprintf(path, sizeof path, "%s%s%s", context.path, *context.path ? "/" : "",
                          name ? name : "");
    if (length >= (int)sizeof path) {
        return ct_fail(CT_ERR_RANGE, "ct_path_push: the module path is longer than %zu bytes",
                       sizeof path - 1);
    }
    const char *interned = cti_intern(path);
    if (!interned) return CT_ERR_MEMORY;
    context.path = interned;
    return CT_OK;
}

void ct_path_pop(void) {
    char path[512];
    snprintf(path, sizeof path, "%s", context.path);
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    const char *outer = slash ? cti_intern(path) : "";
    context.path = outer ? outer : "";
}
