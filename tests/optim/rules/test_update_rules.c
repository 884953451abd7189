/* Every update rule in both of its forms against a plain loop in f64 over 20 steps; schedules,
 * clipping and a rule of one's own. */
#include "tests/support/nn_support.h"

#include "optim/optimizer_private.h"

enum { N = 7, STEPS = 20 };

static ct_tensor *product(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    return ct_mul(x, ct_module_read(self, 0));
}

static const ct_module_kind vector_kind = {.name = "Vector", .forward = product};

/* theta [7]; the gradient of sum(g theta) is g. */
static ct_module *vector_new(void) {
    ct_module *module = ct_module_new(sizeof *module, &vector_kind);
    MADE(module);
    OK(ct_module_add_slot(module, "theta", centred(CT_F64, CT_SHAPE(N), 1, 1, 0), true));
    return module;
}

static double gradient(int step, int i) { return 2 * number(i, 100 + (uint32_t)step) - 1; }

static void take_step(ct_module *module, ct_optimizer *optimizer, int step) {
    double g[N];
    for (int i = 0; i < N; i++) g[i] = gradient(step, i);
    ct_tensor *given = ct_from(CT_F64, CT_SHAPE(N), g);
    OK(ct_optimizer_step(optimizer, ct_sum_all(ct_forward(module, given, CT_TRAINING)), NULL, 0));
}

/* theta, gradient, two states, step from 1. */
typedef void rule(double *p, double g, double *a, double *b, int t);

static void expect_rule(rule *plain, ct_module *module, ct_optimizer *optimizer) {
    MADE(optimizer);
    double p[N], a[N] = {0}, b[N] = {0};
    for (int i = 0; i < N; i++) p[i] = element(read_slot(module, "theta"), i);
    for (int step = 0; step < STEPS; step++) {
        take_step(module, optimizer, step);
        for (int i = 0; i < N; i++) plain(&p[i], gradient(step, i), &a[i], &b[i], step + 1);
        cr_expect_lt(distance(read_slot(module, "theta"), p), 1e-13, "step %d", step);
    }
    cr_expect_eq(ct_optimizer_steps(optimizer), STEPS);
    ct_optimizer_free(optimizer);
    ct_module_free(module);
}

#define EXPECT_RULE(plain, make, ...)                \
    do {                                             \
        ct_module *m = vector_new();                 \
        expect_rule(plain, m, make(m, __VA_ARGS__)); \
    } while (0)

#define RATE 0.05
#define MU 0.9
#define DECAY 0.02

/* --- SGD -------------------------------------------------------------------------------------- */

#define RULE(name) static void name(double *p, double g, double *a, double *b, int t)
#define IGNORE (void)a, (void)b, (void)t

RULE(sgd) {
    IGNORE;
    *p -= RATE * g;
}
RULE(sgd_decay) {
    IGNORE;
    *p -= RATE * (g + DECAY * *p);
}
RULE(momentum) {
    IGNORE;
    *a = MU * *a + g;
    *p -= RATE * *a;
}
RULE(nesterov) {
    IGNORE;
    *a = MU * *a + g;
    *p -= RATE * (g + MU * *a);
}
RULE(keras_momentum) {
    IGNORE;
    *a = MU * *a - RATE * g;
    *p += *a;
}
RULE(keras_nesterov) {
    IGNORE;
    *a = MU * *a - RATE * g;
    *p += MU * *a - RATE * g;
}

/* Keras's decay is no part of the gradient, so momentum does not gather it. */
RULE(decoupled) { sgd(p, g + DECAY * *p, a, b, t); }
RULE(decoupled_momentum) {
    double decay = RATE * DECAY * *p;
    momentum(p, g, a, b, t);
    *p -= decay;
}
RULE(decoupled_nesterov) {
    double decay = RATE * DECAY * *p;
    nesterov(p, g, a, b, t);
    *p -= decay;
}
RULE(decoupled_keras) {
    double decay = RATE * DECAY * *p;
    keras_momentum(p, g, a, b, t);
    *p -= decay;
}
RULE(decoupled_keras_nesterov) {
    double decay = RATE * DECAY * *p;
    keras_nesterov(p, g, a, b, t);
    *p -= decay;
}
RULE(coupled_momentum) { momentum(p, g + DECAY * *p, a, b, t); }

