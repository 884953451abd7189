/* Watching training: what ct_fit writes on its way, for TensorBoard and as CSV.
 *
 *     ct_monitor *monitor = ct_monitor_new((ct_monitor_options){.directory = "runs/with_bn"});
 *     ct_fit_options options = {.epochs = 3, .monitor = monitor};
 *     ct_fit(model, adam, &ct_loss_cross_entropy, train, options, NULL);
 *     ct_monitor_free(monitor);     // tensorboard --logdir runs
 *
 * What is looked at is computed by the step itself, in its one evaluation, and changes none of its
 * bits; steps in between cost nothing but a line for the loss. */
#ifndef COTAN_MONITOR_H
#define COTAN_MONITOR_H

#include <cotan/tensor/tensor.h>

#include <stdint.h>

CT_C_BEGIN

typedef struct ct_monitor ct_monitor;

typedef struct {
    const char *directory; /* made where it is missing, see ct_events_new */
    int64_t every;         /* looks at layers in steps 1, 1 + every, 1 + 2 every, ..; 0: 100 */
    const char *only;      /* those alone whose path matches, as in fnmatch(3): "conv*"; NULL: all;
                                "": none, which leaves curves and the graph. One that matches
                                nothing is an error of ct_fit: CT_ERR_STATE                       */
} ct_monitor_options;

/* It holds a copy of the options, an open event file and an open layers.csv. The caller owns it,
 * and gives it to one ct_fit at a time. Errors: CT_ERR_NULL; CT_ERR_RANGE for `every` < 0; those of
 * ct_events_new.
 *
 * The event file (tensor/events.h) gets, by the number of the step from 1 on:
 * - loss, accuracy: at each step;
 * - rate, of the next step, and what follows: at each step that is looked at;
 * - activations/LAYER: a histogram of what a layer gives;
 * - gradients/PARAMETER: a histogram of the gradient of the loss, before clipping;
 * - gradient_norm/PARAMETER: |g|, in the dtype of the parameter;
 * - update_ratio/PARAMETER: |w' - w| / |w| of the step's update, left out where w is 0;
 * - epoch/loss, epoch/val_loss and so on, at an epoch's last step: what ct_epoch has, and metrics;
 * - the graph of the first loss that was looked at.
 *
 * Numbers that were not measured are left out. The file layers.csv beside it gets a line for each
 * layer and parameter that was looked at, and goes on where it is there: step, what, path, count,
 * nonfinite, norm, mean, least, p5, p25, p50, p75, p95, greatest, update_ratio. `what` is
 * "activation" or "gradient", statistics are of the `count` finite elements, and quantiles are
 * interpolated within a bucket of the histogram, an eighth of an octave. What there is not stays
 * empty: the update_ratio of an activation and where w is 0, statistics of no finite elements, the
 * norm where one of the elements is NaN. A path with a comma, a
 * quote or a line's end stands in quotes (RFC 4180).
 *
 * A layer's output is what nodes of other modules read of those made under its path, so modules of
 * one's own are seen too, and a module that makes no node of its own (Flatten, a linear activation)
 * is not. Where it is called several times or gives several, it is the one made last. Paths begin
 * below the model's name. */
ct_monitor *ct_monitor_new(ct_monitor_options options);
void ct_monitor_free(ct_monitor *monitor); /* takes NULL */

CT_C_END

#endif
