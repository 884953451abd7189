/* What a model looks like: a table of its modules, a picture of them. Both run the model once on
 * inputs that have a shape and no numbers, so that they show what its forward does: which modules
 * it calls, on what, and what comes out. Nothing is computed, and no slot changes.
 *
 *     ct_summary(stdout, model, (ct_show_options){.input = CT_SHAPE(1, 28, 28, 1)});
 *     ct_model_plot_save("model.svg", model, (ct_show_options){.input = CT_SHAPE(1, 28, 28, 1)});
 *
 * A model of several inputs, and two levels of it:
 *
 *     ct_type two[] = {{CT_I64, CT_SHAPE(1, 12)}, {CT_F32, CT_SHAPE(1, 12, 8)}};
 *     ct_summary(stdout, model, (ct_show_options){.inputs = two, .n_inputs = 2, .depth = 2});
 */
#ifndef COTAN_SHOW_H
#define COTAN_SHOW_H

#include <cotan/nn/module.h>
#include <cotan/tensor/op.h>

#include <stdio.h>

CT_C_BEGIN

/* Zero is the default, but an input is needed. The first dimension of the first input is the batch,
 * which is shown as None. */
typedef struct {
    ct_shape input;        /* of a model of one input, which is i64 where it goes to a module that
                              takes ids, else of the type of the model's first parameter        */
    const ct_type *inputs; /* n_inputs >= 1 types and shapes, in place of `input` */
    int n_inputs;
    int outputs; /* how many the model is asked for; 0: one */
    int depth;   /* levels of modules that are opened, the model itself being the first: 1 shows
                    its children alone; 0: all                                              */
} ct_show_options;

/* Modules, output shapes and parameter counts, as Keras prints them; below a module, indented, its
 * children. An activation has its own word, "activation (relu)". The model itself has no
 * row, unless it has slots of its own or no children. The count of a module is that of all below
 * it. A parameter is counted where it is met first; other places are marked "(shared)". A module
 * that the forward did not call is "not used". Of a module called several times the first outputs
 * are shown. Long names lose their middle.
 * Errors: CT_ERR_NULL; CT_ERR_RANGE for counts of inputs, outputs and levels; those of the forward,
 * for an input of a wrong type or shape: the message names ct_summary and the inputs. Then nothing
 * is written. CT_ERR_IO. */
ct_status ct_summary(FILE *out, ct_module *model, ct_show_options options);
/* The picture of the model as DOT: a box "name: Kind" for each call of a module, with the shape of
 * its output and its parameters, a frame around a module that has called others, and arrows from
 * what gives a value to what takes it, from the inputs down. Where an opened module computes its
 * output itself there is an ellipse with the ops that do, in order, each once: the "+" of a
 * residual, "sigmoid, mul, +" of a gate. The same model gives the same bytes. Errors: as
 * ct_summary; CT_ERR_IO. */
ct_status ct_model_plot(FILE *out, ct_module *model, ct_show_options options);
/* The same into a file, in a format of ct_dot_save. */
ct_status ct_model_plot_save(const char *path, ct_module *model, ct_show_options options);

CT_C_END

#endif