TEST(update_rules, sgd_with_decay) {
    ct_sgd_options options = {.rate = ct_rate(RATE), .weight_decay = DECAY, .decoupled = true};
    EXPECT_RULE(decoupled, ct_sgd_new, options);
    options.momentum = MU;
    EXPECT_RULE(decoupled_momentum, ct_sgd_new, options);
    options.nesterov = true;
    EXPECT_RULE(decoupled_nesterov, ct_sgd_new, options);
    options.keras = true;
    EXPECT_RULE(decoupled_keras_nesterov, ct_sgd_new, options);
    options.nesterov = false;
    EXPECT_RULE(decoupled_keras, ct_sgd_new, options);
    options.keras = options.decoupled = false;
    EXPECT_RULE(coupled_momentum, ct_sgd_new, options);
}

TEST(update_rules, sgd) {
    ct_schedule rate = ct_rate(RATE);
    EXPECT_RULE(sgd, ct_sgd_new, (ct_sgd_options){.rate = rate});
    EXPECT_RULE(sgd_decay, ct_sgd_new, (ct_sgd_options){.rate = rate, .weight_decay = DECAY});
    EXPECT_RULE(momentum, ct_sgd_new, (ct_sgd_options){.rate = rate, .momentum = MU});
    EXPECT_RULE(nesterov, ct_sgd_new,
                (ct_sgd_options){.rate = rate, .momentum = MU, .nesterov = true});
    EXPECT_RULE(keras_momentum, ct_sgd_new,
                (ct_sgd_options){.rate = rate, .momentum = MU, .keras = true});
    EXPECT_RULE(keras_nesterov, ct_sgd_new,
                (ct_sgd_options){.rate = rate, .momentum = MU, .keras = true, .nesterov = true});
}

/* --- Adam ------------------------------------------------------------------------------------- */

static double c1(int t) { return 1 - pow(0.9, t); }
static double c2(int t) { return 1 - pow(0.999, t); }

static void moments(double g, double *m, double *v) {
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
}

RULE(adam) {
    moments(g, a, b);
    *p -= RATE * sqrt(c2(t)) / c1(t) * *a / (sqrt(*b) + 1e-7);
}
RULE(adam_pytorch) {
    moments(g, a, b);
    *p -= RATE / c1(t) * *a / (sqrt(*b / c2(t)) + 1e-8);
}
RULE(adamw) {
    double decay = RATE * 0.004 * *p;
    adam(p, g, a, b, t);
    *p -= decay;
}
RULE(adamw_pytorch) {
    double decay = RATE * 0.01 * *p;
    adam_pytorch(p, g, a, b, t);
    *p -= decay;
}

TEST(update_rules, adam) {
    EXPECT_RULE(adam, ct_adam_new, ct_adam_defaults(RATE));
    EXPECT_RULE(adam_pytorch, ct_adam_new, ct_adam_pytorch(RATE));
    EXPECT_RULE(adamw, ct_adamw_new, ct_adamw_defaults(RATE));
    EXPECT_RULE(adamw_pytorch, ct_adamw_new, ct_adamw_pytorch(RATE));
}

/* Zero is a number like any other. */
RULE(adam_beta1_0) {
    IGNORE;
    *b = 0.999 * *b + 0.001 * g * g;
    *p -= RATE * sqrt(c2(t)) * g / (sqrt(*b) + 1e-7);
}
RULE(adam_beta2_0) {
    (void)b;
    *a = 0.9 * *a + 0.1 * g;
    *p -= RATE / c1(t) * *a / (fabs(g) + 1e-7);
}
RULE(adam_epsilon_0) {
    moments(g, a, b);
    *p -= RATE / c1(t) * *a / sqrt(*b / c2(t));
}

TEST(update_rules, zeros_of_adam) {
    ct_adam_options options = ct_adam_defaults(RATE);
    options.beta1 = 0;
    EXPECT_RULE(adam_beta1_0, ct_adam_new, options);
    options = ct_adam_defaults(RATE);
    options.beta2 = 0;
    EXPECT_RULE(adam_beta2_0, ct_adam_new, options);
    options = ct_adam_defaults(RATE);
    options.epsilon = 0;
    EXPECT_RULE(adam_epsilon_0, ct_adam_new, options);
    options.pytorch = true;
    EXPECT_RULE(adam_epsilon_0, ct_adam_new, options);
    options = ct_adamw_defaults(RATE);
    options.weight_decay = 0;
    EXPECT_RULE(adam, ct_adamw_new, options);
}

/* --- RMSprop and Adagrad ---------------------------------------------------------------------- */

