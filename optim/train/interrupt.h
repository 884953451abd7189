/* Private: Ctrl-C and SIGTERM during training. */
#ifndef COTAN_INTERRUPT_H
#define COTAN_INTERRUPT_H

#include <stdbool.h>

/* From begin to end the first SIGINT or SIGTERM only sets a flag, and the second one, of either
 * kind, acts as by default. What was installed before comes back at the end. Nests, also over
 * threads: the first begin installs, the last end restores. A process that ignores one of them goes
 * on ignoring it. */
void cti_interrupt_begin(void);
void cti_interrupt_end(void);
/* True when one of them came since the first begin. */
bool cti_interrupt_seen(void);

#endif
