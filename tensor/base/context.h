/* Private: what every new node is marked with, and interned texts. The context belongs to a thread
 * and is a plain value, so it is saved and restored by assignment. */
#ifndef COTAN_CONTEXT_H
#define COTAN_CONTEXT_H

#include "tensor/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *path;    /* interned, "" outside of any module */
    int order;           /* derivative order of new nodes */
    uint64_t origin;     /* id of the node being derived, or 0 */
    const char *derived; /* its op's name while its VJP runs; for messages */
} cti_node_context;

cti_node_context *cti_context(void);
/* The path of a module: "prefix/name", or the name alone if the prefix is "". CT_ERR_RANGE for a
 * longer one; this limits how deep modules nest, and with it recursion over them. */
#define CTI_PATH_SIZE 512
ct_status cti_path_join(const char *function, const char *prefix, const char *name,
                        char path[CTI_PATH_SIZE]);
/* Whether a path is that of the module or of one in it; a '/' at the end of the module's own makes
 * no difference. */
bool cti_path_within(const char *path, const char *module);
/* The module around both paths, which are interned, as it is too; NULL when out of memory. */
const char *cti_path_common(const char *a, const char *b);
/* Without the limit, in a block of cti_alloc; NULL when out of memory. */
char *cti_path_new(const char *prefix, const char *name);
/* The one copy of a text, which lives as long as the process; NULL when out of memory. */
const char *cti_intern(const char *text);
/* Frees the interned texts; for leak checks at the end of a process. */
void cti_intern_clear(void);

#endif
