/* Attention: each row of a sequence takes from the rows of a sequence what its query asks for. */
#ifndef COTAN_ATTENTION_H
#define COTAN_ATTENTION_H

#include <cotan/nn/layers.h>

CT_C_BEGIN

typedef struct {
    bool causal;           /* a query sees no keys after its own place; as many keys as queries */
    double dropout;        /* of the weights, in training */
    int64_t kv_width;      /* of keys and values before they are projected; default: width */
    bool no_bias;          /* of all four projections */
    ct_initializer kernel; /* default: Glorot uniform */
    ct_dtype dtype;        /* default: f32 */
} ct_attention_options;

/* Multi-head attention (Vaswani et al., 2017, arXiv:1706.03762): queries, keys and values are
 * projected and cut into heads of D = width / heads columns; in each, y = softmax(q k' / sqrt D) v;
 * heads lie beside each other, and are projected once more. Children query, key, value and output
 * are dense layers [.,width]: of PyTorch's in_proj_weight each third, transposed; of Keras's
 * [width,heads,D] the same numbers.
 *
 * Inputs are {q}, {q, k}, {q, k, v} or {q, k, v, mask}, where a NULL k is q and a NULL v is k: q
 * [N,Tq,width], k and v [N,Tk,kv_width]. The mask, of any type, is not 0 where a query may look; it
 * broadcasts to [N,heads,Tq,Tk]: [Tq,Tk] for all, [N,1,1,Tk] for keys that are padding. (PyTorch's
 * masks of this layer are true where a query may not.) A query that may look nowhere gets zeros for
 * y before the last projection, and passes no gradient on; PyTorch gives NaN. Outputs are {y, w}: y
 * [N,Tq,width], and the weights w [N,heads,Tq,Tk] before dropout.
 *
 *     ct_tensor *attend(ct_module *attention, ct_tensor *q, ct_tensor *kv, ct_tensor *mask) {
 *         ct_tensor *y = NULL;
 *         ct_forward_many(attention, (ct_tensor *[]){q, kv, NULL, mask}, 4, &y, 1, CT_INFERENCE);
 *         return y;
 *     }
 *
 * Errors: CT_ERR_RANGE for heads that do not divide width; CT_ERR_SHAPE. */
ct_module *ct_multi_head_attention_new(int64_t width, int64_t heads, ct_attention_options options);

typedef struct {
    ct_dtype dtype;            /* default: f32 */
    ct_initializer embeddings; /* default: truncated normal, std 0.05 */
} ct_positions_options;
/* Learned places, as in GPT: x [N,T,width], T <= length -> x + the first T rows of the table. Slot
 * embeddings [length,width]. */
ct_module *ct_positions_new(int64_t length, int64_t width, ct_positions_options options);

/* Places as numbers (ibid.): y [length,width], y[p,2i] = sin(p / 10000^(2i/width)), y[p,2i+1] =
 * cos(p / 10000^(2i/width)). Added to a sequence [N,length,width]. Errors: CT_ERR_RANGE for an odd
 * width. */
ct_tensor *ct_sinusoidal_positions(ct_dtype dtype, int64_t length, int64_t width);

CT_C_END

#endif
