/* The built-in digits: pen paths, warped and inked on a 28x28 grid, one call per image.
 * Not a data set: it stores nothing, batches nothing and knows no tensors.
 * Invariant: the bytes follow from (seed, index) alone; the arithmetic is + - * / sqrt, rounded
 * once per operation, so that compilers and vector widths cannot disagree. */
#include "datasets/digits/digits.h"

#include <math.h>

#include "datasets/digits/digits_glyphs.h"

enum { SIDE = CTI_DIGIT_SIDE, BEND_CELL = 7, BEND_NODES = SIDE / BEND_CELL + 3, SPAN_PIECES = 4 };

static const float middle = 0.5F * (float)(SIDE - 1);

/* Counter-based: draw k of an image is a hash of (seed, index, k). */
typedef struct {
    uint64_t key;
    uint64_t count;
} draws;

/* Glyph coordinates to pixels: affine, then displaced by a cubic B-spline surface. */
typedef struct {
    float xx, xy, yx, yy, x, y;
    float bend[BEND_NODES][BEND_NODES][2];
} warp;

typedef struct {
    float x, y, radius;
} nib;

typedef struct {
    float cover[CTI_DIGIT_PIXELS];
    float per_softness;
} canvas;

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t draw(draws *d) {
    d->count++;
    return mix(d->key + d->count * UINT64_C(0x9e3779b97f4a7c15));
}

static float uniform(draws *d, float low, float high) {
    return low + (high - low) * ((float)(draw(d) >> 40) * 0x1p-24F);
}

/* Near normal, mean 0, variance 1, never beyond 3.5: the sum of four uniforms. */
static float normal(draws *d) {
    uint64_t bits = draw(d);
    int32_t sum = (int32_t)(bits & 0xffff) + (int32_t)(bits >> 16 & 0xffff) +
                  (int32_t)(bits >> 32 & 0xffff) + (int32_t)(bits >> 48);
    return (float)(sum - 131070) * (1.7320508F / 65536.0F);
}

static float clamp(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

/* The spreads here make the task about as hard as MNIST: a linear softmax classifier ends near
 * 90 %, a small convolutional network above 99 %. Translation and bend move the first most. */
static void warp_init(warp *w, draws *d) {
    /* The half-angle's tangent gives a rotation without sine and cosine. */
    float tangent = 0.07F * normal(d);
    float norm = 1.0F / (1.0F + tangent * tangent);
    float cosine = (1.0F - tangent * tangent) * norm;
    float sine = 2.0F * tangent * norm;
    float slant = -0.12F + 0.18F * normal(d);
    float height = uniform(d, 0.165F, 0.21F);
    float width = height * uniform(d, 0.8F, 1.15F);
    w->xx = cosine * width;
    w->xy = (cosine * slant - sine) * height;
    w->yx = sine * width;
    w->yy = (sine * slant + cosine) * height;
    w->x = middle + 0.75F * normal(d);
    w->y = middle + 0.75F * normal(d);
    for (int i = 0; i < BEND_NODES; i++) {
        for (int j = 0; j < BEND_NODES; j++) {
            w->bend[i][j][0] = 2.1F * normal(d);
            w->bend[i][j][1] = 2.1F * normal(d);
        }
    }
}

/* Splits a pixel coordinate into a cell of the bend grid and its cubic B-spline weights. */
static int bend_weights(float at, float weight[4]) {
    float scaled = clamp(at, 0.0F, (float)(SIDE - 1)) * (1.0F / BEND_CELL);
    int cell = (int)scaled;
    float t = scaled - (float)cell;
    float s = 1.0F - t;
    weight[0] = s * s * s * (1.0F / 6.0F);
    weight[1] = (4.0F + t * t * (3.0F * t - 6.0F)) * (1.0F / 6.0F);
    weight[2] = (4.0F + s * s * (3.0F * s - 6.0F)) * (1.0F / 6.0F);
    weight[3] = t * t * t * (1.0F / 6.0F);
    return cell;
}

static nib warp_point(const warp *w, nib p) {
    float gx = p.x - 50.0F;
    float gy = p.y - 50.0F;
    nib out = {w->xx * gx + w->xy * gy + w->x, w->yx * gx + w->yy * gy + w->y, p.radius};
    float row_weight[4];
    float col_weight[4];
    int row = bend_weights(out.y, row_weight);
    int col = bend_weights(out.x, col_weight);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            float weight = row_weight[i] * col_weight[j];
            out.x += weight * w->bend[row + i][col + j][0];
            out.y += weight * w->bend[row + i][col + j][1];
        }
    }
    return out;
}

static int pixel_at(float coordinate) { return (int)clamp(coordinate, 0.0F, (float)(SIDE - 1)); }

