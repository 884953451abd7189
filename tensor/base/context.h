/* What every new node is marked with: the module path, the derivative order and the node whose
 * derivative is being formed. One context per thread; a plain value, so it is saved and restored
 * by assignment. */
#ifndef COTAN_CONTEXT_H
#define COTAN_CONTEXT_H

#include <stdint.h>

typedef struct {
    const char *path;    /* interned, "" outside of any module */
    int order;           /* derivative order of new nodes */
    uint64_t origin;     /* id of the node being derived, or 0 */
    const char *derived; /* its op's name while its VJP runs; for messages */
} cti_node_context;

cti_node_context *cti_context(void);
/* One copy of each text for the life of the process; NULL when out of memory. */
const char *cti_intern(const char *text);
/* Frees the interned texts; for leak checks at the end of a process. */
void cti_intern_clear(void);

#endif
