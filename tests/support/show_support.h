/* For the suites of nn/show: models whose summaries and pictures are compared. */
#ifndef COTAN_TESTS_SHOW_SUPPORT_H
#define COTAN_TESTS_SHOW_SUPPORT_H

#include "nn/nn.h"

/* Nested chains, a residual, a frozen layer and dropout, for x [..,6]; `outer` is the name of the
 * first child. */
ct_module *nested_model(const char *outer);
/* {ids i64 [N,T], x [N,1]} -> {[N,5], [N,4]}, with a slot of its own and a child that it never
 * calls. */
ct_module *text_and_facts_new(void);
/* The inputs of that model, in inputs[0..2). */
ct_show_options two_inputs(ct_type inputs[2]);
/* x [N,T,3] -> [N,3]: calls the child of its child once for each time step. Takes over `inner`. */
ct_module *steps_new(ct_module *inner);

#endif
