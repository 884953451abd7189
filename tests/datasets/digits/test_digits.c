/* The built-in digits: a pure function with pinned bytes, balanced labels and sane ink.
 * Not a test of how hard the task is: that needs training and is stated in digits.c.
 * Invariant: the pinned hash holds for every compiler, optimisation level and vector width. */
#include <stdint.h>
#include <string.h>

#include "datasets/digits/digits.h"
#include "tests/support/test.h"

enum { SIDE = CTI_DIGIT_SIDE, PIXELS = CTI_DIGIT_PIXELS, INKED = 64 };

typedef struct {
    uint8_t pixels[PIXELS];
    uint8_t label;
} digit;

static digit render(uint64_t seed, int64_t index) {
    digit d;
    memset(&d, 0xa5, sizeof d);
    cti_digit_render(seed, index, d.pixels, &d.label);
    return d;
}

static int differ(digit a, digit b) { return memcmp(a.pixels, b.pixels, PIXELS) != 0; }

static int inked_pixels(const digit *d) {
    int count = 0;
    for (int i = 0; i < PIXELS; i++) {
        count += d->pixels[i] >= INKED;
    }
    return count;
}

static int inked_border_pixels(const digit *d) {
    int count = 0;
    for (int i = 0; i < PIXELS; i++) {
        int row = i / SIDE;
        int col = i % SIDE;
        int border = row == 0 || row == SIDE - 1 || col == 0 || col == SIDE - 1;
        count += border && d->pixels[i] >= INKED;
    }
    return count;
}

TEST(digits, same_seed_and_index_give_the_same_bytes) {
    static const int64_t indices[] = {0, 1, 59999, 69999, INT64_MAX, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof indices / sizeof indices[0]; i++) {
        digit first = render(42, indices[i]);
        (void)render(7, indices[i] / 2);
        digit again = render(42, indices[i]);
        cr_assert(!differ(first, again) && first.label == again.label, "index %lld",
                  (long long)indices[i]);
        cr_assert_leq(first.label, 9);
    }
}

TEST(digits, every_index_and_every_seed_gives_another_image) {
    for (int64_t i = 0; i < 1000; i++) {
        digit here = render(3, i);
        cr_assert(differ(here, render(3, i + 1)), "index %lld", (long long)i);
        cr_assert(differ(here, render(4, i)), "seed, index %lld", (long long)i);
        cr_assert(differ(here, render(4, i - 1)), "the streams overlap at %lld", (long long)i);
    }
}

TEST(digits, labels_are_balanced_and_unordered) {
    enum { COUNT = 10000 };
    int seen[10] = {0};
    int repeats = 0;
    unsigned last = 10;
    for (int64_t i = 0; i < COUNT; i++) {
        unsigned label = render(0, i).label;
        cr_assert_lt(label, 10U);
        seen[label]++;
        repeats += label == last;
        last = label;
    }
    /* Five standard deviations of a binomial with p = 1/10 are 150. */
    for (int label = 0; label < 10; label++) {
        cr_assert(seen[label] > 850 && seen[label] < 1150, "%d images of %d", seen[label], label);
    }
    cr_assert(repeats > 850 && repeats < 1150, "%d labels equal the one before", repeats);
}

TEST(digits, every_image_holds_a_digits_worth_of_ink) {
    enum { COUNT = 10000 };
    int64_t total = 0;
    for (int64_t i = 0; i < COUNT; i++) {
        digit d = render(1, i);
        int inked = inked_pixels(&d);
        cr_assert(inked >= PIXELS / 50 && inked <= PIXELS / 2, "index %lld: %d pixels of ink",
                  (long long)i, inked);
        total += inked;
    }
    double share = (double)total / COUNT / PIXELS;
    cr_assert(share > 0.10 && share < 0.20, "%.3f of all pixels are ink", share);
}

TEST(digits, the_border_is_mostly_background) {
    enum { COUNT = 10000, BORDER = 4 * (SIDE - 1) };
    int64_t total = 0;
    int touched = 0;
    for (int64_t i = 0; i < COUNT; i++) {
        digit d = render(2, i);
        int inked = inked_border_pixels(&d);
        cr_assert_leq(inked, BORDER / 4, "index %lld: %d border pixels", (long long)i, inked);
        total += inked;
        touched += inked > 0;
    }
    cr_assert_lt(total, (int64_t)BORDER * COUNT / 1000);
    cr_assert_lt(touched, COUNT / 25);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo), over pixels and label of each image in turn. */
static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

TEST(digits, the_first_thousand_images_are_pinned) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < 1000; i++) {
        digit d = render(0, i);
        hash = hash_bytes(hash, d.pixels, PIXELS);
        hash = hash_bytes(hash, &d.label, 1);
    }
    cr_assert_eq(hash, UINT64_C(0x01d6975b30ae41a8), "0x%016llx", (unsigned long long)hash);
}
