/* What the fragments of documents may use without showing where it comes from; test_documents.sh
 * puts it before each. */
#ifndef COTAN_TESTS_PRELUDE_H
#define COTAN_TESTS_PRELUDE_H

#include <cotan/cotan.h>

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static ct_tensor *x, *h, *c, *q, *k, *v, *loss, *gradient, *labels, *target, *inputs[3];
static ct_module *model;
static ct_optimizer *adam;
static ct_source *train, *test;
static inline void step(void) {}

/* The exit status of a recipe: 1 when an error is on record at its end. */
static inline int ended_well(void (*recipe)(void)) {
    recipe();
    ct_scope_close(0);
    ct_cache_clear();
    if (ct_error() != CT_OK) fprintf(stderr, "%s\n", ct_error_message());
    return ct_error() != CT_OK;
}

#endif
