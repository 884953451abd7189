/* What a model looks like: a table of its layers, a picture of them. Nothing is computed. */
#ifndef COTAN_SHOW_H
#define COTAN_SHOW_H

#include <cotan/nn/module.h>

#include <stdio.h>

CT_C_BEGIN

/* Layers, output shapes and parameter counts, as Keras prints them. `input` is the shape of one
 * batch; its first dimension prints as None. A parameter is counted in the first layer that
 * has it; layers that use it again are marked "(shared)". Nothing is computed. */
ct_status ct_summary(FILE *out, ct_module *model, ct_shape input);
/* The picture of the layers as DOT: a box "name: Kind" for each, from the input down. */
ct_status ct_model_plot(FILE *out, ct_module *model);
/* The same into a file: .dot, or .svg .png .pdf through graphviz; without it, see ct_dot_save. */
ct_status ct_model_plot_save(const char *path, ct_module *model);

CT_C_END

#endif
