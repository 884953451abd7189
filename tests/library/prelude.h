/* What the fragments of documents may use without showing where it comes from; test_documents.sh
 * puts it before each. */
#ifndef COTAN_TESTS_PRELUDE_H
#define COTAN_TESTS_PRELUDE_H

#include <cotan/cotan.h>

static ct_tensor *x, *loss, *gradient, *labels, *target, *inputs[3];
static ct_module *model;
static ct_optimizer *adam;
static ct_source *train, *test;
static inline void step(void) {}

#endif
