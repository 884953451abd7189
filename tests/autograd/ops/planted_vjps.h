/* Wrong derivatives, the kinds that people write: can the gradient checker tell? A row is
 *     X(name, what is wrong, shape of a, y = f(a), wrong cotangent of a)
 * where g is the cotangent of y. Elements of a are apart, in +-0.5 .. 1.5; `pos(a)` is positive.
 * like(i, shape) are other numbers, the same at every call. */
#ifndef COTAN_TESTS_PLANTED_VJPS_H
#define COTAN_TESTS_PLANTED_VJPS_H

#define PLANTED_ELEMENTWISE(X)                                                                  \
    X(sign, "sign", VEC, ct_exp(a), ct_neg(ct_mul(g, y)))                                       \
    X(zeros, "nothing flows", VEC, ct_exp(a), ct_scale(g, 0))                                   \
    X(half, "factor 2 missing", VEC, ct_mul(a, a), ct_mul(g, a))                                \
    X(twice, "factor 2 too much", VEC, ct_mul(a, a), ct_scale(ct_mul(g, a), 4))                 \
    X(per_mille, "0.1 % too large", VEC, ct_sin(a), ct_scale(ct_mul(g, ct_cos(a)), 1.001))      \
    X(tiny_scale, "1e-5 too large", VEC, ct_sin(a), ct_scale(ct_mul(g, ct_cos(a)), 1.00001))    \
    X(tiny_sign, "sign of a tiny gradient", VEC, ct_scale(a, 1e-6), ct_scale(g, -1e-6))         \
    X(large, "1e-5 of a large gradient", VEC, ct_scale(a, 1e6), ct_scale(g, 1e6 + 10))          \
    X(no_cotangent, "cotangent forgotten", VEC, ct_exp(a), y)                                   \
    X(abs_cotangent, "|cotangent|", VEC, ct_exp(a), ct_mul(ct_abs(g), y))                       \
    X(square_cotangent, "cotangent squared", VEC, ct_exp(a), ct_mul(ct_mul(g, g), y))           \
    X(mean_cotangent, "right for an all-ones cotangent", VEC, ct_exp(a),                        \
      ct_mul(ct_mean_all(g), y))                                                                \
    X(stale, "value of an earlier call", VEC, ct_tanh(a),                                       \
      ct_sub(g, ct_mul(g, ct_square(ct_tanh(like(0, VEC))))))                                   \
    X(stale_cotangent, "cotangent of an earlier call", VEC, ct_exp(a), ct_mul(like(1, VEC), y)) \
    X(overwrite, "second use overwrites the first", VEC, ct_mul(a, ct_sin(a)),                  \
      ct_mul(g, ct_sin(a)))                                                                     \
    X(relu_open, "lets everything through", VEC, ct_relu(a), g)                                 \
    X(relu_side, "the wrong side", VEC, ct_relu(a), ct_mul(g, negative(a)))                     \
    X(clip_open, "flows outside of the bounds", VEC, ct_clip(a, -1, 1), g)                      \
    X(abs_side, "no sign", VEC, ct_abs(a), g)                                                   \
    X(where_side, "condition inverted", VEC, ct_where(negative(a), ct_exp(a), ct_scale(a, 2)),  \
      ct_where(negative(a), ct_scale(g, 2), ct_mul(g, ct_exp(a))))                              \
    X(quotient, "square missing", VEC, ct_div(like(0, VEC), a),                                 \
      ct_neg(ct_div(ct_mul(g, like(0, VEC)), a)))                                               \
    X(quotient_sign, "sign of a denominator", VEC, ct_div(like(0, VEC), a),                     \
      ct_div(ct_mul(g, y), a))                                                                  \
    X(power, "exponent off by one", VEC, ct_mul(a, ct_square(a)),                               \
      ct_scale(ct_mul(g, ct_mul(a, ct_square(a))), 3))                                          \
    X(root, "1/2 missing", VEC, ct_sqrt(pos(a)), ct_mul(flow(a), ct_div(g, y)))                 \
    X(inverse_root, "power 2 instead of 3", VEC, ct_rsqrt(pos(a)),                              \
      ct_mul(flow(a), ct_scale(ct_mul(g, ct_square(y)), -0.5)))                                 \
    X(logarithm, "times instead of over", VEC, ct_log(pos(a)), ct_mul(g, a))                    \
    X(sine, "sine of sine", VEC, ct_sin(a), ct_mul(g, ct_sin(a)))                               \
    X(sigmoid, "1 - y missing", VEC, ct_sigmoid(a), ct_mul(g, y))                               \
    X(mask, "scale of a mask missing", VEC, ct_scale(ct_mul(a, negative(like(0, VEC))), 2),     \
      ct_mul(g, negative(like(0, VEC))))                                                        \
    X(one_entry, "one entry 1 % off", VEC, ct_mul(a, a),                                        \
      ct_mul(ct_scale(ct_mul(g, a), 2), ct_offset(ct_scale(last(VEC), 0.01), 1)))               \
    X(one_nan, "one entry not a number", VEC, ct_mul(a, a),                                     \
      ct_add(ct_scale(ct_mul(g, a), 2), ct_log(ct_offset(ct_scale(last(VEC), -2), 1))))         \
    X(one_infinity, "one entry infinite", VEC, ct_mul(a, a),                                    \
      ct_sub(ct_scale(ct_mul(g, a), 2), ct_log(ct_offset(ct_scale(last(VEC), -1), 1))))

