/* The built-in digits: pen paths, warped and inked on a 28x28 grid, one call per image.
 * Not a data set: it stores nothing, batches nothing and knows no tensors.
 * Invariant: the bytes follow from (seed, index) alone; the arithmetic is + - * / sqrt, rounded
 * once per operation, so that compilers and vector widths cannot disagree. */
#include "datasets/digits/digits.h"

#include <math.h>
#include <stdint.h>

/* --- Pen paths -------------------------------------------------------------------------------- */

/* Five ways to write each digit. Not a font: the renderer jitters, warps and thickens every path.
 * Coordinates are 1 to 100, y downwards, each glyph centred on (50, 50). No stroke is empty, and
 * every path ends in at least one zero point. */
enum { GLYPH_VARIANTS = 5, GLYPH_POINTS = 18, GLYPH_PEN_UP = 255 };

#define UP GLYPH_PEN_UP, GLYPH_PEN_UP

/* x, y pairs joined by a smooth curve. A point given twice is a corner; UP lifts the pen. */
static const uint8_t glyph_paths[10][GLYPH_VARIANTS][2 * GLYPH_POINTS] = {
    {
        {50, 5, 28, 14, 16, 38, 16, 62, 28, 88, 50, 95, 72, 86, 84, 60, 83, 36, 70, 12, 50, 5},
        {58, 6, 40, 10, 28, 34, 26, 64, 38, 90, 54, 94, 68, 78, 74, 50, 70, 22, 60, 8, 46, 10},
        {40, 12, 24, 34, 22, 66, 40, 92, 62, 92, 78, 70, 80, 38, 66, 14, 44, 6, 34, 16},
        {52, 12, 24, 22, 12, 50, 24, 80, 52, 90, 78, 78, 88, 50, 76, 22, 52, 12, 40, 14},
        {62, 20, 52, 8, 32, 18, 20, 48, 26, 80, 48, 94, 70, 80, 80, 50, 72, 22, 56, 10},
    },
    {
        {50, 5, 50, 50, 50, 95},
        {56, 5, 50, 50, 48, 95},
        {36, 30, 46, 20, 54, 6, 54, 6, 54, 50, 54, 95},
        {36, 28, 52, 6, 52, 6, 52, 94, UP, 28, 94, 76, 94},
        {40, 28, 56, 5, 56, 5, 52, 50, 46, 95},
    },
    {
        {22, 26, 30, 10, 50, 5, 70, 12, 76, 30, 64, 52, 40, 74, 20, 92, 20, 92, 50, 92, 82, 92},
        {20, 24, 34, 8,  56, 6,  72, 20, 70, 42, 54, 66, 34,
         86, 20, 88, 18, 76, 32, 72, 52, 84, 70, 94, 84, 88},
        {22, 16, 50, 8, 74, 16, 68, 40, 20, 92, 20, 92, 84, 88},
        {24, 34, 26, 16, 44, 6,  66, 8,  76, 24, 70, 46,
         50, 66, 16, 92, 16, 92, 40, 84, 62, 90, 86, 88},
        {26, 20, 46, 6, 68, 12, 74, 30, 60, 54, 38, 80, 24, 90, 20, 80, 34, 76, 60, 90, 86, 84},
    },
    {
        {24, 16, 44, 5,  66, 10, 72, 28, 60, 44, 42, 48,
         42, 48, 64, 52, 78, 68, 70, 88, 46, 95, 22, 84},
        {22, 8, 74, 8, 74, 8, 46, 42, 46, 42, 68, 48, 80, 66, 70, 88, 46, 95, 20, 86},
        {24, 14, 46, 5,  68, 16, 66, 36, 48, 48, 38, 50,
         44, 44, 66, 52, 78, 72, 62, 92, 38, 94, 20, 82},
        {20, 18, 40, 6,  64, 10, 70, 26, 58, 42, 36, 50, 36,
         50, 60, 50, 76, 64, 74, 84, 54, 95, 32, 92, 20, 78},
        {30, 12, 50, 5, 66, 18, 60, 38, 46, 46, 46, 46, 66, 56, 72, 76, 56, 94, 34, 92},
    },
    {
        {30, 8, 24, 34, 18, 58, 18, 58, 50, 60, 84, 56, UP, 66, 10, 64, 50, 60, 95},
        {62, 5, 40, 30, 16, 62, 16, 62, 86, 62, UP, 62, 5, 62, 50, 62, 95},
        {22, 10, 20, 36, 28, 54, 48, 56, 70, 46, UP, 74, 8, 70, 50, 64, 95},
        {70, 8, 44, 30, 18, 58, 18, 58, 50, 60, 84, 56, UP, 70, 8, 66, 50, 62, 95},
        {38, 6, 28, 30, 16, 60, 16, 60, 60, 60, 88, 58, UP, 60, 34, 58, 66, 56, 95},
    },
    {
        {74, 8, 32, 8, 32, 8, 26, 44, 26, 44, 48, 36, 70, 44, 78, 66, 66, 88, 44, 95, 20, 86},
        {34, 10, 28, 44, 28, 44, 54, 40, 74, 54, 74, 76, 58,
         92, 34, 94, 18, 84, UP, 34, 10, 56, 10, 80, 6},
        {76, 10, 52, 8, 36, 14, 30, 34, 40, 44, 60, 50, 74, 66, 68, 86, 46, 95, 20, 88},
        {72, 6, 34, 8, 34, 8, 30, 46, 30, 46, 58, 46, 76, 60, 72, 84, 50, 95, 24, 90},
        {66, 8, 40, 8, 40, 8, 30, 40, 30, 40, 56, 34, 80, 50, 82, 74, 62, 92, 34, 94, 16, 80},
    },
    {
        {66, 6, 42, 22, 26, 48, 22, 74, 36, 93, 58, 94, 74, 80, 72, 62, 54, 54, 34, 62, 24, 78},
        {54, 5, 32, 44, 22, 72, 34, 92, 56, 95, 74, 82, 72, 64, 54, 56, 34, 64, 24, 76},
        {74, 12, 54, 6, 32, 24, 20, 54, 26, 84, 50, 95, 74, 86, 80, 64, 64, 48, 42, 52, 26, 70},
        {48, 5, 34, 36, 26, 70, 36, 92, 54, 94, 66, 82, 60, 66, 44, 66, 29, 80},
        {72, 20, 62, 8, 44, 12, 28, 38, 24, 70, 38, 92, 60, 92, 72, 76, 62, 60, 42, 60, 26, 74},
    },
    {
        {18, 10, 78, 8, 78, 8, 60, 40, 44, 95},
        {18, 12, 80, 10, 80, 10, 58, 50, 40, 95, UP, 34, 52, 76, 50},
        {20, 24, 20, 10, 20, 10, 50, 12, 82, 8, 82, 8, 58, 36, 48, 64, 46, 95},
        {16, 18, 34, 8, 56, 14, 80, 10, 80, 10, 62, 34, 48, 62, 42, 95},
        {20, 12, 78, 10, 78, 10, 60, 40, 52, 68, 50, 95, UP, 36, 54, 72, 50},
    },
    {
        {72, 16, 52, 5,  32, 14, 30, 32, 50, 46, 70, 62, 74,
         82, 54, 95, 30, 86, 28, 66, 48, 50, 68, 34, 72, 16},
        {50, 5,  32, 14, 32, 36, 50, 46, 68, 36, 68, 14, 50, 5, UP,
         50, 46, 26, 60, 26, 84, 50, 95, 74, 84, 74, 60, 50, 46},
        {74, 14, 54, 6,  36, 14, 36, 34, 54, 48, 72, 66, 68,
         88, 46, 95, 28, 82, 36, 62, 56, 46, 72, 28, 78, 10},
        {62, 14, 48, 5,  36, 18, 42, 38, 56, 54, 66, 74,
         56, 93, 40, 92, 34, 74, 44, 54, 60, 36, 62, 14},
        {54, 6,  38, 16, 42, 34, 62, 50, 80, 70, 66, 92,
         38, 94, 22, 76, 36, 56, 58, 42, 68, 22, 54, 6},
    },
    {
        {72, 16, 50, 6, 28, 18, 24, 40, 42, 54, 64, 44, 72, 16, 72, 16, 70, 56, 66, 95},
        {72, 22, 54, 6, 32, 14, 26, 36, 42, 52, 62, 44, 72, 22, 74, 50, 66, 80, 46, 95, 26, 88},
        {64, 16, 48, 6, 34, 18, 36, 36, 52, 42, 64, 30, 64, 16, 64, 16, 60, 60, 50, 95},
        {76, 12, 52, 6, 28, 18, 22, 40, 40, 56, 62, 50, 76, 28, 76, 28, 73, 56, 71, 95},
        {68, 12, 46, 6,  28, 22, 30, 44, 50, 52, 68, 38,
         70, 14, 70, 14, 72, 50, 68, 78, 50, 94, 26, 86},
    },
};

#undef UP

/* --- Ink -------------------------------------------------------------------------------------- */

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
