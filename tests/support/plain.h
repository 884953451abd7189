/* Criterion's assertions without Criterion, over those of support.h. */
#ifndef COTAN_TESTS_PLAIN_H
#define COTAN_TESTS_PLAIN_H

#include <stdio.h>
#include <string.h>

#define cr_expect(condition, ...) EXPECT((condition), __VA_ARGS__)
#define cr_expect_not(condition, ...) EXPECT(!(condition), __VA_ARGS__)
#define cr_expect_eq(a, b, ...) EXPECT((a) == (b), __VA_ARGS__)
#define cr_expect_neq(a, b, ...) EXPECT((a) != (b), __VA_ARGS__)
#define cr_expect_lt(a, b, ...) EXPECT((a) < (b), __VA_ARGS__)
#define cr_expect_leq(a, b, ...) EXPECT((a) <= (b), __VA_ARGS__)
#define cr_expect_gt(a, b, ...) EXPECT((a) > (b), __VA_ARGS__)
#define cr_expect_geq(a, b, ...) EXPECT((a) >= (b), __VA_ARGS__)
#define cr_expect_null(pointer, ...) EXPECT((pointer) == NULL, __VA_ARGS__)
#define cr_expect_not_null(pointer, ...) EXPECT((pointer) != NULL, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) EXPECT(strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...) EXPECT(memcmp((a), (b), (size)) == 0, __VA_ARGS__)
#define cr_expect_arr_neq(a, b, size, ...) EXPECT(memcmp((a), (b), (size)) != 0, __VA_ARGS__)

#define cr_assert(condition, ...) REQUIRE((condition), __VA_ARGS__)
#define cr_assert_not(condition, ...) REQUIRE(!(condition), __VA_ARGS__)
#define cr_assert_eq(a, b, ...) REQUIRE((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...) REQUIRE((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...) REQUIRE((a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...) REQUIRE((a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...) REQUIRE((a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...) REQUIRE((a) >= (b), __VA_ARGS__)
#define cr_assert_not_null(pointer, ...) REQUIRE((pointer) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) REQUIRE(strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...) REQUIRE(memcmp((a), (b), (size)) == 0, __VA_ARGS__)

#define cr_log_info(...) printf(__VA_ARGS__), putchar('\n')

#define cr_skip_test(text) \
    do {                   \
        puts(text);        \
        return;            \
    } while (0)

#endif