RULE(rmsprop) {
    IGNORE;
    *a = 0.9 * *a + 0.1 * g * g;
    *p -= RATE * g / sqrt(*a + 1e-7);
}
RULE(rmsprop_momentum) {
    (void)t;
    *a = 0.9 * *a + 0.1 * g * g;
    *b = MU * *b + RATE * g / sqrt(*a + 1e-7);
    *p -= *b;
}
RULE(rmsprop_pytorch) {
    IGNORE;
    *a = 0.99 * *a + 0.01 * g * g;
    *p -= RATE * g / (sqrt(*a) + 1e-8);
}
RULE(rmsprop_pytorch_momentum) {
    (void)t;
    *a = 0.99 * *a + 0.01 * g * g;
    *b = MU * *b + g / (sqrt(*a) + 1e-8);
    *p -= RATE * *b;
}
RULE(adagrad) {
    (void)b;
    if (t == 1) *a = 0.1;
    *a += g * g;
    *p -= RATE * g / sqrt(*a + 1e-7);
}
RULE(adagrad_pytorch) {
    IGNORE;
    *a += g * g;
    *p -= RATE * g / (sqrt(*a) + 1e-10);
}

TEST(update_rules, rmsprop_and_adagrad) {
    ct_rmsprop_options options = ct_rmsprop_defaults(RATE);
    EXPECT_RULE(rmsprop, ct_rmsprop_new, options);
    options.momentum = MU;
    EXPECT_RULE(rmsprop_momentum, ct_rmsprop_new, options);
    options = ct_rmsprop_pytorch(RATE);
    EXPECT_RULE(rmsprop_pytorch, ct_rmsprop_new, options);
    options.momentum = MU;
    EXPECT_RULE(rmsprop_pytorch_momentum, ct_rmsprop_new, options);
    EXPECT_RULE(adagrad, ct_adagrad_new, ct_adagrad_defaults(RATE));
    EXPECT_RULE(adagrad_pytorch, ct_adagrad_new, ct_adagrad_pytorch(RATE));
}

RULE(sign) {
    IGNORE;
    *p -= RATE * (g > 0 ? 1 : -1);
}
RULE(adagrad_0) {
    IGNORE;
    *a += g * g;
    *p -= RATE * g / sqrt(*a);
}
RULE(adagrad_pytorch_1) {
    (void)b;
    if (t == 1) *a = 1;
    *a += g * g;
    *p -= RATE * g / (sqrt(*a) + 1e-10);
}

TEST(update_rules, zeros_of_rmsprop_and_adagrad) {
    ct_rmsprop_options options = ct_rmsprop_defaults(RATE);
    options.rho = options.epsilon = 0;
    EXPECT_RULE(sign, ct_rmsprop_new, options);
    options.pytorch = true;
    EXPECT_RULE(sign, ct_rmsprop_new, options);
    ct_adagrad_options sums = ct_adagrad_defaults(RATE);
    sums.initial = sums.epsilon = 0;
    EXPECT_RULE(adagrad_0, ct_adagrad_new, sums);
    sums = ct_adagrad_pytorch(RATE);
    sums.initial = 1;
    EXPECT_RULE(adagrad_pytorch_1, ct_adagrad_new, sums);
}

/* --- Options ---------------------------------------------------------------------------------- */

TEST(update_rules, options_come_from_their_defaults) {
    ct_module *module = vector_new();
    cr_expect_null(ct_adam_new(module, (ct_adam_options){.rate = ct_rate(RATE)}));
    expect_error(CT_ERR_STATE, "ct_adam_new: start from ct_adam_defaults()");
    /* Neither takes the other's, as the decay would be dropped or come unasked. */
    cr_expect_null(ct_adam_new(module, ct_adamw_pytorch(RATE)));
    expect_error(CT_ERR_STATE, "ct_adam_new: start from ct_adam_defaults()");
    cr_expect_null(ct_adamw_new(module, ct_adam_defaults(RATE)));
    expect_error(CT_ERR_STATE, "ct_adamw_new: start from ct_adamw_defaults()");
    cr_expect_null(ct_rmsprop_new(module, (ct_rmsprop_options){.rate = ct_rate(RATE)}));
    expect_error(CT_ERR_STATE, "ct_rmsprop_new: start from ct_rmsprop_defaults()");
    cr_expect_null(ct_adagrad_new(module, (ct_adagrad_options){.rate = ct_rate(RATE)}));
    expect_error(CT_ERR_STATE, "ct_adagrad_new: start from ct_adagrad_defaults()");
    ct_module_free(module);
}

