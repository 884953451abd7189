/* What every new node is marked with: the module path, the derivative order and the node whose
 * derivative is being formed. One context per thread; a plain value, so it is saved and restored
 * by assignment. */
#ifndef COTAN_CONTEXT_H
#define COTAN_CONTEXT_H

#include "tensor/error.h"

#include <stdint.h>

typedef struct {
    const char *path;    /* interned, "" outside of any module */
    int order;           /* derivative order of new nodes */
    uint64_t origin;     /* id of the node being derived, or 0 */
    const char *derived; /* its op's name while its VJP runs; for messages */
} cti_node_context;

cti_node_context *cti_context(void);
/* "prefix/name", or the name alone where the prefix is "": the path of a module, whose depth below
 * others is so limited to what a recursion bears. CT_ERR_RANGE for a longer one. */
#define CTI_PATH_SIZE 512
ct_status cti_path_join(const char *function, const char *prefix, const char *name,
                        char path[CTI_PATH_SIZE]);
/* The same of any length, in a block of cti_alloc; NULL when out of memory. */
char *cti_path_new(const char *prefix, const char *name);
/* One copy of each text for the life of the process; NULL when out of memory. */
const char *cti_intern(const char *text);
/* Frees the interned texts; for leak checks at the end of a process. */
void cti_intern_clear(void);

#endif