/* Inks one segment; a pixel keeps the strongest ink it has had, so joints do not darken. */
static void ink_segment(canvas *c, nib from, nib to) {
    float dx = to.x - from.x;
    float dy = to.y - from.y;
    float length2 = dx * dx + dy * dy;
    float per_length2 = length2 > 1e-6F ? 1.0F / length2 : 0.0F;
    float widen = to.radius - from.radius;
    float reach = (widen > 0.0F ? to.radius : from.radius) + 0.5F / c->per_softness;
    int left = pixel_at((dx < 0.0F ? to.x : from.x) - reach + 1.0F);
    int right = pixel_at((dx < 0.0F ? from.x : to.x) + reach);
    int top = pixel_at((dy < 0.0F ? to.y : from.y) - reach + 1.0F);
    int bottom = pixel_at((dy < 0.0F ? from.y : to.y) + reach);
    for (int row = top; row <= bottom; row++) {
        float py = (float)row - from.y;
        float *cover = c->cover + row * SIDE;
        for (int col = left; col <= right; col++) {
            float px = (float)col - from.x;
            float along = clamp((px * dx + py * dy) * per_length2, 0.0F, 1.0F);
            float ex = px - along * dx;
            float ey = py - along * dy;
            float depth = from.radius + along * widen - sqrtf(ex * ex + ey * ey);
            float ink = depth * c->per_softness + 0.5F;
            cover[col] = ink > cover[col] ? ink : cover[col];
        }
    }
}

/* The point at parameter t of the Catmull-Rom span from p[1] to p[2]. */
static float spline(float before, float from, float to, float after, float t) {
    float a = 3.0F * (from - to) + after - before;
    float b = 2.0F * before - 5.0F * from + 4.0F * to - after;
    return from + 0.5F * t * (to - before + t * (b + t * a));
}

static void ink_stroke(canvas *c, const warp *w, const nib *points, int count) {
    nib last = warp_point(w, points[0]);
    for (int i = 0; i + 1 < count; i++) {
        nib from = points[i];
        nib to = points[i + 1];
        if (from.x == to.x && from.y == to.y) {
            continue;
        }
        nib before = points[i > 0 ? i - 1 : 0];
        nib after = points[i + 2 < count ? i + 2 : i + 1];
        for (int piece = 1; piece <= SPAN_PIECES; piece++) {
            float t = (float)piece * (1.0F / SPAN_PIECES);
            nib next = warp_point(w, (nib){spline(before.x, from.x, to.x, after.x, t),
                                           spline(before.y, from.y, to.y, after.y, t),
                                           from.radius + t * (to.radius - from.radius)});
            ink_segment(c, last, next);
            last = next;
        }
    }
}

/* Draws the strokes of one path with an unsteady hand: every point and every pressure jitters. */
static void ink_path(canvas *c, const warp *w, const uint8_t *path, draws *d) {
    nib points[GLYPH_POINTS];
    int count = 0;
    float radius = uniform(d, 0.75F, 1.75F);
    for (const uint8_t *at = path; at[0] != 0; at += 2) {
        if (at[0] == GLYPH_PEN_UP) {
            ink_stroke(c, w, points, count);
            count = 0;
            continue;
        }
        int corner = count > 0 && at[0] == at[-2] && at[1] == at[-1];
        nib point = {(float)at[0] + 1.6F * normal(d), (float)at[1] + 1.6F * normal(d),
                     radius * (1.0F + 0.12F * normal(d))};
        points[count] = corner ? points[count - 1] : point;
        count++;
    }
    ink_stroke(c, w, points, count);
}

/* Ink to bytes: contrast, grain in the ink, faint specks on the paper. */
static void develop(const canvas *c, draws *d, uint8_t *pixels) {
    float contrast = uniform(d, 150.0F, 255.0F);
    float grain = uniform(d, 0.0F, 0.35F);
    for (int i = 0; i < CTI_DIGIT_PIXELS; i++) {
        uint64_t bits = draw(d);
        float noise = (float)(bits >> 40) * 0x1p-24F;
        float value = clamp(c->cover[i], 0.0F, 1.0F) * (1.0F - grain * noise) * contrast;
        if ((bits & 0x7f) == 0) {
            value += 60.0F * noise;
        }
        pixels[i] = (uint8_t)(clamp(value, 0.0F, 255.0F) + 0.5F);
    }
}

void cti_digit_render(uint64_t seed, int64_t index, uint8_t pixels[CTI_DIGIT_PIXELS],
                      uint8_t *label) {
    draws d = {mix(mix(seed + 1) + (uint64_t)index), 0};
    uint64_t choice = draw(&d);
    unsigned digit = (unsigned)((choice >> 32) * 10 >> 32);
    unsigned variant = (unsigned)((choice & UINT32_MAX) * GLYPH_VARIANTS >> 32);
    warp w;
    warp_init(&w, &d);
    canvas c = {.per_softness = 1.0F / uniform(&d, 1.0F, 1.8F)};
    ink_path(&c, &w, glyph_paths[digit][variant], &d);
    develop(&c, &d, pixels);
    *label = (uint8_t)digit;
}