#define PLANTED_SHAPES(X)                                                                        \
    X(mean_sum, "1/n missing", MAT, ct_mean_all(a), ct_broadcast(g, MAT))                        \
    X(mean_bessel, "1/(n-1)", MAT, ct_mean_all(a), ct_scale(ct_broadcast(g, MAT), 1.0 / 8))      \
    X(row_sum, "sum over the broadcast missing", ROW, ct_add(a, like(0, MAT)),                   \
      ct_reshape(ct_slice(g, 0, 0, 1, 1), ROW))                                                  \
    X(row_mean, "mean over the broadcast", ROW, ct_add(a, like(0, MAT)), ct_mean(g, CT_AXES(0))) \
    X(row_axis, "sum over the wrong axis", ROW, ct_add(a, like(0, MAT)), ct_sum(g, CT_AXES(1)))  \
    X(sum_axis, "stretched along the wrong axis", MAT, ct_sum(a, CT_AXES(0)),                    \
      ct_transpose(ct_broadcast(g, MAT)))                                                        \
    X(max_all, "to all, not to the largest", MAT, ct_max(a, CT_AXES(0)), ct_broadcast(g, MAT))   \
    X(max_first, "to the first, not to the largest", VEC, ct_max(a, CT_ALL),                     \
      ct_mul(g, ct_flip(last(VEC), CT_ALL)))                                                     \
    X(transposed, "operand not transposed", MAT, ct_matmul(a, like(0, MAT)),                     \
      ct_matmul(g, like(0, MAT)))                                                                \
    X(transposed_out, "result transposed", MAT, ct_matmul(a, like(0, MAT)),                      \
      ct_matmul(like(0, MAT), ct_transpose(g)))                                                  \
    X(swapped, "factors swapped", MAT, ct_matmul(like(0, MAT), a),                               \
      ct_matmul(g, ct_transpose(like(0, MAT))))                                                  \
    X(inverse, "permuted forward again", CUBE, ct_permute(a, CT_AXES(1, 2, 0)),                  \
      ct_permute(g, CT_AXES(1, 2, 0)))                                                           \
    X(reshaped, "transposed instead of reshaped", CT_SHAPE(2, 3), ct_reshape(a, CT_SHAPE(3, 2)), \
      ct_transpose(g))                                                                           \
    X(flipped, "not flipped back", VEC, ct_flip(a, CT_ALL), g)                                   \
    X(sliced, "off by one", VEC, ct_slice(a, 0, 1, 4, 1), ct_pad(g, 0, 0, 3, 0))                 \
    X(padded, "off by one", VEC, ct_pad(a, 0, 1, 1, 0), ct_slice(g, 0, 0, 6, 1))                 \
    X(strided, "stride ignored", VEC, ct_slice(a, 0, 0, 6, 2), ct_pad(g, 0, 0, 3, 0))            \
    X(joined, "the other part", VEC, CT_CONCAT(0, a, like(0, VEC)), ct_slice(g, 0, 6, 12, 1))    \
    X(joined_twice, "the last of two uses", VEC, CT_CONCAT(0, a, a), ct_slice(g, 0, 6, 12, 1))   \
    X(taken_twice, "overwrites where it should add", VEC, ct_take(a, indices(0, 0, 2)),          \
      ct_scatter_add(ct_slice(g, 0, 1, 3, 1), ct_slice(indices(0, 0, 2), 0, 1, 3, 1), 6))        \
    X(softmax, "the sum's part missing", VEC, ct_softmax(a, 0), ct_mul(g, y))                    \
    X(logsumexp, "softmax missing", VEC, ct_logsumexp(a, 0), ct_broadcast(g, VEC))               \
    X(variance, "mean not subtracted", VEC, ct_var(a, CT_ALL), ct_scale(ct_mul(g, a), 2.0 / 6))  \
    X(norm_constants, "statistics taken as constants", MAT, norm(a), ct_mul(g, scale_of(a)))     \
    X(norm_no_variance, "variance taken as constant", MAT, norm(a),                              \
      ct_mul(ct_sub(g, ct_mean_keep(g, CT_AXES(0))), scale_of(a)))                               \
    X(norm_no_mean, "mean taken as constant", MAT, norm(a),                                      \
      ct_mul(ct_sub(g, ct_mul(y, ct_mean_keep(ct_mul(g, y), CT_AXES(0)))), scale_of(a)))         \
    X(norm_sums, "sums instead of means", MAT, norm(a),                                          \
      ct_mul(ct_sub(g, ct_add(ct_sum_keep(g, CT_AXES(0)),                                        \
                              ct_mul(y, ct_sum_keep(ct_mul(g, y), CT_AXES(0))))),                \
             scale_of(a)))                                                                       \
    X(conv_flip, "kernel not flipped", IMAGE, convolve(a, like(0, KERNEL), 0),                   \
      convolve(g, like(0, KERNEL), 2))                                                           \
    X(conv_kernel, "kernel's gradient transposed", KERNEL, convolve(like(0, IMAGE), a, 0),       \
      ct_permute(ct_conv2d_kernel(like(0, IMAGE), g, 3, 3, (ct_conv2d_spec){0}),                 \
                 CT_AXES(1, 0, 2, 3)))                                                           \
    X(average_pool, "window's size missing", IMAGE, ct_avg_pool2d(a, (ct_pool2d_spec){0}),       \
      ct_scale(ct_avg_pool2d_spread(g, 4, 4, (ct_pool2d_spec){0}), 4))                           \
    X(max_pool, "to the whole window", IMAGE, ct_max_pool2d(a, (ct_pool2d_spec){0}),             \
      ct_avg_pool2d_spread(g, 4, 4, (ct_pool2d_spec){0}))