#define REFUSED(make, made, member, value, message) \
    do {                                            \
        __typeof__(made) o = made;                  \
        o.member = value;                           \
        cr_expect_null(make(module, o));            \
        expect_error(CT_ERR_RANGE, message);        \
    } while (0)

/* The message names the function and the option that the user wrote. */
TEST(update_rules, options_out_of_range) {
    ct_module *module = vector_new();
    REFUSED(ct_adam_new, ct_adam_defaults(RATE), beta1, 1,
            "ct_adam_new: beta1 must be in [0,1), got 1");
    REFUSED(ct_adamw_new, ct_adamw_defaults(RATE), beta2, -1,
            "ct_adamw_new: beta2 must be in [0,1), got -1");
    REFUSED(ct_adamw_new, ct_adamw_pytorch(RATE), weight_decay, -1,
            "ct_adamw_new: weight_decay must be in [0,1e+300), got -1");
    REFUSED(ct_adam_new, ct_adam_pytorch(RATE), epsilon, -1,
            "ct_adam_new: epsilon must be in [0,1e+300), got -1");
    REFUSED(ct_rmsprop_new, ct_rmsprop_defaults(RATE), rho, 1,
            "ct_rmsprop_new: rho must be in [0,1), got 1");
    REFUSED(ct_adagrad_new, ct_adagrad_pytorch(RATE), initial, -1,
            "ct_adagrad_new: initial must be in [0,1e+300), got -1");
    REFUSED(ct_rmsprop_new, ct_rmsprop_pytorch(-1), momentum, 0,
            "ct_rmsprop_new: rate must be finite and >= 0, got -1");
    REFUSED(ct_adagrad_new, ct_adagrad_defaults(RATE), step.clip_value, -1,
            "ct_adagrad_new: clip_value must be in [0,1e+300), got -1");
    cr_expect_null(ct_sgd_new(module, (ct_sgd_options){.rate = ct_rate(RATE), .nesterov = true}));
    expect_error(CT_ERR_RANGE, "ct_sgd_new: nesterov needs momentum, which is 0");
    ct_module_free(module);
}

TEST(update_rules, a_missing_rate_is_an_error_and_a_rate_of_0_is_not) {
    ct_module *module = vector_new();
    cr_expect_null(ct_sgd_new(module, (ct_sgd_options){0}));
    expect_error(CT_ERR_RANGE, "ct_sgd_new: 'rate' is missing; set it to ct_rate(0.001), say");
    ct_adam_options options = ct_adam_defaults(RATE);
    options.rate = (ct_schedule){0};
    cr_expect_null(ct_adam_new(module, options));
    expect_error(CT_ERR_RANGE, "ct_adam_new: 'rate' is missing; set it to ct_rate(0.001), say");
    ct_tensor *before = ct_detach(read_slot(module, "theta"));
    ct_optimizer *still = ct_adam_new(module, ct_adam_defaults(0));
    MADE(still);
    take_step(module, still, 0);
    ct_tensor *gap = ct_sub(read_slot(module, "theta"), before);
    cr_expect_eq(ct_item(ct_max(ct_abs(gap), CT_ALL)), 0);
    ct_optimizer_free(still);
    ct_module_free(module);
}

/* --- Schedules -------------------------------------------------------------------------------- */

/* The rate of a step is the move of SGD over the gradient. */
static void expect_schedule(ct_schedule schedule, double (*plain)(int done)) {
    ct_module *module = vector_new();
    ct_optimizer *optimizer = ct_sgd_new(module, (ct_sgd_options){.rate = schedule});
    MADE(optimizer);
    for (int step = 0; step < STEPS; step++) {
        double before = element(read_slot(module, "theta"), 0);
        take_step(module, optimizer, step);
        double moved = before - element(read_slot(module, "theta"), 0);
        EXPECT_NEAR(moved / gradient(step, 0), plain(step), 1e-12);
    }
    ct_optimizer_free(optimizer);
    ct_module_free(module);
}

static double constant(int t) { return t < 0 ? 0 : 0.1; }
static double stairs(int t) { return 0.1 * pow(0.5, floor(t / 6.0)); }
static double exponential(int t) { return 0.1 * pow(0.5, t / 6.0); }
static double cosine(int t) {
    double done = fmin(t / 12.0, 1.0);
    return 0.1 * (0.2 + 0.8 * (1 + cos(acos(-1.0) * done)) / 2);
}
/* Warm-up over 5 steps, and the schedule from its own step 0 on after them. */
static double warm(int t, double (*plain)(int done)) {
    return t < 5 ? plain(0) * (t + 1) / 5.0 : plain(t - 5);
}
static double warm_constant(int t) { return warm(t, constant); }
static double warm_stairs(int t) { return warm(t, stairs); }
static double warm_exponential(int t) { return warm(t, exponential); }
static double warm_cosine(int t) { return warm(t, cosine); }

