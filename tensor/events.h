/* Event files: what TensorBoard reads. Scalars, histograms, images and a graph, step by step.
 *
 *     ct_events *events = ct_events_new("runs/a");
 *     ct_events_graph(events, &loss, 1);
 *     ct_events_scalar(events, "loss", 1, ct_item(loss));
 *     ct_events_histogram(events, "gradients/dense/kernel", 1, gradient);
 *     ct_events_free(events);       // tensorboard --logdir runs
 *
 * Tags with a common beginning "gradients/" stand together there, and folders below the one that it
 * was started with are runs to be compared. A ct_monitor writes all of this for a model that ct_fit
 * trains (optim/monitor.h).
 *
 * The format: records framed as TFRecord (length, masked CRC32C, bytes, masked CRC32C), each an
 * `Event` of tensorboard/compat/proto/event.proto. Each record is written at once, in one piece:
 * when the process is killed, the file holds everything that a function has returned CT_OK for. A
 * record that cannot be written whole, on a full disk say, is taken away again. So nothing is to be
 * flushed, and after an error one may go on.
 *
 * Errors of all functions: CT_ERR_NULL; CT_ERR_RANGE for a tag that is empty or not UTF-8;
 * CT_ERR_IO with the system's words; CT_ERR_MEMORY; those of the evaluation of a tensor that has no
 * value. */
#ifndef COTAN_EVENTS_H
#define COTAN_EVENTS_H

#include <cotan/tensor/tensor.h>

#include <stdint.h>

CT_C_BEGIN

typedef struct ct_events ct_events;

/* A new file "events.out.tfevents.SECONDS.cotan.PROCESS.NUMBER" in the directory, which is made
 * where it is missing, with those above it. Files that are there stay: TensorBoard puts them
 * together, so training that goes on from a checkpoint goes on in the same directory. The caller
 * owns what is returned, and uses it in one thread. */
ct_events *ct_events_new(const char *directory);
/* Takes NULL. */
void ct_events_free(ct_events *events);

/* One number. The file holds it as f32; it may be infinite or NaN, which TensorBoard shows. */
ct_status ct_events_scalar(ct_events *events, const char *tag, int64_t step, double value);
/* How the elements are distributed, of any dtype and shape. They are counted in buckets of an
 * eighth of an octave from 2^-40 to 2^64, of either sign, and one around 0; least, greatest, sum
 * and sum of squares are exact in f64. Infinities and NaN fall in no bucket: where there are any,
 * their number is the scalar "TAG/nonfinite". Errors besides: CT_ERR_STATE for what varies between
 * ranks (tensor/varying.h), here and for an image. */
ct_status ct_events_histogram(ct_events *events, const char *tag, int64_t step, ct_tensor *values);
/* An image [H,W] or [H,W,C], C = 1, 3 or 4 (grey, RGB, RGBA), of u8, or of floats of which 0 is
 * black and 1 is white; what lies beyond is cut off, and NaN is black. As a PNG that is not
 * compressed. Errors besides: CT_ERR_SHAPE for another shape, no elements or above 2^28 bytes;
 * CT_ERR_DTYPE for i64. */
ct_status ct_events_image(ct_events *events, const char *tag, int64_t step, ct_tensor *image);
/* Everything that n >= 1 roots depend on, as a GraphDef; nothing is evaluated. Nodes are called
 * "module/path/op_NUMBER", so that modules fold, what a derivative made stands in "gradients/", and
 * slots are of op "Parameter". Attributes: dtype, and the output's shape, which arrows show. Staged
 * updates are control inputs. A later graph in the same directory takes the place of this one.
 * Errors besides: CT_ERR_RANGE for no roots. */
ct_status ct_events_graph(ct_events *events, ct_tensor *const roots[], int64_t n);

CT_C_END

#endif
