/*
 * Unit tests: TEST(name) { ... CHECK_EQ(a, b); ... }, one program per file. Tests register
 * themselves and run in the order of the file. A failed check prints where and both values and ends
 * its test; the others still run. Under AddressSanitizer a test that leaks memory fails too.
 */
#ifndef UNIT_HARNESS_H
#define UNIT_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct test {
    const char *name;
    void (*run)(void);
    int line;
    struct test *next; /* private */
};

/* Any integer: its sign and its magnitude. */
struct check_value {
    bool is_negative;
    uintmax_t magnitude;
};

/* Where a check stands and what its operands are called. */
struct check_place {
    const char *file;
    int line;
    const char *a;
    const char *b;
};

void test_register(struct test *test);
void check_true(bool holds, struct check_place place);
void check_eq(struct check_value a, struct check_value b, struct check_place place);
void check_text(const char *a, const char *b, struct check_place place);
void check_bytes(struct bytes a, struct bytes b, struct check_place place);

static inline struct check_value check_value_signed(intmax_t v)
{
    return (struct check_value){
        .is_negative = v < 0,
        .magnitude = v < 0 ? 0 - (uintmax_t)v : (uintmax_t)v,
    };
}

static inline struct check_value check_value_unsigned(uintmax_t v)
{
    return (struct check_value){.magnitude = v};
}

/* clang-format off */
#define CHECK_VALUE(v)                                                                             \
    _Generic((v),                                                                                  \
        bool: check_value_unsigned,                                                                \
        unsigned char: check_value_unsigned,                                                       \
        unsigned short: check_value_unsigned,                                                      \
        unsigned: check_value_unsigned,                                                            \
        unsigned long: check_value_unsigned,                                                       \
        unsigned long long: check_value_unsigned,                                                  \
        char: check_value_signed,                                                                  \
        signed char: check_value_signed,                                                           \
        short: check_value_signed,                                                                 \
        int: check_value_signed,                                                                   \
        long: check_value_signed,                                                                  \
        long long: check_value_signed)(v)
/* clang-format on */

#define CHECK_PLACE(a_text, b_text)                                                                \
    ((struct check_place){.file = __FILE__, .line = __LINE__, .a = (a_text), .b = (b_text)})

#define CHECK(condition) check_true((condition), CHECK_PLACE(#condition, ""))
/* Integers, enums and booleans of any type; never wraps. */
#define CHECK_EQ(a, b) check_eq(CHECK_VALUE(a), CHECK_VALUE(b), CHECK_PLACE(#a, #b))
/* C strings; NULL equals only NULL. */
#define CHECK_TEXT(a, b) check_text((a), (b), CHECK_PLACE(#a, #b))
/* struct bytes. */
#define CHECK_BYTES(a, b) check_bytes((a), (b), CHECK_PLACE(#a, #b))

#define TEST(test_name)                                                                            \
    static void test_name(void);                                                                   \
    __attribute__((constructor)) static void test_name##_register(void)                            \
    {                                                                                              \
        static struct test test = {.name = #test_name, .run = test_name, .line = __LINE__};        \
        test_register(&test);                                                                      \
    }                                                                                              \
    static void test_name(void)

#endif