/* Right at order 1, wrong at order 2. */
#define PLANTED_SECOND(X)                                                                     \
    X(detached_result, "result detached", VEC, ct_exp(a), ct_mul(g, ct_detach(y)))            \
    X(detached_operand, "operand detached", VEC, ct_mul(a, a),                                \
      ct_scale(ct_mul(g, ct_detach(a)), 2))                                                   \
    X(stopped_factor, "derivative stopped", VEC, ct_sin(a),                                   \
      ct_mul(g, ct_stop_gradient(ct_cos(a))))                                                 \
    X(stopped_cotangent, "cotangent stopped", VEC, ct_exp(a), ct_mul(ct_stop_gradient(g), y)) \
    X(stopped_part, "one of two factors stopped", VEC, ct_tanh(a),                            \
      ct_sub(g, ct_mul(g, ct_mul(y, ct_stop_gradient(y)))))                                   \
    X(stopped_softmax, "probabilities stopped", VEC, ct_softmax(a, 0),                        \
      ct_mul(ct_stop_gradient(y), ct_sub(g, ct_sum_all(ct_mul(g, y)))))                       \
    X(stopped_scale, "scale of a normalization stopped", MAT, norm(a),                        \
      ct_mul(ct_sub(g, ct_add(ct_mean_keep(g, CT_AXES(0)),                                    \
                              ct_mul(y, ct_mean_keep(ct_mul(g, y), CT_AXES(0))))),            \
             ct_stop_gradient(scale_of(a))))                                                  \
    X(second_per_mille, "second derivative 0.1 % off", VEC, ct_mul(a, ct_square(a)),          \
      ct_mul(g, ct_add(ct_scale(ct_mul(a, ct_stop_gradient(a)), -0.006),                      \
                       ct_scale(ct_square(a), 3.006))))                                       \
    X(second_sign, "sign of the second derivative", VEC, ct_mul(a, a),                        \
      ct_mul(g, ct_sub(ct_scale(ct_stop_gradient(a), 4), ct_scale(a, 2))))

#endif