/* A user's own, whose first rate is not its `initial`. */
static ct_tensor *rising_rate(const ct_schedule *self, ct_tensor *step) {
    return ct_offset(ct_scale(step, 0.01), 2 * self->initial);
}
static double rising(int t) { return 0.2 + 0.01 * t; }
static double warm_rising(int t) { return warm(t, rising); }

TEST(update_rules, schedules) {
    expect_schedule(ct_rate(0.1), constant);
    expect_schedule(ct_rate_step(0.1, 0.5, 6), stairs);
    expect_schedule(ct_rate_exponential(0.1, 0.5, 6), exponential);
    expect_schedule(ct_rate_cosine(0.1, 0.2, 12), cosine);
    expect_schedule((ct_schedule){.rate = rising_rate, .initial = 0.1}, rising);
}

TEST(update_rules, a_schedule_begins_after_its_warmup) {
    ct_schedule own = {.rate = rising_rate, .initial = 0.1};
    expect_schedule(ct_rate_warmup(ct_rate(0.1), 5), warm_constant);
    expect_schedule(ct_rate_warmup(ct_rate_step(0.1, 0.5, 6), 5), warm_stairs);
    expect_schedule(ct_rate_warmup(ct_rate_exponential(0.1, 0.5, 6), 5), warm_exponential);
    expect_schedule(ct_rate_warmup(ct_rate_cosine(0.1, 0.2, 12), 5), warm_cosine);
    expect_schedule(ct_rate_warmup(own, 5), warm_rising);
    /* There is one warm-up, the last; none of 0 steps. */
    expect_schedule(ct_rate_warmup(ct_rate_warmup(ct_rate_cosine(0.1, 0.2, 12), 9), 5),
                    warm_cosine);
    expect_schedule(ct_rate_warmup(ct_rate_cosine(0.1, 0.2, 12), 0), cosine);
}

/* As the header has it; the rise ends in exactly the schedule's rate, whatever the steps. */
TEST(update_rules, warmup_reaches_the_peak) {
    static const double wanted[] = {0.5, 1, 1, 0.85355339059327373, 0.5, 0.14644660940672627, 0, 0};
    ct_schedule rate = ct_rate_warmup(ct_rate_cosine(1, 0, 4), 2);
    for (int t = 0; t < 8; t++) {
        EXPECT_NEAR(ct_item(cti_schedule_rate(&rate, ct_scalar(CT_F64, t))), wanted[t], 1e-15);
    }
    for (int64_t steps = 1; steps < 200; steps++) {
        rate = ct_rate_warmup(ct_rate(0.3), steps);
        ct_tensor *last = ct_scalar(CT_F64, (double)(steps - 1));
        cr_expect_eq(ct_item(cti_schedule_rate(&rate, last)), 0.3, "%lld", (long long)steps);
    }
}

static void expect_refused_rate(ct_schedule rate, const char *message) {
    ct_module *model = ct_dense_new(1, 1, (ct_dense_options){0});
    cr_expect_null(ct_sgd_new(model, (ct_sgd_options){.rate = rate}), "%s", message);
    expect_error(CT_ERR_RANGE, message);
    ct_module_free(model);
}

/* Each would be a NaN or a standstill from some step on. */
TEST(update_rules, schedules_of_impossible_numbers_are_refused) {
    expect_refused_rate(ct_rate_cosine(0.1, 0, 0),
                        "ct_sgd_new: the rate's period must be >= 1, got 0");
    expect_refused_rate(ct_rate_step(0.1, 0.5, -3),
                        "ct_sgd_new: the rate's period must be >= 1, got -3");
    expect_refused_rate(ct_rate_exponential(0.1, -1, 10),
                        "ct_sgd_new: the rate's factor must be finite and >= 0, got -1");
    expect_refused_rate(ct_rate_step(0.1, INFINITY, 10),
                        "ct_sgd_new: the rate's factor must be finite and >= 0, got inf");
    expect_refused_rate(ct_rate_cosine(0.1, -1, 10),
                        "ct_sgd_new: the rate's final_share must be finite and >= 0, got -1");
    expect_refused_rate(ct_rate_warmup(ct_rate(0.1), -5),
                        "ct_sgd_new: the rate's warm-up must be >= 0 steps, got -5");
    expect_refused_rate(ct_rate(INFINITY), "ct_sgd_new: rate must be finite and >= 0, got inf");
}

