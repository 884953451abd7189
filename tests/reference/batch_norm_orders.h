/* Written by batch_norm_orders.py, which says what it is. */
#ifndef COTAN_REFERENCE_BATCH_NORM_ORDERS_H
#define COTAN_REFERENCE_BATCH_NORM_ORDERS_H

static const double orders_x[] = {
    0.68, 0.421, 1.438, -1.108, 0.42, -1.232, 0.461, -0.239, 1.285, 0.648, 0.29, 0.74, -1.406, 0.42,
    -1.154, -0.617, 0.305, 1.205,
};
static const double orders_v[] = {
    -0.282, 0.384, 0.786, -0.476, -0.27, 1.074, 0.577, 0.852, 0.46, 0.506, 1.064, -0.268, 0.976,
    0.101, 0.086, 0.545, 0.456, 0.867,
};
static const double orders_w[] = {
    0.402, 0.111, -0.126, -0.327, -0.311, 0.415, 1.153, -0.781, -1.135, 0.538, 0.487, -0.211,
    -0.941, 1.464, -1.034, -0.383, -0.685, 1.196,
};
static const double orders_gamma[] = {
    1.328, 1.228, 1.03,
};
static const double orders_beta[] = {
    0.835, -0.284, -0.096,
};
static const double orders_a[] = {
    -0.994, -0.596, -0.309,
};
static const double orders_b[] = {
    0.208, 0.055, -0.375,
};
/* phi and its derivatives in t at 0, where x moves alone, and where all three move. */
static const double orders_x_moves[] = {
    8.891908730228358073512066, 2.760474202203962111952736, -5.341487046468275033484218,
    -47.14114261330794164792909, -242.6851074368439967520382, 147.6650519105278230218524,
};
static const double orders_all_move[] = {
    8.891908730228358073512066, -2.115266906285296514086877, -7.575728536113151723056221,
    -38.04564872266742651795138, -150.7193749566052115081764, 730.0182086765422613992041,
};

#endif