/* --- Clipping --------------------------------------------------------------------------------- */

static ct_tensor *moved(ct_step_options options, int step) {
    ct_module *module = vector_new();
    ct_tensor *before = ct_detach(read_slot(module, "theta"));
    ct_optimizer *sgd = ct_sgd_new(module, (ct_sgd_options){.rate = ct_rate(1), .step = options});
    MADE(sgd);
    take_step(module, sgd, step);
    ct_tensor *after = ct_detach(read_slot(module, "theta"));
    ct_optimizer_free(sgd);
    ct_module_free(module);
    return ct_sub(before, after);
}

TEST(update_rules, clipping) {
    double norm = 0, by_value[N], by_norm[N], both[N], squares = 0;
    for (int i = 0; i < N; i++) norm += pow(gradient(3, i), 2);
    norm = sqrt(norm);
    for (int i = 0; i < N; i++) {
        by_value[i] = fmax(-0.3, fmin(0.3, gradient(3, i)));
        by_norm[i] = gradient(3, i) * 0.5 / norm;
        squares += by_value[i] * by_value[i];
    }
    for (int i = 0; i < N; i++) both[i] = by_value[i] * 0.5 / sqrt(squares);
    cr_assert(norm > 0.5 && sqrt(squares) > 0.5);
    cr_expect_lt(distance(moved((ct_step_options){.clip_value = 0.3}, 3), by_value), 1e-14);
    cr_expect_lt(distance(moved((ct_step_options){.clip_norm = 0.5}, 3), by_norm), 1e-14);
    cr_expect_lt(distance(moved((ct_step_options){.clip_value = 0.3, .clip_norm = 0.5}, 3), both),
                 1e-14);
    /* A gradient inside of the norm stays. */
    ct_tensor *free_move = moved((ct_step_options){0}, 3);
    ct_tensor *inside = moved((ct_step_options){.clip_norm = 100}, 3);
    cr_expect_eq(ct_item(ct_sum_all(ct_abs(ct_sub(free_move, inside)))), 0);
}

/* What moved of slots `narrow` f32 and `wide` f64, zeros, whose gradients are g[0] and g[1]. */
static void expect_moves(const double *g, const double *wanted) {
    ct_module *module = ct_module_new(sizeof *module, &vector_kind);
    MADE(module);
    OK(ct_module_add_slot(module, "narrow", ct_scalar(CT_F32, 0), true));
    OK(ct_module_add_slot(module, "wide", ct_scalar(CT_F64, 0), true));
    ct_optimizer *sgd = ct_sgd_new(module,
                                   (ct_sgd_options){.rate = ct_rate(1), .step = {.clip_norm = 1}});
    MADE(sgd);
    ct_tensor *narrow = ct_scale(ct_module_read(module, 0), g[0]);
    ct_tensor *wide = ct_scale(ct_module_read(module, 1), g[1]);
    OK(ct_optimizer_step(sgd, ct_add(ct_cast(narrow, CT_F64), wide), NULL, 0));
    EXPECT_NEAR(ct_item(read_slot(module, "narrow")), -wanted[0], 1e-7);
    EXPECT_NEAR(ct_item(read_slot(module, "wide")), -wanted[1], 1e-7);
    ct_optimizer_free(sgd);
    ct_module_free(module);
}

/* Squares leave the range of f32, and those of the last of f64. */
TEST(update_rules, clipping_of_large_gradients) {
    expect_moves((double[]){3e20, 4e20}, (double[]){0.6, 0.8});
    expect_moves((double[]){3e38, 4e38}, (double[]){0.6, 0.8});
    expect_moves((double[]){3e38, 4e200}, (double[]){0, 1});
}

/* --- A rule of one's own ---------------------------------------------------------------------- */

static ct_tensor *sign_update(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                              ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)state, (void)next;
    return ct_sub(p, ct_mul(ct_sign(g), step->rate));
}

TEST(update_rules, of_ones_own) {
    static const ct_optimizer_kind sign_kind = {.name = "sign", .update = sign_update};
    ct_module *module = vector_new();
    expect_rule(sign, module,
                ct_optimizer_new(&sign_kind, module, ct_rate(RATE), (ct_step_options){0}, "", 1));
}
